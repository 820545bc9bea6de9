"""A model is asked whether a reply is right, and how sure it is of its yes is the score (2207.05221, 2408.15240)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ponder.core.engine import Cap, Engine, Logprob, SamplingArgs
from ponder.core.errors import Unsupported
from ponder.core.gather import gather
from ponder.core.judge import Score
from ponder.core.problem import Message, Problem, Prompt, Thinking
from ponder.core.run import Call, Run
from ponder.text.prompts import FINAL_ANSWER, IS_IT_RIGHT, IS_IT_RIGHT_SO_FAR, Phrase

YES = frozenset({"yes", "是", "是的", "对", "正确"})
NO = frozenset({"no", "否", "不", "不是", "错", "错误"})
RIVALS = 20
"""How many likely tokens are looked at; most servers give no more."""
_PATIENCE = 8
"""Tokens within which the yes or no must come: some models write blanks and empty marks first."""


@dataclass(frozen=True)
class VerifierPrompt:
    """p(yes) / (p(yes) + p(no)) of the first word of the verdict, whatever its case and the blanks before it; 0 to 1.

    0.5 where the model likes neither word, minus infinity for a reply without an answer, which nobody is asked
    about, and where a limit ends the run before the verdict.
    """

    engine: str = "main"
    """Which engine is asked: by default the one that replied."""
    so_far: bool = False
    """Ask about the reasoning as far as it is written, thinking included, as searches need it (2305.14992)."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Log-probabilities of the verdict."""
        return {self.engine: frozenset({Cap.LOGPROBS})}

    def refuse(self, engines: Mapping[str, Engine]) -> None:
        """Raise `Unsupported` for a model that cannot be kept from thinking: it takes PREFILL or THINKING."""
        begun(engines[self.engine], "VerifierPrompt")

    def asks(self) -> SamplingArgs:
        """Nothing of the replies themselves."""
        return {}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        """Ask once about each reply. Raises `Unsupported` for a model that cannot be kept from thinking."""
        values = await gather(self._ask(problem, call, run, index) for index, call in enumerate(calls))
        return [Score(value) for value in values]

    async def _ask(self, problem: Problem, call: Call, run: Run, index: int) -> float:
        said = call.thinking + call.answer if self.so_far else call.answer
        if not said.strip():
            return -math.inf
        branch = (run if self.engine == "main" else run.on(self.engine)).quiet(index)
        branch.sampling = replace(branch.sampling, stop=(), top_p=1.0, top_k=0, min_p=0.0, logit_bias=())
        question = IS_IT_RIGHT_SO_FAR if self.so_far else IS_IT_RIGHT
        prompt = asked_after(problem, said, branch.engine, question, "VerifierPrompt")
        async with branch.stream(prompt, "verify", max_tokens=_PATIENCE, temperature=0.0, logprobs=RIVALS) as live:
            async for chunk in live:
                word = next((token for token in chunk.logprobs if token.token.strip()), None)
                if chunk.channel == "answer" and not chunk.markup and word is not None:
                    return confidence(word)
        return -math.inf if live.call.finish in ("budget", "deadline") else 0.5


def confidence(word: Logprob) -> float:
    """Return p(yes) / (p(yes) + p(no)) from a token and its rivals; 0.5 where neither is among them."""
    shares = dict((*word.top, (word.token, word.logprob)))
    yes = math.fsum(math.exp(value) for token, value in shares.items() if _bare(token) in YES)
    no = math.fsum(math.exp(value) for token, value in shares.items() if _bare(token) in NO)
    return yes / (yes + no) if yes + no else 0.5


def _bare(token: str) -> str:
    return token.strip().strip("*\"'.,:!。，“”").casefold()


def asked_after(problem: Problem, answer: str, engine: Engine, question: Phrase, who: str) -> Prompt:
    """Return the question, the reply, and what is asked about it, with thinking prevented as the engine can.

    Raises `Unsupported`, in the name of `who` asks, for a model that cannot be kept from thinking.
    """
    asked = problem.question
    turns = (Message.of("assistant", answer), Message.of("user", question.to(asked)))
    prompt, start = Prompt((*problem.messages, *turns)), begun(engine, who)
    if start is not None:
        return prompt + f"{start}{FINAL_ANSWER.to(asked)}"
    return replace(prompt, thinking=Thinking.off()) if Cap.THINKING in engine.caps else prompt


def begun(engine: Engine, who: str) -> str | None:
    """Return what keeps the verdict from beginning with a thought, None where nothing can be put before it."""
    think, caps = engine.think, engine.caps
    if Cap.PREFILL in caps:
        opening = "" if think.opened else f"{think.open.strip()}\n"
        return f"{opening}\n{think.close.strip()}\n\n" if think else ""
    if think and Cap.THINKING not in caps:
        raise Unsupported(
            f"{who} cannot keep {engine.name} from thinking before its verdict: it takes no half-written "
            f"reply and has no switch; name another engine, or reach the model through one that has PREFILL or THINKING"
        )
    return None

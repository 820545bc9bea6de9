"""A process reward model votes behind each step, with a token for good or one for bad (2312.08935)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ponder.core.engine import Cap, Logprob, SamplingArgs
from ponder.core.errors import EngineError, require
from ponder.core.gather import gather
from ponder.core.judge import Score
from ponder.core.problem import Message, Problem, Prompt, Text
from ponder.core.run import Call, Run
from ponder.scorers.stepwise import marks, view, written
from ponder.text.steps import plain, step_texts

Layout = Literal["turns", "tags"]
RIVALS = 20
"""How many likely tokens are looked at; most servers give no more."""
LEAST = 0.05
"""The probability that both votes must have together: reward models give them nearly all, other models next to none."""


@dataclass(frozen=True)
class Prm:
    """P(good) / (P(good) + P(bad)) of the token behind the last step, 0 to 1.

    Minus infinity for a reply without a word, and where a limit ends the run before the vote.
    """

    engine: str = "prm"
    """The engine that runs the reward model. It reads text, so its tokens may differ from those of the replies."""
    layout: Layout = "turns"
    """`turns`: each step is a turn of the user and the assistant votes (RLHFlow). `tags`: the steps are one reply of
    the assistant, the vote stands behind each step's tag (Math-Shepherd)."""
    delimiter: str = "\n\n"
    """Ends a step. On a command line, write a new line as backslash and n."""
    tag: str = "ки"
    """Stands behind each step, in the layout `tags`."""
    good: str = "+"
    """The token that says a step is good."""
    bad: str = "-"
    """The token that says it is bad."""
    each: bool = False
    """Score every step, with a call for each: for `steps=min` and the like. By default the last step alone."""

    def __post_init__(self) -> None:
        require(bool(self.delimiter), self, "delimiter", self.delimiter, "a text that ends a step")
        require(bool(self.tag.strip()), self, "tag", self.tag, "a text that is no blank")
        require(bool(self.good.strip()), self, "good", self.good, "a token that is no blank")
        require(bool(self.bad.strip()), self, "bad", self.bad, "a token that is no blank")
        require(self.good.strip() != self.bad.strip(), self, "bad", self.bad, "another token than good")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Log-probabilities of the vote; with tags, an engine that goes on with what is put before it."""
        return {self.engine: frozenset({Cap.LOGPROBS} | ({Cap.PREFILL} if self.layout == "tags" else set()))}

    def asks(self) -> SamplingArgs:
        """Nothing of the replies themselves."""
        return {}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        """Ask for one vote a step. Raises `EngineError` for a model that does not vote."""
        return await gather(self._score(problem, call, run, index) for index, call in enumerate(calls))

    async def _score(self, problem: Problem, call: Call, run: Run, index: int) -> Score:
        think = run.engine.think
        steps = step_texts(written(call, think), plain(self.delimiter), marks(think))
        if not steps:
            return Score(-math.inf)
        branch = view(run, self.engine).quiet(index)
        first = 1 if self.each else len(steps)
        counts = range(first, len(steps) + 1)
        votes = await gather(self._vote(self.prompt(problem, steps[:count]), branch.quiet(count)) for count in counts)
        return Score(votes[-1], tuple(votes) if self.each else ())

    async def _vote(self, prompt: Prompt, branch: Run) -> float:
        branch.sampling = replace(branch.sampling, stop=(), top_p=1.0, top_k=0, min_p=0.0, logit_bias=())
        call = await branch.generate(prompt, "verify", max_tokens=1, temperature=0.0, logprobs=RIVALS)
        if not call.logprobs:
            if call.finish in ("budget", "deadline"):
                return -math.inf
            raise EngineError(
                f"{call.engine}: the vote came without log-probabilities, which Prm reads; name a model "
                f"that votes with --engine {self.engine}=MODEL"
            )
        return self.share(call.logprobs[0], call.engine)

    def share(self, vote: Logprob, engine: str) -> float:
        """Return P(good) / (P(good) + P(bad)) from a token and its rivals, summed over spellings with blanks.

        Raises `EngineError` where neither is among them, and for what is no log-probability.
        """
        shares = dict((*vote.top, (vote.token, vote.logprob)))
        for token, value in shares.items():
            if math.isnan(value) or value > 1e-3:
                raise EngineError(
                    f"{engine}: the log-probability of {token!r} is {value}, and must be at most 0; the "
                    f"reward model's weights or its server are broken"
                )
        good, bad = (
            math.fsum(math.exp(value) for token, value in shares.items() if _bare(token) == word.strip())
            for word in (self.good, self.bad)
        )
        if good + bad < LEAST:
            raise EngineError(
                f"{engine}: {self.good!r} and {self.bad!r} have {good + bad:.1%} of the probability behind a step, "
                f"{vote.token!r} comes first; name a process reward model, or set Prm's layout, tag, good and bad as "
                f"it was trained"
            )
        return good / (good + bad)

    def prompt(self, problem: Problem, steps: Sequence[str]) -> Prompt:
        """Return what is read before the vote on the last of `steps`."""
        if self.layout == "tags":
            return Prompt(problem.messages) + plain(self.delimiter).join(f"{step} {self.tag}" for step in steps)
        *before, question = problem.messages or (Message.of("user", ""),)
        turns = [_said(question, steps[0])]
        for step in steps[1:]:
            turns += [Message.of("assistant", self.good), Message.of("user", step)]
        return Prompt((*before, *turns))


def _bare(token: str) -> str:
    return token.replace("▁", " ").strip()


def _said(question: Message, step: str) -> Message:
    """Return the question with the first step behind it, in one paragraph."""
    *head, last = question.parts or (Text(""),)
    if isinstance(last, Text):
        return replace(question, parts=(*head, Text(f"{last.text} {step}".strip())))
    return replace(question, parts=(*head, last, Text(step)))

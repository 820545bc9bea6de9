"""A look into a thought from the side: which answer the model would give now, and how sure of it its tokens are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Unpack

from ponder.core.engine import SamplingArgs
from ponder.core.method import Solution
from ponder.core.problem import Prompt
from ponder.core.run import Run
from ponder.steer.thought import Thought, shut
from ponder.text.certainty import brace_end, until_brace
from ponder.text.prompts import PROBED, Phrase

Ask = Literal["sentence", "close"]
"""How a thought is asked: by a sentence put at its end, or by closing it and beginning the answer's box."""

BOX = "\\boxed{"


@dataclass(frozen=True, slots=True)
class Glimpse:
    """One answer asked on the side after `at` tokens of thought: empty where the box was not closed.

    `text` is all that was said, `stated` the answer as the task reads it, or empty where it reads none;
    `probabilities` are those of the tokens up to the end of the box.
    """

    at: int
    text: str
    answer: str
    stated: str
    probabilities: tuple[float, ...] = ()


def beside(thought: Thought, run: Run, ask: Ask, phrase: Phrase, question: str) -> Prompt:
    """Return the fork of the conversation in which the model is about to give its answer; the thought is untouched."""
    if ask == "sentence":
        return thought.prompt + phrase.to(question)
    box = BOX if phrase.en.endswith("{") else BOX[:-1]
    return thought.prompt + shut(run.engine.think, thought.prompt.prefill) + box


async def glimpse(run: Run, prompt: Prompt, at: int, whole: bool, **asks: Unpack[SamplingArgs]) -> Glimpse:
    """Ask for the answer; unless the `whole` reply is wanted, leave it once the box is closed.

    A reply that ends by itself has said its answer, whether or not it closed the box: so do recorded probes. So does
    one that closes the thought instead: it goes on to an answer that nobody asked for here, and is left in any case.
    """
    begun, text, counted, over = prompt.prefill.endswith("{"), "", 0, False
    closed: int | None = None
    mark = run.engine.think.close.strip()
    shut_before = not mark or mark in prompt.prefill
    asked: SamplingArgs = {**asks, "stop": ()}
    async with run.stream(prompt, "probe", **asked) as live:
        async for chunk in live:
            text += chunk.text
            if not shut_before and mark in text:
                text, over = text.partition(mark)[0], True
                closed = counted if closed is None else closed
                break
            counted += len(chunk.logprobs)
            if closed is None and brace_end(_inside(text, begun)) is not None:
                closed = counted
                if not whole:
                    break
    answer = until_brace(_inside(text, begun))
    if answer is None and (over or live.call.finish == "stop"):
        answer = text.strip().removeprefix("{")
        answer = answer.rstrip(".。").strip() if over else answer
    stated = run.extract(f"{BOX}{answer}}}") if answer else None
    tokens = live.call.logprobs[:closed]
    return Glimpse(at, text, answer or "", stated or "", tuple(math.exp(token.logprob) for token in tokens))


def _inside(text: str, begun: bool) -> str:
    """Return the text as it stands inside the box; nothing, as long as the box has not begun."""
    if begun:
        return text
    text = text.lstrip()
    return text[1:] if text.startswith("{") else ""


def conclude(
    thought: Thought, run: Run, question: str, answer: str, exit: str, evidence: Mapping[str, float | str]
) -> Solution:
    """End an open thought with a fixed sentence and the answer that was asked on the side: no token more is drawn.

    The client's stop strings end the sentence as they would end an answer of the model's own.
    """
    thought.extend("\n\n...")
    said = PROBED.to(question).replace("{answer}", answer)
    end = min((at for stop in run.sampling.stop if (at := said.find(stop)) >= 0), default=len(said))
    thought.reply.say(said[:end])
    return Solution(thought.reply.text, thought.text, "exit", evidence={"exit": exit, "escaped": 0, **evidence})


def rescue(thought: Thought, run: Run, question: str, answers: Iterable[str], solution: Solution) -> Solution:
    """Give a reply that its deadline left without an answer the last one that was asked on the side, if any was."""
    answer = "" if solution.answer.strip() else next((said for said in reversed([*answers]) if said), "")
    if solution.finish != "deadline" or not answer:
        return solution
    if not thought.closed:
        thought.extend("\n\n...")
    thought.reply.say(PROBED.to(question).replace("{answer}", answer))
    return replace(solution, answer=thought.reply.text, thinking=thought.text)

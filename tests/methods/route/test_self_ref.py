from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ponder.core.engine import Cap, Chunk, Logprob, Sampling, Think
from ponder.core.errors import OptionError
from ponder.core.method import Solution
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.methods.route.cascade import Cascade
from ponder.methods.route.self_ref import SelfRef
from ponder.methods.vote.sample import Sample
from ponder.scorers.confidence_token import ConfidenceToken
from ponder.text.answers import number

QUESTION = Problem.of("What is 2 + 3?")


class Trained(Echo):
    """Says an answer and a mark, which it likes with a known probability."""

    def __init__(self, text: str, sure: float) -> None:
        super().__init__(text, think=Think())
        self.sure = sure

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        async with super().stream(prompt, sampling) as chunks:
            yield self._marked(chunks)

    async def _marked(self, chunks: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
        top = (("<CN>", math.log(self.sure)), ("<UN>", math.log(1 - self.sure)))
        async for chunk in chunks:
            own = tuple(
                Logprob(one.token, top[0][1], top) if one.token.strip() in ("<CN>", "<UN>") else one
                for one in chunk.logprobs
            )
            yield chunk._replace(logprobs=own)


async def solve(method: SelfRef, weak: Echo) -> tuple[Solution, Run, Echo]:
    strong = Echo("It is 5.", think=Think())
    run = Run({"main": weak, "strong": strong}, extract=number)
    return await method.solve(QUESTION, run), run, strong


@pytest.mark.parametrize(("sure", "answer", "calls"), [(0.8, "It is 6.", 0), (0.79, "It is 5.", 1)])
async def test_the_mark_decides_and_is_not_shown(sure: float, answer: str, calls: int) -> None:
    method = SelfRef(strong=Sample(cot=False), strong_on="strong", threshold=0.8)
    solution, run, strong = await solve(method, Trained("It is 6. <CN>", sure))
    assert (solution.answer, strong.calls) == (answer, calls)
    assert solution.evidence["score"] == pytest.approx(sure)
    assert solution.evidence["route"] == ("rung 2 on strong" if calls else "rung 1 on main")
    assert "".join(text for _, text in run.trace.shown) == answer


async def test_the_tokens_of_the_mark_are_billed() -> None:
    weak = Trained("It is 6. <CN>", 0.9)
    _, run, _ = await solve(SelfRef(), weak)
    assert run.trace.tokens == weak.generated == 4


async def test_a_reply_without_a_mark_is_never_taken() -> None:
    solution, _, strong = await solve(SelfRef(strong_on="strong", threshold=0.0), Trained("It is 6.", 0.9))
    assert (solution.answer, strong.calls) == ("It is 5.", 1)
    assert "score" not in solution.evidence


async def test_it_is_the_cascade_of_its_scorer() -> None:
    for sure in (0.3, 0.7):
        own, _, _ = await solve(SelfRef(strong=Sample(cot=False), strong_on="strong"), Trained("It is 6. <UN>", sure))
        cascade = Cascade((Sample(cot=False),) * 2, ("main", "strong"), (ConfidenceToken(),), (0.5,))
        strong = Echo("It is 5.", think=Think())
        run = Run({"main": Trained("It is 6. <UN>", sure), "strong": strong}, extract=number)
        other = await cascade.solve(QUESTION, run)
        assert own.evidence == other.evidence
        assert own.answer == other.answer.removesuffix(" <UN>")


def test_needs_and_options() -> None:
    assert SelfRef().needs() == {"main": frozenset({Cap.LOGPROBS})}
    assert SelfRef(strong_on="strong").needs() == {"main": frozenset({Cap.LOGPROBS}), "strong": frozenset()}
    with pytest.raises(OptionError, match=r"threshold = 1\.5"):
        SelfRef(threshold=1.5)
    with pytest.raises(OptionError, match="confident = ''"):
        SelfRef(confident="")

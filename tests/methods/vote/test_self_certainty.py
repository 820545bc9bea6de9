"""The Borda vote of samples by their certainty, with the numbers of 2502.18581's own form."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ponder.core.engine import Cap, Chunk, Sampling
from ponder.core.errors import OptionError, Unsupported
from ponder.core.method import Solution, check
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run, derive_seed
from ponder.engines.echo import Echo
from ponder.methods.prompt.no_thinking import NoThinking
from ponder.methods.vote.self_certainty import SelfCertainty
from ponder.methods.vote.self_consistency import SelfConsistency

QUESTION = Problem.of("q")
NOTHING = {"votes": 0, "share": 0.0, "n": 2, "failed": 2, "weight": 0.0, "certainty": 0.0}
ANSWERS, SURE = ["x1", "y2", "x1", "x1", "z3"], [0.2, 0.9, 0.5, 0.4, 0.6]


class Sure(Echo):
    """Says `texts[i]` in branch i, each token of it with the certainty `sure[i]`."""

    def __init__(self, texts: list[str], sure: list[float | None]) -> None:
        self.by_seed = {derive_seed(0, (i,), 0, "branch"): pair for i, pair in enumerate(zip(texts, sure, strict=True))}
        super().__init__(lambda prompt, seed: self.by_seed[seed][0], caps=frozenset(Cap))

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        assert sampling.certainty
        assert sampling.logprobs == 0
        sure = self.by_seed[sampling.branch_seed or 0][1]
        async with super().stream(prompt, sampling) as chunks:
            yield self._told(chunks, sure)

    async def _told(self, chunks: AsyncIterator[Chunk], sure: float | None) -> AsyncIterator[Chunk]:
        async for chunk in chunks:
            yield chunk._replace(logprobs=tuple(token._replace(certainty=sure) for token in chunk.logprobs))


def run_on(engine: Echo) -> Run:
    def extract(text: str) -> str | None:
        found = re.findall(r"\d", text)
        return found[-1] if found else None

    return Run(engine, extract=extract)


async def vote(texts: list[str], sure: list[float | None], power: float) -> Solution:
    return await SelfCertainty(n=len(texts), power=power).solve(QUESTION, run_on(Sure(texts, sure)))


@pytest.mark.parametrize(
    ("power", "answer", "own", "total"),
    [
        (0.0, "x1", 3, 5),
        (0.5, "x1", 4.146, 4.146 + 2.236 + 2.000),
        (1.2, "x1", 7.035, 7.035 + 6.899 + 5.278),
        (2.0, "y2", 25, 25 + 16 + 14),
    ],
)
async def test_the_worked_votes(power: float, answer: str, own: float, total: float) -> None:
    solution = await vote(ANSWERS, list(SURE), power)
    assert solution.answer == answer
    assert solution.evidence["weight"] == pytest.approx(own / total, abs=2e-4)
    sure, count = (0.2, 3) if answer == "x1" else (0.9, 1)
    assert solution.evidence["certainty"] == pytest.approx(sure)
    assert (solution.evidence["votes"], solution.evidence["n"], solution.evidence["failed"]) == (count, 5, 0)


async def test_samples_without_an_answer_rank_last_however_sure_they_are() -> None:
    """Ranks of the others: 3 and 4 of 4 places, as if the two had scored minus infinity."""
    solution = await vote(["no", "1", "2", "none"], [9.0, 0.1, 0.2, 8.0], 1.0)
    assert (solution.answer, solution.evidence["failed"]) == ("2", 2)
    assert solution.evidence["weight"] == pytest.approx(4 / 7)
    alone = await vote(["no", "none"], [1.0, 2.0], 1.0)
    assert (alone.answer, alone.evidence) == ("no", NOTHING)


async def test_equal_certainties_share_their_ranks_and_an_answer_without_one_ranks_last() -> None:
    assert (await vote(["1", "2"], [0.5, 0.5], 3.0)).answer == "1"
    assert (await vote(["1", "2"], [None, 0.1], 1.0)).answer == "2"


async def test_power_0_is_self_consistency_to_the_token() -> None:
    runs = [Run(Echo(caps=frozenset(Cap)), seed=seed) for seed in (3, 3)]
    one = await SelfCertainty(n=5, power=0.0).solve(Problem.of("Between 12 and 99."), runs[0])
    two = await SelfConsistency(n=5).solve(Problem.of("Between 12 and 99."), runs[1])
    assert (one.thinking, one.answer, one.evidence["votes"]) == (two.thinking, two.answer, two.evidence["votes"])
    assert runs[0].trace.tokens == runs[1].trace.tokens
    assert runs[0].trace.shown == runs[1].trace.shown


async def test_several_calls_of_a_sample_count_together() -> None:
    engine = Sure(["<think>a b </think>5", "6"], [0.1, 0.2])
    solution = await SelfCertainty(n=2, inner=NoThinking()).solve(QUESTION, run_on(engine))
    assert solution.evidence["certainty"] == pytest.approx(0.2)


def test_an_engine_without_the_whole_distribution_is_refused() -> None:
    with pytest.raises(Unsupported, match="FULL_LOGPROBS"):
        check(SelfCertainty(), {"main": Echo()})


@pytest.mark.parametrize("options", [{"n": 0}, {"power": -1.0}, {"power": 51.0}, {"temperature": -0.1}])
def test_values_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=r"SelfCertainty: .* is out of range"):
        SelfCertainty(**options)  # type: ignore[arg-type]

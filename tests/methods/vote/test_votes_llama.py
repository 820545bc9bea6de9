"""What the votes promise of each other, on real llama.cpp: random weights, replies told apart by their text."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from support.tiny_gguf import write_tiny

from ponder.core.engine import Sampling
from ponder.core.method import Method, Solution
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.llama import LlamaEngine
from ponder.methods.vote.best_of_n import BestOfN
from ponder.methods.vote.early_stopping_self_consistency import EarlyStoppingSelfConsistency
from ponder.methods.vote.length_filtered_vote import LengthFilteredVote
from ponder.methods.vote.sample import Sample
from ponder.methods.vote.self_consistency import SelfConsistency

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAIRS: list[tuple[Method, Method]] = [
    (BestOfN(n=1), Sample()),
    (EarlyStoppingSelfConsistency(n=3, window=3), SelfConsistency(n=3)),
    (LengthFilteredVote(n=3, unit="tokens", bins=1), SelfConsistency(n=3)),
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def tiny(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LlamaEngine]:
    """One slot: what runs beside a reply shows in its logits, and the equality is that of the methods."""
    path = write_tiny(tmp_path_factory.mktemp("votes") / "tiny.gguf")
    async with LlamaEngine(path, threads=1, slots=1, context=256) as engine:
        yield engine


async def solve(method: Method, engine: LlamaEngine, seed: int) -> tuple[Solution, int]:
    run = Run(engine, seed=seed, sampling=Sampling(max_tokens=12))
    return await method.solve(Problem.of("hello"), run), run.trace.tokens


@pytest.mark.parametrize(("method", "other"), PAIRS, ids=lambda value: type(value).__name__)
async def test_equal_by_the_same_seed(tiny: LlamaEngine, method: Method, other: Method) -> None:
    for seed in range(3):
        (ours, spent), (theirs, billed) = await solve(method, tiny, seed), await solve(other, tiny, seed)
        assert (ours.answer, ours.thinking, ours.finish, spent) == (
            theirs.answer,
            theirs.thinking,
            theirs.finish,
            billed,
        )


async def test_the_likeliest_reply_is_chosen_and_all_are_billed(tiny: LlamaEngine) -> None:
    before = int((await tiny.server.metrics())["tokens_predicted_total"])
    run = Run(tiny, sampling=Sampling(max_tokens=12))
    solution = await BestOfN(n=3).solve(Problem.of("hello"), run)
    means = [sum(t.logprob for t in call.logprobs) / len(call.logprobs) for call in run.trace.calls]
    assert solution.evidence["score"] == pytest.approx(max(means))
    assert run.trace.tokens == int((await tiny.server.metrics())["tokens_predicted_total"]) - before

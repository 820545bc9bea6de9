"""What the votes promise of each other, on torch: a branch's tokens depend on its seed alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from ponder.core.engine import Sampling
from ponder.core.method import Method, Solution
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.methods.vote.best_of_n import BestOfN
from ponder.methods.vote.early_stopping_self_consistency import EarlyStoppingSelfConsistency
from ponder.methods.vote.length_filtered_vote import LengthFilteredVote
from ponder.methods.vote.sample import Sample
from ponder.methods.vote.self_consistency import SelfConsistency
from ponder.text.answers import number

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = [pytest.mark.torch, pytest.mark.asyncio(loop_scope="module")]

from ponder.engines.torch.engine import TorchEngine  # noqa: E402

MODEL = Path(__file__).parents[3] / "ponder" / "models" / "tiny-reasoner"
PAIRS: list[tuple[Method, Method]] = [
    (BestOfN(n=1), Sample()),
    (EarlyStoppingSelfConsistency(n=4, window=4), SelfConsistency(n=4)),
    (LengthFilteredVote(n=4, unit="tokens", bins=1), SelfConsistency(n=4)),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reasoner() -> AsyncIterator[TorchEngine]:
    async with TorchEngine(MODEL, dtype="float32", threads=1) as engine:
        yield engine


async def solve(method: Method, engine: TorchEngine, seed: int) -> tuple[Solution, int]:
    run = Run(engine, seed=seed, sampling=Sampling(max_tokens=48), extract=number)
    return await method.solve(Problem.of("What is 12 + 30?"), run), run.trace.tokens


@pytest.mark.parametrize(("method", "other"), PAIRS, ids=lambda value: type(value).__name__)
async def test_equal_by_the_same_seed(reasoner: TorchEngine, method: Method, other: Method) -> None:
    for seed in range(2):
        (ours, spent), (theirs, billed) = await solve(method, reasoner, seed), await solve(other, reasoner, seed)
        assert (ours.answer, ours.thinking, ours.finish, spent) == (
            theirs.answer,
            theirs.thinking,
            theirs.finish,
            billed,
        )


async def test_a_race_has_one_winner_and_a_smaller_bill(reasoner: TorchEngine) -> None:
    whole = [await solve(BestOfN(n=6), reasoner, 1) for _ in range(2)]
    raced = [await solve(BestOfN(n=6, stop_at=-50.0), reasoner, 1) for _ in range(2)]
    assert whole[0] == whole[1]
    assert raced[0][0] == raced[1][0]
    assert raced[0][1] <= whole[0][1]


async def test_a_stop_string_binds_the_answer_and_not_the_thought(reasoner: TorchEngine) -> None:
    async def reply(*stop: str) -> tuple[Solution, int]:
        run = Run(reasoner, sampling=Sampling(max_tokens=300, temperature=0, stop=stop), extract=number)
        return await Sample().solve(Problem.of("What is 12 + 30?"), run), run.trace.tokens

    plain, spent = await reply()
    thought = next(word for word in plain.thinking.split() if word not in plain.answer)
    assert await reply(thought) == (plain, spent)
    ended, less = await reply("boxed")
    assert (ended.thinking, ended.answer) == (plain.thinking, plain.answer.partition("boxed")[0])
    assert 0 < less < spent

"""The methods that look into the model, on the shipped tiny reasoner."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ponder.core.engine import Sampling
from ponder.core.method import check
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.torch.engine import TorchEngine
from ponder.methods.vote.sample import Sample
from ponder.methods.vote.self_certainty import SelfCertainty
from ponder.methods.vote.st_bon import StBoN
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.text.answers import number

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

REASONER = Path(__file__).parents[3] / "ponder" / "models" / "tiny-reasoner"
QUESTION = Problem.of(
    "What is 4 + 1 + 5 - 1 modulo 7, strictly from left to right?\n\nPut the final answer in \\boxed{}."
)


@pytest.fixture
async def engine() -> AsyncIterator[TorchEngine]:
    async with TorchEngine(REASONER, dtype="float32", threads=1, slots=4) as opened:
        yield opened


def run_on(engine: TorchEngine, heat: float, seed: int = 0) -> Run:
    return Run(engine, extract=number, seed=seed, sampling=Sampling(max_tokens=300, temperature=heat))


@pytest.mark.parametrize("heat", [0.0, 1.0])
async def test_st_bon_of_one_is_plain_sampling_token_for_token(engine: TorchEngine, heat: float) -> None:
    one, plain = run_on(engine, heat), run_on(engine, heat)
    found = await StBoN(n=1).solve(QUESTION, one)
    expected = await Sample().solve(QUESTION, plain)
    assert (found.thinking, found.answer, found.finish) == (expected.thinking, expected.answer, expected.finish)
    assert [call.token_ids for call in one.trace.calls] == [call.token_ids for call in plain.trace.calls]
    assert one.trace.tokens == plain.trace.tokens > 10


async def test_the_kept_sample_is_what_it_would_have_been_alone_and_nothing_is_read_twice(engine: TorchEngine) -> None:
    """Six samples on four slots: those that rest make room. Afterwards each is drawn again by itself."""
    method = StBoN(n=6)
    check(method, {"main": engine})
    run = run_on(engine, 1.5)
    before = engine.positions
    solution = await method.solve(QUESTION, run)
    read = engine.positions - before
    calls = {call.branch[0]: call for call in run.trace.calls}
    left = sum(call.finish == "left" for call in calls.values())
    assert run.trace.tokens <= engine.generated <= run.trace.tokens + 2 * left
    prompt = next(iter(calls.values())).prompt_tokens
    assert read <= prompt + engine.generated + 6, "the prompt once, and each token that was drawn"
    again = run_on(engine, 1.5)
    alone = [await Sample().solve(QUESTION, again.quiet(index)) for index in range(6)]
    assert (solution.thinking, solution.answer) in [(one.thinking, one.answer) for one in alone]
    for index, call in enumerate(sorted(again.trace.calls, key=lambda call: call.branch)):
        assert call.token_ids[: len(calls[index].token_ids)] == calls[index].token_ids
    parted, window = int(solution.evidence["parted"]), int(solution.evidence["window"])
    longest = max(calls.values(), key=lambda call: call.tokens)
    whole = sum(min(parted + window, len(call.logprobs) or call.tokens) for call in calls.values())
    assert run.trace.tokens == whole + max(0, longest.tokens - parted - window)


async def test_self_certainty_votes_with_what_the_model_was_sure_of(engine: TorchEngine) -> None:
    method = SelfCertainty(n=4)
    check(method, {"main": engine})
    run = run_on(engine, 1.3)
    solution = await method.solve(QUESTION, run)
    assert float(solution.evidence["certainty"]) > 0
    assert sum(len(call.logprobs) for call in run.trace.calls) == run.trace.tokens
    scores = await MeanLogprob().score(QUESTION, run.trace.calls, run)
    assert all(score.value < 0 for score in scores)

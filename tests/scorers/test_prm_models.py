"""Reward models on a real model: the states are those that tokens were drawn from, and little is read twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import pytest_asyncio

import ponder
from ponder.core.engine import Sampling
from ponder.core.errors import EngineError
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.methods.search.beam_search import BeamSearch
from ponder.scorers.prm import Prm
from ponder.scorers.prm_head import PrmHead, states_behind
from ponder.scorers.probe import last_state
from ponder.scorers.stepwise import asked, marks
from ponder.text.answers import number
from ponder.text.steps import step_ends
from ponder.train.prm.head import save_head

if TYPE_CHECKING:
    from ponder.engines.torch.engine import TorchEngine

pytestmark = [pytest.mark.torch, pytest.mark.asyncio(loop_scope="module")]

REASONER = Path(ponder.__file__).parent / "models" / "tiny-reasoner"
WIDTH = 128
QUESTION = Problem.of(
    "What is 5 × 1 × 3 + 4 - 1 modulo 7, strictly from left to right?\n\nPut the final answer in \\boxed{}."
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[TorchEngine]:
    pytest.importorskip("torch")
    from ponder.engines.torch.engine import TorchEngine

    async with TorchEngine(REASONER, dtype="float32", threads=1, slots=8) as opened:
        yield opened


@pytest.fixture
def head(tmp_path: Path) -> PrmHead:
    dice = np.random.default_rng(0)
    arrays = {"mean": np.zeros(WIDTH), "scale": np.ones(WIDTH), "inner": dice.normal(size=(WIDTH, 4)) / 12}
    arrays |= {"inner_bias": np.zeros(4), "outer": dice.normal(size=4), "outer_bias": np.zeros(1)}
    kept = {name: np.asarray(value, np.float32) for name, value in arrays.items()}
    save_head(tmp_path / "head", kept, -1, "\n", False, {"model": "torch:tiny-reasoner"})
    return PrmHead(str(tmp_path / "head"), each=True)


async def reply(engine: TorchEngine) -> Call:
    run = Run(engine, sampling=Sampling(max_tokens=200, temperature=0.0))
    return await run.generate(asked(QUESTION, engine), logprobs=1, hidden=(-1,))


async def test_the_state_behind_a_step_is_the_one_that_the_next_token_was_drawn_from(engine: TorchEngine) -> None:
    call = await reply(engine)
    ends = step_ends(call.text, "\n", marks(engine.think))
    assert len(ends) > 8
    states = await states_behind(asked(QUESTION, engine), call.text, ends, Run(engine), -1)
    drawn = np.concatenate([np.asarray(block, np.float32) for block in call.hidden])[:, 0]
    begins = np.cumsum([0, *(len(token.token) for token in call.logprobs)])
    for end, state in zip(ends, states, strict=True):
        (place,) = np.flatnonzero(begins[:-1] == end)[:1]
        assert state is not None
        assert np.allclose(state, drawn[place], atol=1e-3)
    last = last_state(call, -1)
    assert last is not None
    assert states[-1] is not None
    assert np.allclose(states[-1], last, atol=1e-3)


async def test_the_steps_of_a_reply_are_read_once(engine: TorchEngine, head: PrmHead) -> None:
    call = await reply(engine)
    before = engine.positions
    (score,) = await head.score(QUESTION, [call], run := Run(engine))
    steps = len(score.steps)
    assert steps == len(step_ends(call.text, "\n", marks(engine.think)))
    assert run.trace.tokens == steps
    assert engine.positions - before <= 3 * steps


async def test_a_search_reads_one_or_two_positions_more_for_each_step(engine: TorchEngine, head: PrmHead) -> None:
    """What is scored is in the cache that the search itself has filled."""
    scored = BeamSearch(n=2, width=2, delimiter="\n", scorer=PrmHead(head.path), temperature=0.8)
    run = Run(engine, sampling=Sampling(max_tokens=160), extract=number)
    before = engine.positions
    solution = await scored.solve(QUESTION, run)
    verdicts = run.trace.tokens_by_role["verify"]
    written = run.trace.tokens - verdicts
    question = len(QUESTION.question)
    assert run.extract(solution.answer) is not None
    assert engine.positions - before <= written + 4 * verdicts + 2 * question


async def test_a_model_that_was_never_taught_to_vote_is_told(engine: TorchEngine) -> None:
    run = Run({"main": engine, "prm": engine})
    call = Call("answer", "m", (), 0, "5×1=5", "", "5×1=5")
    for scorer in (Prm(good="§", bad="¶"), Prm(layout="tags")):
        with pytest.raises(EngineError, match=r"of the probability behind a step, .* comes first"):
            await scorer.score(QUESTION, [call], run)

"""Searches on real models: a reply that is written step by step is the reply that it would have been in one go."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

import ponder
from ponder.core.engine import Chunk, Engine, Sampling
from ponder.core.errors import Unsupported
from ponder.core.method import Method, Solution, check
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.llama import LlamaEngine
from ponder.methods.search.beam_search import BeamSearch
from ponder.methods.search.dpts import Dpts
from ponder.methods.search.mcts import Mcts
from ponder.methods.search.rsd import Rsd
from ponder.methods.search.speculative_rejection import SpeculativeRejection
from ponder.methods.vote.best_of_n import BestOfN
from ponder.methods.vote.sample import Sample
from ponder.scorers.verifier_prompt import VerifierPrompt
from ponder.text.answers import number

if TYPE_CHECKING:
    from ponder.engines.torch.batch import Row
    from ponder.engines.torch.engine import TorchEngine

pytestmark = pytest.mark.asyncio(loop_scope="module")

REASONER = Path(ponder.__file__).parent / "models" / "tiny-reasoner"
QUESTION = Problem.of(
    "What is 5 × 1 × 3 + 4 - 1 modulo 7, strictly from left to right?\n\nPut the final answer in \\boxed{}."
)
ONE: list[Method] = [
    BeamSearch(n=1, width=1, delimiter="\n"),
    BeamSearch(n=1, step=7, delimiter="§"),
    SpeculativeRejection(n=1),
    Mcts(simulations=1, delimiter="\n"),
]
SEVERAL: list[Method] = [
    BeamSearch(n=3, width=1, delimiter="\n", step=16),
    SpeculativeRejection(n=3, alpha=0.0),
    Mcts(simulations=3, width=3, parallel=3, delimiter="\n"),
]
"""Each is best of three by another way."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def torch_reasoner() -> AsyncIterator[TorchEngine]:
    pytest.importorskip("torch")
    from ponder.engines.torch.engine import TorchEngine

    async with TorchEngine(REASONER, dtype="float32", threads=1, slots=8) as engine:
        yield engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def torch_small() -> AsyncIterator[TorchEngine]:
    pytest.importorskip("torch")
    from ponder.engines.torch.engine import TorchEngine

    small = REASONER.with_name("tiny-reasoner-small")
    async with TorchEngine(small, dtype="float32", threads=1, slots=8) as engine:
        yield engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def llama_reasoner() -> AsyncIterator[Engine]:
    async with LlamaEngine(REASONER / "model.gguf", threads=1, slots=2, context=1024, check=False) as engine:
        yield engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def llama_small() -> AsyncIterator[Engine]:
    small = REASONER.with_name("tiny-reasoner-small") / "model.gguf"
    async with LlamaEngine(small, threads=1, slots=2, context=1024, check=False) as engine:
        yield engine


async def solve(method: Method, engine: Engine, heat: float, draft: Engine | None = None) -> tuple[Solution, Run]:
    engines = {"main": engine, **({"draft": draft} if draft else {})}
    check(method, engines)
    run = Run(engines, seed=3, sampling=Sampling(max_tokens=256, temperature=heat), extract=number)
    return await method.solve(QUESTION, run), run


def told(solution: Solution, run: Run) -> tuple[str, str, str, int]:
    return solution.thinking, solution.answer, solution.finish, run.trace.tokens


@pytest.mark.torch
@pytest.mark.parametrize("method", ONE, ids=repr)
@pytest.mark.parametrize("heat", [0.0, 0.8])
async def test_one_branch_is_a_sample_on_torch(torch_reasoner: TorchEngine, method: Method, heat: float) -> None:
    ours, theirs = await solve(method, torch_reasoner, heat), await solve(Sample(), torch_reasoner, heat)
    assert told(*ours) == told(*theirs)


@pytest.mark.torch
@pytest.mark.parametrize("method", SEVERAL, ids=repr)
async def test_without_a_rejection_it_is_best_of_n_on_torch(torch_reasoner: TorchEngine, method: Method) -> None:
    ours, theirs = await solve(method, torch_reasoner, 0.8), await solve(BestOfN(n=3), torch_reasoner, 0.8)
    assert told(*ours) == told(*theirs)


@pytest.mark.torch
async def test_rejection_keeps_one_of_the_samples_of_best_of_n_for_less(torch_reasoner: TorchEngine) -> None:
    solution, run = await solve(SpeculativeRejection(n=4, first=20), torch_reasoner, 0.8)
    _, whole = await solve(BestOfN(n=4), torch_reasoner, 0.8)
    assert (solution.thinking, solution.answer) in [(call.thinking, call.answer) for call in whole.trace.calls]
    assert run.trace.tokens < 0.8 * whole.trace.tokens
    assert all(call.finish in ("length", "stop") for call in run.trace.calls), "nothing is left in flight"


@pytest.mark.torch
async def test_no_prefix_is_read_twice_on_torch(torch_reasoner: TorchEngine) -> None:
    """What goes through the model is the prompt once, each token that was drawn, and little at the joints."""
    before, made = torch_reasoner.positions, torch_reasoner.generated
    _, run = await solve(BeamSearch(n=4, width=2, delimiter="\n"), torch_reasoner, 0.8)
    read, drawn = torch_reasoner.positions - before, torch_reasoner.generated - made
    calls = run.trace.calls
    again = sum(call.prompt_tokens for call in calls)
    assert run.trace.tokens == drawn
    assert read <= calls[0].prompt_tokens + drawn + 2 * len(calls) < again / 3


@pytest.mark.parametrize("method", ONE, ids=repr)
async def test_one_branch_is_greedy_decoding_on_llama(llama_reasoner: Engine, method: Method) -> None:
    assert told(*await solve(method, llama_reasoner, 0.0)) == told(*await solve(Sample(), llama_reasoner, 0.0))


TREES: list[Method] = [
    BeamSearch(n=4, width=2, delimiter="\n"),
    Mcts(simulations=4, width=2, parallel=2, rule="puct", delimiter="\n"),
    Dpts(parallel=2, width=2, nodes=12, delimiter="\n"),
    Mcts(simulations=4, value="step", scorer=VerifierPrompt(so_far=True), delimiter="\n"),
]


@pytest.mark.parametrize("method", TREES, ids=repr)
async def test_a_tree_bills_what_llama_generated(llama_reasoner: LlamaEngine, method: Method) -> None:
    before = int((await llama_reasoner.server.metrics())["tokens_predicted_total"])
    solution, run = await solve(method, llama_reasoner, 0.8)
    made = int((await llama_reasoner.server.metrics())["tokens_predicted_total"]) - before
    assert solution.answer
    left = sum(call.role == "verify" and call.finish == "left" for call in run.trace.calls)
    assert run.trace.tokens <= made <= run.trace.tokens + 8 * left, "steps end on the server, verdicts within 8 tokens"


@pytest.mark.parametrize(("threshold", "alone"), [(-math.inf, "small"), (1e9, "large"), (math.inf, "large")])
async def test_drafts_are_all_kept_or_all_rewritten(
    llama_reasoner: Engine, llama_small: Engine, threshold: float, alone: str
) -> None:
    method = Rsd(threshold=threshold, patience=99, delimiter="\n")
    ours, _ = await solve(method, llama_reasoner, 0.0, llama_small)
    theirs, _ = await solve(Sample(), llama_small if alone == "small" else llama_reasoner, 0.0)
    assert (ours.thinking, ours.answer, ours.finish) == (theirs.thinking, theirs.answer, theirs.finish)


async def test_two_models_write_one_reply(llama_reasoner: Engine, llama_small: Engine) -> None:
    solution, run = await solve(Rsd(threshold=-0.05, delimiter="\n"), llama_reasoner, 0.8, llama_small)
    assert solution.answer
    assert solution.evidence["kept"] >= 1  # type: ignore[operator]
    assert run.trace.tokens_by_role["draft"] > 0
    assert all(call.finish in ("stop", "length") for call in run.trace.calls), "nothing is left in flight"


@pytest.mark.torch
async def test_all_rewritten_is_a_sample_on_torch(torch_reasoner: TorchEngine) -> None:
    method = Rsd(threshold=1e9, patience=99, delimiter="\n")
    ours, _ = await solve(method, torch_reasoner, 0.8, torch_reasoner)
    theirs, _ = await solve(Sample(), torch_reasoner, 0.8)
    assert (ours.thinking, ours.answer) == (theirs.thinking, theirs.answer)


@pytest.mark.torch
@pytest.mark.parametrize(("threshold", "alone"), [(-1e9, "small"), (0.1, "large")])
async def test_what_the_large_model_finds_likely_is_kept_on_torch(
    torch_reasoner: TorchEngine, torch_small: TorchEngine, threshold: float, alone: str
) -> None:
    method = Rsd(by="likelihood", threshold=threshold, patience=99, delimiter="\n")
    ours, run = await solve(method, torch_reasoner, 0.0, torch_small)
    theirs, _ = await solve(Sample(), torch_small if alone == "small" else torch_reasoner, 0.0)
    assert (ours.thinking, ours.answer) == (theirs.thinking, theirs.answer)
    judged = [call for call in run.trace.calls if call.role == "verify"]
    assert judged
    assert {call.tokens for call in judged} == {0}, "a step is read, and nothing is generated for it"


@pytest.mark.torch
async def test_its_own_steps_are_as_likely_to_a_model_as_when_it_drew_them_on_torch(
    torch_reasoner: TorchEngine,
) -> None:
    """At temperature 0 it keeps what it wrote, and the tree shows what the usual score is where both models are one."""
    method = Rsd(by="likelihood", threshold=-0.7, delimiter="\n")
    ours, run = await solve(method, torch_reasoner, 0.0, torch_reasoner)
    theirs, sampled = await solve(Rsd(threshold=-0.7, delimiter="\n"), torch_reasoner, 0.0, torch_reasoner)
    whole, _ = await solve(Sample(), torch_reasoner, 0.0)
    assert (ours.thinking, ours.answer) == (theirs.thinking, theirs.answer) == (whole.thinking, whole.answer)
    assert ours.evidence["rewritten"] == 0
    found, told_ = ([place.score for place in one.trace.tree.values()] for one in (run, sampled))
    assert len(found) > 4
    # The tokens are the same, but for the line break that ends a step, which was never drawn as far as a call tells.
    assert found[:4] == pytest.approx(told_[:4], abs=0.02)


@pytest.mark.torch
async def test_models_with_different_tokenizers_write_one_reply_on_torch(
    torch_reasoner: TorchEngine, torch_small: TorchEngine
) -> None:
    line = "2+2=4\nSo the answer is 4."
    mine, theirs = torch_reasoner._renderer, torch_small._renderer
    assert mine
    assert theirs
    assert mine.spelt([line]) != theirs.spelt([line])
    solution, run = await solve(Rsd(by="likelihood", threshold=-0.05, delimiter="\n"), torch_reasoner, 0.8, torch_small)
    assert number(solution.answer) is not None
    assert solution.evidence["kept"] >= 1  # type: ignore[operator]
    assert set(run.trace.tokens_by_role) >= {"draft"}


async def test_a_main_engine_that_scores_no_given_text_is_refused(llama_reasoner: Engine, llama_small: Engine) -> None:
    with pytest.raises(Unsupported, match="FORCE"):
        check(Rsd(by="likelihood"), {"main": llama_reasoner, "draft": llama_small})
    check(Rsd(by="likelihood", threshold=math.inf), {"main": llama_reasoner, "draft": llama_small})


@pytest.mark.torch
async def test_a_tree_that_memory_does_not_hold_goes_on_with_fewer_branches_on_torch(
    torch_reasoner: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's own error, as it comes from a batch of three; the engine lives on, and so does the search."""
    import torch

    from ponder.engines.torch.batch import Batch

    real, refused = Batch.decode, 0

    def tight(self: Batch, rows: list[Row]) -> list[list[Chunk]]:
        nonlocal refused
        if len(rows) > 2:
            refused += 1
            raise torch.OutOfMemoryError("out of memory")
        return real(self, rows)

    monkeypatch.setattr(Batch, "decode", tight)
    solution, run = await solve(BeamSearch(n=4, width=2, delimiter="\n"), torch_reasoner, 0.9)
    assert (solution.finish, solution.evidence["at_once"]) == ("stop", 2)
    assert number(solution.answer) is not None
    assert 1 <= refused <= 2
    assert any(note.startswith("memory ran out with 4 branches at once") for note in run.trace.notes)

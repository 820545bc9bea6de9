"""Stops on real models: a thought that is looked into is the thought that it would have been."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

import ponder
from ponder.core.engine import Engine, Sampling
from ponder.core.method import Method
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.llama import LlamaEngine
from ponder.methods.stop.answer_convergence import AnswerConvergence
from ponder.methods.stop.constant_cut import ConstantCut
from ponder.methods.stop.deer import Deer
from ponder.methods.stop.dynasor import Dynasor
from ponder.methods.stop.infty_think import InftyThink
from ponder.methods.stop.no_wait import NoWait
from ponder.methods.vote.sample import Sample
from ponder.text.answers import number

pytestmark = pytest.mark.asyncio(loop_scope="module")

REASONER = Path(ponder.__file__).parent / "models" / "tiny-reasoner"
QUESTION = Problem.of(
    "What is 5 × 1 × 3 + 4 - 1 modulo 7, strictly from left to right?\n\nPut the final answer in \\boxed{}."
)
NEVER: list[Method] = [
    Dynasor(every=7, count=99),
    Deer(threshold=1.0),
    Deer(threshold=1.0, ask="close", parallel=2),
    AnswerConvergence(every=7, threshold=1.0),
    ConstantCut(tokens=400),
    InftyThink(segment=350),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def torch_reasoner() -> AsyncIterator[Engine]:
    pytest.importorskip("torch")
    from ponder.engines.torch.engine import TorchEngine

    async with TorchEngine(REASONER, threads=1) as engine:
        yield engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def llama_reasoner() -> AsyncIterator[Engine]:
    async with LlamaEngine(REASONER / "model.gguf", threads=1, slots=2, context=1024, check=False) as engine:
        yield engine


async def solve(method: Method, engine: Engine, temperature: float) -> tuple[str, str]:
    run = Run(engine, seed=3, sampling=Sampling(max_tokens=512, temperature=temperature), extract=number)
    solution = await method.solve(QUESTION, run)
    return solution.thinking, solution.answer


@pytest.mark.torch
@pytest.mark.parametrize("method", NEVER, ids=repr)
@pytest.mark.parametrize("temperature", [0.0, 0.8])
async def test_torch_thinks_as_if_nobody_looked(torch_reasoner: Engine, method: Method, temperature: float) -> None:
    assert await solve(method, torch_reasoner, temperature) == await solve(Sample(), torch_reasoner, temperature)


@pytest.mark.parametrize("method", NEVER, ids=repr)
async def test_llama_thinks_as_if_nobody_looked(llama_reasoner: Engine, method: Method) -> None:
    assert await solve(method, llama_reasoner, 0.0) == await solve(Sample(), llama_reasoner, 0.0)


async def test_a_stop_at_the_first_turn_saves_half_of_the_thought_and_keeps_the_answer(llama_reasoner: Engine) -> None:
    whole, stated = await solve(Sample(), llama_reasoner, 0.0)
    thought, answer = await solve(Deer(ask="close"), llama_reasoner, 0.0)
    assert number(answer) == number(stated) == "4"
    assert whole.startswith(thought)
    assert len(thought) < 0.6 * len(whole)


@pytest.mark.parametrize(
    "method",
    [Dynasor(every=16, ask="close"), AnswerConvergence(every=16, ask="close"), NoWait(), ConstantCut(tokens=30)],
)
async def test_every_stop_comes_to_an_answer(llama_reasoner: Engine, method: Method) -> None:
    thought, answer = await solve(method, llama_reasoner, 0.0)
    assert number(answer) is not None
    if isinstance(method, NoWait):
        assert "Wait" not in thought

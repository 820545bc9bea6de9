"""The driver on real llama.cpp: random weights for exact counts, and a real model that has never learnt to think."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.tiny_gguf import OPENED, write_tiny

from ponder.core.engine import Sampling, Think
from ponder.core.errors import DataError
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.engines.catalogue import load_models
from ponder.engines.llama import LlamaEngine
from ponder.engines.model_store import ModelStore
from ponder.methods.route.auto import Auto
from ponder.methods.stop.budget_forcing import BudgetForcing
from ponder.methods.stop.loop_stop import LoopStop
from ponder.methods.stop.thinking_mode import ThinkingMode
from ponder.methods.vote.sample import Sample
from ponder.steer.thought import PAUSED, Thought

pytestmark = pytest.mark.asyncio(loop_scope="session")

HELLO = Problem.of("hello")
NO_END = ((2, -math.inf), (295, -math.inf))
"""Forbids the tiny model's end marks."""
SMOL_NO_END = ((0, -math.inf), (2, -math.inf))
"""The same for SmolLM2."""
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def thinker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LlamaEngine]:
    """Random weights behind a template that opens the thought, which such weights never close."""
    path = write_tiny(tmp_path_factory.mktemp("thinker") / "tiny.gguf", template=OPENED)
    async with LlamaEngine(path, threads=1, slots=2, context=512) as engine:
        yield engine


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def smol() -> AsyncIterator[LlamaEngine]:
    """SmolLM2 with a template that speaks of thinking; the model itself was never trained to."""
    try:
        path: Path = ModelStore().get(load_models().find("smollm2-135m-instruct"))
    except DataError as error:
        pytest.skip(f"the tests on a real model need a download: {error}")
    async with LlamaEngine(path, threads=1, slots=2, context=1024, check=False, chat_template=CHATML) as engine:
        yield engine


async def generated(engine: LlamaEngine) -> int:
    return int((await engine.server.metrics())["tokens_predicted_total"])


async def test_the_embedded_engine_knows_its_marks(thinker: LlamaEngine) -> None:
    assert thinker.think == Think("<think>", "</think>", opened=True)


@pytest.mark.parametrize("cap", [1, 7, 33])
async def test_a_bound_is_kept_to_the_token_and_all_of_it_is_billed(thinker: LlamaEngine, cap: int) -> None:
    before = await generated(thinker)
    run = Run(thinker, seed=cap + 1, sampling=Sampling(max_tokens=80, logit_bias=NO_END))
    solution = await ThinkingMode("budget", cap).solve(HELLO, run)
    assert run.trace.calls[0].think_tokens == cap
    assert solution.evidence["exit"] == "budget"
    assert solution.evidence["enforced_by"] == "prefill"
    # What random weights say must not look like a mark: a call would be left for it, and so small a model runs on.
    assert all(call.finish == "length" for call in run.trace.calls)
    assert run.trace.tokens == await generated(thinker) - before == 80
    assert (solution.finish, bool(solution.answer)) == ("length", True)


async def test_a_thought_is_continued_from_its_own_ids(smol: LlamaEngine) -> None:
    run = Run(smol, sampling=Sampling(max_tokens=64, temperature=0, logit_bias=SMOL_NO_END))
    opening = "<think>\nThere are many reasons why the sky is blue. The first of them is"
    thought = Thought(run, Prompt.of(Problem.of("Why is the sky blue?")) + opening)
    assert [await thought.think(8) for _ in range(3)] == [PAUSED] * 3
    begun, *ids = thought.prompt.prefill_ids
    assert begun == opening
    assert [id for call in run.trace.calls for id in call.token_ids] == ids
    assert len(ids) == thought.tokens == 24
    assert thought.prompt.prefill == opening + thought.text
    assert smol.reread == 0


async def test_waits_extend_a_thought_only_as_far_as_the_cap(thinker: LlamaEngine) -> None:
    run = Run(thinker, sampling=Sampling(max_tokens=120))
    solution = await BudgetForcing(cap=48, waits=2).solve(HELLO, run)
    assert run.trace.tokens_by_role.get("think", 0) - int(solution.evidence["escaped"]) <= 48
    assert run.trace.tokens <= 120
    assert solution.thinking.count("Wait") == solution.evidence["waits"]


@pytest.mark.parametrize("budget", [4, 48])
async def test_a_real_model_answers_under_any_budget(smol: LlamaEngine, budget: int) -> None:
    run = Run(smol, sampling=Sampling(max_tokens=120, temperature=0))
    solution = await ThinkingMode("budget", budget).solve(Problem.of("What is the capital of France?"), run)
    assert solution.answer.strip()
    assert run.trace.calls[0].think_tokens <= budget
    assert run.trace.tokens <= 120
    assert "think>" not in solution.answer


async def test_a_real_loop_is_closed(smol: LlamaEngine) -> None:
    """A model that is made to go on, its end marks forbidden, soon goes round in circles."""
    run = Run(smol, sampling=Sampling(max_tokens=400, temperature=0, logit_bias=SMOL_NO_END))
    solution = await LoopStop().solve(Problem.of("Write 'I like to read books.' ten times."), run)
    assert solution.evidence["exit"] == "loop"
    assert solution.finish == "exit"
    assert run.trace.tokens < 400


async def test_a_greeting_is_answered_without_a_thought_by_the_templates_switch(smol: LlamaEngine) -> None:
    run = Run(smol, sampling=Sampling(max_tokens=40, temperature=0))
    solution = await Auto().solve(Problem.of("Hello!"), run)
    assert solution.answer.strip()
    assert solution.thinking == ""
    assert (solution.evidence["route"], solution.evidence["enforced_by"]) == ("trivial", "server")


async def test_a_stop_string_in_a_thought_does_not_reach_the_server(thinker: LlamaEngine) -> None:
    async def thought(*stop: str) -> tuple[str, str]:
        run = Run(thinker, sampling=Sampling(max_tokens=24, temperature=0, stop=stop, logit_bias=NO_END))
        solution = await Sample().solve(HELLO, run)
        return solution.thinking, solution.finish

    plain = await thought()
    assert len(plain[0]) > 12
    assert await thought(plain[0][4:8]) == plain

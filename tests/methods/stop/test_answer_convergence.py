from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ponder.core.engine import Cap, Chunk, Logprob, Sampling, Think
from ponder.core.errors import OptionError, Unsupported
from ponder.core.method import Solution, check
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.engines.along import Along, Probe, Thought
from ponder.engines.echo import CAPS, Echo
from ponder.methods.stop.answer_convergence import AnswerConvergence
from ponder.methods.vote.sample import Sample

QUESTION = Problem.of("What is 12 + 30?")
WHOLE = "<think>" + "so " * 40 + "</think>So 43."


class Probed:
    """A model that thinks for 40 words; its probes give the listed (answer, probability) pairs, the last for ever."""

    name, think, caps = "probed", Think("<think>", "</think>"), CAPS

    def __init__(self, *probes: tuple[str, float]) -> None:
        self._probes, self.asked = probes, 0

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Answer a probe, or go on as the echo engine does."""
        if prompt.prefill.endswith("{"):
            answer, p = self._probes[min(self.asked, len(self._probes) - 1)]
            self.asked += 1
            assert sampling.temperature == 0
            yield self._answer(answer, p)
        else:
            rest = WHOLE[len(prompt.prefill) :] if WHOLE.startswith(prompt.prefill) else "So 42."
            async with Echo(rest).stream(prompt, sampling) as chunks:
                yield chunks

    async def _answer(self, answer: str, p: float) -> AsyncIterator[Chunk]:
        """Two tokens whose geometric mean is p."""
        for text, share in ((answer, p * p), ("}", 1.0)):
            yield Chunk(text, logprobs=(Logprob(text, math.log(share)),))
        yield Chunk("", tokens=0, finish="stop")


async def solve(method: AnswerConvergence, engine: Probed) -> Solution:
    return await method.solve(QUESTION, Run(engine))


async def test_it_leaves_after_probes_in_a_row_that_are_sure_of_one_answer() -> None:
    engine = Probed(("41", 0.99), ("42", 0.95), ("42", 0.85), ("42", 0.95), ("42", 0.97))
    solution = await solve(AnswerConvergence(every=4), engine)
    assert (solution.answer, solution.finish, solution.evidence["exit"]) == ("So 42.", "exit", "converged")
    assert solution.evidence["answers"] == "41 | 42 | 42 | 42 | 42"
    assert solution.evidence["probabilities"] == "0.9900 | 0.9500 | 0.8500 | 0.9500 | 0.9700"
    assert solution.evidence["stopped_at"] == 20


@pytest.mark.parametrize(
    "probes",
    [
        [("42", 0.9)],  # not above the threshold
        [("42", 0.99), ("41", 0.99)] * 20,  # sure, and never twice the same
        [("", 0.99)],  # the same, and no answer
    ],
)
async def test_otherwise_the_thought_ends_by_itself(probes: list[tuple[str, float]]) -> None:
    solution = await solve(AnswerConvergence(every=4), Probed(*probes))
    assert (solution.answer, solution.evidence["exit"]) == ("So 43.", "natural")


async def test_the_first_probe_waits_for_a_minimum() -> None:
    solution = await solve(AnswerConvergence(every=4, count=1, after=9), Probed(("42", 0.99)))
    assert (solution.evidence["probes"], solution.evidence["stopped_at"]) == (1, 9)


@pytest.mark.parametrize("seed", range(4))
async def test_a_threshold_that_is_never_reached_is_plain_decoding(seed: int) -> None:
    plain = await Sample().solve(QUESTION, Run(Echo(), seed=seed))
    solution = await AnswerConvergence(every=3, threshold=1.0).solve(QUESTION, Run(Echo(), seed=seed))
    assert (solution.thinking, solution.answer) == (plain.thinking, plain.answer)


async def test_recorded_thoughts_answer_from_recorded_probes() -> None:
    probes = (Probe(0, "41", 0.99), Probe(6, "42", 0.5), Probe(14, "42", 0.97))
    run = Run(Along([Thought.of_text(WHOLE, 44, probes)]))
    solution = await AnswerConvergence(every=4).solve(QUESTION, run)
    assert solution.evidence["answers"] == "41 | 42 | 42 | 42 | 42"
    assert (solution.answer, solution.evidence["stopped_at"]) == ("42", 20)


@pytest.mark.parametrize("cap", [Cap.PREFILL, Cap.LOGPROBS])
def test_an_engine_that_lacks_either_is_refused(cap: Cap) -> None:
    with pytest.raises(Unsupported, match=cap.name):
        check(AnswerConvergence(), {"main": Echo(caps=CAPS - {cap})})


@pytest.mark.parametrize("options", [{"every": 0}, {"count": 0}, {"after": -1}, {"probe": 0}])
def test_values_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        AnswerConvergence(**options)  # type: ignore[arg-type]

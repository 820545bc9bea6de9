from __future__ import annotations

import pytest

from ponder.core.engine import Cap, Think
from ponder.core.errors import OptionError, Unsupported
from ponder.core.method import check
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.engines.along import Along, Probe, Thought
from ponder.engines.echo import CAPS, Echo
from ponder.methods.stop.constant_cut import ConstantCut

QUESTION = Problem.of("What is 12 + 30?")
WHOLE = "<think>" + "so " * 40 + "</think>So 43."


def script(prompt: Prompt, seed: int) -> str:
    return WHOLE[len(prompt.prefill) :] if WHOLE.startswith(prompt.prefill) else "So 42."


@pytest.mark.parametrize(
    ("method", "limit"),
    [
        (ConstantCut(tokens=9), 9),
        (ConstantCut(share=0.3, typical=40), 12),
        (ConstantCut(share=0.001, typical=40), 1),
    ],
)
async def test_every_thought_is_cut_at_the_same_length(method: ConstantCut, limit: int) -> None:
    run = Run(Echo(script))
    solution = await method.solve(QUESTION, run)
    assert (solution.answer, solution.finish) == ("So 42.", "exit")
    assert solution.evidence == {"exit": "cut", "escaped": 0, "stopped_at": limit, "budget": limit}
    assert run.trace.tokens_by_role["think"] == limit


async def test_a_shorter_thought_ends_by_itself() -> None:
    solution = await ConstantCut().solve(QUESTION, Run(Echo(script)))
    assert (solution.answer, solution.evidence["exit"], solution.evidence["stopped_at"]) == ("So 43.", "natural", 42)


async def test_a_recorded_thought_is_cut_too() -> None:
    run = Run(Along([Thought.of_text(WHOLE, 44, (Probe(0, "41"), Probe(20, "42")))]))
    solution = await ConstantCut(tokens=21).solve(QUESTION, run)
    assert (solution.answer, solution.evidence["exit"]) == ("42", "cut")


async def test_a_model_without_a_thought_is_asked_plainly() -> None:
    solution = await ConstantCut(tokens=1).solve(QUESTION, Run(Echo("Just 42.", think=Think())))
    assert solution.answer == "Just 42."


def test_an_engine_that_continues_nothing_is_refused() -> None:
    with pytest.raises(Unsupported, match="PREFILL"):
        check(ConstantCut(), {"main": Echo(caps=CAPS - {Cap.PREFILL})})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tokens": 0}, "tokens"),
        ({"share": 0.0, "typical": 9}, "share"),
        ({"share": 0.5, "typical": 0}, "typical"),
        ({"share": 0.5}, "give both"),
        ({"typical": 9}, "give both"),
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, float], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        ConstantCut(**options)  # type: ignore[arg-type]

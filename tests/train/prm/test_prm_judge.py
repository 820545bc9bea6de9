"""Any scorer is measured on steps: it sees each reply as a search would have it behind that step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from ponder.core.engine import Cap, SamplingArgs
from ponder.core.errors import DataError, OptionError
from ponder.core.judge import Score
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Call, Run
from ponder.engines.echo import Echo
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.train.prm.judge import judge
from ponder.train.prm.questions import load_questions
from ponder.train.prm.rows import Reply, Step

ASKED = load_questions(["lab:modular:links=2"], 1, 1)[0]
TEXT = "<think>\none\ntwo\n</think>\n\nsix"
STEPS = (Step(11, 1.0, "right"), Step(15, 0.0, "wrong"), Step(len(TEXT), 1.0, "right"))


@dataclass(frozen=True)
class Lengths:
    """Scores a reply by how it ends, and notes what it saw."""

    seen: list[Call] = field(default_factory=list, hash=False)
    value: float | None = None

    def needs(self) -> dict[str, frozenset[Cap]]:
        return {}

    def asks(self) -> SamplingArgs:
        return {}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        self.seen.extend(calls)
        await run.generate(Prompt.of(problem), "verify", max_tokens=1)
        return [Score(float(not call.text.endswith("two")) if self.value is None else self.value) for call in calls]


def told(done: int, total: int) -> None:
    assert done <= total


def reply(correct: bool | None = True) -> Reply:
    return Reply(ASKED.key, 0, TEXT, correct, 5, 0, STEPS)


async def test_each_step_is_seen_as_a_search_has_it() -> None:
    scorer, engines = Lengths(), {"main": Echo()}
    found, cost = await judge(scorer, engines, {ASKED.key: ASKED}, [reply()], False, 1, told)
    seen = sorted(scorer.seen, key=lambda call: len(call.text))
    assert [call.text for call in seen] == [TEXT[: step.end] for step in STEPS]
    assert [(call.thinking, call.answer) for call in seen][-1] == ("one\ntwo\n", "six")
    assert scorer.seen[0].text == TEXT
    assert (found.areas["head"].auc, found.areas["decided"].auc, found.steps) == (1.0, 1.0, 3)
    assert cost.calls == 3
    assert cost.positions > 0


async def test_of_outcomes_the_end_alone_is_judged() -> None:
    scorer = Lengths()
    rows = [reply(True), reply(None)]
    found, _ = await judge(scorer, {"main": Echo()}, {ASKED.key: ASKED}, rows, True, 1, told)
    assert [call.text for call in scorer.seen] == [TEXT]
    assert found.steps == 1


async def test_what_cannot_judge_is_told() -> None:
    engines, known = {"main": Echo()}, {ASKED.key: ASKED}
    with pytest.raises(OptionError, match="MeanLogprob scores by what replies were sampled with"):
        await judge(MeanLogprob(), engines, known, [reply()], False, 1, told)
    with pytest.raises(DataError, match=r"gives a step of .* no score"):
        await judge(Lengths(value=-math.inf), engines, known, [reply()], False, 1, told)
    with pytest.raises(DataError, match="no step is left to measure with"):
        await judge(Lengths(), engines, known, [], False, 1, told)


@pytest.mark.parametrize("value", [-0.25, 1.5])
async def test_a_score_out_of_range_is_told(value: float) -> None:
    with pytest.raises(DataError, match=rf"Lengths scores a step of .* {value:g}; what a step is worth is 0 to 1"):
        await judge(Lengths(value=value), {"main": Echo()}, {ASKED.key: ASKED}, [reply()], False, 1, told)

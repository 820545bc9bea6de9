from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

import pytest

from ponder.core.engine import Cap
from ponder.core.errors import DataError, OptionError
from ponder.core.judge import Router
from ponder.core.problem import Message, Problem, Prompt
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.methods.route.sketch_of_thought import SketchOfThought
from ponder.methods.vote.self_consistency import SelfConsistency
from ponder.routers.constant import ConstantRouter
from ponder.routers.words import WordsRouter
from ponder.text.answers import boxed
from ponder.text.prompts import is_chinese
from ponder.text.sketches import PARADIGMS, SKETCHES

CHUNKED, CHAINED, EXPERT = PARADIGMS


class Listens(Echo):
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Prompt] = []

        def script(prompt: Prompt, seed: int) -> str:
            self.asked.append(prompt)
            return "a = 1\n\\boxed{1}"

        super().__init__(script)


async def messages(method: SketchOfThought, question: str, system: str | None = None) -> tuple[Message, ...]:
    echo = Listens()
    await method.solve(Problem.of(question, system=system), Run(echo))
    return echo.asked[0].messages


@pytest.mark.parametrize(
    ("question", "paradigm"),
    [
        ("A box holds 12 eggs. How many eggs are in 7 boxes?", CHUNKED),
        ("Could Aristotle have used a telephone?", CHAINED),
        ("Which enzyme joins DNA fragments during replication of a cell?", EXPERT),
    ],
)
async def test_the_question_decides_the_style(question: str, paradigm: str) -> None:
    solution = await SketchOfThought().solve(Problem.of(question), Run(Listens()))
    assert solution.evidence["route"] == paradigm
    assert 1 / 3 < float(solution.evidence["score"]) <= 1


async def test_sketches_stand_before_the_question_and_the_rule_behind_it() -> None:
    asked = await messages(SketchOfThought(CHAINED, shots=2), "Is it so?", "Be kind.")
    first, second, _ = SKETCHES[CHAINED].en
    assert [(message.role, message.text) for message in asked] == [
        ("system", "Be kind."),
        ("user", first.question),
        ("assistant", f"{first.steps}\n\\boxed{{{first.answer}}}"),
        ("user", second.question),
        ("assistant", f"{second.steps}\n\\boxed{{{second.answer}}}"),
        ("user", f"Is it so?\n\n{SKETCHES[CHAINED].rule.en}"),
    ]


@pytest.mark.parametrize("paradigm", PARADIGMS)
async def test_a_chinese_question_gets_chinese_sketches(paradigm: str) -> None:
    asked = await messages(SketchOfThought(paradigm), "二加三等于几？")  # type: ignore[arg-type]
    assert len(asked) == 7
    assert all(is_chinese(message.text) for message in asked if message.role == "user")
    english = await messages(SketchOfThought(paradigm, shots=0), "What is 2 + 3?")  # type: ignore[arg-type]
    assert len(english) == 1
    assert not is_chinese(english[0].text)


async def test_a_fixed_style_asks_no_router() -> None:
    method = SketchOfThought(EXPERT, router=WordsRouter("nowhere"))
    solution = await method.solve(Problem.of("q"), Run(Listens()))
    assert solution.evidence == {}


async def test_a_constant_router_is_the_single_style() -> None:
    router = ConstantRouter(PARADIGMS, (0.2, 0.7, 0.1))
    solution = await SketchOfThought(router=router).solve(Problem.of("What is 2 + 3?"), Run(Listens()))
    assert solution.evidence == {"route": CHAINED, "score": 0.7}
    assert await messages(SketchOfThought(router=router), "What is 2 + 3?") == await messages(
        SketchOfThought(CHAINED), "What is 2 + 3?"
    )


@dataclass(frozen=True)
class Says:
    """A router that gives one number for everything."""

    rating: float

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        return {}

    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        return dict.fromkeys(PARADIGMS, self.rating)


class Broken(ConstantRouter):
    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        raise RuntimeError("out of luck")


async def test_a_router_that_fails_leaves_the_fallback_and_says_so() -> None:
    for router, why in ((Broken(), "RuntimeError: out of luck"), (Says(nan), "not numbers in 0 to 1")):
        solution = await SketchOfThought(router=router, fallback=EXPERT).solve(Problem.of("q"), Run(Listens()))
        assert (solution.evidence["route"], solution.evidence["failed"]) == (EXPERT, 1)
        assert why in str(solution.evidence["reason"])
        assert str(solution.evidence["reason"]).endswith(f"fell back to {EXPERT}")


@pytest.mark.parametrize(
    ("router", "error", "said"),
    [
        (WordsRouter("nowhere"), DataError, "there is no .*nowhere"),
        (ConstantRouter(), OptionError, "rates weak, strong, and not 'chunked_symbolism'"),
    ],
)
async def test_a_router_that_cannot_be_used_is_an_error_before_the_first_token(
    router: Router, error: type[Exception], said: str
) -> None:
    echo = Listens()
    with pytest.raises(error, match=said):
        await SketchOfThought(router=router, fallback=EXPERT).solve(Problem.of("q"), Run(echo))
    assert echo.asked == []


@pytest.mark.parametrize("question", ["", " ", "¿Cuántos huevos hay en 7 cajas de 12?", "7 箱に卵は何個ありますか"])
async def test_any_question_gets_a_style(question: str) -> None:
    solution = await SketchOfThought().solve(Problem.of(question), Run(Listens()))
    assert solution.evidence["route"] in PARADIGMS
    assert "failed" not in solution.evidence


async def test_votes_go_around_it() -> None:
    run = Run(Echo())
    solution = await SelfConsistency(3, SketchOfThought()).solve(Problem.of("What is 2 + 3?"), run)
    assert len(run.trace.calls) == 3
    assert solution.evidence["route"] == CHUNKED


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_every_sketch_is_short_and_answers_in_a_box(paradigm: str) -> None:
    sketch = SKETCHES[paradigm]  # type: ignore[index]
    assert "\\boxed{}" in sketch.rule.en
    assert "\\boxed{}" in sketch.rule.zh
    for en, zh in zip(sketch.en, sketch.zh, strict=True):
        assert is_chinese(zh.question)
        assert not is_chinese(en.question)
        assert max(map(len, en.steps.splitlines())) <= 60
        assert boxed(f"{en.steps}\n\\boxed{{{en.answer}}}") == en.answer
        assert en.steps.count("\n") == zh.steps.count("\n")


def test_shots_out_of_range_are_refused() -> None:
    for shots in (-1, 4):
        with pytest.raises(OptionError, match=f"shots = {shots}"):
            SketchOfThought(shots=shots)

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest
from support.votes import QUESTION, Rates

from ponder.core.engine import Cap, Think
from ponder.core.errors import DataError, OptionError
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.methods.route.confident_or_seek_stronger import ConfidentOrSeekStronger
from ponder.methods.vote.sample import Sample
from ponder.scorers.jaccard import Jaccard
from ponder.steer.calibration import Calibration, save
from ponder.text.answers import number

PLAIN = Sample(cot=False)
RATED = Rates({"1": 0.6})


async def way(method: ConfidentOrSeekStronger) -> tuple[str, dict[str, object]]:
    engines = {"main": Echo("so 1", think=Think()), "strong": Echo("then 2", think=Think())}
    solution = await method.solve(QUESTION, Run(engines, extract=number))
    return solution.answer, dict(solution.evidence)


@pytest.mark.parametrize(("threshold", "answer"), [(0.6, "so 1"), (0.61, "then 2"), (-inf, "so 1"), (inf, "then 2")])
async def test_the_weak_answer_is_taken_where_it_is_certain_enough(threshold: float, answer: str) -> None:
    method = ConfidentOrSeekStronger(PLAIN, PLAIN, "strong", RATED, threshold)
    assert (await way(method))[0] == answer
    assert (await way(method))[1]["score"] == 0.6


async def test_a_calibration_turns_a_share_into_a_threshold(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    save(path, Calibration((0.1, 0.3, 0.5, 0.7, 0.9), (0, 0, 1, 1, 1)))
    for share, answer in ((0.0, "so 1"), (0.6, "so 1"), (0.8, "then 2"), (1.0, "then 2")):
        method = ConfidentOrSeekStronger(PLAIN, PLAIN, "strong", RATED, calibration=str(path), share=share)
        assert (await way(method))[0] == answer


async def test_a_calibration_that_changes_counts_at_once_and_a_broken_one_does_not(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    save(path, Calibration((0.1, 0.3), (0, 1)))
    method = ConfidentOrSeekStronger(PLAIN, PLAIN, "strong", RATED, calibration=str(path), share=0.5)
    assert (await way(method))[0] == "so 1"
    save(path, Calibration((0.1, 0.9, 0.95, 0.99), (0, 1, 1, 1)))
    assert (await way(method))[0] == "then 2"
    path.write_text("kind = 'calibration'\nformat = 7\n")
    assert (await way(method))[0] == "then 2"


async def test_a_calibration_that_was_never_there_is_an_error_before_the_first_token(tmp_path: Path) -> None:
    echo = Echo()
    method = ConfidentOrSeekStronger(calibration=str(tmp_path / "none.toml"))
    with pytest.raises(DataError, match=r"none\.toml cannot be read"):
        await method.solve(QUESTION, Run(echo))
    assert echo.generated == 0


async def test_measures_of_several_samples_bill_each() -> None:
    weak, strong = Echo("so 1", think=Think()), Echo("then 2", think=Think())
    run = Run({"main": weak, "strong": strong}, extract=number)
    method = ConfidentOrSeekStronger(PLAIN, PLAIN, "strong", Jaccard(), 1.0, samples=5)
    solution = await method.solve(QUESTION, run)
    assert (solution.answer, weak.calls, strong.calls) == ("so 1", 5, 0)
    assert solution.evidence["score"] == 1.0
    assert run.trace.tokens == 10


def test_needs_and_options() -> None:
    assert ConfidentOrSeekStronger().needs() == {"main": frozenset({Cap.LOGPROBS})}
    assert set(ConfidentOrSeekStronger(strong_on="strong").needs()) == {"main", "strong"}
    for fields, said in (({"share": 1.5}, r"share = 1\.5"), ({"samples": 0}, "n = 0")):
        with pytest.raises(OptionError, match=said):
            ConfidentOrSeekStronger(**fields)  # type: ignore[arg-type]

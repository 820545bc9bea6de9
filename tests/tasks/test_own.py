from __future__ import annotations

from typing import NoReturn

import pytest

from ponder.core.errors import DataError, OptionError
from ponder.tasks.own import VERIFIERS, check_options, choose, questions
from ponder.tasks.record import Row, read_row


def rows(*answers: object, **fields: object) -> list[tuple[int, Row]]:
    return [
        (number, read_row({"question": "?", "answer": answer, **fields})) for number, answer in enumerate(answers, 1)
    ]


def fail(number: int, what: str) -> NoReturn:
    raise DataError(f"{number}: {what}")


@pytest.mark.parametrize(
    ("answers", "kind"),
    [((None, 5), "number"), ((None, "yes", 5), "yes_no"), (("Paris", 5), "exact"), ((None,), "exact"), ((), "exact")],
)
def test_the_first_answer_chooses(answers: tuple[object, ...], kind: str) -> None:
    assert choose(rows(*answers), "", "here") == kind


def test_what_is_asked_for_goes_first() -> None:
    assert choose(rows(5, verifier="math"), "", "here") == "math"
    assert choose(rows(5, verifier="math"), "exact", "here") == "exact"
    assert choose(rows("A", choices=["x", "y"]), "", "here") == "choice"
    with pytest.raises(DataError, match=r"here: there is no verifier 'mathe'; did you mean 'math'"):
        choose(rows(5, verifier="mathe"), "", "here")


def test_options() -> None:
    for kind in ("", *VERIFIERS):
        check_options(kind, "on")
    with pytest.raises(OptionError, match=r"no verifier 'numbers'; did you mean 'number'"):
        check_options("numbers", "on")
    with pytest.raises(OptionError, match=r"format = '' must be on or off"):
        check_options("", "")


def test_questions_are_numbered_by_their_place() -> None:
    items = list(questions(rows(1, 2), "number", "own", fail, mixed=False, formatted=False))
    assert [one.problem.id for one in items] == ["own-1", "own-2"]


def test_ids_must_differ_even_from_given_ones() -> None:
    two = [(1, read_row({"id": "own-2", "question": "?"})), (2, read_row({"question": "?"}))]
    with pytest.raises(DataError, match=r"2: the id 'own-2' stands in an earlier line too"):
        list(questions(two, "exact", "own", fail, mixed=False, formatted=True))


def test_one_verifier_for_all_unless_the_user_says_which() -> None:
    mixed = rows(1) + rows(2, verifier="exact")
    with pytest.raises(DataError, match=r"1: asks for the verifier 'exact'"):
        list(questions(mixed, "number", "a", fail, mixed=False, formatted=True))
    third = [*rows(1), (2, rows(2, verifier="exact")[0][1])]
    assert len(list(questions(third, "number", "a", fail, mixed=True, formatted=True))) == 2

from __future__ import annotations

import pytest

from ponder.core.errors import OptionError
from ponder.core.judge import Reference, Verdict
from ponder.verify import Exact

EXACT, CONCEPT = Exact(), Exact("[a-z]+pus")


@pytest.mark.parametrize("answer", ["Paris", "paris.", "\\boxed{\\text{Paris}}", "Answer: **Paris**", "hm\n\n“Paris”"])
def test_case_spaces_and_marks_do_not_count(answer: str) -> None:
    assert EXACT(answer, Reference("Paris")) == Verdict(True, "paris")


def test_anything_else_counts() -> None:
    assert EXACT("Paris, France", Reference("Paris")) == Verdict(False, "paris, france")
    assert EXACT("", Reference("Paris")) == Verdict(False, None)
    assert EXACT("New\tYork", Reference("new york")).correct


@pytest.mark.parametrize(
    ("answer", "concept"),
    [
        ("Sally is a sterpus.", "sterpus"),
        ("sterpus", "sterpus"),
        ("\\boxed{\\text{Sally is a Sterpus.}}", "sterpus"),
        ("Every rempus is a sterpus.\nSo Sally is a sterpus, not a hilpus.", "sterpus"),
        ("Sally is not a hilpus but a sterpus.", "sterpus"),
        ("The answer is sterpus because every rempus is one.", "sterpus"),
        ("Sally is a hilpus.", "hilpus"),
        ("Sally is a sterpus or a hilpus.", None),
        ("Is Sally a hilpus or sterpus?", None),
        ("\\boxed{not a sterpus}", None),
        ("Sally is none of them.", None),
        ("octopuses", None),
    ],
)
def test_a_pattern_picks_the_word(answer: str, concept: str | None) -> None:
    assert CONCEPT.extract(answer) == concept


def test_references() -> None:
    assert EXACT.check(Reference("Paris")) is None
    assert CONCEPT.check(Reference("sterpus")) is None
    assert CONCEPT.check(Reference("Paris")) is not None
    assert EXACT.check(Reference(" ")) is not None


def test_a_broken_pattern_is_refused() -> None:
    with pytest.raises(OptionError, match=r"no regular expression"):
        Exact("(")

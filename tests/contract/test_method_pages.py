"""What every method's page holds."""

from __future__ import annotations

import re

import pytest

from ponder.core.config import options_of
from ponder.methods import METHODS, catalogue
from ponder.pages import describe, page

SECTIONS = ["Idea", "Needs", "Cost", "Differs from the paper", "Result"]
RESULTS = re.compile(r"^<!-- results -->\n(.+?)^<!-- /results -->$", re.MULTILINE | re.DOTALL)


def sections(name: str) -> dict[str, str]:
    """Return the text under each heading of a page."""
    parts = re.split(r"^## (.+)$", page(name), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_a_page_has_its_five_sections_in_order(name: str) -> None:
    assert list(sections(name)) == SECTIONS
    assert all(sections(name).values())


@pytest.mark.parametrize("name", METHODS)
def test_the_idea_takes_two_to_four_sentences(name: str) -> None:
    assert 2 <= len(re.findall(r"[.!?](?=\s|$)", sections(name)["Idea"])) <= 4


@pytest.mark.parametrize("name", METHODS)
def test_every_option_is_explained_with_its_default(name: str) -> None:
    options = options_of(catalogue().find(name))
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|", sections(name)["Needs"], re.MULTILINE)
    explained = {option: (kind, default) for option, kind, default in rows if option in options}
    assert set(explained) == set(options)
    for option, (kind, default) in explained.items():
        actual_kind, actual = options[option]
        assert kind.replace("\\|", "|") == actual_kind
        assert default in ("none" if actual == "None" else f"`{actual}`", f"`{actual.partition('(')[0].lower()}`")


@pytest.mark.parametrize("name", METHODS)
def test_a_page_names_every_paper_that_the_source_names(name: str) -> None:
    papers = (describe(name, catalogue().find(name)).paper or "").split(", ")
    assert all(paper in page(name) for paper in papers)


@pytest.mark.parametrize("name", METHODS)
def test_results_stand_between_marks_with_the_command_that_made_them(name: str) -> None:
    found = RESULTS.search(sections(name)["Result"])
    assert found is not None
    assert re.search(r"^ponder (?:bench|replay) .*\b(sample|" + name + r")\b", found[1], re.MULTILINE)

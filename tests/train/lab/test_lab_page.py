"""The page of the lab shows thoughts that the lab makes, and names every family and option."""

from __future__ import annotations

import re
from pathlib import Path

from ponder.train.lab.generated import kept_for_tests
from ponder.train.lab.puzzle import Puzzle
from ponder.train.lab.rows import HELD_OUT
from ponder.train.lab.table import FAMILIES, load_family
from ponder.train.lab.thought import Overthinking

PAGE = (Path(__file__).parents[3] / "docs" / "train" / "lab.md").read_text("utf-8")
SHOWN = ("addition:digits=3", "algebra:variables=4", "directional:actions=3", "modular:links=3", "arithmetic:level=4")


def shown(puzzle: Puzzle) -> str:
    """Return a puzzle and its thought as the page prints them."""
    thought = Overthinking(1, 0.5).think(puzzle, 1)
    before, exit = thought.text[: thought.exit].rsplit("\n", 1)
    return f"{puzzle.item.meta['question']}\n\n{before}\n{exit:<36}<- exit{thought.text[thought.exit :]}\n"


def test_the_thoughts_of_the_page_are_those_that_the_lab_makes() -> None:
    fences = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(fences) == len(SHOWN)
    for fence, spec in zip(fences, SHOWN, strict=True):
        assert fence in [shown(puzzle) for puzzle in load_family(spec, 1).puzzles(5)]


def test_the_table_of_the_page_names_every_family_with_its_options() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*=.*)$", PAGE, re.MULTILINE))
    assert list(rows) == list(FAMILIES)
    for name, entry in FAMILIES.items():
        options = [option for option in vars(entry.family)["__match_args__"] if option != "seed"]
        assert [option for option in options if f"`{option}" not in rows[name]] == []


def test_every_family_that_the_page_writes_out_exists() -> None:
    specs = re.findall(r"`((?:addition|algebra|directional|modular|reckoning|arithmetic):[^`]+)`", PAGE)
    assert len(specs) >= 8
    for spec in specs:
        assert load_family(spec, 1).name


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    assert f"the first {HELD_OUT:,} of" in PAGE
    assert "one in eight" in PAGE
    assert sum(kept_for_tests(str(number)) for number in range(8000)) in range(920, 1080)
    default = Overthinking()
    assert f"({default.passes:g} unless told otherwise" in PAGE
    assert f"comes back ({default.slips:g})" in PAGE

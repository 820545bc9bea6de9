"""What `ponder methods` and the documentation say about a method comes from its own source and its own page."""

from __future__ import annotations

from pathlib import Path

import pytest

from ponder.core.engine import Cap
from ponder.core.errors import DataError
from ponder.methods import METHODS, catalogue
from ponder.pages import describe, folder, page

PLUGIN = '''"""Parrot: say the question again, whatever it is (1234.56789, 2401.00001). It never helps."""

from dataclasses import dataclass

from ponder import Cap, Solution


@dataclass(frozen=True)
class Parrot:
    times: int
    loud: bool = False

    def needs(self):
        return {"main": frozenset({Cap.PREFILL})}

    async def solve(self, problem, run):
        return Solution(problem.question * self.times)


METHODS = {"parrot": Parrot}
'''


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_page_with_a_heading_and_the_name_that_commands_take(name: str) -> None:
    text = page(name)
    assert text.startswith("# ")
    assert name in text.partition("\n")[2]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_described_by_its_source(name: str) -> None:
    row = describe(name, catalogue().find(name))
    assert row.name == name
    assert METHODS[name].startswith(f"ponder.methods.{row.room}.")
    assert row.summary.endswith(".")
    assert row.summary.count("\n") == 0
    assert "(" + (row.paper or "?") not in row.summary
    assert row.needs is not None
    assert "main" in row.needs


def test_the_table_knows_papers_options_and_their_defaults() -> None:
    row = describe("chain_of_draft", catalogue().find("chain_of_draft"))
    assert row.paper == "2502.18600"
    assert row.room == "prompt"
    assert row.options["words"] == ("int", "5")
    assert describe("sample", catalogue().find("sample")).paper is None


def test_several_papers_are_all_named() -> None:
    assert describe("concise_cot", catalogue().find("concise_cot")).paper == "2401.05618, 2407.19825"


def test_a_plugin_is_described_too_and_its_needs_stay_open_while_an_option_is_required(tmp_path: Path) -> None:
    file = tmp_path / "parrot.py"
    file.write_text(PLUGIN)
    row = describe("parrot", catalogue((file,)).find("parrot"))
    assert row.room == "plugin"
    assert row.summary == "Parrot: say the question again, whatever it is."
    assert row.paper == "1234.56789, 2401.00001"
    assert row.needs is None
    assert row.options == {"times": ("int", "required"), "loud": ("bool", "False")}


def test_needs_come_from_the_method_as_it_is_built_without_options(tmp_path: Path) -> None:
    file = tmp_path / "silent.py"
    file.write_text(PLUGIN.replace("times: int\n", "times: int = 2\n"))
    assert describe("parrot", catalogue((file,)).find("parrot")).needs == {"main": frozenset({Cap.PREFILL})}


def test_a_page_that_does_not_exist_is_one_sentence_with_the_nearest_name() -> None:
    with pytest.raises(DataError, match=r"no page about 'chain_of_drafts'; did you mean 'chain_of_draft'\?"):
        page("chain_of_drafts")


def test_the_table_of_contents_is_no_page_of_a_method() -> None:
    assert (folder() / "index.md").is_file()
    with pytest.raises(DataError, match="no page about 'index'"):
        page("index")

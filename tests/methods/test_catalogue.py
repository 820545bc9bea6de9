from __future__ import annotations

from pathlib import Path

import pytest

from ponder.core.errors import DataError, OptionError
from ponder.methods import METHODS, Catalogue, catalogue
from ponder.methods.prompt.chain_of_draft import ChainOfDraft
from ponder.methods.prompt.no_thinking import NoThinking
from ponder.methods.vote.sample import Sample
from ponder.methods.vote.self_consistency import SelfConsistency

PLUGIN = """
from __future__ import annotations
from collections.abc import Mapping
from dataclasses import dataclass
from ponder import Cap, Method, Problem, Run, Solution
from ponder.methods.vote.sample import Sample

@dataclass(frozen=True)
class Mine:
    inner: Method = Sample(cot=True)
    n: int = {n}

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        return self.inner.needs()

    async def solve(self, problem: Problem, run: Run) -> Solution:
        return await self.inner.solve(problem, run)

METHODS = {{"mine": Mine}}
"""


def plugin(folder: Path, text: str, name: str = "mine.py") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(text)
    return file


def test_the_table_names_the_first_methods() -> None:
    assert set(METHODS) >= {"sample", "no_thinking", "concise_cot", "chain_of_draft", "self_consistency"}
    assert catalogue().names()[: len(METHODS)] == list(METHODS)


def test_methods_are_built_by_name_with_options_as_text_or_values() -> None:
    table = catalogue()
    assert table.build("sample") == Sample()
    assert table.build("chain_of_draft", {"words": "3", "inner": "no_thinking"}) == ChainOfDraft(3, inner=NoThinking())
    nested = {"method": "self_consistency", "n": 3, "inner": {"method": "chain_of_draft", "shots": 2}}
    assert table.from_config(nested) == SelfConsistency(3, ChainOfDraft(shots=2))  # type: ignore[arg-type]
    assert table.to_config(SelfConsistency(3, ChainOfDraft(shots=2))) == nested


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(
        OptionError, match=r"no method 'chain_of_daft'; did you mean 'chain_of_draft'\?.*ponder methods"
    ):
        catalogue().find("chain_of_daft")


def test_a_misspelt_option_gets_a_suggestion() -> None:
    with pytest.raises(OptionError, match=r"chain_of_draft has no option 'word'; did you mean 'words'\?"):
        catalogue().build("chain_of_draft", {"word": 3})


def test_a_class_that_is_in_no_table_has_no_name() -> None:
    with pytest.raises(OptionError, match="Path is in no method table; add an entry point, or use --plugin"):
        catalogue().name_of(Path)


def test_a_plugin_file_adds_methods_that_hold_others(tmp_path: Path) -> None:
    table = catalogue((plugin(tmp_path, PLUGIN.format(n=1)),))
    method = table.build("mine", {"n": 4, "inner": "no_thinking"})
    assert repr(method) == "Mine(inner=NoThinking(), n=4)"
    assert table.to_config(method) == {"method": "mine", "inner": {"method": "no_thinking"}, "n": 4}
    assert table.from_config(table.to_config(method)) == method
    assert "mine" not in catalogue().names()


def test_a_plugin_is_the_same_class_every_time(tmp_path: Path) -> None:
    file = plugin(tmp_path, PLUGIN.format(n=1))
    assert catalogue((file,)).build("mine") == catalogue((file,)).build("mine")


def test_two_plugins_may_have_one_file_name(tmp_path: Path) -> None:
    files = [plugin(tmp_path / str(n), PLUGIN.format(n=n)) for n in (1, 2)]
    built = [catalogue((file,)).build("mine", {"inner": "sample"}) for file in files]
    assert [repr(method)[-4:] for method in built] == ["n=1)", "n=2)"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1", 'lists no methods; add METHODS = {"name": YourMethod} to it'),
        ("METHODS = {}", "lists no methods"),
        ("METHODS = {'mine': int}", "'mine' in .* is no method: it must be a frozen dataclass with needs"),
        ("METHODS = {'mine': 3}", "'mine' in .* is no method"),
        (PLUGIN.format(n=1).replace("frozen=True", "eq=True"), "must be a frozen dataclass"),
        ("def f(:", "does not load: SyntaxError"),
        ("import nothing_of_that_name", "does not load: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("1 / 0", "does not load: ZeroDivisionError"),
    ],
)
def test_a_plugin_that_is_wrong_is_named_with_its_fault(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        catalogue((plugin(tmp_path, text, "bad.py"),))
    assert "bad.py" in str(caught.value)


def test_a_plugin_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"there is no plugin file .*gone\.py; --plugin takes the path of a Python file"
    ):
        catalogue((tmp_path / "gone.py",))
    with pytest.raises(DataError, match=r"notes\.txt is not a Python file"):
        catalogue((plugin(tmp_path, "", "notes.txt"),))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nothing.of_that:Name", "the method at nothing.of_that:Name cannot be loaded: No module named 'nothing'"),
        ("ponder.core.run:Gone", "cannot be loaded: .*'Gone'"),
        ("ponder.core.run:Run", "ponder.core.run:Run is no method"),
    ],
)
def test_an_installed_plugin_that_is_broken_is_named_when_it_is_used(source: str, says: str) -> None:
    table = Catalogue({"sample": METHODS["sample"], "broken": source})
    assert table.build("sample") == Sample()
    with pytest.raises(OptionError, match=says):
        table.build("broken")


def test_an_installed_class_may_be_offered_under_another_path() -> None:
    table = Catalogue({"plain": "ponder.methods.prompt.concise_cot:Sample"})
    assert table.name_of(Sample) == "plain"
    assert table.to_config(Sample(cot=True)) == {"method": "plain", "cot": True}

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from ponder.core.errors import DataError, OptionError
from ponder.tasks import load_task

installed = pytest.mark.skipif(find_spec("datasets") is None, reason="needs the extra: pip install 'ponder[datasets]'")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    data = tmp_path / "mine"
    data.mkdir()
    rows = [{"problem": f"{i} + {i}?", "solution": f"Add them.\n#### {2 * i}", "key": f"k{i}"} for i in range(5)]
    (data / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return data


@installed
def test_columns_become_questions(folder: Path) -> None:
    task = load_task(f"datasets:{folder},question=problem,answer=solution,id=key")
    items = list(task.items())
    assert task.name == f"datasets:{folder},question=problem,answer=solution,id=key"
    assert [one.problem.id for one in items] == ["k0", "k1", "k2", "k3", "k4"]
    assert [one.reference.text for one in items if one.reference] == ["0", "2", "4", "6", "8"]
    assert items[1].problem.question == "1 + 1?\n\nPut the final answer in \\boxed{}."
    assert list(task.items(2)) == items[:2]


@installed
def test_without_ids_the_split_and_the_number_name_a_record(folder: Path) -> None:
    task = load_task(f"datasets:{folder},question=problem,answer=solution,format=off,verifier=math")
    first = next(task.items())
    assert first.problem.id == "mine-test-0"
    assert first.problem.question == "0 + 0?"


@installed
def test_what_is_missing_is_said(folder: Path) -> None:
    with pytest.raises(DataError, match=r"record 0: there is no column 'question'.*problem, solution, key"):
        load_task(f"datasets:{folder}")
    with pytest.raises(DataError, match=r"cannot be loaded: .*check its name, config and split"):
        load_task(f"datasets:{folder},split=train")
    with pytest.raises(DataError, match=r"cannot be loaded"):
        load_task(f"datasets:{folder / 'nowhere'}")


@pytest.mark.skipif(find_spec("datasets") is not None, reason="the package is installed")
def test_without_the_package_the_remedy_is_named() -> None:
    with pytest.raises(OptionError, match=r"pip install 'ponder\[datasets\]'"):
        load_task("datasets:openai/gsm8k")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("datasets", "datasets needs a name or a path first"),
        ("datasets:split=test", "datasets needs a name or a path first"),
        ("datasets:x,spilt=test", "no option 'spilt'; did you mean 'split'"),
        ("datasets:x,verifier=maths", "did you mean 'math'"),
        ("datasets:x,format=maybe", "format = 'maybe' must be on or off"),
    ],
)
def test_options(spec: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        load_task(spec)
    assert message in str(caught.value)

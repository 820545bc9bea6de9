from __future__ import annotations

import gzip
import json
from importlib.resources import files
from pathlib import Path

import pytest

from ponder.core.errors import DataError
from ponder.core.judge import Reference
from ponder.tasks import load_task, shipped
from ponder.tasks.shipped import FORMATS, item, lettered, rows
from ponder.verify import Math, Number

DATA = Path(str(files("ponder.tasks") / "data"))
SHIPPED = {"gsm8k": 1319, "math500": 500, "svamp": 1000, "aqua": 254, "strategyqa": 229, "prosqa": 500}


@pytest.mark.parametrize(("name", "count"), SHIPPED.items())
def test_every_shipped_task_is_whole_and_its_references_can_be_read(name: str, count: int) -> None:
    task = load_task(name)
    items = list(task.items())
    assert task.name == name
    assert len(items) == count
    assert len({item.problem.id for item in items}) == count
    for one in items:
        assert one.reference is not None
        assert one.problem.question.startswith(one.meta["question"])
        form = one.problem.question.rpartition("\n\n")[2]
        assert form in {line for lines in FORMATS.values() for line in lines.values()}
        assert one.reference.text not in form or len(one.reference.text) == 1 or name == "strategyqa"


@pytest.mark.parametrize("name", ["gsm8k", "svamp", "aqua", "strategyqa", "prosqa"])
def test_a_reply_that_states_the_reference_is_right(name: str) -> None:
    task = load_task(name)
    for one in task.items():
        assert one.reference is not None
        for style in ("{}", "\\boxed{{{}}}", "Well.\n\nAnswer: {}", "So it is $\\boxed{{{}}}$."):
            assert task.verifier(style.format(one.reference.text), one.reference).correct, one.problem.id


def test_solutions_written_by_people_are_right() -> None:
    for name in ("gsm8k", "math500"):
        task = load_task(name)
        wrong = []
        for one in task.items():
            assert one.reference is not None
            reply = one.meta["rationale"] + (f"\n#### {one.reference.text}" if name == "gsm8k" else "")
            if not task.verifier(reply, one.reference).correct:
                wrong.append(one.problem.id)
        assert wrong == []


def test_every_formula_can_be_read_by_algebra_or_is_words() -> None:
    from ponder.text.latex import is_words
    from ponder.verify.math import _parse

    references = [one.reference.text for one in load_task("math500").items() if one.reference]
    assert [text for text in references if not is_words(text) and not _parse(text)] == []
    assert sum(map(is_words, references)) == 8


@pytest.mark.parametrize("name", SHIPPED)
def test_a_limit_is_a_beginning_and_reading_is_lazy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    original = json.loads
    monkeypatch.setattr(shipped.json, "loads", lambda line: read.append(line) or original(line))
    task = load_task(name)
    first = list(task.items(3))
    assert len(read) == 3
    monkeypatch.undo()
    items = task.items()
    assert [next(items), next(items), next(items)] == first
    assert list(task.items(0)) == []


def test_each_data_file_has_its_licence_beside_it() -> None:
    owners = {
        "gsm8k_test": "openai__grade-school-math",
        "math500": "hao-ai-lab__Dynasor",
        "svamp": "arkilpatel__SVAMP",
        "aqua_test": "google-deepmind__AQuA",
        "strategyqa_dev": "eladsegal__strategyqa",
        "prosqa_test": "facebookresearch__coconut",
    }
    assert {path.name.removesuffix(".jsonl.gz") for path in DATA.glob("*.gz")} == set(owners)
    texts = {path.stem: path.read_text("utf-8") for path in (DATA / "licences").glob("*.txt")}
    assert set(texts) == set(owners.values())
    assert all("Copyright" in text for text in texts.values())


def test_data_files_are_small_and_hold_only_json_objects() -> None:
    assert sum(path.stat().st_size for path in DATA.glob("*.gz")) < 700_000
    for path in DATA.glob("*.gz"):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            assert all(isinstance(json.loads(line), dict) for line in lines)


def test_a_damaged_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    whole = (DATA / "gsm8k_test.jsonl.gz").read_bytes()
    (tmp_path / "data" / "cut.jsonl.gz").write_bytes(whole[:5000])
    monkeypatch.setattr(shipped, "files", lambda package: tmp_path)
    for file in ("cut.jsonl.gz", "missing.jsonl.gz"):
        with pytest.raises(DataError, match=rf"the task file {file} .* reinstall ponder"):
            list(rows(file))


def test_a_reference_that_cannot_be_read_names_the_question() -> None:
    with pytest.raises(DataError, match=r"q7: the reference answer 'east' is not a number"):
        item("q7", "Where?", "Say it.", Reference("east"), Number())
    assert item("q7", "Where?", "Say it.", None, Math()).reference is None


def test_choices_are_lines() -> None:
    assert lettered("Which?", ["one", "two"]) == "Which?\nA) one\nB) two"


def test_format_lines_hold_nothing_to_copy() -> None:
    for lines in FORMATS.values():
        assert set(lines) == {"en", "zh"}
        for line in lines.values():
            assert "\\boxed{}" in line
            assert "\n" not in line

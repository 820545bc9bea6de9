"""Tables read cell by cell: what is right, and errors that name the row and the column."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from ponder.core.errors import DataError
from ponder.train.routers.curve import curve
from ponder.train.routers.read import outcomes, preferences, read_rows

DATA = Path(__file__).parents[2] / "data" / "routers"
CHOICES = {"weak": "small", "strong": "large"}
CSV = 'prompt,small,large\n"What, is\n2?",True,1\nWhy?,0.5,false\n'


def write(tmp_path: Path, text: str, name: str = "log.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz"])
def test_outcomes_are_read(tmp_path: Path, name: str) -> None:
    table = outcomes(read_rows(write(tmp_path, CSV, name)), CHOICES, "log", prompt="prompt")
    assert table.choices == ("weak", "strong")
    assert table.questions == ("What, is\n2?", "Why?")
    assert table.success is not None
    assert table.success.tolist() == [[1, 1], [0.5, 0]]


def test_json_lines_are_read_as_well(tmp_path: Path) -> None:
    lines = [{"prompt": "Why?", "small": True, "large": 0, "more": None}, {"prompt": "How?", "small": 0.25, "large": 1}]
    path = write(tmp_path, "\n".join(map(json.dumps, lines)) + "\n\n", "log.jsonl")
    table = outcomes(read_rows(path), CHOICES, "log", prompt="prompt")
    assert table.success is not None
    assert table.success.tolist() == [[1, 0], [0.25, 1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt,small,large\nWhy?,True,\n", "log: row 1 has no 'large'"),
        ("prompt,small,large\nWhy?,True\n", "log: row 1 has no 'large'"),
        ("prompt,small,large\n ,True,1\n", "log: row 1 has no 'prompt'"),
        ("prompt,small,larger\nWhy?,True,1\n", "log has no column 'large'; did you mean 'larger'"),
        ("prompt,small,large\nWhy?,True,1\nHow?,maybe,1\n", "log: row 2: 'small' = 'maybe' must be true or false"),
        ("prompt,small,large\nWhy?,nan,1\n", "'small' = 'nan'"),
        ("prompt,small,large\nWhy?,7,1\n", "'small' = '7' must be true or false, or a share in 0 to 1"),
    ],
)
def test_a_bad_cell_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        outcomes(read_rows(write(tmp_path, text)), CHOICES, "log", prompt="prompt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no rows"),
        ("prompt,small\n", "holds no rows"),
        ("a,b\n1,2,3\n", "row 1 has more cells"),
        ('{"a": 1}\n{"a"\n', "line 2 is no JSON"),
        ('{"a": 1}\n[1]\n', "line 2 is no JSON object"),
    ],
)
def test_a_broken_file_is_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_rows(write(tmp_path, text))


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_rows(tmp_path / "nothing.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="give a table in UTF-8"):
        read_rows(tmp_path / "binary.csv")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(CSV.encode())[:-8])
    with pytest.raises(DataError, match="cannot be read"):
        read_rows(tmp_path / "cut.csv.gz")


ARENA = """prompt,model_a,model_b,winner
Why?,m1,m2,model_a
Why?,m2,m3,tie
How?,m3,m1,model_b
Who?,m2,m1,tie (bothbad)
Who?,m3,m2,m3
"""


def test_preferences_are_read(tmp_path: Path) -> None:
    table = preferences(read_rows(write(tmp_path, ARENA)), {"weak": "m2", "strong": "m1"}, "log", prompt="prompt")
    assert table.choices == ("weak", "strong")
    battles = table.battles
    assert battles is not None
    assert battles.models == ("strong", "weak", "m3")
    assert battles.first.tolist() == [0, 1, 2, 1, 2]
    assert battles.second.tolist() == [1, 2, 0, 0, 1]
    assert battles.won.tolist() == [1, 0.5, 0, 0.5, 1]


def test_a_model_that_is_called_like_a_choice_is_no_choice(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path, ARENA.replace("m3", "weak")))
    table = preferences(rows, {"weak": "m2", "strong": "m1"}, "log", prompt="prompt")
    assert table.battles is not None
    assert table.battles.models == ("strong", "weak", "weak of the table")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("m1,m2,model_a", "m1,m1,model_a", "row 1 compares 'm1' with itself"),
        ("model_a\n", "m3\n", "row 1: 'winner' = 'm3' must be model_a, model_b, tie"),
        ("m1,m2,model_a", "m1,,model_a", "row 1 has no 'model_b'"),
        ("winner", "victor", "no column 'winner'"),
    ],
)
def test_a_bad_comparison_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    rows = read_rows(write(tmp_path, ARENA.replace(old, new, 1)))
    with pytest.raises(DataError, match=message):
        preferences(rows, {"weak": "m2", "strong": "m1"}, "log", prompt="prompt")


def test_a_choice_that_nobody_compared_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row compares 'm4'"):
        preferences(read_rows(write(tmp_path, ARENA)), {"weak": "m2", "strong": "m4"}, "log", prompt="prompt")


@pytest.mark.parametrize(
    ("name", "rows", "weak", "strong", "only_strong", "only_weak", "oracle_ten"),
    [("gsm8k", 1319, 0.638, 0.857, 383, 95, 1.17), ("mmlu", 14042, 0.681, 0.806, None, None, 1.32)],
)
def test_the_published_tables_have_their_accuracies(
    name: str,
    rows: int,
    weak: float,
    strong: float,
    only_strong: int | None,
    only_weak: int | None,
    oracle_ten: float,
) -> None:
    """The outcomes of RouteLLM's tables, without the texts (Apache-2.0, its licence beside them)."""
    found = read_rows(DATA / f"{name}_outcomes.csv.gz")
    table = outcomes(found, {"weak": "mixtral", "strong": "gpt4"}, name, prompt=None)
    assert table.success is not None
    assert len(table) == rows
    assert table.success.mean(axis=0) == pytest.approx([weak, strong], abs=5e-4)
    gain = table.success[:, 1] - table.success[:, 0]
    if only_strong is not None:
        assert ((gain > 0).sum(), (gain < 0).sum()) == (only_strong, only_weak)
    best = curve(gain, table.success[:, 0], table.success[:, 1])
    assert best.apgr_ten == pytest.approx(oracle_ten, abs=0.005)
    assert curve(np.zeros(len(gain)), table.success[:, 0], table.success[:, 1]).apgr == 0.5

"""A router's files: whole or not at all, checked when read, read anew when they change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ponder.core.errors import DataError
from ponder.routers.state import FORMAT, TENSORS, TOML, State, load_state, save_state, trained

ARRAYS = {"shares": np.array([[0.25, 0.75]], np.float32)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_state(tmp_path / "r", "category", ("weak", "strong"), {"field": "topic", "half": 0.5}, ARRAYS)
    return tmp_path / "r"


def replace(folder: Path, old: str, new: str) -> None:
    text = (folder / TOML).read_text()
    assert old in text
    (folder / TOML).write_text(text.replace(old, new))


def test_what_is_written_is_read(folder: Path) -> None:
    state = load_state(folder, "category")
    assert state.choices == ("weak", "strong")
    assert state.text("field") == "topic"
    assert state.number("half", 0) == 0.5
    assert state.array("shares", None, 2).tolist() == [[0.25, 0.75]]
    assert sorted(file.name for file in folder.iterdir()) == [TENSORS, TOML]


def test_a_folder_that_holds_something_is_left_alone(folder: Path) -> None:
    before = (folder / TOML).read_bytes()
    with pytest.raises(DataError, match="not an empty folder"):
        save_state(folder, "ranking", ("a", "b"), {}, ARRAYS)
    assert (folder / TOML).read_bytes() == before


def test_nothing_is_left_of_a_state_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save_state(tmp_path / "r", "ranking", ("a", "b"), {"none": None}, ARRAYS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f"format = {FORMAT}", "format = 2", r"router.toml: format = 2, and this ponder reads format 1"),
        (f"format = {FORMAT}\n", "", "format = None"),
        ('"category"', '"ranking"', "router = 'ranking' where category was asked for"),
        ("sha256 =", "sha255 =", r"router.safetensors is not the file that router.toml was written with"),
        ("choices =", "choices", "cannot be read"),
        ('"strong"', '"weak"', "names something twice"),
        ('"strong"', "7", "must be a list of texts"),
        ('    "strong",\n', "", "must be at least two names"),
    ],
)
def test_a_broken_file_is_told(folder: Path, old: str, new: str, message: str) -> None:
    replace(folder, old, new)
    with pytest.raises(DataError, match=message):
        load_state(folder, "category")


def test_missing_files_are_told(folder: Path) -> None:
    with pytest.raises(DataError, match=r"there is no .*router.toml; path takes the folder"):
        load_state(folder / "elsewhere", "category")
    (folder / TENSORS).unlink()
    with pytest.raises(DataError, match=r"lacks router\.safetensors; copy the whole folder"):
        load_state(folder, "category")


def test_tensors_cut_short_are_told(folder: Path) -> None:
    data = (folder / TENSORS).read_bytes()
    (folder / TENSORS).write_bytes(data[:-1])
    with pytest.raises(DataError, match="is not the file"):
        load_state(folder, "category")


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("other", (None,), "lacks 'other'"),
        ("shares", (None,), "shape"),
        ("shares", (2, 2), r"of shape \(1, 2\) and not 2x2"),
    ],
)
def test_tensors_of_other_shapes_are_told(folder: Path, name: str, shape: tuple[int | None, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_state(folder, "category").array(name, *shape)


@pytest.mark.parametrize("value", [None, True, "x", -1.0, float("inf"), float("nan")])
def test_a_number_that_is_none_is_told(value: object) -> None:
    with pytest.raises(DataError, match=r"it = .* must be a number"):
        State(Path("r"), (), {"it": value}, {}).number("it", 0)


def test_a_text_that_is_none_is_told() -> None:
    with pytest.raises(DataError, match="it = 3 must be a text"):
        State(Path("r"), (), {"it": 3}, {}).text("it")


def test_nan_is_told(tmp_path: Path) -> None:
    from ponder.core.errors import PonderError

    broken = {"shares": np.array([np.nan], np.float32)}
    with pytest.raises(PonderError, match="shares"):
        save_state(tmp_path / "r", "category", ("a", "b"), {}, broken)
    assert not (tmp_path / "r").exists()


def test_files_are_read_once_and_anew_when_they_change(folder: Path) -> None:
    first = trained(str(folder), "category", _same)
    assert trained(str(folder), "category", _same) is first
    replace(folder, '"topic"', '"subject"')
    again = trained(str(folder), "category", _same)
    assert again is not first
    assert again.text("field") == "subject"


def test_a_file_that_breaks_later_is_told_to_the_log_and_the_old_one_goes_on(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = trained(str(folder), "category", _same)
    replace(folder, "format = 1", "format = 99")
    assert trained(str(folder), "category", _same) is first
    assert "is not taken, the one read before goes on" in caplog.text
    assert "format = 99" in caplog.text


def _same(state: State) -> State:
    return state

from __future__ import annotations

from pathlib import Path

import pytest

from ponder.core.errors import DataError
from ponder.weights.staged import check_place, staged_file, staged_folder


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with staged_folder(out) as stage:
        (stage / "a").write_text("1")
        assert not out.exists()
        assert stage.parent == out.parent
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert (out / "a").read_text() == "1"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with staged_folder(tmp_path / "out") as stage:
        (stage / "a").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, DataError])
def test_after_an_error_nothing_is_left(tmp_path: Path, error: type[BaseException]) -> None:
    def fail(stage: Path, name: str) -> None:
        (stage / name).touch()
        raise error("stop")

    with pytest.raises(error), staged_folder(tmp_path / "out") as stage:
        fail(stage, "a")
    with pytest.raises(error), staged_file(tmp_path / "out") as stage:
        fail(stage.parent, stage.name)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    (tmp_path / "file").touch()
    for name in ("full", "file"):
        with (
            pytest.raises(DataError, match=f"{name} exists and is not an empty folder"),
            staged_folder(tmp_path / name),
        ):
            pass
    with pytest.raises(DataError, match="full is a folder; name a file in it"), staged_file(tmp_path / "full"):
        pass
    assert (tmp_path / "full" / "mine").exists()


def test_a_file_replaces_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("old")
    with staged_file(out) as stage:
        stage.write_text("new")
        assert out.read_text() == "old"
    assert out.read_text() == "new"
    assert list(tmp_path.iterdir()) == [out]


def test_a_full_disk_is_one_sentence() -> None:
    """/dev/full takes a write and says that no space is left, as a real disk does."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(DataError, match=r"could not be written \(No space left on device\).*free space"):
        write_to_full()


def write_to_full() -> None:
    with staged_file(Path("out")), open("/dev/full", "wb", buffering=0) as full:
        full.write(b"1")


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for staged in (staged_file, staged_folder):
        refused = pytest.raises(DataError, match=r"could not be written \((Not a directory|File exists)")
        with refused, staged(tmp_path / "file" / "out"):
            pass


def test_a_place_is_looked_at_before_the_work_and_left_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "in" / "out"
    check_place(out)
    assert list(out.parent.iterdir()) == []
    out.write_text("mine")
    check_place(out)
    assert out.read_text() == "mine"
    with pytest.raises(DataError, match="could not be written"):
        check_place(out / "under" / "a file")

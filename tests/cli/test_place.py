"""What a long command refuses before its work: places that it could not write to."""

from __future__ import annotations

from pathlib import Path

import pytest

from ponder.cli.place import check_folder, check_picture
from ponder.core.errors import DataError, OptionError


def test_an_empty_folder_or_none_at_all_will_do(tmp_path: Path) -> None:
    check_folder(tmp_path)
    check_folder(tmp_path / "deep" / "out")
    assert not (tmp_path / "deep" / "out").exists()


def test_a_folder_that_holds_something_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path, tmp_path / "file"):
        with pytest.raises(OptionError, match="is not an empty folder; name another"):
            check_folder(out)
    with pytest.raises(DataError, match="could not be written"):
        check_folder(tmp_path / "file" / "out")


def test_a_picture_has_one_of_two_endings_and_a_place(tmp_path: Path) -> None:
    check_picture(None)
    check_picture(tmp_path / "a.svg")
    check_picture(tmp_path / "a.png")
    with pytest.raises(OptionError, match=r"must end in \.svg or \.png"):
        check_picture(tmp_path / "a.pdf")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="could not be written"):
        check_picture(tmp_path / "file" / "a.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

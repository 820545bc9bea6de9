from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ponder.core.errors import DataError, OptionError
from ponder.engines import catalogue
from ponder.engines.catalogue import FolderEntry, load_models
from ponder.engines.shipped import is_whole, model_folder, shipped_file, shipped_folder, shipped_size

FILES = {"model.gguf": b"GGUF one", "config.json": b"{}"}


@pytest.fixture
def entry(tmp_path: Path) -> FolderEntry:
    folder = tmp_path / "tiny"
    folder.mkdir()
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    files = tuple((name, hashlib.sha256(data).hexdigest()) for name, data in FILES.items())
    return FolderEntry(name="tiny", licence="MIT", summary="s", folder=folder, files=files)


def test_a_folder_that_is_whole(entry: FolderEntry) -> None:
    assert is_whole(entry)
    assert shipped_size(entry) == 10
    assert shipped_folder(entry) == entry.folder
    assert shipped_file(entry, "config.json").read_bytes() == b"{}"


def test_a_file_that_was_changed_spoils_the_folder_and_not_its_neighbours(entry: FolderEntry) -> None:
    (entry.folder / "config.json").write_bytes(b"[]")
    with pytest.raises(DataError, match=r"config\.json is damaged.*tiny comes with its catalogue: install ponder"):
        shipped_folder(entry)
    assert shipped_file(entry, "model.gguf") == entry.folder / "model.gguf"
    assert is_whole(entry)


def test_a_file_that_is_gone_or_was_never_listed(entry: FolderEntry) -> None:
    (entry.folder / "model.gguf").unlink()
    (entry.folder / "more.txt").write_text("more")
    assert not is_whole(entry)
    assert shipped_size(entry) == 2
    with pytest.raises(DataError, match=r"model\.gguf cannot be read \(No such file"):
        shipped_folder(entry)
    with pytest.raises(DataError, match=r"more\.txt is damaged"):
        shipped_file(entry, "more.txt")


def test_a_folder_by_name(entry: FolderEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built_in = tmp_path / "catalogue.toml"
    listed = "".join(f'"{name}" = "{sha}"\n' for name, sha in entry.files)
    built_in.write_text(f'[tiny]\nlicence = "MIT"\nsummary = "s"\nfolder = "tiny"\n[tiny.files]\n{listed}')
    monkeypatch.setattr(catalogue, "_BUILT_IN", built_in)
    assert model_folder("tiny") == entry.folder.resolve()
    assert load_models().names == ["tiny"]
    with pytest.raises(OptionError, match="no catalogue has a model 'tinny'; did you mean 'tiny'"):
        model_folder("tinny")


def test_a_download_has_no_folder() -> None:
    with pytest.raises(OptionError, match="smollm2-135m-instruct is a file that is downloaded, not a folder"):
        model_folder("smollm2-135m-instruct")

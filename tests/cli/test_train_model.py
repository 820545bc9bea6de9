"""The model that a training begins with: folders, GGUF files, names, and the adapter and template that come along."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ponder.cli.train_model import Found, find_model
from ponder.core.errors import DataError, OptionError

DATA = b"GGUF tiny"
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where models are kept; what is unpacked from `DATA` is there already."""
    monkeypatch.setenv("PONDER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def catalogue(tmp_path: Path, cache: Path) -> Path:
    """A file model that is installed, and an adapter of it."""
    path = tmp_path / "more.toml"
    adapter = tmp_path / "brief"
    adapter.mkdir()
    for name in ("adapter.gguf", "chat_template.jinja"):
        (adapter / name).write_text(name)
    files = "".join(
        f'"{file.name}" = "{hashlib.sha256(file.read_bytes()).hexdigest()}"\n' for file in sorted(adapter.iterdir())
    )
    path.write_text(
        f'[tiny]\nsummary = "nine bytes"\nlicence = "MIT"\nsize = {len(DATA)}\nsha256 = "{SHA}"\n'
        '[[tiny.source]]\nurl = "https://nowhere.invalid/tiny.gguf"\n'
        '[brief]\nsummary = "brief"\nlicence = "MIT"\nfolder = "brief"\nbase = "tiny"\n[brief.files]\n' + files
    )
    cache.mkdir(parents=True)
    (cache / "tiny.gguf").write_bytes(DATA)
    return path


def test_a_folder_is_called_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "some-model"
    folder.mkdir()
    assert find_model(str(folder), None, None, []) == Found(folder, "some-model", None, None)
    monkeypatch.chdir(folder)
    assert find_model(".", None, None, []).name == "some-model"


def test_a_gguf_file_is_unpacked_into_the_cache(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "own.gguf"
    with pytest.raises(DataError, match=r"there is no file .*own\.gguf; give a GGUF file, a transformers folder"):
        find_model(str(file), None, None, [])
    file.write_bytes(DATA)
    there = cache / "unpacked" / f"own-{SHA[:12]}"
    there.mkdir(parents=True)
    assert find_model(str(file), None, None, []) == Found(there, "own", None, None)


def test_names_stand_for_files_and_for_adapters_of_them(catalogue: Path, cache: Path, tmp_path: Path) -> None:
    there = cache / "unpacked" / f"tiny-{SHA[:12]}"
    there.mkdir(parents=True)
    assert find_model("tiny", None, None, [catalogue]) == Found(there, "tiny", None, None)
    shipped = tmp_path / "brief"
    template = shipped / "chat_template.jinja"
    assert find_model("brief", None, None, [catalogue]) == Found(there, "tiny", shipped, template)


def test_what_is_given_goes_before_what_comes_along(catalogue: Path, cache: Path, tmp_path: Path) -> None:
    (cache / "unpacked" / f"tiny-{SHA[:12]}").mkdir(parents=True)
    own = tmp_path / "own.jinja"
    assert find_model("brief", None, own, [catalogue])[2:] == (tmp_path / "brief", own)
    bare = tmp_path / "bare"
    bare.mkdir()
    assert find_model("brief", bare, None, [catalogue])[2:] == (bare, None)
    (bare / "chat_template.jinja").write_text("bare")
    assert find_model("tiny", bare, None, [catalogue])[2:] == (bare, bare / "chat_template.jinja")


def test_a_name_of_nothing(catalogue: Path) -> None:
    with pytest.raises(OptionError, match=r"no catalogue has a model 'tinny'.*tiny"):
        find_model("tinny", None, None, [catalogue])
    (catalogue.parent / "brief" / "adapter.gguf").write_text("other")
    with pytest.raises(DataError, match=r"adapter\.gguf is damaged"):
        find_model("brief", None, None, [catalogue])

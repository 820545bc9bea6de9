from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ponder.cli import cli
from ponder.core.errors import DataError, OptionError

DATA = b"GGUF tiny"
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PONDER_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "more.toml"
    path.write_text(
        f'[tiny]\nsummary = "nine bytes"\nlicence = "MIT"\nsize = {len(DATA)}\nrank = 99\n'
        f'sha256 = "{SHA}"\n'
        '[[tiny.source]]\nurl = "https://nowhere.invalid/tiny.gguf"\n'
    )
    return path


@pytest.fixture
def installed(catalogue: Path) -> Path:
    file = catalogue.parent / "models" / "tiny.gguf"
    file.parent.mkdir()
    file.write_bytes(DATA)
    return file


def ponder(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in ("model", *args)])


def test_list_shows_what_there_is_and_what_is_installed(catalogue: Path, installed: Path) -> None:
    done = ponder("list", "--catalogue", catalogue)
    assert done.exit_code == 0
    head, first, *others = done.output.splitlines()
    assert head.split() == ["name", "size", "installed", "licence", "what", "it", "is"]
    assert first.split() == ["tiny", "9", "B", "yes", "MIT", "nine", "bytes"]
    installed_too = {line.split()[0]: line.split()[3] for line in others}
    assert {installed_too[name] for name in installed_too if name.startswith(("qwen", "smollm2"))} == {"no"}
    assert "\x1b" not in done.output


def test_list_as_json(catalogue: Path, installed: Path) -> None:
    rows = json.loads(ponder("list", "--json", "--catalogue", catalogue).output)
    assert rows[0] == {
        "name": "tiny",
        "summary": "nine bytes",
        "licence": "MIT",
        "size": 9,
        "sha256": SHA,
        "files": None,
        "base": None,
        "rank": 99,
        "weak": False,
        "installed": True,
        "path": str(installed),
    }
    others = {row["name"]: row for row in rows[1:]}
    assert others["smollm2-135m-instruct"]["weak"] is True
    assert others["qwen2.5-coder-0.5b-instruct"]["path"] is None


def test_get_path_and_remove(catalogue: Path, installed: Path) -> None:
    assert ponder("get", "tiny", "--catalogue", catalogue).output == f"tiny is installed (9 B, MIT): {installed}\n"
    assert ponder("path", "tiny", "--catalogue", catalogue).output == f"{installed}\n"
    assert json.loads(ponder("path", "tiny", "--json", "--catalogue", catalogue).output)["path"] == str(installed)
    assert json.loads(ponder("get", "tiny", "--json", "--catalogue", catalogue).output)["installed"] is True
    assert ponder("remove", "tiny", "--catalogue", catalogue).output == "tiny is removed\n"
    assert not installed.exists()
    assert json.loads(ponder("remove", "tiny", "--json", "--catalogue", catalogue).output)["removed"] is False


@pytest.fixture
def shipped(catalogue: Path) -> Path:
    """The catalogue with a whole model and an adapter of `tiny` beside it."""
    text = catalogue.read_text()
    for name, file, more in (
        ("whole", "model.gguf", "rank = -99\n"),
        ("valve", "adapter.gguf", 'base = "tiny"\nrank = 100\n'),
    ):
        folder = catalogue.parent / name
        folder.mkdir()
        (folder / file).write_bytes(DATA)
        text += f'[{name}]\nsummary = "s"\nlicence = "MIT"\nfolder = "{name}"\n{more}files = {{ "{file}" = "{SHA}" }}\n'
    catalogue.write_text(text)
    return catalogue


def test_list_tells_what_comes_along_and_what_an_adapter_needs(shipped: Path) -> None:
    lines = {line.split()[0]: line.split()[1:] for line in ponder("list", "--catalogue", shipped).output.splitlines()}
    assert lines["whole"] == ["9", "B", "yes", "MIT", "s"]
    assert lines["valve"] == ["9", "B", "needs", "tiny", "MIT", "s"]
    assert list(lines)[1] == "valve"
    assert list(lines)[-1] == "whole"
    rows = {row["name"]: row for row in json.loads(ponder("list", "--json", "--catalogue", shipped).output)}
    assert rows["whole"]["path"] == str((shipped.parent / "whole").resolve())
    assert {key: rows["valve"][key] for key in ("size", "sha256", "files", "base", "installed", "path")} == {
        "size": 9,
        "sha256": None,
        "files": {"adapter.gguf": SHA},
        "base": "tiny",
        "installed": False,
        "path": None,
    }


def test_get_path_and_remove_of_an_adapter(shipped: Path, installed: Path) -> None:
    folder = (shipped.parent / "valve").resolve()
    told = ponder("get", "valve", "--catalogue", shipped).output
    assert told == f"valve is installed (9 B, MIT): {folder}\nit runs on tiny (9 B): {installed}\n"
    assert ponder("path", "valve", "--catalogue", shipped).output == f"{folder}\n"
    assert json.loads(ponder("get", "valve", "--json", "--catalogue", shipped).output)["installed"] is True
    refused = ponder("remove", "valve", "--catalogue", shipped).exception
    assert isinstance(refused, OptionError)
    assert str(refused).endswith("cannot be removed; `ponder model remove tiny` removes what was downloaded for it")
    installed.unlink()
    failed = ponder("get", "valve", "--catalogue", shipped).exception
    assert isinstance(failed, DataError)
    assert "the model tiny could not be got" in str(failed)


def test_get_path_and_remove_of_a_whole_model(shipped: Path) -> None:
    folder = (shipped.parent / "whole").resolve()
    assert ponder("get", "whole", "--catalogue", shipped).output == f"whole is installed (9 B, MIT): {folder}\n"
    assert ponder("path", "whole", "--catalogue", shipped).output == f"{folder}\n"
    refused = ponder("remove", "whole", "--catalogue", shipped).exception
    assert isinstance(refused, OptionError)
    assert str(refused) == f"whole comes with its catalogue, in {folder}, and cannot be removed"
    assert (folder / "model.gguf").exists()


def test_errors_are_ours(catalogue: Path) -> None:
    cases = [
        (("get", "tini", "--catalogue", catalogue), OptionError),
        (("path", "tiny", "--catalogue", catalogue), DataError),
    ]
    cases += [(("get", "tiny", "--catalogue", catalogue), DataError), (("list", "--catalogue", "gone.toml"), DataError)]
    for args, error in cases:
        done = ponder(*args)
        assert done.exit_code == 1
        assert isinstance(done.exception, error)


def test_an_error_is_one_sentence_and_an_exit_code(catalogue: Path) -> None:
    command = [sys.executable, "-m", "ponder", "model", "get", "tiny", "--catalogue", str(catalogue)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("ponder: the model tiny could not be got (nowhere.invalid cannot be reached")
    assert done.stderr.count("\n") == 1

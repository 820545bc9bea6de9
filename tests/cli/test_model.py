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


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PONDER_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "more.toml"
    path.write_text(
        f'[tiny]\nsummary = "nine bytes"\nlicence = "MIT"\nsize = {len(DATA)}\nrank = 9\n'
        f'sha256 = "{hashlib.sha256(DATA).hexdigest()}"\n'
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
    assert [line.split()[3] for line in others] == ["no", "no", "no"]
    assert "\x1b" not in done.output


def test_list_as_json(catalogue: Path, installed: Path) -> None:
    rows = json.loads(ponder("list", "--json", "--catalogue", catalogue).output)
    assert rows[0] == {
        "name": "tiny",
        "summary": "nine bytes",
        "licence": "MIT",
        "size": 9,
        "sha256": hashlib.sha256(DATA).hexdigest(),
        "rank": 9,
        "weak": False,
        "installed": True,
        "path": str(installed),
    }
    assert [row["weak"] for row in rows] == [False, False, False, True]
    assert rows[1]["path"] is None


def test_get_path_and_remove(catalogue: Path, installed: Path) -> None:
    assert ponder("get", "tiny", "--catalogue", catalogue).output == f"tiny is installed (9 B, MIT): {installed}\n"
    assert ponder("path", "tiny", "--catalogue", catalogue).output == f"{installed}\n"
    assert json.loads(ponder("path", "tiny", "--json", "--catalogue", catalogue).output)["path"] == str(installed)
    assert json.loads(ponder("get", "tiny", "--json", "--catalogue", catalogue).output)["installed"] is True
    assert ponder("remove", "tiny", "--catalogue", catalogue).output == "tiny is removed\n"
    assert not installed.exists()
    assert json.loads(ponder("remove", "tiny", "--json", "--catalogue", catalogue).output)["removed"] is False


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

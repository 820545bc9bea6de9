"""The method of docs/extending.md works, word for word, as a plugin file and as an installed package."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ponder
from ponder.engines.echo import Echo
from ponder.methods import catalogue

PAGE = (Path(__file__).parent.parent / "docs" / "extending.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """Return the first block of code in a language."""
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "twice.py"
    path.write_text(block("python"), encoding="utf-8")
    return path


def test_as_a_plugin_file(file: Path) -> None:
    table = catalogue((file,))
    method = table.build("twice", {"again": "Brief."})
    assert repr(method) == "Twice(again='Brief.')"
    assert table.from_config(table.to_config(method)) == method
    echo = Echo()
    result = ponder.run(method, "What is 12 + 30?", echo)
    assert "boxed" in result.answer
    assert (result.tokens, echo.calls) == (echo.generated, 2)


def test_the_method_itself_takes_about_ten_lines() -> None:
    text = block("python")
    body = text[text.index("class Twice") : text.index("METHODS")]
    assert len([line for line in body.splitlines() if line.strip()]) <= 12


def test_as_an_installed_package(file: Path) -> None:
    """What an installer writes is made by hand: the file on the path, and its metadata beside it."""
    project = tomllib.loads(block("toml"))["project"]
    info = file.parent / "ponder_twice-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["ponder.methods"]
    lines = ["[ponder.methods]", *(f"{name} = {target}" for name, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    code = (
        "import ponder, sys; from ponder.methods import catalogue;"
        f"sys.path.insert(0, {str(file.parent)!r});"
        "print(catalogue().names()[-1], catalogue().to_config(catalogue().build('twice', {'again': 'x'})));"
        "print(ponder.run('twice', 'What is 2 + 3?', 'echo').tokens > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("twice {'method': 'twice', 'again': 'x'}\nTrue\n", "")


def test_the_command_of_the_page_names_the_file_and_the_method() -> None:
    command = block("sh")
    assert "--plugin twice.py" in command
    assert "twice:again=" in command

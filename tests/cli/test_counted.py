from __future__ import annotations

import io

import pytest
from rich.console import Console

from ponder.cli import counted as module
from ponder.cli.counted import counted


def test_a_terminal_shows_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=80)
    monkeypatch.setattr(module, "console", lambda *, stderr: terminal)
    with counted("weights") as progress:
        progress(3, 7)
        progress(7, 7)
    assert "weights" in screen.getvalue()
    assert "7/7" in screen.getvalue()


def test_a_file_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with counted("weights") as progress:
        progress(3, 7)
    assert capsys.readouterr() == ("", "")

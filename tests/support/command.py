"""Runs the command line in this process, errors and exit codes included: `run("bench", "gsm8k", ...)`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import pytest

from ponder.cli import main


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        """Its standard output, which must be one JSON value."""
        return json.loads(self.out)


class Command:
    """Runs `ponder` as a user would, but without a new process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *args: str) -> Ran:
        """Run `ponder ARGS` to its end."""
        self._monkeypatch.setattr(sys, "argv", ["ponder", *args])
        self._capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        captured = self._capsys.readouterr()
        return Ran(code, captured.out, captured.err)

"""Schemathesis on `/openapi.json`, all its checks: no 5xx, no hang, and nothing that is not described."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from page import GATEWAY, command
from serving import ROOT, run, serving


@pytest.fixture
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway without a file, in front of the engine that needs no model."""
    with serving(tmp_path_factory.mktemp("plain") / "gateway.log", "--model", "echo") as url:
        yield url


def test_nothing_fails_and_nothing_hangs(url: str, tmp_path: Path) -> None:
    asked = command("Schemathesis").replace(GATEWAY, url).replace("tests/clients", str(ROOT / "tests/clients"))
    program, *arguments = shlex.split(asked)
    assert program == "schemathesis"
    arguments += ["--max-examples", "15", "--generation-deterministic", "--request-timeout", "30", "--no-color"]
    arguments += ["--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all", "--workers", "1"]
    done = run([sys.executable, "-m", "schemathesis.cli", *arguments], folder=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated, done.stdout[-2000:]
    assert int(generated[1]) > 500

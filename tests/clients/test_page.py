"""docs/serve-clients.md: every line that stands there is run as it stands, in front of a scripted server."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator

import pytest
from page import GATEWAY, MODEL, SERVER, blocks, command
from serving import ANSWER, THOUGHT, Upstream, run, serving


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway that was started as the page says, with a server of its own behind it."""
    folder = tmp_path_factory.mktemp("page")
    start, *_ = blocks("sh")
    ponder, serve, *arguments = shlex.split(start)
    assert (ponder, serve) == ("ponder", "serve")
    with Upstream() as upstream:
        given = [argument.replace(SERVER, upstream.server.url) for argument in arguments]
        assert given != arguments
        with serving(folder / "gateway.log", *given, PONDER_CACHE=str(folder)) as url:
            yield url


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.split()[1])
def test_python(url: str, code: str) -> None:
    assert GATEWAY in code
    done = run([sys.executable, "-c", code.replace(GATEWAY, url)])
    assert done.returncode == 0, done.stderr[-2000:]
    assert THOUGHT in done.stdout
    assert ANSWER in done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_curl(url: str) -> None:
    done = run(["sh", "-c", command("curl").replace(GATEWAY, url)])
    assert done.returncode == 0, done.stderr
    *events, end = (event.removeprefix("data: ") for event in done.stdout.strip().split("\n\n"))
    assert end == "[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events]
    assert "".join(delta.get("reasoning", "") for delta in deltas) == THOUGHT
    assert "".join(delta.get("content", "") for delta in deltas) == ANSWER
    assert json.loads(events[-1])["ponder"]["budget"] == 1024


def test_the_page_asks_for_one_model() -> None:
    assert all(MODEL in code for code in (*blocks("python"), command("curl"), command("lm-eval")))

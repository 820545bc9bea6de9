from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.command import Command

from ponder.routers.words import SHIPPED
from ponder.serve.access import hash_key

FILE = """
[server]
drain_seconds = 5
[engine.main]
model = "echo"
[model.toy]
method = "sample"
"""


@contextmanager
def served(*args: str, cwd: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `ponder serve` as a user does; give the process and the address that it says it has."""
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200"}
    command = [sys.executable, "-m", "ponder", "serve", "--port", "0", *args]
    process = subprocess.Popen(command, cwd=cwd, env=environ, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.search(r"http://\S+/v1", line)
        assert found, line
        yield process, found[0]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def ask(url: str, model: str, question: str = "2+3?") -> dict[str, object]:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": question}]}).encode()
    for _ in range(1200):
        try:
            with urllib.request.urlopen(url + "/chat/completions", data=body, timeout=20) as reply:
                return dict(json.load(reply))
        except urllib.error.URLError:
            time.sleep(0.05)  # several workers come up after the port is held
    raise AssertionError(f"{url} does not answer")


def test_one_model_is_served_without_a_file_and_ends_on_sigterm(tmp_path: Path) -> None:
    with served("--model", "echo", "--method", "sample", cwd=tmp_path) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        assert ask(url, "echo")["object"] == "chat.completion"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_file_is_served(tmp_path: Path) -> None:
    (tmp_path / "ponder.toml").write_text(FILE)
    with served("ponder.toml", cwd=tmp_path) as (process, url):
        assert ask(url, "toy")["model"] == "toy"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
def test_workers_share_a_port_are_replaced_and_end_together(tmp_path: Path) -> None:
    with served("--model", "echo", "--workers", "2", cwd=tmp_path) as (process, url):
        assert ask(url, "echo")["object"] == "chat.completion"
        children = _children(process.pid)
        assert len(children) == 2
        os.kill(children[0], signal.SIGKILL)
        deadline = time.monotonic() + 20
        while (now := _children(process.pid)) == children or len(now) < 2:
            assert time.monotonic() < deadline, "the worker that died was not replaced"
            time.sleep(0.05)
        assert children[1] in now
        children = [*children, *now]
        assert ask(url, "echo")["object"] == "chat.completion"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert all(not Path(f"/proc/{child}").exists() for child in children)


def _children(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if "spawn_main" in _words(child)]


def _words(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""  # it ended in between


def test_a_taken_port_is_named(ponder: Command, tmp_path: Path) -> None:
    with served("--model", "echo", cwd=tmp_path) as (_, url):
        port = url.rpartition(":")[2].removesuffix("/v1")
        ran = ponder("serve", "--model", "echo", "--port", port)
    assert ran.code == 1
    assert f"127.0.0.1:{port} cannot be used" in ran.err
    assert "--port" in ran.err


def test_several_workers_cannot_share_a_model_of_this_machine(ponder: Command) -> None:
    ran = ponder("serve", "--workers", "2")
    assert ran.code == 1
    assert "several workers cannot share" in ran.err


def test_a_model_that_is_not_there_ends_the_gateway(ponder: Command) -> None:
    ran = ponder("serve", "--model", "no/such.gguf", "--port", "0")
    assert ran.code == 1
    assert "no/such.gguf" in ran.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--model", "echo", "--method", "smaple"), "did you mean 'sample'"),
        (("nothing.toml",), "cannot be read"),
        (("ponder.toml", "--model", "echo"), "do not go together"),
        (("ponder.toml", "--method", "auto"), "--method and a file"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(ponder: Command, args: tuple[str, ...], words: str) -> None:
    Path("ponder.toml").write_text(FILE)
    ran = ponder("serve", "--port", "0", *args)
    assert ran.code == 1
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_check_says_what_a_file_makes(ponder: Command) -> None:
    Path("ponder.toml").write_text(FILE + '[model.votes]\nmethod = "self_consistency"\nn = 3\n')
    ran = ponder("serve", "ponder.toml", "--check")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines() == ["toy: sample on echo", "votes: self_consistency (n=3) on echo"]


ROUTED = (
    FILE
    + """
[model.smart]
method = "thinking_route"
router = { router = "words", path = "routers/mine" }
"""
)


@pytest.mark.parametrize("args", [(), ("--check",), ("--workers", "2")])
def test_a_router_that_is_not_there_or_of_another_version_is_refused_at_start(
    ponder: Command, args: tuple[str, ...]
) -> None:
    Path("ponder.toml").write_text(ROUTED)
    ran = ponder("serve", "ponder.toml", "--port", "0", *args)
    assert ran.code == 1
    assert "[model.smart] router: there is no" in ran.err
    assert "routers/mine/router.toml" in ran.err
    shutil.copytree(SHIPPED / "paradigm", "routers/mine")
    card = Path("routers/mine/router.toml")
    card.write_text(card.read_text().replace("format = 1", "format = 2"))
    ran = ponder("serve", "ponder.toml", "--port", "0", *args)
    assert ran.code == 1
    assert "router.toml: format = 2" in ran.err
    assert "Traceback" not in ran.err


def test_a_new_key_is_printed_once_with_its_table(ponder: Command) -> None:
    ran = ponder("serve", "--new-key", 'ann "a"')
    key, _, name, hashed = [line for line in ran.out.splitlines() if line]
    assert key.startswith("pk-")
    assert name == 'name = "ann \\"a\\""'
    assert hashed == f'hash = "{hash_key(key)}"'


def test_a_key_of_one_s_own_is_hashed_if_it_is_long(ponder: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a" * 32 + "\n"))
    assert ponder("serve", "--hash-key").out.strip() == hash_key("a" * 32)
    monkeypatch.setattr(sys, "stdin", io.StringIO("secret\n"))
    ran = ponder("serve", "--hash-key")
    assert ran.code == 1
    assert "can be guessed" in ran.err
    assert "secret" not in ran.err

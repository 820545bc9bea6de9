"""What the clients talk to: `ponder serve` as a process, with a scripted server behind it, and a real vLLM."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from support.server import FakeServer, Fault

ROOT = Path(__file__).resolve().parents[2]
PONDER = os.environ.get("PONDER", str(ROOT / ".venv/bin/ponder"))
QUIET = {**os.environ, "NO_COLOR": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
QUESTION = [{"role": "user", "content": "A crate holds 12 jars. How many jars are in 5 crates?"}]
THOUGHT, ANSWER = "five twelves are sixty", "The answer is 60."
REPLY = f"<think>{THOUGHT}</think>{ANSWER}"
SMALL = "smollm2-135m-instruct"


class Upstream:
    """A scripted model server in a thread of its own: `server` says what it was asked and how much it generated."""

    def __init__(self) -> None:
        self.server = FakeServer("vllm", REPLY, parser="reasoning")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Upstream:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.server.__aenter__(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.server.__aexit__(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def reset(self) -> None:
        """Say the usual things again, at once and without faults."""
        server = self.server
        server.reply, server.tools, server.tick, server.faults = REPLY, (), 0.0, {}
        server.requests.clear()

    def fail(self, *faults: Fault) -> None:
        """Let the next generations fail."""
        self.server.faults = {self.server.generations + i: fault for i, fault in enumerate(faults)}

    @property
    def asked(self) -> dict[str, Any]:
        """The last request for a generation."""
        return self.server.body


def wait_for(what: str, seconds: float, ready: Any, process: subprocess.Popen[bytes], log: Path) -> Any:
    """Return what `ready` returns, once it is true. Raises `RuntimeError` with the end of the log."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if found := ready():
            return found
        time.sleep(0.1)
    said = log.read_text("utf-8", "replace")[-2000:]
    raise RuntimeError(f"{what} did not come up (exit code {process.poll()}):\n{said}")


def answers(url: str) -> bool:
    """Say whether a URL answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def serving(log: Path, *arguments: str, **more: str) -> Iterator[str]:
    """Run `ponder serve` with some arguments on a free port; yield its address once it can answer."""
    command, env = [PONDER, "serve", *arguments, "--port", "0"], {**QUIET, **more}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=env)

    def address() -> str | None:
        found = re.search(r"(http://127\.0\.0\.1:\d+)/v1", log.read_text("utf-8", "replace"))
        return found[1] if found else None

    try:
        url: str = wait_for("ponder serve", 120, address, process, log)
        wait_for("the models", 240, lambda: answers(f"{url}/health/readiness"), process, log)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    assert code == 0, f"the gateway ended with {code}:\n{log.read_text('utf-8', 'replace')[-2000:]}"


def cpu_flags() -> set[str]:
    """Return what the processor says it can do; nothing where it is not asked in Linux's way."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return set(next((line for line in lines if line.startswith("flags")), "").split())


@contextmanager
def vllm(python: str, model: str, log: Path) -> Iterator[str]:
    """Run a real vLLM on the processor with a folder of weights; yield the address of its endpoints."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/v1"
    # abspath and not resolve(): an environment's Python is a link, and what it links to knows nothing of vLLM.
    command = [os.path.abspath(python), "-m", "vllm.entrypoints.openai.api_server"]
    command += [
        "--model",
        os.path.abspath(model),
        "--served-model-name",
        "real",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--dtype",
        # Where the processor has no bfloat16 units, multiplying in it takes some twenty times as long.
        "bfloat16" if {"avx512_bf16", "amx_bf16"} & cpu_flags() else "float32",
        "--max-model-len",
        "2048",
    ]
    command += ["--max-num-seqs", "16", "--enforce-eager", "--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=env, cwd=log.parent, start_new_session=True)
    try:
        wait_for("vLLM", 400, lambda: answers(f"{url}/models"), process, log)
        yield url
    finally:
        # vLLM's engine is a child of its own; both are in one group, which is ours alone.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def embedded_model() -> str:
    """Return the model that runs inside of the gateway: the one that thinks, where it is installed, else a small one.

    Raises `LookupError` with the reason where none can be had.
    """
    if wanted := os.environ.get("PONDER_EMBEDDED"):
        return wanted
    listed = subprocess.run([PONDER, "model", "list", "--json"], env=QUIET, capture_output=True, check=True)
    for entry in json.loads(listed.stdout):
        if entry["installed"] and entry["name"].startswith("smol-thinker"):
            return str(entry["name"])
    got = subprocess.run([PONDER, "model", "get", SMALL], env=QUIET, capture_output=True, text=True, check=False)
    if got.returncode:
        raise LookupError(f"{SMALL} cannot be had: {got.stderr.strip()}")
    return SMALL


def settings(key_hash: str, upstream: str, local: str | None, real: str | None) -> str:
    """Return the ponder.toml of the gateway under test: one public model for each engine."""
    engines = {"echo": ['model = "echo"'], "scripted": [f'url = "{upstream}"', 'model = "toy"']}
    if local is not None:
        engines["embedded"] = [f'model = "{local}"', "threads = 1", "slots = 4", "context = 2048"]
    if real is not None:
        engines["vllm"] = [f'url = "{real}"', 'model = "real"']
    tables = [
        "[server]",
        "keep_alive_seconds = 1.0",
        "examine = false",
        "[[key]]",
        'name = "tests"',
        f'hash = "{key_hash}"',
    ]
    for name, lines in engines.items():
        tables += [f"[engine.{name}]", *lines, f"[model.{name}]", f'engine = "{name}"']
    return "\n".join(tables) + "\n"


def run(
    command: Sequence[str], seconds: float = 900, folder: Path = ROOT, **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run a client's own program in the environment of the clients."""
    return subprocess.run(
        command, cwd=folder, env={**QUIET, **more}, capture_output=True, text=True, timeout=seconds, check=False
    )

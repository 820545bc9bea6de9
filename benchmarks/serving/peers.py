"""What is compared: how each peer is installed into an environment of its own, and how a gateway is started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from platformdirs import user_cache_path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OURS = "ponder"
"""Stands for this working tree in a list of packages."""
CPU_TORCH = "https://download.pytorch.org/whl/cpu"
"""PyTorch without CUDA. Where it cannot be reached and the usual index has no such build, a peer with a lock fails."""

Command = Callable[["Place"], list[str]]


@dataclass(frozen=True)
class Place:
    """Where a gateway runs: its interpreter, its port, the upstream's address, and a folder of its own."""

    python: Path
    port: int
    upstream: str
    folder: Path

    def program(self, name: str) -> str:
        """Return the path of a command that was installed with the packages."""
        return str(self.python.parent / name)


@dataclass(frozen=True)
class Peer:
    """A gateway or library. `packages` are what pip installs; none of them is no process at all.

    `lock` names all that they need in turn, for packages whose needs pip's resolver takes an hour to sort out.
    """

    name: str
    about: str
    packages: tuple[str, ...] = ()
    command: Command | None = None
    ready: str = "/health"
    env: Mapping[str, str] = field(default_factory=dict)
    patience: float = 60.0
    """Seconds that it may take to start."""
    lock: Path | None = None

    @property
    def wanted(self) -> str:
        """What its environment is made from: while this does not change, it is not made anew."""
        return repr(self.packages) + (self.lock.read_text() if self.lock else "")

    @property
    def ours(self) -> bool:
        """Whether the interpreter at hand can run it."""
        return self.packages in ((OURS,), ("aiohttp",))


def _relay(place: Place) -> list[str]:
    script = str(HERE / "relay.py")
    return [str(place.python), script, "--port", str(place.port), "--upstream", place.upstream]


def _ponder(method: str) -> Command:
    def command(place: Place) -> list[str]:
        model = f"{place.upstream}#bench"
        serve = [str(place.python), "-m", "ponder", "serve", "--port", str(place.port)]
        return [*serve, "--model", model, "--method", method]

    return command


def _optillm(place: Place) -> list[str]:
    options = ["--base-url", place.upstream, "--approach", "none", "--model", "bench", "--log", "error"]
    return [place.program("optillm"), "--port", str(place.port), *options]


def _litellm(place: Place) -> list[str]:
    config = place.folder / "config.yaml"
    model = {"model": "openai/bench", "api_base": place.upstream, "api_key": "none"}
    # JSON is YAML too.
    config.write_text(json.dumps({"model_list": [{"model_name": "bench", "litellm_params": model}]}))
    where = ["--host", "127.0.0.1", "--port", str(place.port), "--num_workers", "1"]
    return [place.program("litellm"), "--config", str(config), *where, "--telemetry", "False"]


PEERS = {
    peer.name: peer
    for peer in (
        Peer("direct", "no gateway: the load generator asks the upstream itself"),
        Peer("relay", "a bare relay on aiohttp's server and client, as ponder uses them", ("aiohttp",), _relay),
        Peer("ponder", "ponder serve --method auto", (OURS,), _ponder("auto")),
        Peer(
            "ponder-sample", "ponder serve --method sample: one plain call for each request", (OURS,), _ponder("sample")
        ),
        Peer(
            "optillm",
            "optillm 0.4.0 --approach none: the request passed through",
            ("optillm==0.4.0", "torch==2.13.0"),
            _optillm,
            lock=HERE / "optillm-requirements.txt",
            env={"OPENAI_API_KEY": "none"},
            patience=300.0,
        ),
        Peer(
            "litellm",
            "LiteLLM's proxy, one worker, without a database",
            ("litellm[proxy]==1.106.2",),
            _litellm,
            ready="/health/liveliness",
            env={
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "LITELLM_LOG": "ERROR",
                "LITELLM_MODE": "PRODUCTION",
                # On loopback, and the others check no key either.
                "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
            },
            patience=600.0,
        ),
    )
}


def cache() -> Path:
    """Return the folder of the environments."""
    return user_cache_path("ponder") / "benchmarks" / "gateway"


def interpreter(peer: Peer) -> Path:
    """Return the interpreter of a peer's own environment."""
    return cache() / (OURS if OURS in peer.packages else peer.name) / "bin" / "python"


def install(peer: Peer) -> None:
    """Make a peer's environment where it is missing; ponder itself is installed anew each time."""
    folder = interpreter(peer).parent.parent
    marker = folder / "installed"
    if not (marker.exists() and marker.read_text() == peer.wanted):
        print(f"installing {', '.join(peer.packages)} into {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        constraints = ["-c", str(ROOT / "constraints.txt")] if peer.ours else []
        torch = ("--no-deps", "--extra-index-url", CPU_TORCH, "--retries", "1") if peer.lock else ()
        _pip(peer, *torch, *constraints, *(str(ROOT) if name == OURS else name for name in peer.packages))
        if peer.lock:
            _pip(peer, "--no-deps", "-r", str(peer.lock))
        marker.write_text(peer.wanted)
    elif OURS in peer.packages:
        _pip(peer, "--no-deps", "--force-reinstall", str(ROOT))


def _pip(peer: Peer, *arguments: str) -> None:
    """Install with this interpreter's pip into another environment, which needs none of its own."""
    install = ["-m", "pip", "--python", str(interpreter(peer)), "install", "-qq", "--no-input"]
    subprocess.run([sys.executable, *install, "--disable-pip-version-check", *arguments], check=True)


def versions(python: Path) -> dict[str, str]:
    """Return the versions of what matters in an environment."""
    program = (
        "import importlib.metadata as m, json; names = ('ponder', 'aiohttp', 'optillm', 'litellm', 'uvicorn', 'flask');"
        "print(json.dumps({d.name.lower(): d.version for d in m.distributions() if d.name.lower() in names}))"
    )
    return dict(json.loads(subprocess.run([python, "-c", program], check=True, capture_output=True).stdout))


def surroundings(peer: Peer, folder: Path) -> dict[str, str]:
    """Return the environment variables that a gateway gets: no keys of the user's, a home of its own, one thread."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    quiet = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return {**kept, **quiet, "HOME": str(folder), "PONDER_CACHE": str(folder), **peer.env}

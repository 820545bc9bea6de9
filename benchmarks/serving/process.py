"""Processes of a benchmark: started on chosen cores, asked when they are up, and read for memory and CPU (Linux)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
HERE = Path(__file__).resolve().parent


class NotUp(Exception):
    """A process that did not come up; the message holds the end of what it printed."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Running:
    """A process and its children."""

    pid: int
    log: Path

    def tree(self) -> list[int]:
        """Return the process and all below it."""
        found = [self.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                with suppress(OSError):
                    found += [int(child) for child in task.read_text().split()]
        return found

    def megabytes(self) -> float:
        """Return the resident memory of the tree."""
        total = 0
        for pid in self.tree():
            with suppress(OSError):
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return total * os.sysconf("SC_PAGE_SIZE") / 1e6

    def cpu(self) -> float:
        """Return the CPU seconds that the tree has used."""
        total = 0
        for pid in self.tree():
            with suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def sockets(self) -> int:
        """Return how many sockets the tree holds open."""
        total = 0
        for pid in self.tree():
            for entry in Path(f"/proc/{pid}/fd").glob("*"):
                with suppress(OSError):
                    total += os.readlink(entry).startswith("socket:")
        return total

    def said(self) -> str:
        """Return the end of what it printed."""
        return self.log.read_text(errors="replace")[-2000:]


@contextmanager
def started(
    command: list[str], log: Path, cores: Collection[int], env: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Run a command on some cores; it and what it started are ended with the block."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            env=env,
            cwd=log.parent,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        try:
            yield Running(process.pid, log)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(port: int, path: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as line:
            line.settimeout(5)
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            return b" 200 " in line.recv(4096)[:16]
    except OSError:
        return False


def wait_until_up(running: Running, port: int, path: str, patience: float) -> float:
    """Return the seconds until a process answers. Raises `NotUp`."""
    began = time.perf_counter()
    while not answers(port, path):
        gone = not Path(f"/proc/{running.pid}/stat").exists() or _zombie(running.pid)
        if gone or time.perf_counter() - began > patience:
            raise NotUp(f"{running.log} did not come up:\n{running.said()}")
        time.sleep(0.005)
    return time.perf_counter() - began


def _zombie(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


@contextmanager
def upstream(folder: Path, cores: Collection[int]) -> Iterator[tuple[Running, int]]:
    """Run the upstream; its process and its port."""
    port = free_port()
    with started(
        [sys.executable, str(HERE / "upstream.py"), "--port", str(port)], folder / "upstream.log", cores
    ) as up:
        wait_until_up(up, port, "/v1/models", 30)
        yield up, port

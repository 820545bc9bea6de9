"""Writes a run's log, shows its progress, and lets the model be evaluated while it learns."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ponder.train.loops.encode import Encoded
from ponder.train.loops.plan import Plan


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the log. `tokens` were seen so far, prompts included and padding not; `seconds` were spent so far."""

    step: int
    stage: int
    loss: float
    learning_rate: float
    grad_norm: float
    tokens: int
    seconds: float


class Recorder:
    """Appends a line for each step to a JSONL file; lines behind a resumed checkpoint are dropped first."""

    def __init__(
        self,
        path: Path,
        plan: Plan,
        rows: Sequence[Encoded],
        evaluate: Callable[..., Mapping[str, float]] | None,
        progress: Callable[[Step], None] | None,
    ) -> None:
        self._path, self._plan, self._rows = path, plan, rows
        self._evaluate, self._progress = evaluate, progress
        self._started, self._tokens, self._before = 0.0, 0, 0.0

    def begin(self, done: int) -> None:
        """Take up the log behind step `done`."""
        lines = self._path.read_text("utf-8").splitlines() if self._path.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= done]
        self._path.write_text("".join(f"{line}\n" for line in kept), "utf-8")
        self._tokens = sum(self._size(step) for step in range(1, done + 1))
        self._before = json.loads(kept[-1])["seconds"] if kept else 0.0
        self._started = time.monotonic()

    def step(self, number: int, loss: float, learning_rate: float, grad_norm: float) -> None:
        """Write a step's line."""
        self._tokens += self._size(number)
        seconds = round(self._before + time.monotonic() - self._started, 3)
        step = Step(number, self._plan.stage(number), loss, learning_rate, grad_norm, self._tokens, seconds)
        self._append(asdict(step))
        if self._progress is not None:
            self._progress(step)

    def _size(self, step: int) -> int:
        return sum(len(self._rows[row].ids) for row in self._plan.batches[step - 1])

    def _append(self, line: Mapping[str, float]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

"""Writes a run's log, shows its progress, and has the model evaluated while it learns."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.core.errors import DataError
from ponder.train.loops.encode import Encoded
from ponder.train.loops.plan import Plan

if TYPE_CHECKING:
    from ponder.train.loops.adapt import Model


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the log. `stage` counts from 0; `tokens` were seen so far, prompts included and padding not."""

    step: int
    steps: int
    stage: int
    loss: float
    learning_rate: float
    grad_norm: float
    tokens: int
    seconds: float
    evaluation: Mapping[str, float] = field(default_factory=dict)
    """What `evaluate` said after this step, if it was asked."""


class Recorder:
    """Appends a line for each step to a JSONL file.

    `evaluate` is asked every `every` steps and at the end of each stage; it may not change the model.
    """

    def __init__(
        self,
        path: Path,
        plan: Plan,
        rows: Sequence[Encoded],
        evaluate: Callable[[Model], Mapping[str, float]] | None = None,
        progress: Callable[[Step], None] | None = None,
        every: int = 0,
    ) -> None:
        self._path, self._plan, self._rows, self._every = path, plan, rows, every
        self._evaluate, self._progress = evaluate, progress
        self._started, self._tokens, self._before = 0.0, 0, 0.0
        self.last: Step | None = None

    def begin(self, done: int) -> None:
        """Take up the log behind step `done`: what was written after the checkpoint of that step is dropped."""
        lines = self._path.read_text("utf-8").splitlines() if self._path.exists() else []
        kept = [line for line in map(_read, lines) if line and line.get("step", done + 1) <= done]
        self._path.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")
        self._tokens = sum(self._size(step) for step in range(1, done + 1))
        self._before = kept[-1]["seconds"] if kept else 0.0
        self._started = time.monotonic()

    def step(self, number: int, loss: float, learning_rate: float, grad_norm: float, model: Model) -> None:
        """Write a step's line, with an evaluation if one is due."""
        self._tokens += self._size(number)
        due = number in self._plan.ends or (self._every and number % self._every == 0)
        found = self._evaluate(model) if self._evaluate and due else {}
        seconds = round(self._before + time.monotonic() - self._started, 3)
        stage, steps = self._plan.stage(number), len(self._plan.batches)
        step = Step(number, steps, stage, loss, learning_rate, grad_norm, self._tokens, seconds, dict(found))
        self._append(step)
        self.last = step
        if self._progress is not None:
            self._progress(step)

    def _size(self, step: int) -> int:
        return sum(len(self._rows[row].ids) for row in self._plan.batches[step - 1])

    def _append(self, step: Step) -> None:
        line = {key: value for key, value in asdict(step).items() if key not in ("steps", "evaluation")}
        if step.evaluation:
            line["evaluation"] = dict(step.evaluation)
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise DataError(f"{self._path} cannot be written ({error.strerror}); make room and start again") from None


def _read(line: str) -> dict[str, float]:
    """Return a line of the log; nothing for one that was cut short when its run was killed."""
    try:
        found: dict[str, float] = json.loads(line)
    except ValueError:
        return {}
    return found

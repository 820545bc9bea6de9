"""The progress of a training: step, loss, speed, time left, what the model can by now."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from ponder.cli.output import console, interval, percent

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ponder.train.loops.portions import Portion
    from ponder.train.loops.record import Step

_SECONDS = 30
"""Between lines where standard error is no terminal."""


class TrainProgress:
    """A bar on a terminal, a line now and then elsewhere; on standard error, and with `quiet` not at all."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._console = console(stderr=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._shown = self._last = time.monotonic()
        self._tokens: int | None = None
        self._rate = 0.0

    def __enter__(self) -> TrainProgress:
        if not self._quiet and self._console.is_terminal:
            self._bar = self._make_bar()
            self._task = self._bar.add_task("loading", total=None, said="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begun(self, portions: Sequence[Portion], done: int) -> None:
        """Say what will be trained on, what was left out, and where an earlier run broke off."""
        for portion in portions:
            self._say(portion_text(portion))
        if done:
            self._say(f"going on behind step {done}")

    def step(self, step: Step) -> None:
        """Show a step."""
        now = time.monotonic()
        if self._tokens is not None:
            self._rate = (step.tokens - self._tokens) / max(now - self._last, 1e-9)
        self._tokens, self._last = step.tokens, now
        text = f"loss {step.loss:.4f}  {self._rate:,.0f} tok/s"
        if step.evaluation:
            self._say(f"step {step.step}: {evaluation_text(step.evaluation)}")
        if self._bar is not None and self._task is not None:
            stage = f"stage {step.stage + 1}"
            self._bar.update(self._task, description=stage, completed=step.step, total=step.steps, said=text)
        elif now - self._shown >= _SECONDS or step.step == step.steps:
            self._shown = now
            self._say(f"{step.step}/{step.steps}  stage {step.stage + 1}  {text}")

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._console.print(text, markup=False)

    def _make_bar(self) -> Progress:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        return Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(),
            console=self._console,
            refresh_per_second=4,
        )


def portion_text(portion: Portion) -> str:
    """Return a stage in one line: what is learnt, and what was left out."""
    left = [
        f"{count} {why}"
        for count, why in ((portion.too_long, "too long"), (portion.beyond, "of longer stages"))
        if count
    ]
    out = f"; left out: {', '.join(left)}" if left else ""
    return f"{portion.name}: {len(portion.rows):,} rows, {portion.mean:.1f} tokens to learn in the mean{out}"


def evaluation_text(found: Mapping[str, float]) -> str:
    """Return an evaluation in one line."""
    if "accuracy" not in found:
        return "  ".join(f"{name} {value:g}" for name, value in found.items())
    return (
        f"{percent(found['accuracy'])} right {interval((found['low'], found['high']))} of {found['questions']:,.0f}, "
        f"{found['tokens']:.1f} tokens, {percent(found['truncated'])} cut"
    )

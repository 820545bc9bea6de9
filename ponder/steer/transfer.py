"""Does a threshold hold on questions of another kind? Calibrated on all other tasks, tried on each (2502.04428)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ponder.core.errors import DataError
from ponder.steer.calibration import Calibration, proportional


class Transfer(NamedTuple):
    """What a calibration on other tasks says of a task, and what is true of it; shares and accuracies in 0 to 1."""

    task: str
    questions: int
    threshold: float
    share: float
    foretold: float
    accuracy: float
    auc: float


@dataclass(frozen=True, slots=True)
class Answered:
    """Scored answers of a weak way, by question: its task, its score, and 1 or 0 for whether both ways were right.

    `strong` may be empty: then a share can be calibrated, and no accuracy of the whole foretold.
    """

    tasks: tuple[str, ...]
    scores: tuple[float, ...]
    weak: tuple[int, ...]
    strong: tuple[int, ...] = ()

    def calibration(
        self, names: Mapping[str, str], draw: int | None = None, apart: Collection[str] = ()
    ) -> Calibration:
        """Return a calibration on the tasks that are not `apart`; `draw` questions of the pool, or all of them.

        They are drawn from each bin of the pool's histogram of scores in proportion to what it holds, so that a small
        set has the pool's distribution. Raises `DataError` where nothing is left.
        """
        pool = [place for place, task in enumerate(self.tasks) if task not in apart]
        if not pool:
            raise DataError("no scored question is left to calibrate on; name other tasks, or fewer to keep apart")
        places = proportional([self.scores[place] for place in pool], len(pool) if draw is None else draw)
        return self._of([pool[place] for place in places], names)

    def transfers(self, share: float, draw: int | None = None) -> list[Transfer]:
        """Try on each task what a calibration on all the others says of it; none where there is one task alone."""
        tasks = list(dict.fromkeys(self.tasks))
        return [self._transfer(task, share, draw) for task in tasks] if len(tasks) > 1 else []

    def _transfer(self, task: str, share: float, draw: int | None) -> Transfer:
        told = self.calibration({}, draw, {task})
        true = self._of([place for place, name in enumerate(self.tasks) if name == task], {})
        threshold = told.threshold(share)
        (_, foretold), (sent, accuracy) = told.accuracy(threshold), true.accuracy(threshold)
        return Transfer(task, len(true.scores), threshold, sent, foretold, accuracy, true.auc())

    def _of(self, places: Sequence[int], names: Mapping[str, str]) -> Calibration:
        strong = tuple(self.strong[place] for place in places) if self.strong else ()
        scores, weak = (tuple(column[place] for place in places) for column in (self.scores, self.weak))
        return Calibration(scores, tuple(map(int, weak)), strong, names)

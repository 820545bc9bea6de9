"""A scorer of every kind of the table: those that need files have them written here, for the scripted engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np

from ponder.core.judge import Scorer
from ponder.engines.echo import WIDTH
from ponder.scorers import find_scorer
from ponder.train.prm.head import save_head
from ponder.train.probe import Settings, fit, save_probe


def scorer_of(name: str, folder: Path) -> Scorer:
    """Return a scorer as it comes; what is trained is trained in `folder`, once, on states such as the engine makes up.

    The scripted engine votes with what it says first.
    """
    cls = cast(Callable[..., Scorer], find_scorer(name))
    if name == "prm":
        return cls(good="<think>", bad="rival1")
    if name not in ("probe", "prm_head"):
        return cls()
    path = folder / name
    if not path.exists():
        states = np.random.default_rng(0).random((40, WIDTH), np.float32)
        arrays = fit(states, (states[:, 0] > 0.5).astype(int).tolist(), Settings(hidden=4))
        if name == "probe":
            save_probe(path, arrays, -1, {})
        else:
            save_head(path, arrays, -1, " ", False, {"model": "echo"})
    return cls(str(path))

"""What trees of rollouts give for the same tokens as rejection sampling, question by question, with paired intervals.

python benchmarks/fast_mcts.py BASE.questions.jsonl OTHER.questions.jsonl...

The files are those that `ponder data fast_mcts` keeps beside its output, the first one made with --plain.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from ponder.bench.stats import Estimate, bootstrap, difference

Columns = dict[str, npt.NDArray[np.float64]]
KEYS = ("right", "verified_tokens", "pairs", "tokens", "rollouts")


def read(path: Path, order: list[str] | None) -> tuple[list[str], Columns]:
    """Return the question ids of a journal and a column for each count, in the order that is asked for."""
    with path.open(encoding="utf-8") as file:
        next(file)
        rows = {str(line["id"]): line for line in map(json.loads, file)}
    ids = sorted(rows) if order is None else order
    missing = [id for id in ids if id not in rows] or [id for id in rows if id not in ids]
    if missing:
        raise SystemExit(f"{path} and the first file differ in {missing[0]}; compare the same questions")
    return ids, {key: np.array([float(rows[id][key]) for id in ids]) for key in KEYS}


def yields(new: Columns, base: Columns, key: str) -> Estimate:
    """Return how many times as much of `key` each generated token gave."""

    def times(drawn: npt.NDArray[np.int64]) -> float:
        ours, theirs = (float(one[key][drawn].sum() / one["tokens"][drawn].sum()) for one in (new, base))
        return ours / theirs if theirs else float("inf")

    return bootstrap(times, len(new[key]), replicates=2000)


def told(found: Estimate, scale: float = 1, digits: int = 2, sign: str = "") -> str:
    """Return an estimate with its interval."""
    low, high = found.interval
    return f"{scale * found.value:{sign}.{digits}f} [{scale * low:{sign}.{digits}f}, {scale * high:{sign}.{digits}f}]"


def main(paths: list[Path]) -> None:
    """Print a row for each file, the later ones beside the first."""
    ids, base = read(paths[0], None)
    print("| file | rollouts | tokens | right | pairs | solved | right a token | verified | pairs a token | solved |")
    print("|---|" + "---:|" * 9)
    for path in paths:
        _, found = read(path, ids)
        sums = {key: int(column.sum()) for key, column in found.items()}
        solved, before = (cast(npt.NDArray[np.float64], (one["right"] > 0) * 1.0) for one in (found, base))
        compared = [
            told(yields(found, base, "right")),
            told(yields(found, base, "verified_tokens")),
            told(yields(found, base, "pairs")),
            told(difference(solved, before), 100, 1, "+"),
        ]
        beside = compared if path != paths[0] else ["–"] * 4
        counts = [f"{sums[key]:,}" for key in ("rollouts", "tokens", "right", "pairs")]
        print("|", " | ".join([path.name.partition(".")[0], *counts, f"{100 * solved.mean():.1f} %", *beside]), "|")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])

"""What could be stopped in recorded thoughts of DeepSeek-R1-Distill-Qwen-1.5B, as far as their text alone tells.

    python benchmarks/recorded_thoughts.py TRACES [--write | --check]

TRACES is a file as `ponder replay` reads it, with `max_new_tokens` on each sample. Nobody asked these thoughts on the
side, so no rule that probes can be replayed. What the text does tell: where in its thought a reply first states what
will be its answer, and which of the thoughts that a limit cut had begun to repeat themselves.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from small_models import between

from ponder.text.loops import Loops
from ponder.verify.math import Math

PAGE = Path(__file__).resolve().parent.parent / "docs" / "studies" / "stopping.md"
CLOSE = "</think>"
SHORTEST = 3
"""Characters of an answer that is looked for: a shorter one stands in any thought by chance."""
STRAPS = 2000


@dataclass(frozen=True, slots=True)
class Thought:
    """One reply: its limit in tokens, whether it closed its thought, and how far in (0 to 1) something happens."""

    limit: int
    closed: bool
    first: float | None
    """Where the thought first states the final answer."""
    loop: float | None
    """Where a thought that the limit cut begins to repeat itself."""


def thoughts(path: Path) -> Iterator[Thought]:
    """Read every sample."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            for sample in json.loads(line)["samples"]:
                thought, close, answer = sample["text"].partition(CLOSE)
                limit = int(sample["max_new_tokens"])
                yield Thought(limit, bool(close), _first(thought, answer), None if close else _loop(thought))


def _first(thought: str, answer: str) -> float | None:
    stated = Math().extract(answer) if answer.strip() else None
    if stated is None or len(stated) < SHORTEST:
        return None
    place = thought.find(stated)
    return None if place < 0 else (place + len(stated)) / len(thought)


def _loop(thought: str) -> float | None:
    found = Loops().feed(thought)
    return None if found is None else found.start / len(thought)


def table(found: Sequence[Thought]) -> str:
    """Return one line for each limit."""
    heads = "samples | thought closed | answer found in it | first stated at, 95 % | cut ones that repeat themselves"
    lines = [f"| new tokens | {heads} | from |", "|---:|---:|---:|---:|---:|---:|---:|"]
    for limit in sorted({one.limit for one in found}):
        lines.append(_line(limit, [one for one in found if one.limit == limit]))
    return "\n".join(lines) + "\n"


def _line(limit: int, some: Sequence[Thought]) -> str:
    closed = [one for one in some if one.closed]
    stated = [one.first for one in closed if one.first is not None]
    cut = [one for one in some if not one.closed]
    loops = [one.loop for one in cut if one.loop is not None]
    low, high = interval(stated)
    cells = (
        f"{limit:,}",
        str(len(some)),
        f"{100 * len(closed) / len(some):.1f} %",
        str(len(stated)),
        f"{100 * statistics.mean(stated):.1f} % [{100 * low:.1f}, {100 * high:.1f}]",
        f"{len(loops)} of {len(cut)}",
        f"{100 * statistics.mean(loops):.0f} %" if loops else "–",
    )
    return f"| {' | '.join(cells)} |"


def interval(values: Iterable[float]) -> tuple[float, float]:
    """Return the bootstrap's interval of 95 % for a mean."""
    values, draw = list(values), random.Random(0)
    means = sorted(statistics.fmean(draw.choices(values, k=len(values))) for _ in range(STRAPS))
    return means[int(0.025 * STRAPS)], means[int(0.975 * STRAPS) - 1]


def main() -> int:
    """Print the table, write it into the page, or check that it stands there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", type=Path)
    parser.add_argument("--write", action="store_true", help="write the table into the page of the study")
    parser.add_argument("--check", action="store_true", help="fail if the page does not show it")
    args = parser.parse_args()
    shown = table(list(thoughts(args.traces)))
    old = PAGE.read_text(encoding="utf-8")
    text = between(old, "r1", shown)
    if args.write:
        PAGE.write_text(text, encoding="utf-8")
    elif not args.check:
        print(shown)
    elif text != old:
        print(f"{PAGE.name} does not show what {args.traces} holds")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

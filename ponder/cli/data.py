"""`ponder data`: make what models are trained on and tested with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import click

from ponder.cli.data_fast_mcts import fast_mcts
from ponder.cli.options import json_option
from ponder.cli.output import console, print_json
from ponder.cli.ranges import MOST, Finite

if TYPE_CHECKING:
    from ponder.train.lab.thought import Overthinking

_FAMILIES = """\b
Families:
  addition:digits=1-3,second=4       sums, digit by digit from the right
  algebra:variables=4-7,steps=1-5    linear equations in made-up symbols
  directional:actions=1-10           which way one faces after some turns
  modular:links=1-6,modulus=7        chains of operations modulo a number
  reckoning:level=1-5,lines=8        drills of operations, one a line
  arithmetic:level=1-5,language=mix  the questions of the benchmark

\b
Example:
  ponder data lab addition modular --count 10000 --passes 3 --out train.jsonl
"""


@click.group()
def data() -> None:
    """Make what models are trained on and tested with."""


data.add_command(fast_mcts)


@data.command(epilog=_FAMILIES)
@click.argument("families", nargs=-1, required=True, metavar="FAMILY...")
@click.option("--count", type=click.IntRange(1, MOST), required=True, help="Rows, all families together.")
@click.option("--seed", type=int, help="Not 0, which is for --questions.  [default: 1]")
@click.option("--passes", type=Finite(0, 20), help="Times that a thought works it all out again.  [default: 2]")
@click.option("--slips", type=Finite(0, 1), help="Chance of a wrong turn in each pass.  [default: 0.3]")
@click.option("--minimal", is_flag=True, help="Nothing but the shortest sufficient thoughts.")
@click.option("--questions", "asks", is_flag=True, help="Questions for tests, none of which is ever trained on.")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="JSON lines, replaced.")
@json_option
def lab(
    families: tuple[str, ...],
    count: int,
    seed: int | None,
    passes: float | None,
    slips: float | None,
    minimal: bool,
    asks: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Make conversations whose thoughts are too long by a known amount, or questions for tests.

    Each family is a name, with options behind a colon. Several take turns.
    """
    from ponder.train.lab.rows import conversations, questions
    from ponder.train.lab.table import load_family
    from ponder.weights.staged import staged_file

    if asks and (minimal or passes is not None or slips is not None):
        raise click.UsageError("--questions have no thoughts; leave out --minimal, --passes and --slips")
    if minimal and (passes is not None or slips is not None):
        raise click.UsageError("--minimal thoughts have neither --passes nor --slips; leave those out")
    seed = (0 if asks else 1) if seed is None else seed
    made = [load_family(spec, seed) for spec in families]
    names = [family.name for family in made]
    if len(set(names)) < len(names):
        raise click.UsageError("a family is named twice; name each once")
    rows = questions(made, count) if asks else conversations(made, count, _thinking(minimal, passes, slips), seed)
    with staged_file(out) as stage:
        size = _write(_shown(rows, count), stage)
    turns = {name: len(range(index, count, len(names))) for index, name in enumerate(names)}
    thought = None if asks else size.thought / count
    summary = Summary(str(out), count, turns, size.minimal / count, thought, size.sha256)
    if as_json:
        print_json({"schema": 1, **asdict(summary)})
    else:
        console().print(summary.text(), markup=False)


def _thinking(minimal: bool, passes: float | None, slips: float | None) -> Overthinking:
    from ponder.train.lab.thought import Overthinking

    default = Overthinking()
    chosen = Overthinking(default.passes if passes is None else passes, default.slips if slips is None else slips)
    return Overthinking(0, 0) if minimal else chosen


@dataclass(frozen=True, slots=True)
class Summary:
    """What a file holds. Characters are means over its rows; None for the thoughts of questions, which have none."""

    file: str
    rows: int
    families: dict[str, int]
    minimal_characters: float
    thought_characters: float | None
    sha256: str

    def text(self) -> str:
        """Return the summary as people read it."""
        parts = ", ".join(f"{name} {count:,}" for name, count in self.families.items())
        thought = "" if self.thought_characters is None else f", thought {self.thought_characters:.1f}"
        means = f"characters in the mean: minimal {self.minimal_characters:.1f}{thought}"
        return f"{self.file}: {self.rows:,} rows ({parts})\n{means}\nsha256 {self.sha256}"


class _Size(NamedTuple):
    minimal: int
    thought: int
    sha256: str


def _write(rows: Iterator[dict[str, object]], stage: Path) -> _Size:
    """Write the rows one a line; return the characters of all chains and thoughts, and the hash of the file."""
    digest, minimal, thought = hashlib.sha256(), 0, 0
    with stage.open("wb") as file:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
            file.write(line)
            digest.update(line)
            minimal += len(cast(str, row["minimal"]))
            if "messages" in row:
                reply = cast(list[dict[str, str]], row["messages"])[-1]["content"]
                thought += len(reply.removeprefix("<think>\n").rpartition("\n</think>")[0])
    return _Size(minimal, thought, digest.hexdigest())


def _shown(rows: Iterator[dict[str, object]], count: int) -> Iterator[dict[str, object]]:
    """Yield the rows, with a bar on a terminal."""
    from rich.progress import track

    err = console(stderr=True)
    yield from track(rows, "rows", total=count, console=err, transient=True, disable=not err.is_terminal)

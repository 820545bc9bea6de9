"""The study of stopping: every rule that ends a thought early, at every threshold, where the oracle's exit is known.

    python benchmarks/stopping.py [--only tiny-reasoner] [--write | --check] [--out FOLDER]

Records each model's thoughts about the questions of seed 0, with an answer asked on the side every few tokens
(`ponder record`, which goes on where it stopped), and tries every rule at every threshold on them (`ponder replay
--along`). Settings are chosen on every second question and reported on the others. With `--write` the recordings are
kept in `docs/studies/stopping` and the page and its plots are written from nothing but those; `--check` compares the
page and runs no model.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from small_models import between, task_of

from ponder.train.base.recipe import FAMILIES

ROOT = Path(__file__).resolve().parent.parent
STUDY = ROOT / "docs" / "studies" / "stopping"
LOSS = 0.01
"""Points of accuracy, as a share, that a setting may lose where it is chosen."""
WORDS = "Wait,Let me check,不对,这对不对"
"""Where these models turn: DEER looks there."""
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """A model of the study: what it is asked, how long a reply may be, and how far apart its probes stand."""

    name: str
    families: tuple[str, ...]
    questions: int
    tokens: int
    every: int


SUBJECTS = (
    Subject("tiny-reasoner", FAMILIES, 200, 1024, 8),
    Subject("smol-thinker", ("arithmetic:level=1-5,language=mix",), 1000, 768, 8),
)


def record(subject: Subject, folder: Path, options: Sequence[str]) -> None:
    """Record or go on recording; end the program as `ponder record` ended if that failed."""
    folder.mkdir(parents=True, exist_ok=True)
    for family in subject.families:
        command = [
            *(sys.executable, "-m", "ponder", "record", task_of(family), "--model", subject.name),
            *("--limit", str(subject.questions), "--max-tokens", str(subject.tokens), "--every", str(subject.every)),
            *("--probe", "close", "--at-words", WORDS, "--out", str(file_of(folder, family)), *options),
        ]
        if code := subprocess.run(command, check=False).returncode:
            sys.exit(code)


def file_of(folder: Path, family: str) -> Path:
    """Return the recording of a family."""
    return folder / f"{family.partition(':')[0]}.jsonl.gz"


def lines(subject: Subject, folder: Path) -> Iterator[str]:
    """Yield the first file's header, then the problems of all files."""
    for number, family in enumerate(subject.families):
        with gzip.open(file_of(folder, family), "rt", encoding="utf-8") as file:
            header = next(file)
            if not number:
                yield header
            yield from file


def along(rows: Sequence[str], plot: Path | None = None) -> list[Row]:
    """Try every rule on recorded problems, the header first."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "thoughts.jsonl"
        path.write_text("".join(rows), encoding="utf-8")
        command = [sys.executable, "-m", "ponder", "replay", "--along", str(path), "--json"]
        if plot is not None:
            command += ["--plot", str(plot)]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    found: list[Row] = json.loads(done.stdout)["rows"]
    return found


def chosen(first: Sequence[Row], second: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """Yield, rule by rule, the row that saves most in the first half at no more than `LOSS`, and its twin in the other.

    Where no setting keeps to that, the one that loses least is taken.
    """
    others = {_setting(row): row for row in second}
    for method in dict.fromkeys(row["method"] for row in first):
        rows = [row for row in first if row["method"] == method]
        kept = [row for row in rows if row["accuracy_change"] >= -LOSS]
        best = max(kept, key=lambda row: row["saving"]) if kept else max(rows, key=lambda row: row["accuracy_change"])
        yield best, others[_setting(best)]


def _setting(row: Row) -> str:
    """Return a rule with its settings, without the mean length of thoughts, which each half has of its own."""
    return json.dumps([row["method"], {key: value for key, value in row["options"].items() if key != "typical"}])


def table(first: Sequence[Row], second: Sequence[Row]) -> str:
    """Return what each rule, set on one half, does on the other half."""
    heads = "accuracy, 95 % | tokens | of these probes | saved, 95 % | change in points, 95 % | above mixture | cut"
    lines = [f"| rule, as set on the other half | {heads} |", "|---|---:|---:|---:|---:|---:|---:|---:|"]
    lines += [_line(row) for _, row in chosen(first, second)]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    low, high = row["accuracy_interval"]
    base = row["method"] == "full"
    saved = "–" if base else f"{100 * row['saving']:.1f} % {_pair(row['saving_interval'], '.1f')}"
    change = "–" if base else f"{100 * row['accuracy_change']:+.1f} {_pair(row['accuracy_change_interval'], '+.1f')}"
    gain = row["mixture_gain"]
    cells = (
        f"`{row['label']}`",
        f"{100 * row['accuracy']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]",
        f"{row['tokens']:.1f}",
        f"{row['tokens_by_role'].get('probe', 0):.1f}",
        saved,
        change,
        "–" if gain is None else f"{100 * gain:+.1f} {_pair(row['mixture_interval'], '+.1f')}",
        str(row["truncated"]),
    )
    return f"| {' | '.join(cells)} |"


def _pair(interval: Sequence[float] | None, form: str) -> str:
    return "" if interval is None else f"[{100 * interval[0]:{form}}, {100 * interval[1]:{form}}]"


def main() -> int:
    """Run the study, write its page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "stopping", help="the recordings' folder")
    parser.add_argument("--only", action="append", choices=[one.name for one in SUBJECTS], help="one model only")
    parser.add_argument("--write", action="store_true", help=f"record into {STUDY.relative_to(ROOT)}, write the page")
    parser.add_argument("--check", action="store_true", help="fail if the page does not show the committed recordings")
    args, options = parser.parse_known_args()
    folder = STUDY if args.write or args.check else args.out
    page = STUDY.with_suffix(".md")
    text = old = page.read_text(encoding="utf-8") if args.write or args.check else ""
    for subject in [one for one in SUBJECTS if not args.only or one.name in args.only]:
        if not args.check:
            record(subject, folder / subject.name, options)
        header, *problems = lines(subject, folder / subject.name)
        halves = [along([header, *problems[start::2]]) for start in (0, 1)]
        shown = f"{len(problems):,} thoughts.\n\n{table(*halves)}"
        if args.write:
            plots = STUDY / "plots"
            plots.mkdir(exist_ok=True)
            along([header, *problems], plots / f"{subject.name}.svg")
        if args.write or args.check:
            text = between(text, subject.name, shown)
        else:
            print(f"\n{subject.name}\n\n{shown}")
    if args.write:
        page.write_text(text, encoding="utf-8")
    elif args.check and text != old:
        print(f"{page.relative_to(ROOT)} does not show the recordings in {STUDY.relative_to(ROOT)}")
    return 1 if args.check and text != old else 0


if __name__ == "__main__":
    sys.exit(main())

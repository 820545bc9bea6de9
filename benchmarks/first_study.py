"""The first study: four ways to reason, 500 questions of GSM8K, one small model; `make study` or this file.

Runs `ponder bench` into a folder (resumable: start the same command again) and writes the page beside it from nothing
but that run. `--check` compares the page with the run, and runs nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from ponder.bench.results import RunInfo, read_arms, rows_of
from ponder.bench.session import FILE
from ponder.bench.store import Store
from ponder.bench.summary import Row
from ponder.cli.output import interval, percent

ROOT = Path(__file__).resolve().parent.parent
TASK, METHODS, QUESTIONS, NEW_TOKENS = "gsm8k", "sample,concise_cot,chain_of_draft,no_thinking", 500, 512
MARGIN = 0.05
BEGIN, END = "<!-- results -->\n", "<!-- /results -->\n"


def run(model: str, folder: Path, concurrency: int | None) -> int:
    """Run or resume the study; return the exit code of `ponder bench`."""
    command = [
        *(sys.executable, "-m", "ponder", "bench", TASK, "--methods", METHODS, "--limit", str(QUESTIONS)),
        *("--max-tokens", str(NEW_TOKENS), "--margin", str(MARGIN), "--model", model, "--out", str(folder)),
        *(("--concurrency", str(concurrency)) if concurrency else ()),
    ]
    return subprocess.run(command, check=False).returncode


def read(folder: Path) -> tuple[RunInfo, list[Row]]:
    """Return what the run says of itself, and its rows."""
    with Store(folder / FILE, write=False) as store:
        info = RunInfo.read(store)
        return info, rows_of(read_arms(store, info), baseline="sample", margin=MARGIN, price=None)


def tables(rows: list[Row]) -> str:
    """Return the two tables and the sentences under them, as Markdown."""
    lines = [
        "| method | questions | accuracy, 95 % | tokens a question, 95 % | cut at 512 | median s |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        low, high = row.tokens_interval
        tokens = f"{row.tokens:.1f} [{low:.1f}, {high:.1f}]"
        accuracy = f"{percent(row.accuracy)} {interval(row.accuracy_interval)}"
        p50 = "–" if row.latency.p50 is None else f"{row.latency.p50:.1f}"
        lines.append(f"| `{row.label}` | {row.questions} | {accuracy} | {tokens} | {row.truncated} | {p50} |")
    lines += [
        "",
        "| against `sample` | saving, 95 % | accuracy change in points, 95 % | not worse by 5 points | McNemar p (Holm) "
        "| AES | above the mixture line, points, 95 % |",
        "|---|---:|---:|---|---:|---:|---:|",
    ]
    lines += [_against(row) for row in rows if row.label != row.baseline]
    return "\n".join(lines) + "\n"


def _against(row: Row) -> str:
    saving = f"{percent(row.saving)} {interval(row.saving_interval)}"
    change = f"{100 * (row.accuracy_change or 0):+.1f} {interval(row.accuracy_change_interval, signed=True)}"
    equal = {True: "yes", False: "no", None: "–"}[row.non_inferior]
    p = "–" if row.mcnemar is None else f"{row.mcnemar:.2g} ({row.mcnemar_holm:.2g})"
    aes = "–" if row.aes is None else f"{row.aes:.2f}"
    mixed = "it is one of its ends"
    if row.mixture_gain is not None:
        beats = "beats it" if row.beats_mixture else "does not beat it"
        mixed = f"{100 * row.mixture_gain:+.1f} {interval(row.mixture_interval, signed=True)}: {beats}"
    return f"| `{row.label}` | {saving} | {change} | {equal} | {p} | {aes} | {mixed} |"


def with_results(page: str, rows: list[Row]) -> str:
    """Return the page with the tables of these rows between its marks."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{tables(rows)}{END}{tail}"


def main() -> int:
    """Run the study, or check its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b-instruct", help="as for `ponder bench`")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "first-study", help="the run's folder")
    parser.add_argument("--page", type=Path, help="the Markdown page to fill; default: print the tables")
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--check", action="store_true", help="fail if the page does not show the run")
    args = parser.parse_args()
    if not args.check:
        code = run(args.model, args.out, args.concurrency)
        if code:
            return code
    _, rows = read(args.out)
    if args.page is None:
        print(tables(rows))
        return 0
    page = args.page.read_text(encoding="utf-8")
    filled = with_results(page, rows)
    if args.check and filled != page:
        print(f"{args.page} does not show the run in {args.out}; run {Path(__file__).name} without --check")
        return 1
    args.page.write_text(filled, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

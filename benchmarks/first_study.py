"""The first study: four ways to reason on 500 questions of GSM8K, with one small model.

Runs `ponder bench` into a folder (resumable: start the same command again). With `--write` the study's page and the
result tables of the methods' pages are written from nothing but that run; `--check` compares them and runs nothing.
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
TASK, NEW_TOKENS, MARGIN = "gsm8k", 512, 0.05
METHODS, QUESTIONS = "sample,concise_cot,chain_of_draft,no_thinking", 500
DOCS = ROOT / "docs"
STUDY = DOCS / "studies" / "first"
RESULTS, SHORT = "results", "study"
"""The names of the marks between which pages show the study."""
HEADS = {
    "README.md": "method | accuracy | tokens a question | saved, with its interval | accuracy change in points",
    "README.zh.md": "方法 | 正确率 | 每题词元数 | 节省（含区间） | 正确率变化（百分点）",
}


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
    compared = [row for row in rows if row.label != row.baseline]
    if compared:
        heads = "saving, 95 % | accuracy change in points, 95 % | not worse by 5 points | McNemar p (Holm) | AES"
        lines += ["", f"| against `sample` | {heads} | above the mixture line, points, 95 % |"]
        lines += ["|---|---:|---:|---|---:|---:|---:|", *map(_against, compared)]
    return "\n".join(lines) + "\n"


def _against(row: Row) -> str:
    saving = f"{percent(row.saving)} {interval(row.saving_interval)}"
    change = f"{100 * (row.accuracy_change or 0):+.1f} {interval(row.accuracy_change_interval, signed=True)}"
    equal = {True: "yes", False: "no", None: "–"}[row.non_inferior]
    p = "–" if row.mcnemar is None else f"{row.mcnemar:.2g} ({row.mcnemar_holm:.2g})"
    aes = "–" if row.aes is None else f"{row.aes:.2f}"
    mixed = "it is one of its ends" if row.method == "no_thinking" else "–"
    if row.mixture_gain is not None:
        beats = "beats it" if row.beats_mixture else "does not beat it"
        mixed = f"{100 * row.mixture_gain:+.1f} {interval(row.mixture_interval, signed=True)}: {beats}"
    return f"| `{row.label}` | {saving} | {change} | {equal} | {p} | {aes} | {mixed} |"


def between(page: str, mark: str, text: str) -> str:
    """Return the page with `text` between its marks."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->\n"
    head, _, rest = page.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}{text}{end}{tail}"


def short_table(rows: list[Row], heads: str) -> str:
    """Return the README's table: what each method saved and what it cost."""
    lines = [f"| {heads} |", "|---|---:|---:|---:|---:|"]
    for row in rows:
        cells = ["–", "–"]
        if row.label != row.baseline:
            change = f"{100 * (row.accuracy_change or 0):+.1f} {interval(row.accuracy_change_interval, signed=True)}"
            cells = [f"{percent(row.saving)} {interval(row.saving_interval)}", change]
        lines.append(f"| `{row.label}` | {percent(row.accuracy)} | {row.tokens:.0f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def method_results(rows: list[Row], row: Row) -> str:
    """Return what a method's own page shows: its line beside the baseline's, and the command."""
    base = next(other for other in rows if other.label == row.baseline)
    shown = tables([base] if row is base else [base, row])
    command = f"ponder bench {TASK} --methods {METHODS} --limit {QUESTIONS} --max-tokens {NEW_TOKENS}"
    source = "Qwen2.5-Coder-0.5B-Instruct, from the [first study](../studies/first.md)"
    return f"{source}:\n\n```sh\n{command}\n```\n\n{shown}"


def pages(rows: list[Row]) -> dict[Path, str]:
    """Return every page that shows the study, with its results in place."""
    shown = {STUDY.with_suffix(".md"): (RESULTS, tables(rows))}
    shown |= {DOCS / "methods" / f"{row.method}.md": (RESULTS, method_results(rows, row)) for row in rows}
    shown |= {ROOT / name: (SHORT, short_table(rows, heads)) for name, heads in HEADS.items()}
    return {path: between(path.read_text(encoding="utf-8"), *part) for path, part in shown.items()}


def main() -> int:
    """Run the study, write its pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b-instruct", help="as for `ponder bench`")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "first-study", help="the run's folder")
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--write", action="store_true", help=f"run into {STUDY.relative_to(ROOT)} and write the pages")
    parser.add_argument("--check", action="store_true", help="fail if a page does not show the committed run")
    args = parser.parse_args()
    folder = STUDY if args.write or args.check else args.out
    code = 0 if args.check else run(args.model, folder, args.concurrency)
    if code:
        return code
    _, rows = read(folder)
    if not (args.write or args.check):
        print(tables(rows))
        return 0
    stale = {path: text for path, text in pages(rows).items() if path.read_text(encoding="utf-8") != text}
    for path, text in stale.items():
        if args.write:
            path.write_text(text, encoding="utf-8")
        else:
            print(f"{path.relative_to(ROOT)} does not show the run in {folder.relative_to(ROOT)}")
    return 1 if args.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

"""The study of prompts: every prompt method on two tasks, with one small model and the embedded engine.

    python benchmarks/prompts.py [--write | --check] [--questions N] [--model MODEL] [--out FOLDER]

Runs `ponder bench`, whose options may follow, into a folder (resumable: start the same command again; questions come in
blocks for all methods, so that a run which was stopped early has the same questions of each). With `--write` the run is
kept in `docs/studies/prompts`, and the study's page and the result sections of the methods that only it measures are
written from nothing but that; `--check` compares them and runs no model.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from first_study import between, tables

from ponder.bench.complexity import Complexity, token_complexity
from ponder.bench.results import RunInfo, read_arms, rows_of
from ponder.bench.session import FILE
from ponder.bench.store import Store
from ponder.bench.summary import Arm, Row
from ponder.cli.complexity import sentence
from ponder.cli.output import interval, percent

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
STUDY = DOCS / "studies" / "prompts"
TASKS, QUESTIONS, NEW_TOKENS, MARGIN = ("gsm8k", "svamp"), 100, 512, 0.05
METHODS = ",".join(
    (
        "sample",
        "no_thinking",
        "concise_cot",
        "concise_cot:words=45,wording=paper",
        "chain_of_draft",
        "token_budget",
        "think_for:tokens=100",
        "style:template=bullet_points",
        "style:template=only_numbers",
        "style:template=word_limit,limit=25",
    )
)
MEASURED_HERE = ("token_budget", "think_for", "style")
"""The methods whose pages show this study; those of the others show the first one."""
PLOTS = {
    "accuracy-tokens": "Accuracy against tokens, with intervals, the frontier and the mixture line",
    "token-complexity": "Accuracy beside the bound of token complexity",
}
EXAMPLE = 12
"""The number in the prompt that asks for an estimate."""
RESULTS = "results"
NOTHING = "Nothing has been measured yet: the run of the command below is still to be made.\n"
Evidence = Mapping[str, Mapping[str, Sequence[float]]]
"""Method label to what its solutions said of themselves: name to the numbers, one a question."""


def run(model: str, folder: Path, questions: int, options: Sequence[str]) -> None:
    """Run or resume the study; end the program as `ponder bench` ended if that failed."""
    command = [
        *(sys.executable, "-m", "ponder", "bench", ",".join(TASKS), "--methods", METHODS, "--limit", str(questions)),
        *("--max-tokens", str(NEW_TOKENS), "--margin", str(MARGIN), "--report", "token-complexity"),
        *("--model", model, "--out", str(folder), *options),
    ]
    if code := subprocess.run(command, check=False).returncode:
        sys.exit(code)


def command_of(methods: str = METHODS) -> str:
    """Return the command that pages show."""
    tail = f"--limit {QUESTIONS} --max-tokens {NEW_TOKENS} --report token-complexity"
    return f'```sh\nponder bench {",".join(TASKS)} --methods "{methods}" {tail}\n```\n'


def read(folder: Path) -> tuple[dict[str, dict[str, Arm]], dict[str, Evidence]]:
    """Return the arms of each task, and what the solutions of each said of themselves."""
    with Store(folder / FILE, write=False) as store:
        arms = read_arms(store, RunInfo.read(store))
        return arms, {task: evidence(store, task) for task in arms}


def evidence(store: Store, task: str) -> Evidence:
    """Collect the numbers that solutions give as evidence."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in store.records(traces=True, task=task):
        for name, value in json.loads(record.trace)["solution"]["evidence"].items():
            if isinstance(value, int | float):
                found[record.key.method][name].append(value)
    return found


def asides(found: Evidence) -> Iterator[str]:
    """Yield what is to be said of a task beside its tables: whether estimates could be read, and drafts kept short."""
    for label, said in found.items():
        if "unread" in said:
            lost, asked = int(sum(said["unread"])), len(said["unread"])
            others = _read(said["estimate"]) if lost < asked else ""
            yield f"`{label}`: {lost} of {asked} estimates could not be read{others}."
        if "words_a_line" in said:
            yield f"`{label}`: {statistics.mean(said['words_a_line']):.1f} words a line, in the mean."


def _read(estimates: Sequence[float]) -> str:
    """Say what the estimates were, and how many only repeat the number that the prompt has for an example."""
    parrots = sum(one == EXAMPLE for one in estimates)
    return f"; the others were {statistics.median(estimates):.0f} in the median, {parrots} of them the prompt's example"


def complexity(found: Complexity) -> str:
    """Return the table of methods beside the bound, as Markdown."""
    heads = "tokens | accuracy | bound | below it, points, 95 % | fewest tokens | times, 95 % | predicted"
    lines = [f"| method | {heads} |", "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for row in found.rows:
        below = f"{100 * row.below:+.1f} {interval(row.below_interval, signed=True)}"
        times = "–" if row.excess is None else f"{row.excess:.1f}"
        if row.excess_interval is not None:
            times += " [{:.1f}, {:.1f}]".format(*row.excess_interval)
        cells = (f"{row.tokens:.1f}", percent(row.accuracy), percent(row.bound), below)
        fewest = "–" if row.fewest is None else f"{row.fewest:.1f}"
        lines.append(f"| `{row.label}` | {' | '.join(cells)} | {fewest} | {times} | {percent(row.predicted)} |")
    return "\n".join(lines) + "\n"


def section(task: str, rows: list[Row], arms: Mapping[str, Arm], said: Evidence) -> str:
    """Return what the page shows of one task."""
    found = token_complexity(arms)
    pictures = [f"![{text}]({STUDY.name}/plots/{task}-{name}.svg)\n" for name, text in PLOTS.items()]
    asides_ = [f"- {one}\n" for one in asides(said)]
    parts = [f"## {task}\n", tables(rows), "".join(asides_), *pictures, sentence(found) + "\n", complexity(found)]
    return "\n".join(part for part in parts if part)


def results(folder: Path) -> str:
    """Return the results of the whole study as Markdown; a sentence where there is no run."""
    if not (folder / FILE).is_file():
        return NOTHING
    arms, said = read(folder)
    return "\n".join(section(task, rows_by_task(arms)[task], arms[task], said[task]) for task in arms)


def rows_by_task(arms: dict[str, dict[str, Arm]]) -> dict[str, list[Row]]:
    """Return the rows of each task, compared with `sample`."""
    rows = rows_of(arms, baseline="sample", margin=MARGIN, price=None)
    return {task: [row for row in rows if row.task == task] for task in arms}


def method_results(folder: Path, method: str) -> str | None:
    """Return what a method's own page shows: its lines beside the baseline's; None where there is no run."""
    if not (folder / FILE).is_file():
        return None
    parts = ["Qwen2.5-Coder-0.5B-Instruct, from the [study of prompts](../studies/prompts.md):\n", command_of()]
    for task, rows in rows_by_task(read(folder)[0]).items():
        shown = [row for row in rows if row.label == "sample" or row.method == method]
        parts += [f"On {task}:\n", tables(shown)]
    return "\n".join(parts)


def pages(folder: Path) -> dict[Path, str]:
    """Return every page that shows the study, with its results in place."""
    shown: dict[Path, str | None] = {STUDY.with_suffix(".md"): results(folder)}
    shown |= {DOCS / "methods" / f"{name}.md": method_results(folder, name) for name in MEASURED_HERE}
    return {
        path: between(path.read_text(encoding="utf-8"), RESULTS, text)
        for path, text in shown.items()
        if text is not None
    }


def main() -> int:
    """Run the study, write its pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b-instruct", help="as for `ponder bench`")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "prompts", help="the run's folder")
    parser.add_argument("--questions", type=int, default=QUESTIONS, help="of each task")
    parser.add_argument("--write", action="store_true", help=f"run into {STUDY.relative_to(ROOT)}, write the pages")
    parser.add_argument("--check", action="store_true", help="fail if a page does not show the committed run")
    args, options = parser.parse_known_args()
    folder = STUDY if args.write or args.check else args.out
    if not args.check:
        run(args.model, folder, args.questions, options)
    if not (args.write or args.check):
        print(results(folder))
        return 0
    stale = {path: text for path, text in pages(folder).items() if path.read_text(encoding="utf-8") != text}
    for path, text in stale.items():
        if args.write:
            path.write_text(text, encoding="utf-8")
        else:
            print(f"{path.relative_to(ROOT)} does not show the run in {folder.relative_to(ROOT)}")
    return 1 if args.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

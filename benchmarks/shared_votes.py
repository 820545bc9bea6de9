"""All votes on one shared set of samples: eight replies to each of 200 questions, drawn and scored once.

    python benchmarks/shared_votes.py [--model MODEL] [--write | --check] [--out FOLDER]

Draws the samples with their scores (`ponder record --scorer`, whose options may follow; it goes on where it stopped)
and lets every vote take its answer from them (`ponder replay --reward`), billed for the samples that it read. With
`--write` the samples are kept in `docs/studies/stopping/votes` and a part of the study's page is written from nothing
but them; `--check` compares the page and runs no model.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from small_models import between

ROOT = Path(__file__).resolve().parent.parent
STUDY = ROOT / "docs" / "studies" / "stopping"
MODEL = "qwen2.5-coder-0.5b-instruct"
TASKS, QUESTIONS, SAMPLES, NEW_TOKENS = ("gsm8k", "svamp"), 100, 8, 400
MOST_TOKENS = 1_000_000
"""Generated, over all that is recorded."""
NEVER = 100_000
"""Tokens between two probes: nobody asks these thoughts on the side, but for what they would say without thinking."""
SCORERS = ("mean_logprob", "agreement", "verifier_prompt", "rule", "random_control")
VOTES = (
    "sample",
    f"self_consistency:n={SAMPLES}",
    f"early_stopping_self_consistency:n={SAMPLES},window=4",
    f"adaptive_consistency:n={SAMPLES},rule=beta",
    f"adaptive_consistency:n={SAMPLES},rule=dirichlet",
    f"length_filtered_vote:n={SAMPLES}",
    f"length_filtered_vote:n={SAMPLES},unit=tokens",
)
"""What needs no score."""
MAJORITY = "self_consistency"
"""What the others are compared with."""
SCORED = (f"best_of_n:n={SAMPLES},scorer=recorded", f"weighted_vote:n={SAMPLES},scorer=recorded")
SIZES = (1, 2, 4, 8)
Json = Mapping[str, Any]


def record(model: str, folder: Path, options: Sequence[str]) -> None:
    """Draw what is missing; end the program as `ponder record` ended if that failed."""
    for task in TASKS:
        scorers = [word for name in SCORERS for word in ("--scorer", name)]
        command = [
            *(sys.executable, "-m", "ponder", "record", task, "--model", model, "--samples", str(SAMPLES)),
            *("--limit", str(QUESTIONS), "--max-tokens", str(NEW_TOKENS), "--every", str(NEVER)),
            *("--probe", "sentence", "--max-tokens-total", str(MOST_TOKENS // len(TASKS)), *scorers),
            *("--out", str(folder / f"{task}.jsonl.gz"), *options),
        ]
        if code := subprocess.run(command, check=False).returncode:
            sys.exit(code)


def replay(path: Path, methods: Sequence[str], *options: str) -> Json:
    """Let methods take their answers from the samples."""
    command = [sys.executable, "-m", "ponder", "replay", str(path), "--methods", ",".join(methods), "--json", *options]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    found: Json = json.loads(done.stdout)
    return found


def rows(path: Path) -> Iterator[str]:
    """Yield the lines of a task's table: the votes without scores, then those with each scorer."""
    for row in replay(path, VOTES, "--baseline", MAJORITY)["rows"]:
        yield line(row["label"], row)
    for scorer in SCORERS:
        found = replay(path, (VOTES[1], *SCORED), "--baseline", MAJORITY, "--reward", scorer)["rows"]
        for row in found[1:]:
            yield line(row["label"].replace("recorded", scorer), row)


def line(label: str, row: Json) -> str:
    """Return one line of a table."""
    low, high = row["accuracy_interval"]
    alone = row["label"] == row["baseline"]
    saved = "–" if alone else f"{100 * row['saving']:.1f} % {_pair(row['saving_interval'], '.1f')}"
    change = "–" if alone else f"{100 * row['accuracy_change']:+.1f} {_pair(row['accuracy_change_interval'], '+.1f')}"
    accuracy = f"{100 * row['accuracy']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
    return f"| `{label}` | {accuracy} | {row['tokens']:,.1f} | {saved} | {change} |"


def _pair(interval: Sequence[float], form: str) -> str:
    return f"[{100 * interval[0]:{form}}, {100 * interval[1]:{form}}]"


def curves(path: Path) -> Iterator[str]:
    """Yield the lines of the table of sample sizes: unbiased means over the subsets of the eight samples."""
    for place, scorer in enumerate(SCORERS):
        (curve,) = replay(path, VOTES[:1], "--curve", "--reward", scorer)["curves"]
        points = {point["k"]: point for point in curve["points"]}
        shown = ("best",) if place else ("pass", "majority", "best")
        for name in shown:
            label = f"best@k, {scorer}" if name == "best" else {"pass": "pass@k", "majority": "maj@k"}[name]
            values = [points[k][name] for k in SIZES]
            cells = (f"{100 * v['value']:.1f} % {_pair(v['interval'], '.1f')}" for v in values)
            yield f"| {label} | {' | '.join(cells)} |"


def bill(path: Path) -> str:
    """Say what the recording took."""
    roles: dict[str, int] = {}
    cut = samples = 0
    with gzip.open(path, "rt", encoding="utf-8") as file:
        next(file)
        for row in map(json.loads, file):
            for role, tokens in row["tokens_by_role"].items():
                roles[role] = roles.get(role, 0) + tokens
            cut += sum(sample["finish"] == "length" for sample in row["samples"])
            samples += len(row["samples"])
    spent = ", ".join(f"{tokens:,} to {role}" for role, tokens in sorted(roles.items()))
    return f"{samples:,} samples, {cut} cut at {NEW_TOKENS} tokens; generated tokens: {spent}."


def part(folder: Path) -> str:
    """Return what the page shows."""
    if not all((folder / f"{task}.jsonl.gz").is_file() for task in TASKS):
        return "Nothing has been recorded yet.\n"
    texts = []
    for task in TASKS:
        path = folder / f"{task}.jsonl.gz"
        head = "| vote | accuracy, 95 % | tokens | saved, 95 % | change in points, 95 % |\n|---|---:|---:|---:|---:|"
        sizes = f"| of k samples | {' | '.join(map(str, SIZES))} |\n|---|{'---:|' * len(SIZES)}"
        shown = (f"### {task}", bill(path), "\n".join((head, *rows(path))), "\n".join((sizes, *curves(path))))
        texts.append("\n\n".join(shown))
    return "\n\n".join(texts) + "\n"


def main() -> int:
    """Draw the samples, write the page's part, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=MODEL, help="as for `ponder record`")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "votes", help="the samples' folder")
    parser.add_argument("--write", action="store_true", help=f"draw into {STUDY.relative_to(ROOT)}, write the page")
    parser.add_argument("--check", action="store_true", help="fail if the page does not show the committed samples")
    args, options = parser.parse_known_args()
    folder = STUDY / "votes" if args.write or args.check else args.out
    if not args.check:
        record(args.model, folder, options)
    text = part(folder)
    if not (args.write or args.check):
        print(text)
        return 0
    page = STUDY.with_suffix(".md")
    old = page.read_text(encoding="utf-8")
    new = between(old, "votes", text)
    if args.write:
        page.write_text(new, encoding="utf-8")
    elif new != old:
        print(f"{page.relative_to(ROOT)} does not show the samples in {folder.relative_to(ROOT)}")
    return 1 if args.check and new != old else 0


if __name__ == "__main__":
    sys.exit(main())

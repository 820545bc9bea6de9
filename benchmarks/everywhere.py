"""Every method, wherever it can run: the embedded engine, engines/torch, a vLLM server, and recorded thoughts.

    python benchmarks/everywhere.py [--way NAME=MODEL ...] [--write | --check] [--questions N]

Asks `ponder methods --model` what works on each model, runs all of that with `ponder bench` (whose run goes on where
it stopped) and notes the rows. Methods that take further models are given the same one. `recorded` replays the thoughts
of the study of stopping instead, one method after the other, and keeps why one is refused. With `--write` the rows are
kept in `docs/studies/everywhere` and the page is written from nothing but them; `--check` compares and runs no model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from small_models import between

ROOT = Path(__file__).resolve().parent.parent
STUDY = ROOT / "docs" / "studies" / "everywhere"
STOPPING = ROOT / "docs" / "studies" / "stopping"
RECORDED = {"vote": STOPPING / "votes" / "svamp.jsonl.gz"}
THOUGHTS = STOPPING / "tiny-reasoner" / "arithmetic.jsonl.gz"
"""What is replayed: eight samples a question for votes, thoughts with probes for all else."""
TASK, QUESTIONS, NEW_TOKENS, SAMPLES = "arithmetic:level=1", 10, 300, 4
OPTIONS: Mapping[str, str] = {
    "routellm": "router=random",
    "thinking_route": "router=random",
    "confident_or_seek_stronger": "strong_on=strong,threshold=-0.02",
    "self_ref": "strong_on=strong",
    "budget_forcing": "cap=60",
    "constant_cut": "tokens=60",
    "deer": "threshold=0",
    "infty_think": "segment=100",
    "think_for": "tokens=100",
    "early_stopping_self_consistency": f"n={SAMPLES},window=2",
}
"""What a method is told where its defaults would say nothing here; votes take few samples."""
LISTS = ("-o", "rungs=no_thinking,sample", "-o", "on=main,main", "-o", "thresholds=-0.02")
"""Options of `cascade` that take several values."""
WAYS = ("embedded", "torch", "vllm", "recorded")
Json = Mapping[str, Any]


def ponder(*words: str) -> tuple[int, str, str]:
    """Run a command of ponder; return its exit code, what it printed, and its last line of errors."""
    done = subprocess.run([sys.executable, "-m", "ponder", *words], check=False, capture_output=True, text=True)
    return done.returncode, done.stdout, (done.stderr.strip().splitlines() or [""])[-1]


def spec(name: str, fields: Mapping[str, object]) -> str:
    """Return a method as it is run here."""
    told = OPTIONS.get(name, f"n={SAMPLES}" if "n" in fields else "")
    return f"{name}:{told}" if told else name


def listed(model: str) -> list[Json]:
    """Return what `ponder methods` says of each method on a model."""
    code, out, error = ponder("methods", "--model", model, "--engine", f"strong={model}", "--json")
    if code:
        sys.exit(error)
    found: list[Json] = json.loads(out)
    return found


def run(model: str, folder: Path, questions: int, options: Sequence[str]) -> dict[str, Json]:
    """Run what works on a model; return a row or a reason for each method."""
    methods = listed(model)
    working = [one for one in methods if one["works"]]
    specs = ",".join(spec(one["name"], one["options"]) for one in working)
    given = ("--model", model, "--engine", f"strong={model}", "--limit", str(questions), "--out", str(folder))
    code, out, error = ponder(
        *("bench", TASK, "--methods", specs, "--max-tokens", str(NEW_TOKENS), "--no-report", "--json"),
        *LISTS,
        *given,
        *options,
    )
    if code:
        sys.exit(error)
    rows = {row["method"]: row for row in json.loads(out)["rows"]}
    refused = {one["name"]: {"why_not": one["why_not"]} for one in methods if not one["works"]}
    return {name: kept(row) for name, row in rows.items()} | refused


def replayed(questions: int) -> dict[str, Json]:
    """Replay each method on recorded thoughts; one that cannot be is noted with what was said."""
    found: dict[str, Json] = {}
    for one in listed("echo"):
        path = RECORDED.get(one["room"], THOUGHTS)
        scored = ("scorer=recorded",) if one["name"] in ("best_of_n", "weighted_vote") else ()
        told = ",".join((*filter(None, [OPTIONS.get(one["name"])]), *scored))
        method = f"{one['name']}:{told}" if told else one["name"]
        given = ("--reward", "mean_logprob") if scored else ()
        code, out, error = ponder("replay", str(path), "--methods", method, "--limit", str(questions), "--json", *given)
        found[one["name"]] = {"why_not": error} if code else kept(json.loads(out)["rows"][0])
    return found


def kept(row: Json) -> Json:
    """Return the part of a row that the page shows."""
    return {key: row[key] for key in ("label", "questions", "accuracy", "tokens", "tokens_by_role", "truncated")}


def cell(found: Json | None) -> str:
    """Return a cell: right answers and tokens a question, or a dash."""
    if found is None:
        return "?"
    if "why_not" in found:
        return "–"
    right = round(found["accuracy"] * found["questions"])
    return f"{right}/{found['questions']}, {found['tokens']:.0f}"


def page_part(folder: Path) -> str:
    """Return the table, and below it why a method does not run somewhere."""
    ways = {way: read(folder, way) for way in WAYS}
    shown = {way: found["methods"] for way, found in ways.items() if found}
    if not shown:
        return "Nothing has been run yet.\n"
    names = list(dict.fromkeys(name for methods in shown.values() for name in methods))
    heads = " | ".join(f"{way}: {found['model']}" for way, found in ways.items() if found)
    lines = [f"| method | {heads} |", f"|---|{'---:|' * len(shown)}"]
    for name in names:
        lines.append(f"| `{name}` | {' | '.join(cell(methods.get(name)) for methods in shown.values())} |")
    why = [
        f"- `{name}`, {way}: {found['why_not']}"
        for way, methods in shown.items()
        for name, found in methods.items()
        if "why_not" in found
    ]
    return "\n".join([*lines, *(["", "Where there is a dash:", "", *why] if why else [])]) + "\n"


def read(folder: Path, way: str) -> Json | None:
    """Return what was noted of a way."""
    path = folder / f"{way}.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def main() -> int:
    """Run the ways that are named, write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", action="append", default=[], metavar="NAME=MODEL", help=f"{', '.join(WAYS)}")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "everywhere", help="the rows' folder")
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    parser.add_argument("--write", action="store_true", help=f"keep rows in {STUDY.relative_to(ROOT)}, write the page")
    parser.add_argument("--check", action="store_true", help="fail if the page does not show the committed rows")
    args, options = parser.parse_known_args()
    folder = STUDY if args.write or args.check else args.out
    folder.mkdir(parents=True, exist_ok=True)
    for way, _, model in (one.partition("=") for one in args.way):
        if way not in WAYS:
            parser.error(f"there is no way {way!r}; there are {', '.join(WAYS)}")
        place = ROOT / "runs" / "everywhere" / way
        found = replayed(args.questions) if way == "recorded" else run(model, place, args.questions, options)
        name = Path(model.rpartition("#")[2]).name or "the study of stopping"
        (folder / f"{way}.json").write_text(json.dumps({"model": name, "methods": found}, indent=1) + "\n", "utf-8")
    text = page_part(folder)
    if not (args.write or args.check):
        print(text)
        return 0
    page = STUDY.with_suffix(".md")
    old = page.read_text("utf-8")
    new = between(old, "everywhere", text)
    if args.write:
        page.write_text(new, "utf-8")
    elif old != new:
        print(f"{page.relative_to(ROOT)} does not show the rows in {folder.relative_to(ROOT)}")
    return 1 if args.check and old != new else 0


if __name__ == "__main__":
    sys.exit(main())

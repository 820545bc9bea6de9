"""The study of routers: what each is worth on recorded answers of a weak and a strong model, and how long it takes.

    python benchmarks/routers.py --data FOLDER [--encoder FOLDER] [--write | --check]

FOLDER holds the tables `routellm_gsm8k.csv.gz`, `routellm_mmlu.csv.gz` and `routing_mmlu_pro.csv.gz`; the encoder is a
copy of sentence-transformers/all-MiniLM-L6-v2, without which the routers that need one are left out. Every score comes
from a router that was trained on other folds. `--write` keeps the figures in docs/studies/routers and writes the page
from nothing but those; `--check` compares the page and computes nothing. Vectors and scores are kept in `--out`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from small_models import between
from tfidf_baseline import Words

from ponder.bench.plots import PALETTE, drawing, picture
from ponder.core.judge import Router
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.routers.category import CategoryRouter
from ponder.routers.encoder import EncoderClassifier
from ponder.routers.factorisation import Factorisation
from ponder.routers.features import Kind as Features
from ponder.routers.minilm import open_encoder
from ponder.routers.random import RandomRouter
from ponder.routers.ranking import Ranking
from ponder.train.routers.curve import Curve
from ponder.train.routers.fit import Kind, Settings, fit
from ponder.train.routers.read import outcomes, read_rows
from ponder.train.routers.table import Indices, Numbers, Table, check_table, folds
from ponder.train.routers.train import cross_scores, measure, ranks, store
from ponder.train.routers.vectors import PLACES, RANKING_PLACES, Seen, see

ROOT = Path(__file__).resolve().parent.parent
STUDY = ROOT / "docs" / "studies" / "routers"
FOLDS = 5
MIXTRAL = {"weak": "mistralai/Mixtral-8x7B-Instruct-v0.1", "strong": "gpt-4-1106-preview"}
LLAMA = {"weak": "Meta-Llama-3_1-8B-Instruct|correct", "strong": "Meta-Llama-3_1-70B-Instruct|correct"}
GRID = 50
"""Points of a curve that are kept for the plot."""
TIMED = 300
"""Questions whose routing is timed."""
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Study:
    """A table, its columns, and how it is cut into folds."""

    name: str
    title: str
    file: str
    choices: Mapping[str, str]
    prompt: str | None
    group: str | None
    held_out: bool


STUDIES = (
    Study("gsm8k", "GSM8K", "routellm_gsm8k.csv.gz", MIXTRAL, "prompt", None, False),
    Study("mmlu", "MMLU, random folds", "routellm_mmlu.csv.gz", MIXTRAL, "prompt", "subject", False),
    Study("mmlu_subjects", "MMLU, subjects held out", "routellm_mmlu.csv.gz", MIXTRAL, "prompt", "subject", True),
    Study("mmlu_pro", "MMLU-Pro, no texts", "routing_mmlu_pro.csv.gz", LLAMA, None, "category", False),
)
TRAINED: tuple[tuple[Kind, Features], ...] = (
    ("ranking", "words"), ("ranking", "encoder"),
    ("factorisation", "words"), ("factorisation", "encoder"),
    ("encoder", "words"), ("encoder", "encoder"),
)  # fmt: skip


def on_one_core() -> None:
    """Begin anew with one thread, which numpy's BLAS reads when it is loaded, and stay on one core."""
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        one = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **one})
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def say(text: str) -> None:
    """Report progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def read(study: Study, data: Path) -> Table:
    """Return a table, checked; rows where a model has no outcome are left out of MMLU-Pro."""
    rows = read_rows(data / study.file)
    if study.prompt is None:
        rows = [row for row in rows if all(row[column].strip() for column in study.choices.values())]
    table = outcomes(rows, study.choices, study.file, prompt=study.prompt, group=study.group)
    check_table(table, study.file, together=True)
    return table


def vectors(study: Study, table: Table, features: Features, places: int, encoder: Path | None, out: Path) -> Seen:
    """Return the questions' vectors; those of the encoder are kept in `out`."""
    if features == "words":
        return see(table.questions, "words", None, places, lambda done, total: None)
    assert encoder is not None
    sha = open_encoder(encoder).sha256
    kept = out / f"{study.file.partition('.')[0]}-{sha[:12]}.npy"
    facts: dict[str, object] = {"features": "encoder", "encoder": str(encoder), "encoder_sha256": sha}
    if not kept.exists():
        say(f"{kept.name}: reading {len(table):,} questions")
        out.mkdir(parents=True, exist_ok=True)
        np.save(kept, see(table.questions, "encoder", encoder, places, lambda done, total: None).raw)
    return Seen(np.load(kept), facts)


def scores_of(
    study: Study, table: Table, parts: Sequence[Indices], encoder: Path | None, out: Path, resume: bool
) -> dict[str, Numbers]:
    """Return the scores of every router and control, by label. With `resume`, those kept in `out` are read."""
    assert table.success is not None
    gain = table.success[:, 1] - table.success[:, 0]
    makers: dict[str, Callable[[], Numbers]] = {"random": lambda: rated(RandomRouter(), table), "oracle": lambda: gain}
    if table.groups and not study.held_out:
        makers["category"] = lambda: cross_scores("category", table, None, parts, Settings())
    if study.prompt:
        makers["tf-idf, logistic"] = lambda: baseline(table, (gain > 0).astype(float), parts)
        for kind, features in TRAINED:
            if features == "words" or encoder is not None:
                makers[f"{kind}, {features}"] = partial(routed, study, kind, features, table, parts, encoder, out)
    found = {}
    for label, make in makers.items():
        kept = out / "scores" / f"{study.name}-{label.replace(', ', '-')}.npy"
        if not (resume and kept.exists()):
            begun = time.process_time()
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.save(kept, make())
            say(f"{study.name}: {label}, {time.process_time() - begun:.0f} CPU seconds")
        found[label] = np.load(kept)
    return found


def routed(
    study: Study,
    kind: Kind,
    features: Features,
    table: Table,
    parts: Sequence[Indices],
    encoder: Path | None,
    out: Path,
) -> Numbers:
    """Return the scores of a trained router across folds."""
    seen = vectors(study, table, features, RANKING_PLACES if kind == "ranking" else PLACES, encoder, out)
    return cross_scores(kind, table, seen, parts, Settings())


def baseline(table: Table, wanted: Numbers, parts: Sequence[Indices]) -> Numbers:
    """Return the baseline's probabilities across folds."""
    words, found = Words(table.questions), np.zeros(len(table))
    for part in parts:
        found[part] = words.probabilities(wanted, np.setdiff1d(np.arange(len(table)), part))[part]
    return found


def rated(router: Router, table: Table) -> Numbers:
    """Return the strong choice's rating of every row by a router that needs no training."""

    async def each() -> list[float]:
        run = Run(Echo())
        texts = table.questions or [str(row) for row in range(len(table))]
        return [(await router.rate(Problem.of(text), run))["strong"] for text in texts]

    return np.array(asyncio.run(each()))


def figures(study: Study, data: Path, encoder: Path | None, out: Path, resume: bool) -> Row:
    """Return everything that the page says of a table."""
    table = read(study, data)
    parts = folds(table, FOLDS, seed=0, held_out=study.held_out)
    assert table.success is not None
    weak, strong = table.success[:, 0], table.success[:, 1]
    rows = []
    for label, scores in scores_of(study, table, parts, encoder, out, resume).items():
        found = measure(scores if label in ("random", "oracle") else ranks(scores, parts), weak, strong)
        row = {name: getattr(found, name) for name in ("apgr", "apgr_interval", "apgr_ten", "cpt50", "cpt80")}
        row |= {"cpt50_interval": found.cpt50_interval, "cpt80_interval": found.cpt80_interval}
        rows.append(
            {"router": label, **row, "pooled": measure_pooled(scores, weak, strong), "curve": thinned(found.curve)}
        )
        say(f"{study.name}: {label} {found.apgr:.3f} {found.apgr_interval}")
    return {
        "questions": len(table),
        "weak": float(weak.mean()),
        "strong": float(strong.mean()),
        "only_strong": int((strong > weak).sum()),
        "only_weak": int((weak > strong).sum()),
        "rows": rows,
    }


def measure_pooled(scores: Numbers, weak: Numbers, strong: Numbers) -> float:
    """Return the APGR with one threshold for all folds."""
    from ponder.train.routers.curve import curve

    return curve(scores, weak, strong).apgr


def thinned(curve: Curve) -> list[float]:
    """Return what part of the gap is recovered at evenly spaced shares of strong calls."""
    return [round(float(value), 4) for value in np.interp(np.linspace(0, 1, GRID + 1), curve.calls, curve.recovered)]


def latencies(data: Path, encoder: Path | None, out: Path) -> list[Row]:
    """Return milliseconds of wall time a question, of routers trained on all of MMLU, asked one after the other."""
    study = STUDIES[1]
    table = read(study, data)
    some = np.random.default_rng(0).permutation(len(table))[:TIMED]
    problems = [
        Problem("q", Problem.of(table.questions[row]).messages, meta={"category": table.groups[row]}) for row in some
    ]
    classes: dict[Kind, Callable[..., Router]] = {
        "ranking": Ranking, "factorisation": Factorisation, "encoder": EncoderClassifier,
    }  # fmt: skip
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for kind, features in TRAINED:
            if features == "encoder" and encoder is None:
                continue
            folder = Path(place) / f"{kind}-{features}"
            seen = vectors(study, table, features, RANKING_PLACES if kind == "ranking" else PLACES, encoder, out)
            store(kind, table, seen, folder, Settings())
            rows.append(timed(f"{kind}, {features}", classes[kind](str(folder)), problems))
        facts, arrays = fit("category", table, np.zeros((len(table), 0), np.float32), Settings())
        from ponder.routers.state import save_state

        save_state(Path(place) / "category", "category", table.choices, facts, arrays)
        rows.append(timed("category", CategoryRouter(str(Path(place) / "category")), problems))
    return rows


def timed(label: str, router: Router, problems: Sequence[Problem]) -> Row:
    """Return the milliseconds that a router takes, the first question left out: it reads the files."""

    async def each() -> tuple[list[float], float]:
        run, taken = Run(Echo()), []
        await router.rate(problems[0], run)
        busy = time.process_time()
        for problem in problems:
            begun = time.perf_counter()
            await router.rate(problem, run)
            taken.append(1000 * (time.perf_counter() - begun))
        return taken, 1000 * (time.process_time() - busy) / len(problems)

    taken, busy = asyncio.run(each())
    say(f"{label}: {np.median(taken):.2f} ms, {busy:.2f} ms of the processor")
    return {"router": label, "p50": float(np.median(taken)), "p95": float(np.quantile(taken, 0.95)), "cpu": busy}


def table_of(found: Row) -> str:
    """Return the page's table for one study."""
    head = (
        f"{found['questions']:,} questions; weak right on {100 * found['weak']:.1f} %, "
        f"strong on {100 * found['strong']:.1f} %; "
        f"only strong right {found['only_strong']:,}, only weak {found['only_weak']:,}.\n\n"
        "| router | APGR, 95 % | one threshold | mean at ten shares | CPT(50 %), 95 % | CPT(80 %), 95 % |\n"
        "|---|---:|---:|---:|---:|---:|\n"
    )
    return head + "".join(_line(row) for row in sorted(found["rows"], key=lambda row: row["apgr"]))


def _line(row: Row) -> str:
    def share(name: str) -> str:
        if row[name] is None:
            return "–"
        bounds = row[f"{name}_interval"]
        around = "" if bounds is None else f" [{100 * bounds[0]:.0f}, {100 * bounds[1]:.0f}]"
        return f"{100 * row[name]:.0f} %{around}"

    low, high = row["apgr_interval"]
    apgr = f"{row['apgr']:.3f} [{low:.3f}, {high:.3f}]"
    cells = (row["router"], apgr, f"{row['pooled']:.3f}", f"{row['apgr_ten']:.3f}", share("cpt50"), share("cpt80"))
    return f"| {' | '.join(cells)} |\n"


def latency_table(rows: Sequence[Row]) -> str:
    """Return the page's table of times."""
    head = "| router | median ms | 95th percentile | processor ms, mean |\n|---|---:|---:|---:|\n"
    return head + "".join(f"| {r['router']} | {r['p50']:.2f} | {r['p95']:.2f} | {r['cpu']:.2f} |\n" for r in rows)


def plot(study: Study, found: Row, file: Path) -> None:
    """Write a study's curves."""
    shares = np.linspace(0, 100, GRID + 1)
    shown = [row for row in found["rows"] if row["router"] not in ("random", "oracle")]
    best = sorted(shown, key=lambda row: -row["apgr"])[:5]
    with drawing(4.2) as figure:
        axes = figure.subplots()
        axes.plot([0, 100], [0, 100], color="#999998", linestyle="--", label="random")
        for row, colour in zip(best, PALETTE, strict=False):
            axes.plot(shares, 100 * np.array(row["curve"]), color=colour, label=row["router"])
        axes.set_xlabel("questions to the strong model, %")
        axes.set_ylabel("part of the gap recovered, %")
        axes.legend(frameon=False)
        made = picture(figure, study.name, study.title, f"Routing curves on {study.title}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(made.svg, encoding="utf-8")


def main() -> int:
    """Compute, write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of the tables")
    parser.add_argument("--encoder", type=Path, help="the folder of all-MiniLM-L6-v2")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "routers", help="where vectors are kept")
    parser.add_argument("--only", action="append", choices=[*(one.name for one in STUDIES), "latency"])
    parser.add_argument("--resume", action="store_true", help="take scores from --out that an earlier run kept")
    parser.add_argument("--write", action="store_true", help="keep the figures; without --data, write the page")
    parser.add_argument("--check", action="store_true", help="fail if the page does not show the committed figures")
    args = parser.parse_args()
    kept, page = STUDY / "figures.json", STUDY.with_suffix(".md")
    results: Row = json.loads(kept.read_text()) if kept.exists() and (args.check or args.write) else {}
    if not args.check and not (args.write and results and args.data is None):
        if args.data is None:
            parser.error("--data names the folder of the tables")
        on_one_core()
        for study in STUDIES:
            if not args.only or study.name in args.only:
                results[study.name] = figures(study, args.data, args.encoder, args.out, args.resume)
        if not args.only or "latency" in args.only:
            results["latency"] = latencies(args.data, args.encoder, args.out)
    text = old = page.read_text(encoding="utf-8") if args.check or args.write else ""
    for study in (one for one in STUDIES if one.name in results):
        text = between(text, study.name, table_of(results[study.name]))
        if args.write and study.prompt:
            plot(study, results[study.name], STUDY / "plots" / f"{study.name}.svg")
    if "latency" in results:
        text = between(text, "latency", latency_table(results["latency"]))
    if args.write:
        STUDY.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        page.write_text(text, encoding="utf-8")
    elif args.check:
        if text != old:
            print(f"{page.relative_to(ROOT)} does not show {kept.relative_to(ROOT)}")
        return int(text != old)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

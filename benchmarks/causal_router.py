"""The causal classifier of the study of routers: a small language model, fine-tuned fold by fold to grade questions.

    python benchmarks/causal_router.py --data FOLDER [--model MODEL] [--only gsm8k] [--write] [--threads N]

For each fold: conversations from the other folds (`ponder train router --kind causal` writes the same), `ponder train
sft` on them, and a grade of every question that was left out, by `CausalClassifier` on engines/torch. Tables with more
rows are cut to a fixed sample. Adapters and scores are kept in `--out`, so that the same command goes on where it
stopped. `--write` adds the row to the figures of `benchmarks/routers.py`, which writes the page: run that with
`--check` to see that both agree.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from routers import FOLDS, STUDIES, STUDY, Row, Study, measure_pooled, read, say, thinned

from ponder.core.gather import gather
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.open import Adapter, EngineOptions, open_engine
from ponder.routers.causal import CausalClassifier
from ponder.train.routers.grades import write_conversations
from ponder.train.routers.table import Indices, Numbers, Table, folds
from ponder.train.routers.train import measure, ranks

ROOT = Path(__file__).resolve().parent.parent
MODEL, LABEL, ROWS = "smollm2-135m-instruct", "causal, SmolLM2-135M", 2_000
AT_ONCE = 32
STEPS = 132
"""Of 16 conversations each, for either table: two epochs of the smaller one."""
LONGEST = 512
"""Tokens of a conversation that is learnt from."""


def sample(table: Table) -> Table:
    """Return at most `ROWS` rows, the same ones each time, in the order of the table."""
    if len(table) <= ROWS:
        return table
    return table.rows(np.sort(np.random.default_rng(0).permutation(len(table))[:ROWS]).astype(np.intp))


def tuned(table: Table, rows: Indices, model: str, folder: Path, threads: int) -> Path:
    """Fine-tune on some rows, unless that is done; return the adapter."""
    adapter = folder / "adapter"
    if not (adapter / "adapter_config.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        data = folder / "conversations.jsonl"
        if not data.exists():
            write_conversations(table.rows(rows), data)
        command = [
            *(sys.executable, "-m", "ponder", "train", "sft", "-m", model, "--data", str(data), "--out", str(adapter)),
            *("--steps", str(STEPS), "--lr", "2e-4", "--max-length", str(LONGEST), "--threads", str(threads)),
        ]
        if code := subprocess.run(command, check=False).returncode:
            sys.exit(code)
    return adapter


async def graded(table: Table, rows: Indices, base: str, adapter: Path, threads: int) -> Numbers:
    """Return the strong choice's rating of some rows."""
    router = CausalClassifier(engine="main")
    options = EngineOptions(threads=threads, adapters=(Adapter("grades", adapter),))
    found = np.zeros(len(rows))
    gate = asyncio.Semaphore(AT_ONCE)
    async with open_engine(base, options) as opened:

        async def one(place: int, row: int) -> None:
            async with gate:
                ratings = await router.rate(Problem.of(table.questions[row]), Run(opened.engine))
            found[place] = ratings[router.choices[1]]

        await gather(one(place, int(row)) for place, row in enumerate(rows))
    return found


def scores(study: Study, table: Table, parts: list[Indices], args: argparse.Namespace) -> Numbers:
    """Return the ratings of all rows, each by a model that never saw it."""
    found = np.zeros(len(table))
    for number, part in enumerate(parts):
        folder = args.out / study.name / f"fold{number}"
        kept = folder / "scores.npy"
        if not kept.exists():
            others = np.setdiff1d(np.arange(len(table)), part)
            adapter = tuned(table, others, args.model, folder, args.threads)
            base = json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
            np.save(kept, asyncio.run(graded(table, part, args.base or base, adapter, args.threads)))
            say(f"{study.name}: fold {number + 1} of {len(parts)}")
        found[part] = np.load(kept)
    return found


def row_of(study: Study, args: argparse.Namespace) -> Row:
    """Return the row as the figures hold it."""
    table = sample(read(study, args.data))
    parts = folds(table, FOLDS, seed=0, held_out=study.held_out)
    assert table.success is not None
    rated, weak, strong = scores(study, table, parts, args), table.success[:, 0], table.success[:, 1]
    found = measure(ranks(rated, parts), weak, strong)
    row = {name: getattr(found, name) for name in ("apgr", "apgr_interval", "apgr_ten", "cpt50", "cpt80")}
    row |= {"cpt50_interval": found.cpt50_interval, "cpt80_interval": found.cpt80_interval}
    whole = len(table) == len(read(study, args.data))
    label = LABEL if whole else f"{LABEL}, {len(table):,} questions"
    say(f"{study.name}: {label} {found.apgr:.3f} {found.apgr_interval}")
    return {"router": label, **row, "pooled": measure_pooled(rated, weak, strong), "curve": thinned(found.curve)}


def main() -> int:
    """Train, grade, and put the rows where the page is made from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the tables")
    parser.add_argument("--model", default=MODEL, help="what is fine-tuned")
    parser.add_argument("--base", help="the folder that the adapters go on, if it is not the one they name")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "causal-router")
    parser.add_argument("--only", action="append", choices=["gsm8k", "mmlu_subjects"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", action="store_true", help=f"add the rows to {STUDY.relative_to(ROOT)}")
    args = parser.parse_args()
    kept = STUDY / "figures.json"
    for study in STUDIES:
        if study.name not in (args.only or ("gsm8k", "mmlu_subjects")):
            continue
        row = row_of(study, args)
        if args.write:
            results = json.loads(kept.read_text())
            others = [one for one in results[study.name]["rows"] if not one["router"].startswith(LABEL)]
            results[study.name]["rows"] = [*others, row]
            kept.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        else:
            print(json.dumps({key: value for key, value in row.items() if key != "curve"}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

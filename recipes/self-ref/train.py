"""Self-REF on the shipped models: attempts, marks, an adapter, and how well the marks route.

    python recipes/self-ref/train.py [--model tiny-reasoner-small] [--out runs/self-ref] [--threads 1]
    python recipes/self-ref/train.py --model smol-thinker-short --out runs/self-ref-smollm2 [--strong MODEL]

1. The model answers questions that no test asks, greedily; each reply is judged.
2. Right replies end with the confident mark, wrong ones with the unconfident one, on which alone a wrong one is learnt.
3. An adapter is trained on them and exported for llama.cpp.
4. The adapted model answers questions that it has not seen, and its confidence is measured as a router to the large
   model, beside its mean log-probability: for the tiny model those of the routing study, on the study's own recording;
   for SmolLM2 sums, which the model itself and, with `--strong`, a larger one answer here.

Each step leaves a file and is not done again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import islice
from math import inf
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from routing import STUDY, SUBJECTS, Subject, gathered, read  # noqa: E402
from routing_rules import Answers, Measured, Rule, Scored, measure  # noqa: E402

from ponder.core.engine import Sampling  # noqa: E402
from ponder.core.judge import Item, Verifier  # noqa: E402
from ponder.core.run import Run  # noqa: E402
from ponder.core.train import Attempt, Row  # noqa: E402
from ponder.engines.open import Adapter, EngineOptions, open_engine  # noqa: E402
from ponder.methods.stop.thinking_mode import ThinkingMode  # noqa: E402
from ponder.methods.vote.sample import Sample  # noqa: E402
from ponder.scorers.confidence_token import ConfidenceToken  # noqa: E402
from ponder.scorers.mean_logprob import MeanLogprob  # noqa: E402
from ponder.steer.calibration import auc  # noqa: E402
from ponder.steer.draw import draw  # noqa: E402
from ponder.tasks.table import load_task  # noqa: E402
from ponder.text.confidence import unmarked  # noqa: E402
from ponder.train.base.recipe import FAMILIES  # noqa: E402
from ponder.train.confidence import ConfidenceMarks, conversation  # noqa: E402
from ponder.train.lab.rows import fresh, held_out  # noqa: E402
from ponder.train.lab.table import load_family  # noqa: E402

MARKS = ("So", "Wait")
"""Words that are one token each in the tiny models' vocabulary, and stand for <CN> and <UN>."""
SEED, EACH, LONGEST = 7, 160, 512
"""Of the training questions: their seed, how many of each family, and the tokens of a reply."""
SUMS = "arithmetic:level=3-6,language=mix"
"""What SmolLM2 is asked: hard enough to be wrong on a third. Seed 0, the task's own, is for the test."""
SUMS_EACH, SUMS_TESTED = 240, 120
SIZES = {"smol-thinker-short": 134.5, "qwen2.5-coder-0.5b-instruct": 494.0, "qwen2.5-coder-1.5b-instruct": 1543.7}
"""Millions of weights: a token costs as many."""


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file, none where there is no file."""
    return list(map(json.loads, path.read_text("utf-8").splitlines())) if path.exists() else []


async def answer(model: str, asked: Sequence[tuple[Item, Verifier]], path: Path, options: EngineOptions) -> None:
    """Answer what is not answered in `path` yet, greedily, one line a question."""
    done = {line["id"] for line in read_lines(path)}
    todo = [(item, verifier) for item, verifier in asked if item.problem.id not in done]
    if not todo:
        return
    gate = asyncio.Semaphore(8)
    async with open_engine(model, options) as loaded:
        with path.open("a", encoding="utf-8") as file:

            async def one(item: Item, verifier: Verifier) -> None:
                async with gate:
                    line = await replied(item, verifier, loaded.engine)
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                file.flush()

            await asyncio.gather(*(one(item, verifier) for item, verifier in todo))


async def replied(item: Item, verifier: Verifier, engine: Any) -> dict[str, Any]:
    """Return one reply: as it stands, whether it is right, and both scores."""
    sampling = Sampling(max_tokens=LONGEST, temperature=0.0)
    run = Run(engine, sampling=sampling, extract=verifier.extract, same=verifier.same)
    scorer = ConfidenceToken(*MARKS)
    # As the training rows are asked, without a word on how to think; where there are no thoughts, steps are asked for.
    method = ThinkingMode("on") if engine.think else Sample()
    sample = await draw(method, item.problem, run, 0, n=1, asks=scorer.asks())
    (marked,) = await scorer.score(item.problem, [sample.call], run)
    (mean,) = await MeanLogprob().score(item.problem, [sample.call], run)
    right = item.reference is not None and verifier(unmarked(sample.solution.answer, MARKS), item.reference).correct
    cut = sample.solution.finish == "length"
    return {
        "id": item.problem.id,
        "text": sample.call.text,
        "right": bool(right),
        "cut": cut,
        "tokens": sample.call.tokens,
        "confidence": None if marked.value == -inf or cut else marked.value,
        "mean_logprob": None if cut else mean.value,
    }


def training(families: Sequence[str], each: int) -> list[tuple[Item, Verifier]]:
    """Return questions that no test asks."""
    made = [load_family(spec, SEED) for spec in families]
    without = held_out()
    return [(puzzle.item, one.verifier) for one in made for puzzle in islice(fresh(one, without), each)]


def tested(tasks: Sequence[str], count: int) -> list[tuple[Item, Verifier]]:
    """Return the questions of the measurement."""
    return [(item, task.verifier) for task in map(load_task, tasks) for item in task.items(count)]


async def examples(asked: Sequence[tuple[Item, Verifier]], path: Path, keep: float) -> list[Any]:
    """Return the training rows of recorded attempts."""
    lines = {line["id"]: line for line in read_lines(path)}

    async def rows() -> AsyncIterator[Row]:
        for item, _ in asked:
            line = lines[item.problem.id]
            attempt = Attempt(line["text"], line["tokens"], line["right"], line["cut"])
            if item.reference is not None:
                yield Row(item.problem, item.reference, attempts=(attempt,))

    builder = ConfidenceMarks(*MARKS, keep=keep)
    return [conversation(example) async for example in builder.build(rows(), None)]


def fine_tune(model: str, rows: Sequence[Any], out: Path, args: argparse.Namespace) -> Any:
    """Train the adapter, export it beside itself, and return where the model was found."""
    import torch

    from ponder.cli.train_model import find_model
    from ponder.shrink.export import export_adapter
    from ponder.train.loops.load import open_model
    from ponder.train.loops.messages import Stage
    from ponder.train.loops.sft import SFT, train
    from ponder.weights.lora import read_config

    torch.set_num_threads(args.threads)
    found = find_model(model, None, None, ())
    known = read_config(found.adapter) if found.adapter else {"r": 8, "lora_alpha": 16}
    settings = SFT(
        lora=int(str(known["r"])),
        alpha=float(str(known["lora_alpha"])),
        epochs=args.epochs,
        batch=16,
        learning_rate=args.lr,
        max_length=LONGEST + 256,
        seed=SEED,
    )
    loaded, tokenizer = open_model(found.folder, found.name, settings, found.template)
    if not (out / "adapter_model.safetensors").exists():
        train(settings, loaded, tokenizer, [Stage("self-ref", tuple(rows))], out, adapter=found.adapter)
    if not (out / "adapter.gguf").exists():
        export_adapter(out, found.folder, out / "adapter.gguf")
    return found


def study(tuned: Path, rows: Sequence[dict[str, Any]], subject: Subject) -> str:
    """Return how the tuned model answers and routes, on the questions of the study, beside the untuned one."""
    base = gathered(subject, rows)
    known = matched(tuned, [row["id"] for row in rows])
    untuned = base.scores["small-long"]["mean_logprob"]
    return report(known, untuned, base, base.sides["large-long"], subject.weights[0] / subject.weights[1])


def sums(out: Path, asked: Sequence[tuple[Item, Verifier]], model: str, strong: str) -> str:
    """Return how the tuned model answers, and how it routes to the strong one where that has answered, too."""
    unit = SIZES[model] / SIZES[strong]
    large = {line["id"]: line for line in read_lines(out / "strong.jsonl")}
    ids = [item.problem.id for item, _ in asked if not large or item.problem.id in large]
    plain, known = matched(out / "untuned.jsonl", ids), matched(out / "tuned.jsonl", ids)
    untuned = costed(plain, unit, "mean_logprob")
    if large:
        way = costed([large[one] for one in ids], 1.0)
        base = Answers(ids, [SUMS] * len(ids), {"small": untuned, "large": way}, {})
        return f"The strong model is right on {100 * mean(way.right):.1f} %.\n" + report(
            known, untuned, base, way, unit
        )
    found = [("untuned, mean_logprob", costed(plain, 1.0, "mean_logprob"))]
    found += [(f"tuned, {name}", costed(known, 1.0, name)) for name in ("mean_logprob", "confidence")]
    marked = sum(line["confidence"] is not None for line in known)
    rows = [f"{name}: {selective(one)}" for name, one in found]
    return "\n".join(
        [f"{len(ids)} questions, {marked} replies with a mark; tokens a question are the second figure", *rows]
    )


def selective(way: Scored) -> str:
    """Return the accuracy of a way, the AUC of its score, and its APGR as a router to a model that is always right.

    With an interval over resampled questions; what chance sends on recovers one half.
    """
    import numpy as np

    from ponder.train.routers.train import measure

    right = np.array(way.right, float)
    unsure = np.array([1e9 if score == -inf else -score for score in way.score])
    found = measure(unsure, right, np.ones(len(right)))
    useful = auc(list(way.score), [int(mark) for mark in way.right])
    low, high = found.apgr_interval or (0.0, 1.0)
    routed = f"APGR {found.apgr:.3f} [{low:.3f}, {high:.3f}], CPT(50 %) {100 * (found.cpt50 or 1):.0f} %"
    return f"{100 * right.mean():.1f} % of {len(right)} right, {mean(way.cost):.1f}, AUC {useful:.3f}, {routed}"


def matched(path: Path, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return the recorded replies to these questions."""
    lines = {line["id"]: line for line in read_lines(path)}
    return [lines[one] for one in ids]


def costed(known: Sequence[dict[str, Any]], unit: float, score: str = "") -> Scored:
    """Return recorded replies as a way to answer, `unit` being the price of a token."""
    right, cost = [float(line["right"]) for line in known], [line["tokens"] * unit for line in known]
    return Scored(right, cost, scores(known, score) if score else ())


def report(known: Sequence[dict[str, Any]], untuned: Scored, base: Answers, large: Scored, unit: float) -> str:
    """Return the table: three cascades, each with its threshold from the other half."""
    tuned = {name: costed(known, unit, name) for name in ("mean_logprob", "confidence")}
    answers = Answers(base.questions, base.tasks, {**base.sides, "self-ref": tuned["confidence"]}, {})
    found = [cascade(answers, "untuned, mean_logprob", untuned, large)]
    found += [cascade(answers, f"self-ref, {name}", one, large) for name, one in tuned.items()]
    marked = sum(line["confidence"] is not None for line in known)
    head = f"{len(known):,} questions, {marked:,} replies with a mark.\n\n"
    head += "| small model, score | its accuracy | AUC | sent on | accuracy | cost | above the best mixture, 95 % |\n"
    return head + "|---|---:|---:|---:|---:|---:|---:|\n" + "\n".join(map(line_of, found)) + "\n"


def scores(known: Sequence[dict[str, Any]], name: str) -> list[float]:
    """Return a score of each reply; there is none where a limit cut it or where it bears no mark."""
    return [-inf if line[name] is None else line[name] for line in known]


def cascade(answers: Answers, label: str, weak: Scored, strong: Scored) -> Measured:
    """Measure the cascade from a scored small model to the large one, its threshold chosen on the other half."""
    import numpy as np

    stays, kept, score = (np.array(part, float) for part in (weak.right, weak.cost, weak.score))
    goes, dear = np.array(strong.right, float), np.array(strong.cost, float)
    useful = auc(list(weak.score), [int(mark) for mark in weak.right])
    return measure(answers, Rule(label, score, stays, goes, kept, kept + dear, useful))


def line_of(found: Measured) -> str:
    """Return one row of the table."""
    rule, (low, high) = found.rule, found.interval
    gain = f"{100 * found.gain:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    own, all_ = 100 * rule.stays.mean(), 100 * found.right.mean()
    sent, cost = 100 * found.sent.mean(), found.cost.mean()
    return f"| {rule.label} | {own:.1f} % | {rule.auc:.3f} | {sent:.0f} % | {all_:.1f} % | {cost:.1f} | {gain} |"


def main() -> None:
    """Do the steps that are not done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny-reasoner-small", help="a name of the catalogue")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "self-ref")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--keep", type=float, default=1.0, help="share of wrong replies that is used")
    parser.add_argument("--strong", choices=[*SIZES][1:], help="a larger model for SmolLM2's sums; slow")
    parser.add_argument("--strong-questions", type=int, default=SUMS_TESTED, help="how many of them it is asked")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    tiny, subject = args.model.startswith("tiny"), SUBJECTS[0]
    asked = training(FAMILIES, EACH) if tiny else training([SUMS], SUMS_EACH)
    attempts, adapter = args.out / "attempts.jsonl", args.out / "adapter"
    plain = EngineOptions(threads=args.threads)
    asyncio.run(answer(args.model, asked, attempts, plain))
    rows = asyncio.run(examples(asked, attempts, args.keep))
    print(f"{len(rows):,} examples, {sum(bool(row.given) for row in rows):,} of them unconfident")
    found = fine_tune(args.model, rows, adapter, args)
    tests = tested(subject.tasks, subject.questions) if tiny else tested([SUMS], SUMS_TESTED)
    options = replace(plain, adapters=(Adapter("self-ref", adapter / "adapter.gguf"),))
    if tiny:
        asyncio.run(answer(args.model, tests, args.out / "tuned.jsonl", options))
        recorded = sorted(read(STUDY / f"{subject.name}.jsonl"), key=lambda row: (row["task"], row["id"]))
        print(study(args.out / "tuned.jsonl", recorded, subject))
        return
    # The adapter went on from that of the model: beside its base it is all that is needed.
    marks = {"chat_template": found.template, "think_open": "<think>", "think_close": "</think>"}
    asyncio.run(answer(found.name, tests, args.out / "tuned.jsonl", replace(options, **marks)))
    asyncio.run(answer(args.model, tests, args.out / "untuned.jsonl", plain))
    if args.strong:
        asyncio.run(answer(args.strong, tests[: args.strong_questions], args.out / "strong.jsonl", plain))
    print(sums(args.out, tests, args.model, args.strong or [*SIZES][-1]))


if __name__ == "__main__":
    main()

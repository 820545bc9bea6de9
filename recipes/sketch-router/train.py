"""Trains the router of sketch-of-thought, and says how good it is: cross-validated, on sources held out, and by hand.

    python recipes/sketch-router/train.py --gsm8k gsm8k_train.jsonl.gz --mmlu routellm_mmlu.csv.gz [--out FOLDER]

A question's label is where it comes from: word problems (gsm8k, svamp, aqua) are for chunked symbolism, yes-or-no
questions (strategyqa) for conceptual chaining, technical subjects of MMLU for expert lexicons. Answer choices are left
out, since half of the sources have them.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ponder.bench.stats import wilson
from ponder.tasks.table import load_task
from ponder.text.ngrams import bare, known_words
from ponder.text.sketches import PARADIGMS, Paradigm
from ponder.train.words import Labelled, fit, fold_of, save, shares

FOLDS, DECAY, STEPS = 5, 1e-5, 100
MOST = 1000
"""Questions of one source, so that none drowns the others."""
TECHNICAL = (
    "anatomy", "astronomy", "clinical_knowledge", "college_biology", "college_chemistry", "college_computer_science",
    "college_medicine", "college_physics", "computer_security", "electrical_engineering", "high_school_biology",
    "high_school_chemistry", "high_school_computer_science", "high_school_physics", "machine_learning",
    "medical_genetics", "professional_medicine", "virology",
)  # fmt: skip
"""Subjects of MMLU; those of mathematics are left out, for they would be symbolism as well."""
HAND = Path(__file__).with_name("hand.tsv")


def rows(gsm8k: Path, mmlu: Path) -> Iterator[Labelled]:
    """Yield all questions of all sources."""
    with gzip.open(gsm8k, "rt", encoding="utf-8") as file:
        for line in file:
            yield labelled(json.loads(line)["question"], "chunked_symbolism", "gsm8k")
    for task, paradigm in (("svamp", "chunked_symbolism"), ("aqua", "chunked_symbolism"),
                           ("strategyqa", "conceptual_chaining")):  # fmt: skip
        for item in load_task(task).items():
            yield labelled(item.problem.question, paradigm, task)  # type: ignore[arg-type]
    with gzip.open(mmlu, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["subject"] in TECHNICAL:
                yield labelled(row["prompt"], "expert_lexicons", f"mmlu:{row['subject']}")


def labelled(question: str, paradigm: Paradigm, source: str) -> Labelled:
    """Return a question that one paradigm suits."""
    return Labelled(bare(question), tuple(float(one == paradigm) for one in PARADIGMS), source)


def sampled(found: Sequence[Labelled], seed: int = 0) -> list[Labelled]:
    """Return at most `MOST` questions of each source, in an order of their own; equal questions count once."""
    mixed = list({row.question: row for row in found if row.question}.values())
    random.Random(seed).shuffle(mixed)
    seen: Counter[str] = Counter()
    kept = []
    for row in mixed:
        seen[row.source] += 1
        if seen[row.source] <= MOST:
            kept.append(row)
    return kept


def right(weights: np.ndarray, asked: Sequence[Labelled], words: bool = True) -> list[bool]:
    """Say for each question whether the likeliest paradigm is its label."""
    best = shares(weights, asked, "softmax", words).argmax(axis=1)
    return [row.wanted[place] == 1 for row, place in zip(asked, best, strict=True)]


def share(marks: Sequence[bool]) -> str:
    """Return a share with its interval."""
    low, high = wilson(sum(marks), len(marks))
    return f"{100 * sum(marks) / len(marks):.1f} % [{100 * low:.1f}, {100 * high:.1f}] of {len(marks):,}"


def validate(data: Sequence[Labelled]) -> None:
    """Print the accuracy in folds, with words and by shape alone, and on sources that training never saw."""
    folds = [fold_of(row, FOLDS) for row in data]
    marks: dict[bool, list[tuple[Labelled, bool]]] = {True: [], False: []}
    for fold in range(FOLDS):
        train = [row for row, own in zip(data, folds, strict=True) if own != fold]
        weights = fit(train, PARADIGMS, "softmax", DECAY, STEPS)
        test = [row for row, own in zip(data, folds, strict=True) if own == fold]
        for words, found in marks.items():
            found += zip(test, right(weights, test, words), strict=True)
    for words, found in marks.items():
        print(f"five folds, {'words and shape' if words else 'shape alone'}: {share([mark for _, mark in found])}")
        for place, paradigm in enumerate(PARADIGMS):
            print(f"  {paradigm}: {share([mark for row, mark in found if row.wanted[place]])}", flush=True)
    for source in ("gsm8k", "svamp", "aqua", "mmlu:college_physics", "mmlu:professional_medicine"):
        weights = fit([row for row in data if row.source != source], PARADIGMS, "softmax", DECAY, STEPS)
        test = [row for row in data if row.source == source]
        print(f"{source} held out: {share(right(weights, test))}", flush=True)


def by_hand(weights: np.ndarray) -> None:
    """Print how the questions that were labelled by hand are told apart, by language."""
    lines = [line.split("\t") for line in HAND.read_text("utf-8").splitlines()]
    for english in (True, False):
        asked = [labelled(text, label, "hand") for label, text in lines if known_words(text) == english]  # type: ignore[arg-type]
        print(f"by hand, {'English' if english else 'Chinese'}: {share(right(weights, asked, english))}")
        best = shares(weights, asked, "softmax", english).argmax(axis=1)
        for place, paradigm in enumerate(PARADIGMS):
            told = Counter(PARADIGMS[one] for row, one in zip(asked, best, strict=True) if row.wanted[place])
            print(f"  {paradigm}: {dict(told)}")


def main() -> None:
    """Validate, train on everything, and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gsm8k", type=Path, required=True, help="training questions, JSON lines, gzip")
    parser.add_argument("--mmlu", type=Path, required=True, help="a table with subject and prompt, CSV, gzip")
    parser.add_argument("--out", type=Path, help="the folder of the router")
    args = parser.parse_args()
    data = sampled(list(rows(args.gsm8k, args.mmlu)))
    print(f"{len(data):,} questions: {dict(Counter(row.source.partition(':')[0] for row in data))}")
    validate(data)
    weights = fit(data, PARADIGMS, "softmax", DECAY, STEPS)
    by_hand(weights)
    if args.out is not None:
        save(args.out, weights, PARADIGMS, "softmax", {"questions": len(data), "technical": list(TECHNICAL)})


if __name__ == "__main__":
    main()

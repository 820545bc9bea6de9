"""How far labels by completions agree with the exact ones, on replies to the lab that `ponder train prm` kept.

python recipes/prm/rollouts.py REPLIES TASK[,TASK...] --questions 40
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ponder.bench.specs import split_specs
from ponder.train.lab.labels import label_steps
from ponder.train.prm.measure import area
from ponder.train.prm.questions import load_questions


def main() -> None:
    """Print the AUC of the share of right completions for the exact label of a step, and what they cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("replies", type=Path)
    parser.add_argument("tasks")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    known = {one.key: one for one in load_questions(split_specs(given.tasks), given.questions, given.seed)}
    values, truths, keys = list[float](), list[float](), list[str]()
    spent = tokens = 0
    for line in given.replies.read_bytes().splitlines()[1:]:
        row = json.loads(line)
        if row["key"] not in known:
            continue
        chain = known[row["key"]].chain
        assert chain is not None, "these are no questions of the lab"
        exact = {label.end: label.sound for label in label_steps(chain, row["text"])}
        spent, tokens = spent + row["spent"], tokens + row["tokens"]
        # The last step of a whole reply is worth its verdict either way: it would flatter the completions.
        for end, value, *_ in row["steps"][:-1]:
            values.append(value)
            truths.append(float(exact[end]))
            keys.append(row["key"])
    found = area(values, truths, keys)
    hard = [float(value > 0) for value in values]
    same = sum(one == other for one, other in zip(hard, truths, strict=True)) / len(values)
    print(f"{len(values)} steps of {len(set(keys))} questions, {sum(truths) / len(truths):.3f} of them on firm ground")
    print(f"AUC of the share of right completions {found.auc:.3f} [{found.low:.3f}, {found.high:.3f}]")
    print(f"any right completion agrees with the exact label on {same:.3f} of the steps")
    print(f"{spent:,} tokens for the labels of {tokens:,}")


if __name__ == "__main__":
    main()

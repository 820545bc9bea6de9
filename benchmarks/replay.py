"""How long `ponder replay` takes to read and vote over a million recorded samples, beside a bare loop that counts them.

python benchmarks/replay.py [--samples 1000000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from ponder.bench.replay import ReplayPlan, plan_methods, replay
from ponder.bench.replayed import rows_of
from ponder.methods import catalogue

A_PROBLEM = 50
"""Samples of one problem."""


def write(path: Path, samples: int) -> None:
    """Write traces with short thoughts, of which seven in ten end in the right answer."""
    rng = random.Random(0)
    with path.open("w") as file:
        for i in range(samples // A_PROBLEM):
            answers = [i if rng.random() < 0.7 else rng.randrange(9) for _ in range(A_PROBLEM)]
            replies = [
                {
                    "text": f"<think>Let us see what {i} is: it is {a}, I think.</think>It is \\boxed{{{a}}}.",
                    "prediction": str(a),
                    "correct": a == i,
                    "tokens": 24,
                }
                for a in answers
            ]
            line = {"id": f"q{i}", "question": f"What is {i}?", "answer": str(i), "samples": replies}
            file.write(json.dumps(line) + "\n")


def bare(path: Path) -> float:
    """Read the same file and count the same votes with nothing around it; return the share of right ones."""
    right = problems = 0
    with path.open() as file:
        for line in file:
            problem = json.loads(line)
            votes = Counter(sample["prediction"] for sample in problem["samples"])
            right += votes.most_common(1)[0][0] == problem["answer"]
            problems += 1
    return right / problems


async def asleep(samples: int) -> None:
    """Start as many tasks as there are samples, which do nothing: what an event loop costs by itself."""

    async def nothing() -> None:
        pass

    for _ in range(samples // A_PROBLEM):
        async with asyncio.TaskGroup() as group:
            for _ in range(A_PROBLEM):
                group.create_task(nothing())


def main() -> None:
    """Print seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    samples = parser.parse_args().samples
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traces.jsonl"
        write(path, samples)
        methods = plan_methods("self_consistency", catalogue())
        seconds = {}
        for name in ("bare", "loop", "replay", "engine"):
            clock = time.process_time()
            if name == "bare":
                share = bare(path)
            elif name == "loop":
                asyncio.run(asleep(samples))
            else:
                plan = ReplayPlan(path, methods, shortcuts=name == "replay", limit=None if name == "replay" else 400)
                rows = rows_of(asyncio.run(replay(plan)))
                assert name != "replay" or rows[0].accuracy == share
            seconds[name] = time.process_time() - clock
    seconds["engine"] *= samples / min(samples, 400 * A_PROBLEM)
    print(f"{samples:,} samples, {A_PROBLEM} a problem, seconds of CPU:")
    print(f"  bare loop over the file   {seconds['bare']:7.2f}")
    print(f"  bare asyncio tasks        {seconds['loop']:7.2f}")
    print(
        f"  ponder replay             {seconds['replay']:7.2f}  {seconds['replay'] / seconds['bare']:.1f} x bare loop"
    )
    ratio = seconds["engine"] / seconds["loop"]
    print(f"  the same through engines  {seconds['engine']:7.2f}  {ratio:.1f} x bare asyncio (from 20,000 samples)")


if __name__ == "__main__":
    main()

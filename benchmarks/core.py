"""How fast the lab itself is, without a model: `python benchmarks/core.py`; figures are ratios of one run.

- `ponder bench` with the echo engine on one core, questions a second, beside a bare asyncio loop over the same replies.
- Its memory after 10,000 and after 100,000 questions.
- CPU seconds of `ponder --help` and of `import ponder`, beside a bare interpreter.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
BENCH = ("bench", "arithmetic", "--model", "echo", "--methods", "sample", "--no-report", "--quiet", "--json")


def measured(command: list[str], home: str) -> tuple[float, float, int, str]:
    """Run a command on one core; return wall seconds, CPU seconds, its peak memory in KiB, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = {**os.environ, **ONE_CORE, "PONDER_CACHE": home, "HOME": home}
    started = time.perf_counter()
    core = min(os.sched_getaffinity(0))
    # The child reports its own peak: RUSAGE_CHILDREN would keep the highest of all children so far.
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, preexec_fn=lambda: os.sched_setaffinity(0, {core})
    )
    output = process.communicate()[0].decode()
    wall = time.perf_counter() - started
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, after.ru_maxrss, output


async def bare_loop(questions: int) -> float:
    """Return seconds for a bare asyncio loop that draws the same replies, counts their tokens and parses the answer."""
    from ponder.core.engine import Sampling
    from ponder.core.problem import Prompt
    from ponder.engines.echo import Echo
    from ponder.tasks import load_task
    from ponder.verify import Number

    engine, number, sampling = Echo(), Number(), Sampling(max_tokens=512, temperature=0.0)
    total = 0
    started = time.perf_counter()
    for item in load_task("arithmetic").items(questions):
        text = []
        async with engine.stream(Prompt.of(item.problem), sampling) as chunks:
            async for chunk in chunks:
                text.append(chunk.text)
                total += chunk.tokens
        number.extract("".join(text))
    return time.perf_counter() - started


def throughput(home: str, questions: int) -> dict[str, float]:
    """Measure `ponder bench` against the bare loop."""
    folder = Path(home) / f"run{questions}"
    command = [sys.executable, "-m", "ponder", *BENCH, "--limit", str(questions), "--out", str(folder)]
    wall, cpu, peak, output = measured(command, home)
    run = json.loads(output)["run"]
    bare = asyncio.run(bare_loop(questions))
    return {
        "questions": questions,
        "questions_per_second": questions / run["seconds"],
        "questions_per_second_with_start_and_statistics": questions / wall,
        "ratio_to_bare_loop": run["seconds"] / bare,
        "cpu_seconds": cpu,
        "peak_mib": peak / 1024,
    }


def start_up(home: str) -> dict[str, float]:
    """Measure the start of the command line and of the import."""

    def cpu(*command: str) -> float:
        return min(measured([sys.executable, *command], home)[1] for _ in range(5))

    bare = cpu("-c", "pass")
    shown, imported = cpu("-m", "ponder", "--help"), cpu("-c", "import ponder")
    return {"bare_python": bare, "help": shown, "import": imported, "help_ratio": shown / bare}


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, nargs="+", default=[10_000, 100_000])
    args = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as home:
        result = {
            "machine": f"{platform.machine()}, Python {platform.python_version()}, one core",
            "start_cpu_seconds": start_up(home),
            "throughput": [throughput(home, questions) for questions in args.questions],
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

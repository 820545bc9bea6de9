"""What the embedded engine costs: tokens per CPU-second at 1 and 8 streams, and what eight forks read again.

`python benchmarks/llama.py MODEL.gguf` prints one JSON object. CPU time of the child is counted instead of time on the
clock, so that other work on the machine matters less.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import resource
import sys
from pathlib import Path

from ponder.core.engine import Sampling
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Call, Run
from ponder.engines.llama import LlamaEngine

TOKENS, PREFIX, FORKS = 96, 1_000, 8


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """CPU time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def decode(engine: LlamaEngine, streams: int) -> dict[str, float]:
    """Generate with so many streams at once, from prompts that are already read."""
    (end,) = await engine.server.tokenize("<|im_end|>", special=True)
    run = Run(engine, sampling=Sampling(max_tokens=TOKENS, logit_bias=((end, -math.inf),)))
    prompts = [Prompt.of(Problem.of(f"Tell me about the number {number}.")) for number in range(streams)]
    await asyncio.gather(*(run.generate(prompt, max_tokens=1) for prompt in prompts))
    child, own = cpu_seconds(engine.server.pid), own_seconds()
    calls = await asyncio.gather(*(run.generate(prompt) for prompt in prompts))
    child, own = cpu_seconds(engine.server.pid) - child, own_seconds() - own
    tokens = sum(call.tokens for call in calls)
    return {"tokens_per_cpu_second": round(tokens / child, 1), "client_share": round(own / (own + child), 3)}


async def fork(engine: LlamaEngine) -> dict[str, float]:
    """Read a long prefix, then continue it in eight ways at once."""
    text = "The quick brown fox jumps over the lazy dog again. " * (PREFIX // 8)
    ids = (await engine.server.tokenize(text, special=False))[:PREFIX]
    run = Run(engine, sampling=Sampling(max_tokens=1, temperature=0))
    trunk = Prompt((Problem.of("Go on.").messages), prefill=text, prefill_ids=ids)
    start = cpu_seconds(engine.server.pid)
    first = await run.generate(trunk)
    middle = cpu_seconds(engine.server.pid)
    calls: list[Call] = await asyncio.gather(*(run.generate(trunk + f" Way {i}:") for i in range(FORKS)))
    end = cpu_seconds(engine.server.pid)
    return {
        "prefix_tokens": first.prompt_tokens,
        "prefix_cpu_seconds": round(middle - start, 2),
        "forks_read_tokens": sum(call.prompt_tokens - call.cached_tokens for call in calls),
        "forks_cpu_seconds": round(end - middle, 2),
    }


async def main(path: str) -> None:
    """Measure one model and print what came out."""
    async with LlamaEngine(path, threads=1, slots=8, context=2048, check=False) as engine:
        result = {
            "model": Path(path).name,
            "threads": 1,
            "streams": {str(n): await decode(engine, n) for n in (1, 8)},
            "forks": await fork(engine),
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

"""Tokens a second of the torch engine beside plain batched `generate()`, and on wish llama.cpp and vLLM, in one run.

python benchmarks/engines.py [FOLDER] [--gguf FILE] [--vllm PYTHON] [--streams 1,8,32] [--cpu] [--json FILE]

FOLDER is a transformers folder; without one the embedded SmolLM2 is put into one. All get the same prompts of equal
length, none may end early, and each writes equally many tokens. Reading the prompts (up to the first token) and writing
from prompts that are read are timed apart. Repeats are interleaved; a ratio is taken within one repeat, and the median
over repeats is shown, so that other work on the machine decides little; where it is very busy, --cpu counts CPU time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ponder.core.engine import Engine, Sampling
from ponder.core.problem import Message, Prompt

TEXT = "The fox asked the owl how far the river was, and the owl counted the hills, the woods and the wells again. "


@dataclass(frozen=True)
class Timing:
    """Seconds until every stream had its first token, seconds for all tokens behind known prompts, and the ids."""

    read: float
    write: float
    ids: list[list[int]] = field(repr=False)


Arm = Callable[[Sequence[Prompt], Sequence[list[int]]], Coroutine[Any, Any, Timing]]


class Prompts:
    """Prompts of exactly `length` tokens that begin differently each time, as `Prompt` and as ids."""

    def __init__(self, tokenizer: Any, length: int) -> None:
        self._tokenizer, self._length, self._count = tokenizer, length, 0
        self._fill = tokenizer.encode(TEXT * (length // 16 + 1), add_special_tokens=False)

    def take(self, streams: int) -> tuple[list[Prompt], list[list[int]]]:
        """Return so many new ones."""
        pairs = [self._next() for _ in range(streams)]
        return [pair[0] for pair in pairs], [pair[1] for pair in pairs]

    def _next(self) -> tuple[Prompt, list[int]]:
        self._count += 1
        said = {"role": "user", "content": f"{self._count} is the number of this story. Tell it."}
        head = self._tokenizer.apply_chat_template([said], add_generation_prompt=True, return_dict=False)
        fill = tuple(self._fill[: self._length - len(head)])
        assert len(head) + len(fill) == self._length, f"the prompt alone takes {len(head)} tokens; raise --prompt"
        return Prompt((Message.of("user", said["content"]),), prefill_ids=fill), [*head, *fill]


def now(options: argparse.Namespace) -> float:
    """Return seconds on the clock, or of this process's CPU time."""
    return time.process_time() if options.cpu else time.perf_counter()


def plain(folder: str, options: argparse.Namespace, ends: list[int]) -> Arm:
    """Plain `generate()` on one batch: no padding, greedy or sampled, the end tokens suppressed."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.generation.streamers import BaseStreamer

    torch.set_num_threads(options.threads)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, options.dtype)).eval()

    class Clock(BaseStreamer):  # type: ignore[misc]
        def __init__(self) -> None:
            self.times: list[float] = []

        def put(self, value: object) -> None:
            self.times.append(now(options))

        def end(self) -> None:
            pass

    def run(ids: Sequence[list[int]]) -> Timing:
        torch.set_num_threads(options.threads)
        clock, prompts = Clock(), torch.tensor(ids)
        heat = {"do_sample": True, "temperature": options.temperature, "top_k": 0} if options.temperature else {}
        out = model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            max_new_tokens=options.tokens + 1,
            suppress_tokens=ends or None,
            pad_token_id=0,
            streamer=clock,
            **(heat or {"do_sample": False}),
        )
        # The streamer is first given the prompts.
        begin, first, last = clock.times[0], clock.times[1], clock.times[-1]
        assert out.shape[1] == prompts.shape[1] + options.tokens + 1
        return Timing(first - begin, last - first, out[:, prompts.shape[1] :].tolist())

    async def arm(_: Sequence[Prompt], ids: Sequence[list[int]]) -> Timing:
        return await asyncio.to_thread(run, ids)

    return arm


def through(engine: Engine, options: argparse.Namespace, ends: list[int]) -> Arm:
    """One of our engines, all streams at once."""

    def sampling(tokens: int) -> Sampling:
        bias = tuple((end, float("-inf")) for end in ends)
        return Sampling(max_tokens=tokens, temperature=options.temperature, logit_bias=bias)

    async def one(prompt: Prompt, tokens: int) -> list[int]:
        ids: list[int] = []
        count = 0
        async with engine.stream(prompt, sampling(tokens)) as chunks:
            async for chunk in chunks:
                ids += chunk.token_ids
                count += chunk.tokens
        assert count == tokens, f"{engine.name} wrote {count} tokens instead of {tokens}"
        return ids

    async def arm(prompts: Sequence[Prompt], _: Sequence[list[int]]) -> Timing:
        start = now(options)
        await asyncio.gather(*(one(prompt, 1) for prompt in prompts))
        middle = now(options)
        ids = await asyncio.gather(*(one(prompt, options.tokens) for prompt in prompts))
        return Timing(middle - start, now(options) - middle, list(ids))

    return arm


def posted(url: str, options: argparse.Namespace, ends: list[int]) -> Arm:
    """A vLLM server: one request with all prompts, not streamed, which is the least that a client can cost it."""

    def post(ids: Sequence[list[int]], tokens: int) -> float:
        body = {
            "model": "model",
            "prompt": list(ids),
            "max_tokens": tokens,
            "temperature": options.temperature,
            "logit_bias": {str(end): -100 for end in ends},
        }
        request = urllib.request.Request(
            f"{url}/v1/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        start = time.perf_counter()
        with urllib.request.urlopen(request) as reply:
            usage = json.load(reply)["usage"]
        assert usage["completion_tokens"] == len(ids) * tokens, usage
        return time.perf_counter() - start

    async def arm(_: Sequence[Prompt], ids: Sequence[list[int]]) -> Timing:
        read = await asyncio.to_thread(post, ids, 1)
        return Timing(read, await asyncio.to_thread(post, ids, options.tokens), [])

    return arm


@contextmanager
def vllm(folder: str, options: argparse.Namespace) -> Iterator[str]:
    """Start a vLLM server on this machine; the URL that it answers at. It keeps what it read, as our engines do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cores = sorted(os.sched_getaffinity(0))[: options.threads]
    command = [options.vllm, "-m", "vllm.entrypoints.openai.api_server", "--model", folder]
    command += ["--served-model-name", "model", "--host", "127.0.0.1", "--port", str(port), "--dtype", options.dtype]
    command += ["--max-model-len", "2048", "--max-num-seqs", "64", *shlex.split(options.vllm_args)]
    quiet = {"VLLM_CPU_KVCACHE_SPACE": "2", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    bind = {"VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores))}
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(command, env={**os.environ, **quiet, **bind}, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        try:
            while not _answers(url):
                if server.poll() is not None:
                    log.seek(0)
                    raise SystemExit("vLLM did not start:\n" + log.read()[-2000:])
                time.sleep(1)
            yield url
        finally:
            server.terminate()
            server.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5):
            return True
    except (OSError, urllib.error.URLError):
        return False


async def measure(folder: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run all arms in turns; return a row for each number of streams and arm."""
    from transformers import AutoTokenizer

    from ponder.engines.llama import LlamaEngine
    from ponder.engines.torch.engine import TorchEngine

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ends = ends_of(folder, tokenizer.eos_token_id)
    streams = [int(number) for number in options.streams.split(",")]
    prompts = Prompts(tokenizer, options.prompt)
    rows = []
    async with AsyncExitStack() as stack:
        ours = TorchEngine(folder, dtype=options.dtype, threads=options.threads, slots=max(streams))
        arms = {
            "generate()": plain(folder, options, ends),
            "ponder torch": through(await stack.enter_async_context(ours), options, ends),
        }
        if options.gguf:
            context = options.prompt + options.tokens + 64
            llama = LlamaEngine(options.gguf, threads=options.threads, slots=max(streams), context=context)
            arms[f"ponder {llama.name}"] = through(await stack.enter_async_context(llama), options, ends)
        if options.vllm:
            arms["vLLM"] = posted(stack.enter_context(vllm(folder, options)), options, ends)
        for number in streams:
            times = {name: [] for name in arms}
            for repeat in range(options.repeats + 1):
                given = prompts.take(number)
                for name in sorted(arms, reverse=bool(repeat % 2)):
                    timing = await arms[name](*given)
                    # The first round warms up: allocations, pages, a server's first batch of this size.
                    times[name] += [timing] if repeat else []
            rows += [row(name, number, timings, times["generate()"], options) for name, timings in times.items()]
    return rows


def ends_of(folder: str, end: int | None) -> list[int]:
    """Return the ids that end a reply: what the folder says of generation, else what its tokenizer says."""
    from transformers import GenerationConfig

    if Path(folder, "generation_config.json").exists():
        told = GenerationConfig.from_pretrained(folder).eos_token_id
        return [told] if isinstance(told, int) else list(told or ())
    return [] if end is None else [end]


def agreed(one: Sequence[int], two: Sequence[int]) -> int:
    """Return how many tokens two replies have in common before they part."""
    return next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))


def row(
    name: str, streams: int, timings: list[Timing], base: list[Timing], options: argparse.Namespace
) -> dict[str, Any]:
    """Rates as medians, and ratios to `generate()` as medians of the ratios within each repeat."""
    pairs = list(zip(timings, base, strict=True))

    def ratio(seconds: Callable[[Timing], float]) -> float:
        return round(statistics.median(seconds(two) / seconds(one) for one, two in pairs), 3)

    same = [
        agreed(one, two) / options.tokens
        for timing, plain in pairs
        for one, two in zip(timing.ids, plain.ids, strict=bool(timing.ids))
    ]
    return {
        "streams": streams,
        "engine": name,
        "read": round(statistics.median(streams * options.prompt / timing.read for timing in timings), 1),
        "write": round(statistics.median(streams * options.tokens / timing.write for timing in timings), 1),
        "read_ratio": ratio(lambda timing: timing.read),
        "write_ratio": ratio(lambda timing: timing.write),
        "whole_ratio": ratio(lambda timing: timing.read + timing.write),
        "same_tokens": round(min(statistics.mean(same), 1.0), 3) if same else None,
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table. Ratios are speeds: above 1 is quicker than `generate()`."""
    width = max(len(row["engine"]) for row in rows)
    print(f"streams  {'engine':{width}}  read tok/s  write tok/s  ratio: read  write  whole  same tokens")
    for row in rows:
        same = "-" if row["same_tokens"] is None else f"{row['same_tokens']:.0%}"
        print(
            f"{row['streams']:7}  {row['engine']:{width}}  {row['read']:10,.0f}  {row['write']:11,.1f}"
            f"  {row['read_ratio']:11.2f}  {row['write_ratio']:5.2f}  {row['whole_ratio']:5.2f}  {same:>11}"
        )


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="a transformers folder (default: the embedded SmolLM2 in bfloat16)")
    parser.add_argument("--gguf", help="the same model for llama.cpp")
    parser.add_argument("--vllm", metavar="PYTHON", help="a python that has vllm")
    parser.add_argument("--vllm-args", default="--enforce-eager", help="further options of its server")
    parser.add_argument("--streams", default="1,8,32")
    parser.add_argument("--prompt", type=int, default=128, help="tokens in each prompt")
    parser.add_argument("--tokens", type=int, default=64, help="tokens that each stream writes")
    parser.add_argument("--repeats", type=int, default=5, help="rounds that count; one more warms up")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32", "float16"])
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--json", metavar="FILE", help="write the rows there too")
    parser.add_argument("--cpu", action="store_true", help="count this process's CPU time; not for servers")
    options = parser.parse_args()
    if options.cpu and (options.gguf or options.vllm):
        parser.error("--cpu sees this process only; leave out --gguf and --vllm")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or smollm2(Path(temporary))
        rows = asyncio.run(measure(folder, options))
    show(rows)
    if options.json:
        Path(options.json).write_text(json.dumps({"options": vars(options), "rows": rows}, indent=1) + "\n")


def smollm2(folder: Path) -> str:
    """Put the embedded model's weights into `folder`."""
    from gguf_to_folder import convert

    from ponder.engines.catalogue import load_models
    from ponder.engines.model_store import ModelStore

    convert(ModelStore().path(load_models().find("smollm2-135m-instruct")), folder)
    return str(folder)


if __name__ == "__main__":
    main()

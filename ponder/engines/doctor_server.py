"""What only the server itself can tell an examiner: its own counters, several replies to one call, and its words."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from ponder.core.engine import Engine, Sampling
from ponder.core.errors import EngineError, Unsupported
from ponder.core.problem import Prompt, Thinking
from ponder.engines.anthropic import AnthropicEngine
from ponder.engines.http import Client, as_list, as_object
from ponder.engines.openai import OpenAIEngine
from ponder.engines.wrap import innermost

Server = OpenAIEngine | AnthropicEngine

_RUNNING = ("llamacpp:requests_processing", "vllm:num_requests_running", "sglang:num_running_reqs")
_GENERATED = ("llamacpp:tokens_predicted_total", "vllm:generation_tokens_total", "sglang:generation_tokens_total")
_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{[^}]*\})? +(-?[0-9.eE+-]+|NaN)", re.MULTILINE)


class Load(NamedTuple):
    """How many generations a server says are running, and how many tokens it has generated so far; None if untold."""

    running: int | None
    generated: int | None


def server_of(engine: Engine) -> Server | None:
    """Return the server behind an engine, or None for a model on this machine."""
    inner = innermost(engine)
    return inner if isinstance(inner, OpenAIEngine | AnthropicEngine) else None


async def load_of(server: Server) -> Load:
    """Ask for the server's own counters: `/metrics` of vLLM, SGLang and llama.cpp, or llama.cpp's `/slots`."""
    if not isinstance(server, OpenAIEngine):
        return Load(None, None)
    metrics = (await _try(server.client, server.root + "/metrics") or b"").decode("utf-8", "replace")
    totals: dict[str, float] = {}
    for name, value in _SAMPLE.findall(metrics):
        totals[name] = totals.get(name, 0.0) + float(value)
    running, generated = _first(totals, _RUNNING), _first(totals, _GENERATED)
    if running is None:
        running = _busy(await _try(server.client, server.root + "/slots"))
    return Load(running, generated)


def _first(totals: dict[str, float], names: tuple[str, ...]) -> int | None:
    return next((int(totals[name]) for name in names if name in totals), None)


def _busy(raw: bytes | None) -> int | None:
    try:
        slots = [as_object(slot) for slot in as_list(json.loads(raw or b""))]
    except ValueError:
        return None
    return sum(slot.get("is_processing") is True for slot in slots) if slots else None


async def _try(client: Client, url: str) -> bytes | None:
    try:
        return await client.fetch(url, seconds=client.timeouts.probe)
    except EngineError:
        return None


async def replies_to_one_call(server: OpenAIEngine, prompt: Prompt, sampling: Sampling, n: int) -> int:
    """Return how many replies come back when `n` are asked for in one call. Raises `EngineError`."""
    body = {name: value for name, value in server.body(prompt, sampling).items() if not name.startswith("stream")}
    answer = await server.client.ask("/chat/completions", {**body, "stream": False, "n": n})
    return len(as_list((answer or {}).get("choices")))


def budget_field(server: Server, tokens: int) -> str | None:
    """Return the name of the field that bounds thinking, dots between names; None where there is no word for it."""
    try:
        return _path(server.said(Thinking.budget(tokens)), tokens)
    except Unsupported:
        return None


def off_words(server: Server) -> str | None:
    """Return the fields that turn thinking off, as JSON; None where there is no word for it."""
    try:
        return json.dumps(server.said(Thinking.off()), separators=(",", ":")) or None
    except Unsupported:
        return None


def _path(value: object, leaf: int) -> str | None:
    for name, inner in as_object(value).items():
        if inner == leaf and not isinstance(inner, bool):
            return name
        if (below := _path(inner, leaf)) is not None:
            return f"{name}.{below}"
    return None

"""One event of a chat or completion stream as a value: its text, its counts, and how it ends."""

from __future__ import annotations

from typing import NamedTuple

from ponder.core.engine import Logprob, Usage
from ponder.engines.http import Json, as_count, as_list, as_object, as_text

_PLAIN = frozenset({"index", "delta", "finish_reason", "logprobs"})
"""The fields of a choice that says nothing but a piece of text."""


class Delta(NamedTuple):
    """What one event says, or `events` of them that came together.

    `total` is the server's running count of generated tokens, where it gives one.
    """

    text: str = ""
    reasoning: str = ""
    total: int | None = None
    ids: tuple[int, ...] = ()
    logprobs: tuple[Logprob, ...] = ()
    tools: tuple[Json, ...] = ()
    finish: str = ""
    matched_stop: str | None = None
    usage: Usage | None = None
    events: int = 1


def joined(deltas: list[Delta]) -> Delta:
    """Return what several events say that hold text of one channel, and no ids or log-probabilities."""
    if len(deltas) == 1:
        return deltas[0]
    text, reasoning = "".join(delta.text for delta in deltas), "".join(delta.reasoning for delta in deltas)
    totals = [delta.total for delta in deltas if delta.total is not None]
    usages = [delta.usage for delta in deltas if delta.usage is not None]
    last = usages[-1] if usages else None
    return Delta(text, reasoning, totals[-1] if totals else None, usage=last, events=len(deltas))


def read_chat(event: Json) -> Delta:
    """Read an event of `/v1/chat/completions`."""
    return _plain(event) or _chat(event)


def _plain(event: Json) -> Delta | None:
    """Read an event that says nothing but a piece of text, as most events of most servers do; None for any other."""
    choices = event.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or event.get("usage") or "timings" in event:
        return None
    choice = choices[0]
    if not isinstance(choice, dict) or not _PLAIN.issuperset(choice) or choice.get("finish_reason"):
        return None
    delta = choice.get("delta")
    if not isinstance(delta, dict) or len(delta) != 1 or choice.get("logprobs"):
        return None
    if isinstance(text := delta.get("content"), str):
        return Delta(text)
    text = delta.get("reasoning_content")
    return Delta(reasoning=text) if isinstance(text, str) else None


def _chat(event: Json) -> Delta:
    choice = _choice(event)
    delta = as_object(choice.get("delta"))
    return _common(event, choice)._replace(
        text=as_text(delta.get("content")),
        reasoning=_reasoning(delta),
        tools=tuple(as_object(call) for call in as_list(delta.get("tool_calls"))),
        logprobs=tuple(_chat_logprob(as_object(e)) for e in as_list(as_object(choice.get("logprobs")).get("content"))),
    )


def read_completion(event: Json) -> Delta:
    """Read an event of `/v1/completions`."""
    choice = _choice(event)
    table = as_object(choice.get("logprobs"))
    tokens, values = as_list(table.get("tokens")), as_list(table.get("token_logprobs"))
    rivals = as_list(table.get("top_logprobs")) or [None] * len(tokens)
    logprobs = tuple(
        Logprob(as_text(token), _number(value), _ranked({k: _number(v) for k, v in as_object(top).items()}))
        for token, value, top in zip(tokens, values, rivals, strict=False)
    )
    return _common(event, choice)._replace(text=as_text(choice.get("text")), logprobs=logprobs)


def _common(event: Json, choice: Json) -> Delta:
    """Read what both endpoints share: vLLM's token ids, llama.cpp's timings, and who says which stop it was."""
    usage = _usage(event)
    timings = as_object(event.get("timings"))
    verbose = as_object(event.get("__verbose"))
    total = as_count(timings.get("predicted_n"))
    if total is None and usage is not None:
        total = usage.generated
    stop = choice.get("stop_reason") or choice.get("matched_stop") or verbose.get("stopping_word")
    return Delta(
        total=total,
        ids=tuple(i for i in as_list(choice.get("token_ids")) if isinstance(i, int)),
        finish=as_text(choice.get("finish_reason")),
        matched_stop=stop if isinstance(stop, str) and stop else None,
        usage=usage,
    )


def _choice(event: Json) -> Json:
    choices = as_list(event.get("choices"))
    return as_object(choices[0]) if choices else {}


def _reasoning(delta: Json) -> str:
    """Return the thinking under the first name that has any: some servers send the same text under two."""
    for name in ("reasoning_content", "reasoning", "thinking"):
        if text := as_text(delta.get(name)):
            return text
    details = (as_object(part) for part in as_list(delta.get("reasoning_details")))
    return "".join(as_text(part.get("text")) or as_text(part.get("summary")) for part in details)


def _usage(event: Json) -> Usage | None:
    said = as_object(event.get("usage"))
    timings = as_object(event.get("timings"))
    if not said and not timings:
        return None
    cached = as_count(as_object(said.get("prompt_tokens_details")).get("cached_tokens"))
    if cached is None:
        cached = as_count(said.get("prompt_cache_hit_tokens"))
    prompt = as_count(said.get("prompt_tokens"))
    thinking = as_count(as_object(said.get("completion_tokens_details")).get("reasoning_tokens"))
    if thinking is None:
        # SGLang puts it beside the other counts.
        thinking = as_count(said.get("reasoning_tokens"))
    if timings:
        cached = as_count(timings.get("cache_n"))
        prompt = (as_count(timings.get("prompt_n")) or 0) + (cached or 0)
    return Usage(
        prompt,
        as_count(said.get("completion_tokens")),
        cached,
        thinking,
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("-inf")


def _ranked(rivals: dict[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(rivals.items(), key=lambda rival: -rival[1]))


def _chat_logprob(entry: Json) -> Logprob:
    top = (as_object(rival) for rival in as_list(entry.get("top_logprobs")))
    rivals = tuple((as_text(rival.get("token")), _number(rival.get("logprob"))) for rival in top)
    return Logprob(as_text(entry.get("token")), _number(entry.get("logprob")), rivals)

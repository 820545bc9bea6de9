"""What a method returned as OpenAI's JSON: message, finish, usage over all calls, and what was applied."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

from ponder.core.engine import Logprob
from ponder.core.method import Finish, Solution
from ponder.core.problem import ToolCall
from ponder.core.trace import Role, Trace
from ponder.serve.control import ReasoningFormat
from ponder.serve.fields import Json

TAGS = ("<think>\n", "\n</think>\n\n")
"""How thinking stands in the text of a reply whose client sees nothing else."""

_LEAST = -9999.0
"""Stands for minus infinity, which JSON has not; vLLM writes the same."""


@dataclass(frozen=True, slots=True)
class Bill:
    """Tokens of one request, over all its calls. `completion` contains `reasoning`; it is never added again."""

    prompt: int = 0
    completion: int = 0
    reasoning: int = 0
    cached: int = 0
    by_role: Mapping[Role, int] = field(default_factory=dict, hash=False)
    calls: int = 0
    exact: bool = True

    @classmethod
    def of(cls, traces: Iterable[Trace], escaped: int = 0) -> Bill:
        """Return the sum of some runs. `escaped` tokens of thinking stood in an answer and are billed as thinking."""
        calls = [call for trace in traces for call in trace.calls]
        whole = Trace(calls)
        by_role = whole.tokens_by_role
        moved = min(escaped, by_role.get("answer", 0))
        if moved > 0:
            by_role["answer"] -= moved
            by_role["think"] = by_role.get("think", 0) + moved
        return cls(
            prompt=whole.prompt_tokens,
            completion=whole.tokens,
            reasoning=sum(call.think_tokens + call.latent for call in calls) + max(0, moved),
            cached=whole.cached_tokens,
            by_role={role: tokens for role, tokens in by_role.items() if tokens},
            calls=len(calls),
            exact=whole.exact,
        )

    def body(self) -> Json:
        """Return the `usage` object."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the replies of a request."""

    answer: str
    thinking: str = ""
    finish: Finish = "stop"
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[Logprob, ...] = ()

    @classmethod
    def of(cls, solution: Solution) -> Choice:
        """Return the choice that a solution is."""
        return cls(solution.answer, solution.thinking, solution.finish, solution.tool_calls, solution.logprobs)

    @property
    def reason(self) -> str:
        """OpenAI's `finish_reason`.

        A thought that we ended is a normal `stop`; a limit that cut the answer itself is `length`. An answer that is
        empty after thinking is never a success, whoever ended it.
        """
        if self.tool_calls:
            return "tool_calls"
        if self.finish in ("length", "deadline", "budget"):
            return "length"
        return "length" if self.thinking and not self.answer.strip() else "stop"


@dataclass(frozen=True, slots=True)
class Applied:
    """What the gateway did with a request, for the `ponder` object; None where there is nothing to say.

    `route` is what a routing method chose, `route_score` the number that decided it;
    `budget` is the thinking asked for in tokens, `enforced_by` who kept it (`server`, `prefill`, `prompt`, `none`),
    `exit` why the thought ended, `capped` whether a cap of ours ended it, `overridden` the sampling fields that the
    method set otherwise. `saved` compares with plain reasoning, only where recorded runs back it.
    """

    method: str
    route: str | None = None
    route_score: float | None = None
    source: str | None = None
    budget: int | None = None
    enforced_by: str | None = None
    exit: str | None = None
    capped: bool = False
    ignored: tuple[str, ...] = ()
    overridden: tuple[str, ...] = ()
    evidence: Mapping[str, float | str] = field(default_factory=dict, hash=False)
    saved: Mapping[str, float | str] | None = field(default=None, hash=False)

    def body(self, bill: Bill | None = None) -> Json:
        """Return the `ponder` object; without a bill what is known before the first token."""
        said: Json = {
            "method": self.method,
            "route": self.route,
            "route_score": self.route_score,
            "source": self.source,
            "budget": self.budget,
            "ignored": list(self.ignored),
        }
        if bill is None:
            return said
        evidence = {k: v for k, v in self.evidence.items() if not isinstance(v, float) or isfinite(v)}
        return said | {
            "used": bill.reasoning,
            "enforced_by": self.enforced_by,
            "exit": self.exit,
            "capped": self.capped,
            "overridden": list(self.overridden),
            "tokens": dict(bill.by_role),
            "calls": bill.calls,
            "exact": bill.exact,
            "evidence": evidence,
            "saved": None if self.saved is None else dict(self.saved),
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything of a reply that is sent whole."""

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    bill: Bill
    ponder: Mapping[str, object] = field(default_factory=dict, hash=False)
    top_logprobs: int | None = None


def chat_body(outcome: Outcome, format: ReasoningFormat = "both") -> Json:
    """Return the reply of `/chat/completions`."""
    return {
        "id": outcome.id,
        "object": "chat.completion",
        "created": outcome.created,
        "model": outcome.model,
        "choices": [
            {
                "index": index,
                "message": message_body(choice, format),
                "logprobs": None
                if outcome.top_logprobs is None
                else logprobs_body(answer_logprobs(choice.logprobs, choice.answer), outcome.top_logprobs),
                "finish_reason": choice.reason,
            }
            for index, choice in enumerate(outcome.choices)
        ],
        "usage": outcome.bill.body(),
        "ponder": dict(outcome.ponder),
    }


def completion_body(outcome: Outcome, format: ReasoningFormat = "both", echo: Sequence[str] = ()) -> Json:
    """Return the reply of the legacy `/completions`; `echo` is the prompt of each choice, where it was asked back."""
    return {
        "id": outcome.id,
        "object": "text_completion",
        "created": outcome.created,
        "model": outcome.model,
        "choices": [
            {
                "index": index,
                "text": (echo[index] if echo else "") + text_of(choice, format),
                "logprobs": None
                if outcome.top_logprobs is None
                else old_logprobs(answer_logprobs(choice.logprobs, choice.answer), outcome.top_logprobs),
                "finish_reason": choice.reason,
            }
            for index, choice in enumerate(outcome.choices)
        ],
        "usage": outcome.bill.body(),
        "ponder": dict(outcome.ponder),
    }


def message_body(choice: Choice, format: ReasoningFormat) -> Json:
    """Return an assistant's message, its thinking under the names that the client reads."""
    text = text_of(choice, format)
    message: Json = {"role": "assistant", "content": None if choice.tool_calls and not text else text, "refusal": None}
    for name in reasoning_names(format):
        if choice.thinking:
            message[name] = choice.thinking
    if choice.tool_calls:
        message["tool_calls"] = [tool_body(call) for call in choice.tool_calls]
    return message


def reasoning_names(format: ReasoningFormat) -> tuple[str, ...]:
    """Return the fields in which thinking is sent."""
    if format == "both":
        return ("reasoning_content", "reasoning")
    return (format,) if format in ("reasoning_content", "reasoning") else ()


def text_of(choice: Choice, format: ReasoningFormat) -> str:
    """Return the text of a reply, the thinking between tags in front of it where the client wants it so."""
    if format == "think_tags" and choice.thinking:
        return f"{TAGS[0]}{choice.thinking}{TAGS[1]}{choice.answer}"
    return choice.answer


def tool_body(call: ToolCall) -> Json:
    """Return one call of a tool."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def answer_logprobs(logprobs: Sequence[Logprob], answer: str) -> Sequence[Logprob]:
    """Return the log-probabilities that belong to the answer, where a method gives those of the thinking too.

    They are found by their text; where it does not spell the answer (a character cut over tokens), all are returned.
    """
    start = "".join(entry.token for entry in logprobs).rfind(answer) if answer else -1
    if start < 0:
        return logprobs
    place, found = 0, []
    for entry in logprobs:
        if place < start + len(answer) and place + len(entry.token) > start:
            found.append(entry)
        place += len(entry.token)
    return found


def logprobs_body(logprobs: Sequence[Logprob], top: int) -> Json:
    """Return the `logprobs` object of a chat choice with `top` rivals for each token."""
    return {
        "content": [
            {
                **_token(entry.token, entry.logprob),
                "top_logprobs": [_token(token, value) for token, value in entry.top[:top]],
            }
            for entry in logprobs
        ],
        "refusal": None,
    }


def old_logprobs(logprobs: Sequence[Logprob], top: int) -> Json:
    """Return the `logprobs` object of a legacy choice."""
    offsets, place = [], 0
    for entry in logprobs:
        offsets.append(place)
        place += len(entry.token)
    return {
        "tokens": [entry.token for entry in logprobs],
        "token_logprobs": [_finite(entry.logprob) for entry in logprobs],
        "top_logprobs": [{token: _finite(value) for token, value in entry.top[:top]} for entry in logprobs],
        "text_offset": offsets,
    }


def headers(ponder: Mapping[str, object]) -> dict[str, str]:
    """Return the `x-ponder-*` headers of a `ponder` object: its plain values, in printable ASCII.

    Anything else in a name that a client chose is written as %XX, so that no header can be split.
    """
    said: dict[str, str] = {}
    for name in ("method", "route", "route_score", "source", "budget", "used", "enforced_by", "exit", "capped"):
        value = ponder.get(name)
        if isinstance(value, bool):
            said[_header(name)] = "true" if value else "false"
        elif isinstance(value, str | int | float) and value != "":
            said[_header(name)] = _ascii(str(value))
    tokens = ponder.get("tokens")
    if isinstance(tokens, Mapping) and tokens:
        said[_header("tokens")] = ", ".join(f"{role}={count}" for role, count in tokens.items())
    for name in ("ignored", "overridden"):
        fields = ponder.get(name)
        if isinstance(fields, list) and fields:
            said[_header(name)] = _ascii(", ".join(map(str, fields)))
    return said


def new_id(kind: str = "chatcmpl") -> str:
    """Return a name for a reply (`chatcmpl-...`, `cmpl-...`)."""
    return f"{kind}-{secrets.token_hex(12)}"


def request_id(given: str | None) -> str:
    """Return the id that a client or a proxy gave its request, if it is a plain word, else a new one."""
    plain = given is not None and 0 < len(given) <= 128 and given.isascii() and given.isprintable() and " " not in given
    return given if given is not None and plain else new_id("req")


def _header(name: str) -> str:
    return "x-ponder-" + name.replace("_", "-")


def _ascii(text: str) -> str:
    kept = text[:256].encode("utf-8", "replace")
    return "".join(chr(byte) if 32 <= byte < 127 and byte != 37 else f"%{byte:02X}" for byte in kept)


def _token(token: str, logprob: float) -> Json:
    return {"token": token, "logprob": _finite(logprob), "bytes": list(token.encode("utf-8", "replace"))}


def _finite(value: float) -> float:
    return value if isfinite(value) else _LEAST

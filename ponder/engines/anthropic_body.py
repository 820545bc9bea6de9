"""What the messages API is asked: turns of blocks, three forms of thinking, signed thoughts sent back unchanged."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from ponder.core.engine import Cap, Sampling
from ponder.core.errors import OptionError, Unsupported
from ponder.core.problem import Image, Message, Prompt, Text, Thinking, Tool
from ponder.engines.http import Json, as_object, as_text
from ponder.engines.template import further_fields

LEAST_BUDGET = 1024
"""The smallest thinking budget that the API takes."""

_KEPT = 4096
_DATA = re.compile(r"data:([\w/+.-]+);base64,(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What one model takes, as `/v1/models/NAME` says; None where nobody says."""

    adaptive: bool | None = None
    enabled: bool | None = None
    disabled: bool | None = None
    efforts: frozenset[str] | None = None
    images: bool | None = None
    context_length: int | None = None

    @classmethod
    def of(cls, told: Json) -> Abilities:
        """Read the API's description of a model; services that took over the API have none."""
        abilities = as_object(told.get("capabilities"))
        if not abilities:
            return cls()
        kinds = as_object(as_object(abilities.get("thinking")).get("types"))
        effort = as_object(abilities.get("effort"))
        levels = frozenset(name for name, value in effort.items() if as_object(value).get("supported") is True)
        length = told.get("max_input_tokens")
        return cls(
            _supported(kinds.get("adaptive")),
            _supported(kinds.get("enabled")),
            _supported(kinds.get("disabled")),
            levels if "supported" in effort else None,
            _supported(abilities.get("image_input")),
            length if isinstance(length, int) and length > 0 else None,
        )

    @property
    def told(self) -> bool:
        """Whether the server described the model at all."""
        return self != Abilities()

    @property
    def caps(self) -> frozenset[Cap]:
        """What an engine over this model can do."""
        thinks = self.adaptive is not False or self.enabled is not False or bool(self.efforts)
        lacks = {Cap.THINKING} if not thinks else set()
        return (
            frozenset({Cap.TOOLS, Cap.IMAGES, Cap.THINKING}) - lacks - ({Cap.IMAGES} if self.images is False else set())
        )


def _supported(value: object) -> bool | None:
    found = as_object(value).get("supported")
    return found if isinstance(found, bool) else None


class Signed:
    """Thoughts that were followed by tool calls, with the server's signatures, by the ids of those calls.

    The server wants them back unchanged, and no client of another protocol can carry them. They are kept here, the
    latest few thousand; a conversation that comes back to another process is sent without them, which the server
    answers by not thinking until the tools are done.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._blocks: OrderedDict[str, tuple[Json, ...]] = OrderedDict()

    def keep(self, calls: Sequence[str], blocks: Sequence[Json]) -> None:
        """Remember the blocks that came before the calls of one reply."""
        for call in calls if blocks else ():
            self._blocks[call] = tuple(blocks)
            if len(self._blocks) > self._kept:
                self._blocks.popitem(last=False)

    def before(self, message: Message) -> list[Json]:
        """Return the blocks that belong before what an earlier turn said."""
        found = (self._blocks.get(call.id) for call in message.tool_calls)
        return list(next((blocks for blocks in found if blocks), ()))


def message_body(model: str, prompt: Prompt, sampling: Sampling, abilities: Abilities, signed: Signed) -> Json:
    """Return the body of a call. Raises `Unsupported` for what the API has no word for.

    It has none for a seed either, and that is left out: equal replies are promised by nobody here.
    """
    _refuse(prompt, sampling)
    thinking = thinking_fields(prompt.thinking, sampling.max_tokens, abilities)
    system, turns = _turns(prompt.messages, signed)
    body: Json = {"model": model, "max_tokens": sampling.max_tokens, "messages": turns, "stream": True, **thinking}
    if system:
        body["system"] = system
    if prompt.tools:
        body["tools"] = [_tool(tool) for tool in prompt.tools]
    if sampling.stop:
        body["stop_sequences"] = list(sampling.stop)
    body |= _shape(sampling, as_object(thinking.get("thinking")).get("type") in ("adaptive", "enabled"))
    if schema := _format(prompt.response_format):
        body["output_config"] = {**as_object(body.get("output_config")), "format": schema}
    return {**_further(prompt), **body}


def _refuse(prompt: Prompt, sampling: Sampling) -> None:
    lacks = (
        (prompt.prefill, "continue a half-written reply"),
        (sampling.logprobs, "give log-probabilities"),
        (sampling.logit_bias or sampling.ban, "bias or ban tokens"),
        (sampling.min_p, "cut by min_p; use top_p"),
        (sampling.hidden or sampling.adapters or sampling.force, "give hidden states, apply adapters or force tokens"),
        (sampling.certainty, "give log-probabilities of the whole vocabulary"),
    )
    for asked, what in lacks:
        if asked:
            raise Unsupported(f"the anthropic dialect cannot {what}; use another server or leave it out")
    if sampling.max_tokens < 1:
        raise OptionError(f"sampling: max_tokens = {sampling.max_tokens} is out of range; it must be at least 1")


def _shape(sampling: Sampling, thinks: bool) -> Json:
    """Return what differs from the API's defaults: some models refuse to be told anything about these."""
    if sampling.temperature > 1:
        raise Unsupported(f"the anthropic dialect takes a temperature of at most 1, not {sampling.temperature:g}")
    if thinks and (sampling.temperature != 1 or sampling.top_k):
        raise Unsupported("the anthropic dialect thinks at temperature 1 and without top_k only; leave them out")
    asked = (("temperature", sampling.temperature, 1.0), ("top_p", sampling.top_p, 1.0), ("top_k", sampling.top_k, 0))
    return {name: value for name, value, usual in asked if value != usual}


def thinking_fields(thinking: Thinking | None, max_tokens: int, abilities: Abilities) -> Json:
    """Return how thinking is asked for: `disabled`, `adaptive` with an effort, or `enabled` with a budget.

    A budget holds from 1,024 tokens on and must be less than `max_tokens`; a smaller one is refused, never raised.
    Raises `Unsupported`.
    """
    if thinking is None:
        return {}
    shown: Json = {"display": "summarized"} if abilities.told else {}
    if thinking.mode == "off" or thinking.tokens == 0:
        if abilities.disabled is False:
            raise Unsupported("this model cannot be told not to think; ask for a low effort")
        return {"thinking": {"type": "disabled"}}
    if thinking.mode == "effort":
        if abilities.efforts is not None and thinking.label not in abilities.efforts:
            known = ", ".join(sorted(abilities.efforts)) or "none at all"
            raise Unsupported(f"this model knows no effort {thinking.label!r}; it knows: {known}")
        effort: Json = {"output_config": {"effort": thinking.label}}
        return effort if abilities.adaptive is False else {"thinking": {"type": "adaptive", **shown}, **effort}
    if thinking.mode == "on" and abilities.adaptive is not False:
        return {"thinking": {"type": "adaptive", **shown}}
    tokens = thinking.tokens if thinking.tokens is not None else max(LEAST_BUDGET, max_tokens * 3 // 4)
    if abilities.enabled is False:
        raise Unsupported("this model takes no thinking budget; ask for an effort: low, medium or high")
    if tokens < LEAST_BUDGET:
        raise Unsupported(f"thinking budgets begin at {LEAST_BUDGET} tokens here, and {tokens} were asked; ask for off")
    if max_tokens <= LEAST_BUDGET:
        raise Unsupported(
            f"max_tokens = {max_tokens} leaves no room to think, as budgets begin at {LEAST_BUDGET} tokens; raise it"
        )
    return {"thinking": {"type": "enabled", "budget_tokens": min(tokens, max_tokens - 1), **shown}}


def _turns(messages: Sequence[Message], signed: Signed) -> tuple[str, list[Json]]:
    """Return the system text and the turns. Results of tools are said by the user, all those of one turn together."""
    system = "\n\n".join(message.text for message in messages if message.role in ("system", "developer"))
    turns: list[Json] = []
    last: list[Json] = []
    for message in messages:
        if message.role in ("system", "developer"):
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if not turns or turns[-1]["role"] != role:
            last = []
            turns.append({"role": role, "content": last})
        last += _blocks(message, signed)
    return system, turns


def _blocks(message: Message, signed: Signed) -> list[Json]:
    parts = [_part(part) for part in message.parts if not isinstance(part, Text) or part.text]
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": message.tool_call_id or "", "content": parts}]
    calls: list[Json] = [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": _arguments(call.arguments)}
        for call in message.tool_calls
    ]
    return [*signed.before(message), *parts, *calls]


def _part(part: Text | Image) -> Json:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if found := _DATA.fullmatch(part.url):
        return {"type": "image", "source": {"type": "base64", "media_type": found[1], "data": found[2]}}
    return {"type": "image", "source": {"type": "url", "url": part.url}}


def _arguments(text: str) -> Json:
    try:
        return as_object(json.loads(text or "{}"))
    except ValueError:
        raise OptionError(f"the arguments of an earlier tool call are not JSON: {text[:60]!r}") from None


def _tool(tool: Tool) -> Json:
    spec = as_object(json.loads(tool.spec))
    function = as_object(spec.get("function"))
    if not function:
        return spec
    said: Json = {"name": function.get("name"), "input_schema": function.get("parameters") or {"type": "object"}}
    return said | {name: function[name] for name in ("description", "strict") if function.get(name)}


def _format(response_format: str | None) -> Json:
    asked = as_object(json.loads(response_format)) if response_format else {}
    if asked.get("type") in (None, "text"):
        return {}
    if asked.get("type") != "json_schema":
        raise Unsupported(f"the anthropic dialect has no response format {asked.get('type')!r}; give a json_schema")
    return {"type": "json_schema", "schema": as_object(asked.get("json_schema")).get("schema", {})}


def _further(prompt: Prompt) -> Json:
    """Return the further fields that this API has a word for; it refuses requests with any that it does not know."""
    further = further_fields(prompt.extra)
    body: Json = {}
    if "cache_control" in further:
        body["cache_control"] = further["cache_control"]
    if isinstance(user := further.get("user"), str):
        body["metadata"] = {"user_id": user}
    choice = further.get("tool_choice")
    kinds = {"auto": "auto", "none": "none", "required": "any"}
    named = as_text(as_object(as_object(choice).get("function")).get("name"))
    if prompt.tools and (named or choice in kinds or further.get("parallel_tool_calls") is False):
        chosen: Json = {"type": "tool", "name": named} if named else {"type": kinds.get(str(choice), "auto")}
        alone = further.get("parallel_tool_calls") is False and chosen["type"] != "none"
        body["tool_choice"] = {**chosen, "disable_parallel_tool_use": True} if alone else chosen
    return body

"""What servers that speak OpenAI's protocol do differently: one small class for each.

A dialect says what its server can do, and puts sampling, messages and thinking into the words of that server. Where
a server has no word for what is asked, it raises `Unsupported`: nothing is dropped, and no budget becomes a label.
"""

from __future__ import annotations

import json
from typing import ClassVar

from ponder.core.engine import Cap, Sampling
from ponder.core.errors import OptionError, Unsupported, nearest
from ponder.core.problem import Message, Prompt, Text, Thinking
from ponder.engines.http import Json
from ponder.engines.template import template_options

_CHAT = frozenset({Cap.LOGPROBS, Cap.LOGIT_BIAS, Cap.TOOLS, Cap.IMAGES})


class Dialect:
    """Any OpenAI-compatible server about which nothing more is known: the fields that all of them have."""

    name: ClassVar[str] = "plain"
    caps: ClassVar[frozenset[Cap]] = _CHAT
    limit_field: ClassVar[str] = "max_tokens"
    reasoning_field: ClassVar[str] = "reasoning_content"
    """The name under which the thinking of earlier turns goes back."""
    developer_role: ClassVar[bool] = False
    max_stops: ClassVar[int | None] = None

    def chat(self, model: str, prompt: Prompt, sampling: Sampling) -> Json:
        """Return the body of a call of the chat endpoint."""
        body: Json = {
            "model": model,
            **self.conversation(prompt),
            "stream": True,
            "stream_options": self.stream_options(),
            **self.sampling(sampling),
            **self.thinking(prompt.thinking),
        }
        if sampling.logprobs:
            body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
        if prompt.response_format:
            body["response_format"] = json.loads(prompt.response_format)
        return body

    def conversation(self, prompt: Prompt) -> Json:
        """Return what a template needs: messages, tools, and the variables that turn thinking on or off."""
        body: Json = {"messages": [self.message(message) for message in prompt.messages]}
        if prompt.tools:
            body["tools"] = [json.loads(tool.spec) for tool in prompt.tools]
        if prompt.thinking is not None:
            body["chat_template_kwargs"] = template_options(prompt.thinking)
        return body

    def completion(self, model: str, prompt: str | list[int] | list[int | str], sampling: Sampling) -> Json:
        """Return the body of a call of the raw endpoint, which continues `prompt` as it stands."""
        body: Json = {
            "model": model,
            "prompt": prompt,
            "stream": True,
            "stream_options": self.stream_options(),
            **self.sampling(sampling),
            "max_tokens": sampling.max_tokens,
        }
        if self.limit_field != "max_tokens":
            del body[self.limit_field]
        if sampling.logprobs:
            body["logprobs"] = sampling.logprobs
        return body

    def stream_options(self) -> Json:
        """Return what is asked about usage."""
        return {"include_usage": True}

    def sampling(self, sampling: Sampling) -> Json:
        """Return the fields that say how tokens are drawn. Raises `Unsupported` for what the protocol cannot say."""
        if sampling.hidden or sampling.adapters or sampling.force:
            kinds = (sampling.hidden, "hidden states"), (sampling.adapters, "adapters for each request")
            what = next((what for asked, what in kinds if asked), "forced tokens")
            raise Unsupported(
                f"a {self.name} server has no {what}; open the model itself (a folder or file as --model)"
            )
        if sampling.max_tokens < 1:
            raise OptionError(f"sampling: max_tokens = {sampling.max_tokens} is out of range; it must be at least 1")
        if self.max_stops is not None and len(sampling.stop) > self.max_stops:
            raise Unsupported(f"{self.name} takes at most {self.max_stops} stop strings, not {len(sampling.stop)}")
        body: Json = {self.limit_field: sampling.max_tokens, **self.shape(sampling)}
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if sampling.logit_bias:
            body["logit_bias"] = {str(token): bias for token, bias in sampling.logit_bias}
        return body

    def shape(self, sampling: Sampling) -> Json:
        """Return temperature and the cuts; `top_k` and `min_p` only where asked for, as not all servers know them."""
        body: Json = {"temperature": sampling.temperature, "top_p": sampling.top_p}
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        if sampling.min_p:
            body["min_p"] = sampling.min_p
        return body

    def thinking(self, thinking: Thinking | None) -> Json:
        """Return the fields that turn thinking on, off or bound it."""
        if thinking is None or thinking.mode == "on":
            return {}
        if thinking.mode == "effort":
            return {"reasoning_effort": thinking.label}
        raise self._no_word(thinking, 'name the kind of server with dialect, for example dialect = "vllm"')

    def _no_word(self, thinking: Thinking, remedy: str) -> Unsupported:
        what = (
            f"a thinking budget of {thinking.tokens} tokens"
            if thinking.mode == "budget"
            else f"thinking {thinking.mode}"
        )
        return Unsupported(f"the {self.name} dialect has no word for {what}; {remedy}")

    def message(self, message: Message) -> Json:
        """Return one turn as the protocol writes it."""
        role = "system" if message.role == "developer" and not self.developer_role else message.role
        turn: Json = {"role": role, "content": message.text}
        if any(not isinstance(part, Text) for part in message.parts):
            turn["content"] = [
                {"type": "text", "text": part.text}
                if isinstance(part, Text)
                else {"type": "image_url", "image_url": {"url": part.url}}
                for part in message.parts
            ]
        if message.tool_calls:
            turn["content"] = turn["content"] or None
            turn["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in message.tool_calls
            ]
        if message.tool_call_id is not None:
            turn["tool_call_id"] = message.tool_call_id
        if message.reasoning is not None and self.reasoning_field:
            turn[self.reasoning_field] = message.reasoning
        return turn


class OpenAI(Dialect):
    """OpenAI's own service: effort labels, no reasoning text, and models that refuse to be told their own defaults."""

    name = "openai"
    caps = _CHAT | {Cap.THINKING}
    limit_field = "max_completion_tokens"
    reasoning_field = ""
    developer_role = True
    max_stops = 4

    def shape(self, sampling: Sampling) -> Json:
        """Return what differs from the service's defaults, which are those of `Sampling`."""
        if sampling.top_k or sampling.min_p:
            raise Unsupported("the openai dialect has neither top_k nor min_p; use top_p")
        asked: Json = {"temperature": sampling.temperature, "top_p": sampling.top_p}
        return {name: value for name, value in asked.items() if value != 1.0}

    def thinking(self, thinking: Thinking | None) -> Json:
        """Return `reasoning_effort`; `none` turns thinking off."""
        if thinking is not None and thinking.mode == "off":
            return {"reasoning_effort": "none"}
        if thinking is not None and thinking.mode == "budget":
            raise self._no_word(thinking, "ask for an effort: minimal, low, medium or high")
        return super().thinking(thinking)


class SelfRun(Dialect):
    """What servers that one runs oneself have in common: raw prompts, ids, and defaults that come from elsewhere."""

    caps = _CHAT | {Cap.PREFILL, Cap.TOKEN_IDS, Cap.THINKING}
    budget_field: ClassVar[str]
    penalty_field: ClassVar[str]

    def shape(self, sampling: Sampling) -> Json:
        """Return every field: what is left out comes from the model's files or the command line."""
        return {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            self.penalty_field: 1.0,
        }

    def thinking(self, thinking: Thinking | None) -> Json:
        """Return the template's switch, and the budget in tokens."""
        if thinking is None:
            return {}
        body: Json = {"chat_template_kwargs": template_options(thinking)}
        if thinking.mode == "budget":
            body[self.budget_field] = thinking.tokens
        return body


class VLLM(SelfRun):
    """vLLM: its own word for effort, token ids and a running count with every event."""

    name = "vllm"
    reasoning_field = "reasoning"
    budget_field = "thinking_token_budget"
    penalty_field = "repetition_penalty"

    def stream_options(self) -> Json:
        """Ask for the count with every event, so that a reply left early is billed exactly."""
        return {"include_usage": True, "continuous_usage_stats": True}

    def sampling(self, sampling: Sampling) -> Json:
        """Return all fields, and ask for token ids."""
        return {**super().sampling(sampling), "return_token_ids": True}

    def completion(self, model: str, prompt: str | list[int] | list[int | str], sampling: Sampling) -> Json:
        """Return the body of a raw call; a rendered text holds its mark of beginning already."""
        body = super().completion(model, prompt, sampling)
        return {**body, "add_special_tokens": False} if isinstance(prompt, str) else body

    def thinking(self, thinking: Thinking | None) -> Json:
        """Return the switch and the budget; an effort has a field of its own."""
        if thinking is not None and thinking.mode == "effort":
            return {"reasoning_effort": thinking.label}
        return super().thinking(thinking)


class LlamaCpp(SelfRun):
    """llama.cpp's server: timings with every event; `verbose` makes the last one name the stop string."""

    name = "llama.cpp"
    budget_field = "thinking_budget_tokens"
    penalty_field = "repeat_penalty"

    def sampling(self, sampling: Sampling) -> Json:
        """Return all fields, and ask for counts and for progress: without it, leaving during the prompt comes late."""
        body = super().sampling(sampling)
        return {**body, "timings_per_token": True, "return_progress": True, "verbose": True}


class Qwen(Dialect):
    """Alibaba's cloud, and others that took over its two fields."""

    name = "qwen"
    caps = _CHAT | {Cap.THINKING}

    def thinking(self, thinking: Thinking | None) -> Json:
        """Return `enable_thinking` and `thinking_budget`."""
        if thinking is None or thinking.mode == "effort":
            return super().thinking(thinking)
        body: Json = {"enable_thinking": thinking.mode != "off"}
        if thinking.mode == "budget":
            body["thinking_budget"] = thinking.tokens
        return body


class DeepSeek(Dialect):
    """DeepSeek's cloud: a switch and effort labels, no budget."""

    name = "deepseek"
    caps = (_CHAT | {Cap.THINKING}) - {Cap.IMAGES, Cap.LOGIT_BIAS}

    def thinking(self, thinking: Thinking | None) -> Json:
        """Return `thinking: {type}` and `reasoning_effort`."""
        if thinking is None:
            return {}
        if thinking.mode == "budget":
            raise self._no_word(thinking, "ask for an effort: low, high or max")
        body: Json = {"thinking": {"type": "disabled" if thinking.mode == "off" else "enabled"}}
        return {**body, "reasoning_effort": thinking.label} if thinking.mode == "effort" else body


class OpenRouter(Dialect):
    """OpenRouter: one `reasoning` object for all the models behind it."""

    name = "openrouter"
    caps = _CHAT | {Cap.THINKING}
    reasoning_field = "reasoning"

    def thinking(self, thinking: Thinking | None) -> Json:
        """Return `reasoning: {effort | max_tokens | enabled}`."""
        if thinking is None:
            return {}
        if thinking.mode == "effort":
            return {"reasoning": {"effort": thinking.label}}
        if thinking.mode == "budget":
            return {"reasoning": {"max_tokens": thinking.tokens}}
        return {"reasoning": {"enabled": thinking.mode == "on"}}


DIALECTS: tuple[Dialect, ...] = (Dialect(), OpenAI(), VLLM(), LlamaCpp(), Qwen(), DeepSeek(), OpenRouter())
"""Every dialect; a new one is a class above and an entry here."""

_HOSTS = (
    ("api.openai.com", "openai"),
    ("openrouter.ai", "openrouter"),
    ("api.deepseek.com", "deepseek"),
    (".aliyuncs.com", "qwen"),
)


def dialect_named(name: str) -> Dialect:
    """Return a dialect by its name. Raises `OptionError`."""
    known = {dialect.name: dialect for dialect in DIALECTS}
    if name not in known:
        raise OptionError(f"there is no dialect {name!r}{nearest(name, known)}; there are: auto, {', '.join(known)}")
    return known[name]


def dialect_of_host(host: str) -> Dialect | None:
    """Return the dialect of a well-known service, or None for any other address."""
    return next(
        (dialect_named(name) for end, name in _HOSTS if host == end or host.endswith("." + end.lstrip("."))), None
    )

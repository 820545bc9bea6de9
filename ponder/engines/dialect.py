"""A dialect: how one kind of server that speaks OpenAI's protocol wants to be asked.

It says what its server can do, and puts sampling, messages and thinking into the words of that server. Where
a server has no word for what is asked, it raises `Unsupported`: nothing is dropped, and no budget becomes a label.
"""

from __future__ import annotations

import json
from typing import ClassVar

from ponder.core.engine import Cap, Sampling
from ponder.core.errors import OptionError, Unsupported
from ponder.core.problem import Message, Prompt, Text, Thinking
from ponder.engines.http import Json, as_object
from ponder.engines.template import further_fields, template_variables

CHAT = frozenset({Cap.LOGPROBS, Cap.LOGIT_BIAS, Cap.TOOLS, Cap.IMAGES})
"""What the chat endpoint of nearly every server can do."""

# fmt: off
_DECIDED = frozenset({
    "model", "messages", "prompt", "tools", "response_format", "stream", "stream_options", "include_reasoning",
    "max_tokens", "max_completion_tokens", "n_predict", "n", "best_of", "echo", "stop", "seed", "temperature", "top_p",
    "top_k", "min_p", "logprobs", "top_logprobs", "logit_bias",
})
"""What a prompt and a sampling decide, under every server's name for it: never taken from further fields."""

_THINKING = frozenset({
    "reasoning_effort", "reasoning", "thinking", "think", "enable_thinking", "thinking_budget", "output_config",
    "thinking_token_budget", "thinking_budget_tokens", "custom_logit_processor", "custom_params",
})
"""Names of the thinking controls of all servers: further fields say nothing about it once `Prompt.thinking` does."""

_VARIABLES = "chat_template_kwargs"
_RENDERED = frozenset({_VARIABLES, "tool_choice", "parallel_tool_calls"})
"""Fields of a conversation: a raw prompt is rendered already."""
# fmt: on


class Dialect:
    """Any OpenAI-compatible server about which nothing more is known: the fields that all of them have."""

    name: ClassVar[str] = "plain"
    caps: ClassVar[frozenset[Cap]] = CHAT
    limit_field: ClassVar[str] = "max_tokens"
    reasoning_field: ClassVar[str] = "reasoning_content"
    """The name under which the thinking of earlier turns goes back."""
    templated: ClassVar[bool] = False
    """Whether it renders a chat template and is told the template's variables."""
    developer_role: ClassVar[bool] = False
    max_stops: ClassVar[int | None] = None
    ban_field: ClassVar[str | None] = None
    """The name of its list of texts that are never drawn, if it has one."""

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
        return self.add_extra(body, prompt)

    def add_extra(self, body: Json, prompt: Prompt) -> Json:
        """Return `body` with the fields of `Prompt.extra` that it does not decide itself. Raises `OptionError`."""
        taken = _DECIDED | body.keys()
        if prompt.thinking is not None:
            taken |= _THINKING
        if "messages" not in body:
            taken |= _RENDERED
        further = further_fields(prompt.extra)
        variables = as_object(further.get(_VARIABLES)) | as_object(body.get(_VARIABLES))
        merged = body | {name: value for name, value in further.items() if name not in taken}
        return merged | {_VARIABLES: variables} if _VARIABLES in merged else merged

    def conversation(self, prompt: Prompt) -> Json:
        """Return what a template needs: messages, tools, and the variables that turn thinking on or off."""
        body: Json = {"messages": [self.message(message) for message in prompt.messages]}
        if prompt.tools:
            body["tools"] = [json.loads(tool.spec) for tool in prompt.tools]
        if self.templated and (variables := template_variables(prompt)):
            body[_VARIABLES] = variables
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
        kinds = (
            (sampling.hidden, "hidden states"),
            (sampling.adapters, "adapters for each request"),
            (sampling.force, "forced tokens"),
            (sampling.certainty, "log-probabilities of the whole vocabulary"),
            (sampling.ban and self.ban_field is None, "way to ban texts"),
        )
        what = next((what for asked, what in kinds if asked), None)
        if what is not None:
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
        if sampling.ban and self.ban_field is not None:
            body[self.ban_field] = list(sampling.ban)
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
        raise self.no_word(thinking, 'name the kind of server with dialect, for example dialect = "vllm"')

    def no_word(self, thinking: Thinking, remedy: str) -> Unsupported:
        """Return the error that names what is asked and the remedy."""
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

"""What servers that speak OpenAI's protocol do differently: one small class for each, and the table of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

from ponder.core.engine import Cap, Sampling
from ponder.core.errors import EngineError, OptionError, Unsupported, nearest
from ponder.core.problem import Prompt, Thinking
from ponder.engines.dialect import CHAT, Dialect
from ponder.engines.http import Json
from ponder.engines.template import template_options


class OpenAI(Dialect):
    """OpenAI's own service: effort labels, no reasoning text, and models that refuse to be told their own defaults."""

    name = "openai"
    caps = CHAT | {Cap.THINKING}
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
            raise self.no_word(thinking, "ask for an effort: minimal, low, medium or high")
        return super().thinking(thinking)


@dataclass(frozen=True)
class SelfRun(Dialect):
    """What servers that one runs oneself have in common: raw prompts, ids, and defaults that come from elsewhere.

    `budgets` is false once the server has refused one: vLLM keeps none without a reasoning parser.
    """

    budgets: bool = True

    caps = CHAT | {Cap.PREFILL, Cap.TOKEN_IDS, Cap.THINKING}
    templated = True
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
            if not self.budgets:
                raise self.no_word(thinking, "start the server with a --reasoning-parser, or ask for off")
            body[self.budget_field] = thinking.tokens
        return body

    def refuses_budget(self, body: Json, error: EngineError) -> bool:
        """Say whether an error means that this server was told a budget and keeps none."""
        return error.status == 400 and self.budget_field in body and self.budget_field in str(error)


class VLLM(SelfRun):
    """vLLM: its own word for effort, token ids and a running count with every event."""

    name = "vllm"
    reasoning_field = "reasoning"
    ban_field = "bad_words"
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


@dataclass(frozen=True)
class SGLang(Dialect):
    """SGLang: what bounds a thought depends on how the server was started, so that is asked first.

    `strict` says that it runs with `--enable-strict-thinking`, which keeps `custom_params.thinking_budget` exactly.
    `processor` names the built-in logit processor for this model's family, where `--enable-custom-logit-processor` is
    on; it counts from the opening mark, so it does nothing for a model of other token ids.
    """

    strict: bool = False
    processor: str = ""

    name = "sglang"
    caps = CHAT | {Cap.THINKING}
    templated = True

    def stream_options(self) -> Json:
        """Ask for the count with every event, so that a reply left early is billed exactly."""
        return {"include_usage": True, "continuous_usage_stats": True}

    def shape(self, sampling: Sampling) -> Json:
        """Return every field: what is left out comes from the model's files. No cut by rank is spelt -1 here."""
        return {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k or -1,
            "min_p": sampling.min_p,
            "repetition_penalty": 1.0,
        }

    def chat(self, model: str, prompt: Prompt, sampling: Sampling) -> Json:
        """Return the body of a chat call, whose thinking comes apart and as it is written."""
        return {**super().chat(model, prompt, sampling), "separate_reasoning": True, "stream_reasoning": True}

    def thinking(self, thinking: Thinking | None) -> Json:
        """Return the template's switch under both of its names, an effort, or a budget in the way the server has one.

        DeepSeek-V3's template reads `thinking`, Qwen3's `enable_thinking`.
        """
        if thinking is None:
            return {}
        if thinking.mode == "effort":
            return {"reasoning_effort": thinking.label}
        body: Json = {"chat_template_kwargs": template_options(thinking)}
        if thinking.mode == "budget":
            if not (self.strict or self.processor):
                raise self.no_word(
                    thinking, "start the server with --enable-strict-thinking and --reasoning-parser, or ask for off"
                )
            body["custom_params"] = {"thinking_budget": thinking.tokens}
            if not self.strict:
                body["custom_logit_processor"] = sglang_processor(self.processor)
        return body


SGLANG_PROCESSORS = {
    "qwen3": "Qwen3ThinkingBudgetLogitProcessor",
    "qwen3-thinking": "Qwen3ThinkingBudgetLogitProcessor",
    "deepseek-r1": "DeepSeekR1ThinkingBudgetLogitProcessor",
    "glm45": "Glm4MoeThinkingBudgetLogitProcessor",
}
"""SGLang's built-in processors by the reasoning parser that the server was started with."""


def sglang_processor(name: str) -> str:
    """Return the text by which a request names one of SGLang's own logit processors.

    The server unpickles it; a pickle that only refers to a class by its name needs nothing of SGLang on this side.
    """
    reference = b"\x80\x02csglang.srt.sampling.custom_logit_processor\n" + name.encode() + b"\n."
    return json.dumps({"callable": reference.hex()})


class Ollama(Dialect):
    """Ollama's OpenAI endpoint: three efforts and off, no budget, no counts of thinking; it drops what it lacks."""

    name = "ollama"
    caps = frozenset({Cap.TOOLS, Cap.IMAGES, Cap.THINKING})
    reasoning_field = "reasoning"

    def sampling(self, sampling: Sampling) -> Json:
        """Return the fields that the endpoint reads; raise `Unsupported` for one that it would drop."""
        if sampling.logit_bias:
            raise Unsupported("the ollama dialect has no logit_bias; leave it out")
        return super().sampling(sampling)

    def shape(self, sampling: Sampling) -> Json:
        """Return temperature and `top_p`, which come from elsewhere where they are left out."""
        if sampling.top_k or sampling.min_p:
            raise Unsupported("the ollama dialect has neither top_k nor min_p; set them in the Modelfile, or use top_p")
        return super().shape(sampling)

    def thinking(self, thinking: Thinking | None) -> Json:
        """Return `reasoning_effort`, of which `none` turns thinking off; a model that can think does so unasked."""
        if thinking is None or thinking.mode == "on":
            return {}
        if thinking.mode == "budget":
            raise self.no_word(thinking, "ask for an effort (low, medium, high) or off, or bound it with a method")
        return {"reasoning_effort": "none" if thinking.mode == "off" else thinking.label}


class Qwen(Dialect):
    """Alibaba's cloud, and others that took over its two fields."""

    name = "qwen"
    caps = CHAT | {Cap.THINKING}

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
    caps = (CHAT | {Cap.THINKING}) - {Cap.IMAGES, Cap.LOGIT_BIAS}

    def thinking(self, thinking: Thinking | None) -> Json:
        """Return `thinking: {type}` and `reasoning_effort`."""
        if thinking is None:
            return {}
        if thinking.mode == "budget":
            raise self.no_word(thinking, "ask for an effort: low, high or max")
        body: Json = {"thinking": {"type": "disabled" if thinking.mode == "off" else "enabled"}}
        return {**body, "reasoning_effort": thinking.label} if thinking.mode == "effort" else body


class OpenRouter(Dialect):
    """OpenRouter: one `reasoning` object for all the models behind it."""

    name = "openrouter"
    caps = CHAT | {Cap.THINKING}
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


DIALECTS: tuple[Dialect, ...] = (
    Dialect(),
    OpenAI(),
    VLLM(),
    LlamaCpp(),
    SGLang(),
    Ollama(),
    Qwen(),
    DeepSeek(),
    OpenRouter(),
)
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
        names = [*known, "anthropic"]
        raise OptionError(f"there is no dialect {name!r}{nearest(name, names)}; there are: auto, {', '.join(names)}")
    return known[name]


def dialect_of_host(host: str) -> Dialect | None:
    """Return the dialect of a well-known service, or None for any other address."""
    return next(
        (dialect_named(name) for end, name in _HOSTS if host == end or host.endswith("." + end.lstrip("."))), None
    )

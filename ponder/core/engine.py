"""How a model is reached: one primitive, `stream()`, and leaving its block is what stops the generation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from enum import Enum
from math import isfinite
from typing import Literal, NamedTuple, Protocol, TypedDict

from ponder.core.errors import require
from ponder.core.problem import Prompt, ToolCall

Channel = Literal["think", "answer"]
StreamFinish = Literal["stop", "length", "tool_calls"]


ALL_LAYERS = (-(1 << 31),)
"""As `Sampling.hidden`: the states of every layer, from 0 to the last, however many the model has."""


class Cap(Enum):
    """Something that not every engine can do; a method names what it needs."""

    PREFILL = "continues a half-written reply"
    TOKEN_IDS = "gives the ids of its tokens and continues from ids"
    LOGPROBS = "gives log-probabilities of sampled tokens and their nearest rivals"
    FULL_LOGPROBS = "gives log-probabilities of the whole vocabulary"
    LOGIT_BIAS = "adds a bias to chosen tokens"
    HIDDEN = "gives hidden states"
    ADAPTER = "applies adapters with a scale for each request"
    FORCE = "begins a reply with given tokens and scores them"
    TOOLS = "calls tools"
    IMAGES = "reads pictures"
    THINKING = "has a switch or a budget for its thinking"


@dataclass(frozen=True, slots=True)
class Think:
    """How a model opens and closes its thinking. Without a `close` mark the model has no thinking channel.

    `opened` says that the chat template itself writes the opening mark, so that a reply begins inside the thought.
    """

    open: str = ""
    close: str = ""
    opened: bool = False

    def __bool__(self) -> bool:
        """Whether the model thinks apart from its answer at all."""
        return bool(self.close)


class Logprob(NamedTuple):
    """One sampled token and its nearest rivals, most likely first; natural logarithms.

    `certainty` is how far the whole distribution was from the uniform one, KL(U || p) over the vocabulary, where
    `Sampling.certainty` asked for it.
    """

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()
    certainty: float | None = None


class Usage(NamedTuple):
    """What a server itself counted for one call; `None` where it did not say. `generated` includes the thinking."""

    prompt: int | None = None
    generated: int | None = None
    cached: int | None = None
    thinking: int | None = None


class Chunk(NamedTuple):
    """A piece of a reply: usually one token, sometimes several, never text of both channels.

    `text` is verbatim, marks included. `markup` says that this text is a think mark and not content. `tokens` counts
    what the model generated for the piece (0 for the second half of a token that was cut in two). `token_ids` is
    empty where the engine cannot spell the text exactly. `finish` and `matched_stop` stand on the last chunk; `usage`
    too, and it may stand on an earlier one to tell the size of the prompt. `exact` is false where `tokens` is a guess.

    `hidden` is float32 of shape (tokens, layers asked, hidden size): for each token of the piece the states at the
    position before it, whose logits it was drawn from. `forced` says that the tokens were given by `Sampling.force`:
    `tokens` is 0 then, and ids, log-probabilities and hidden states are those of the given tokens.
    """

    text: str
    channel: Channel = "answer"
    tokens: int = 1
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[Logprob, ...] = ()
    hidden: memoryview | None = None
    latent: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    finish: StreamFinish | None = None
    matched_stop: str | None = None
    usage: Usage | None = None
    markup: bool = False
    exact: bool = True
    forced: bool = False


class SamplingArgs(TypedDict, total=False):
    """The keyword form of `Sampling`, for `Run.stream` and `Run.generate`."""

    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    stop: tuple[str, ...]
    seed: int
    branch_seed: int
    logprobs: int
    certainty: bool
    logit_bias: tuple[tuple[int, float], ...]
    hidden: tuple[int, ...]
    adapters: tuple[tuple[str, float], ...]
    force: tuple[int | str, ...]
    ban: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sampling:
    """Everything that decides how tokens are drawn. All of it is part of cache, tape and KV-prefix keys."""

    max_tokens: int = 1024
    temperature: float = 1.0
    """0 is greedy decoding."""
    top_p: float = 1.0
    top_k: int = 0
    """0 keeps the whole vocabulary."""
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    """A reply ends before the first of these strings, which is not part of its text."""
    seed: int | None = None
    """Of this one call, 31 bits."""
    branch_seed: int | None = None
    """Of the branch: engines whose noise is a function of (seed, position) use this one, so that a thought cut in
    pieces equals the uncut one."""
    logprobs: int = 0
    """How many rivals to report for each token; 0 reports nothing."""
    certainty: bool = False
    """Report each token's `Logprob.certainty`, and so its log-probability, at the cost of one number: the whole
    vocabulary's log-probabilities stay where they are computed. Engines that have it have `Cap.FULL_LOGPROBS`."""
    logit_bias: tuple[tuple[int, float], ...] = ()
    hidden: tuple[int, ...] = ()
    """Layers whose hidden states are wanted: 0 is what enters the first block, n what leaves block n, the last one
    after the final norm, as transformers numbers them; negative numbers count from the last. `ALL_LAYERS` are all."""
    adapters: tuple[tuple[str, float], ...] = ()
    """Adapter names with their scales."""
    force: tuple[int | str, ...] = ()
    """Token ids that the reply begins with, or text, which the engine spells in tokens. The model reads them as it
    reads a prompt, so they are not generated; with `max_tokens` 0 they are only scored."""
    ban: tuple[str, ...] = ()
    """Texts that are never drawn as one token; one that is no single token of the model is passed over. Engines that
    know their vocabulary do it: those with both `Cap.LOGIT_BIAS` and `Cap.TOKEN_IDS`."""

    def __post_init__(self) -> None:
        """Refuse what no engine could keep: servers ignore or misread such values without a word."""
        heat, seed = self.temperature, self.seed
        require(self.max_tokens >= 0, self, "max_tokens", self.max_tokens, "at least 0")
        require(isfinite(heat) and heat >= 0, self, "temperature", heat, "a number of at least 0")
        require(0 < self.top_p <= 1, self, "top_p", self.top_p, "above 0 and at most 1")
        require(0 <= self.min_p <= 1, self, "min_p", self.min_p, "in 0 to 1")
        require(self.top_k >= 0, self, "top_k", self.top_k, "at least 0")
        require(self.logprobs >= 0, self, "logprobs", self.logprobs, "at least 0")
        require(seed is None or 0 <= seed < 1 << 31, self, "seed", seed, "of 31 bits")
        require(type(self.stop) is tuple and all(self.stop), self, "stop", self.stop, "a tuple of non-empty strings")
        require(type(self.ban) is tuple and all(self.ban), self, "ban", self.ban, "a tuple of non-empty texts")
        given = all(part if isinstance(part, str) else part >= 0 for part in self.force)
        require(given, self, "force", self.force, "token ids, each at least 0, and texts that are not empty")


def sampling_fields(sampling: Sampling) -> dict[str, object]:
    """Return the fields that decide a call, without those for forced tokens, certainty and banned texts where they are
    not asked for: so are calls named on older tapes.
    """
    fields: dict[str, object] = asdict(sampling)
    if not sampling.force:
        del fields["force"]
    if not sampling.certainty:
        del fields["certainty"]
    if not sampling.ban:
        del fields["ban"]
    return fields


def prompt_fields(prompt: Prompt) -> dict[str, object]:
    """Return the fields that decide a call. Without further fields of a request there is none for them, as before."""
    fields: dict[str, object] = asdict(prompt)
    if not prompt.extra:
        del fields["extra"]
    return fields


def call_key(prompt: Prompt, sampling: Sampling) -> str:
    """Return the name of a call: a digest of everything that decides what comes back."""
    value = [prompt_fields(prompt), sampling_fields(sampling)]
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Engine(Protocol):
    """A way to reach one model.

    Leaving the block of `stream()` stops the generation, on the server too: for a stream that is left alone, tokens
    generated minus tokens read is at most 2. Raises `EngineError` when the model cannot be reached or breaks off.
    """

    @property
    def name(self) -> str:
        """Which model, by which way: goes into results and tapes."""
        ...

    @property
    def caps(self) -> frozenset[Cap]:
        """What this engine can do beyond plain sampling."""
        ...

    @property
    def think(self) -> Think:
        """How the model marks its thinking."""
        ...

    def stream(self, prompt: Prompt, sampling: Sampling) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """Open one generation; iterate over it inside the block."""
        ...

"""llama.cpp's native completion call: what is sent, and how its events become chunks with exact counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ponder.core.engine import Chunk, Logprob, Sampling, StreamFinish, Think, Usage
from ponder.core.errors import OptionError, Unsupported
from ponder.engines.llama_server import Event, lora_field
from ponder.text.think import Piece, ThinkSplitter

_FIELDS = (
    "content tokens stop stop_type stopping_word id_slot tokens_predicted tokens_evaluated timings "
    "completion_probabilities"
)
_NEUTRAL: Mapping[str, object] = {
    "typical_p": 1.0,
    "top_n_sigma": -1.0,
    "xtc_probability": 0.0,
    "dynatemp_range": 0.0,
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "dry_multiplier": 0.0,
    "mirostat": 0,
    "samplers": ["temperature", "top_k", "top_p", "min_p"],
}
_GREEDY: Mapping[str, object] = {"temperature": 0.0, "top_k": 1, "top_p": 1.0, "min_p": 0.0, "samplers": ["top_k"]}


def check_text(text: str, what: str) -> None:
    """Raise `OptionError` for text that is not Unicode; llama.cpp would fail on it without saying where."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise OptionError(
            f"{what} holds half a character ({text[error.start]!r} at {error.start}), so it cannot be sent; "
            "decode the text again from its source"
        ) from None


def check_sampling(sampling: Sampling, adapters: Sequence[str], vocabulary: int) -> None:
    """Raise `OptionError` or `Unsupported` for what llama.cpp would ignore or misread without a word."""

    def need(condition: bool, field: str, value: object, range_: str) -> None:
        if not condition:
            raise OptionError(f"sampling: {field} = {value!r} is out of range; it must be {range_}")

    s = sampling
    need(s.max_tokens >= 1, "max_tokens", s.max_tokens, "at least 1")
    need(s.logprobs <= 100, "logprobs", s.logprobs, "at most 100")
    for word in s.stop:
        check_text(word, "a stop string")
    for token, bias in s.logit_bias:
        need(0 <= token < vocabulary, "logit_bias token", token, f"in 0 to {vocabulary - 1}")
        need(not math.isnan(bias) and bias != math.inf, "logit_bias", bias, "a number, or -inf to forbid the token")
    for name, scale in s.adapters:
        need(name in adapters, "adapter", name, f"one of {', '.join(adapters) or 'none: no adapter is loaded'}")
        need(math.isfinite(scale), "adapter scale", scale, "a finite number")
    if s.hidden:
        raise Unsupported("llama.cpp gives no hidden states; open the model with transformers (a folder as --model)")
    if s.certainty:
        raise Unsupported(
            "llama.cpp gives no log-probabilities of the whole vocabulary; open the model with transformers (a folder "
            "as --model)"
        )
    if s.force:
        raise Unsupported("llama.cpp scores no forced tokens; open the model with transformers (a folder as --model)")


def request_body(
    sampling: Sampling, adapters: Sequence[str], response_format: Mapping[str, object]
) -> dict[str, object]:
    """Return every field that decides the result; llama.cpp's defaults are not ours, so none is left to it."""
    body: dict[str, object] = {
        **_NEUTRAL,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        **(_GREEDY if sampling.temperature == 0 else {}),
        "n_predict": sampling.max_tokens,
        "seed": -1 if sampling.seed is None else sampling.seed,
        "stop": list(sampling.stop),
        "logit_bias": [[token, False if bias == -math.inf else bias] for token, bias in sampling.logit_bias],
        "n_probs": sampling.logprobs,
        "ignore_eos": False,
        "cache_prompt": True,
        "stream": True,
        "return_tokens": True,
        "return_progress": True,
        "response_fields": _FIELDS.split(),
        **response_format,
    }
    if adapters:
        # Without the field an adapter is applied in full, not left out.
        body["lora"] = lora_field(scales_of(sampling, adapters))
    return body


def scales_of(sampling: Sampling, adapters: Sequence[str]) -> tuple[float, ...]:
    """Return the scale of every adapter that is loaded; what a call does not name is off."""
    named = dict(sampling.adapters)
    return tuple(named.get(name, 0.0) for name in adapters)


class Decoder:
    """Turns the events of one stream into chunks whose `tokens` add up to the server's own count.

    A character may take several tokens, and text is held back while it could become a stop string or a think mark:
    text, ids and counts are three things that llama.cpp keeps apart. Ids are given only where they spell the text.
    """

    def __init__(self, think: Think, prefill: str, opened: bool) -> None:
        self._splitter = ThinkSplitter(think.open, think.close, prefill, opened)
        self._undecided = 0
        self._pieces: list[Piece] = []
        self._ids: list[int] | None = []
        self._withheld = False
        self._logprobs: list[Logprob] = []
        self._tokens = self._counted = 0
        self._usage: Usage | None = None
        self.generated: list[int] = []
        """The ids so far, up to the first that is missing."""
        self._complete = True

    def feed(self, event: Event) -> list[Chunk]:
        """Return the chunks that are known after one event."""
        if "prompt_progress" in event:  # The token that comes with it is not one.
            self._usage = Usage(event["prompt_progress"]["total"], None, event["prompt_progress"]["cache"])
            return []
        self._count(event)
        text = event["content"]
        pieces = self._splitter.feed(text)
        self._undecided += len(text) - sum(len(piece.text) for piece in pieces)
        self._pieces += pieces
        if event["stop"]:
            return self._end(event)
        self._withheld = not text
        return self._emit() if text and not self._undecided else []

    def _count(self, event: Event) -> None:
        tokens, ids = event["tokens_predicted"] - self._counted, event["tokens"]
        self._counted += tokens
        self._tokens += tokens
        if len(ids) != tokens:
            self._ids, self._complete = None, False
        if self._ids is not None:
            self._ids += ids
        if self._complete:
            self.generated += ids
        for entry in event.get("completion_probabilities", ()):
            top = tuple((rival["token"], rival["logprob"]) for rival in entry["top_logprobs"])
            self._logprobs.append(Logprob(entry["token"], entry["logprob"], top))

    def _emit(self) -> list[Chunk]:
        """Give out what is pending; the first piece carries the tokens, and the ids if it is the only one."""
        pieces = _merge(self._pieces)
        ids = tuple(self._ids) if self._ids and len(pieces) == 1 else ()
        chunks = [
            Chunk(
                piece.text,
                piece.channel,
                tokens=0 if number else self._tokens,
                token_ids=() if number else ids,
                logprobs=() if number else tuple(self._logprobs),
                usage=None if number else self._usage,
                markup=piece.markup,
            )
            for number, piece in enumerate(pieces)
        ]
        self._pieces, self._ids, self._logprobs, self._tokens, self._usage = [], [], [], 0, None
        return chunks

    def _end(self, event: Event) -> list[Chunk]:
        """Give out the rest. The tokens of an end mark or a stop string count, but have no text and so no ids."""
        kind = event["stop_type"]
        if kind != "limit":
            self._logprobs = []
        if kind == "eos" and self._ids:
            self._ids.pop()
        elif kind == "word" or self._withheld:
            self._ids = None
        self._pieces += self._splitter.flush()
        if not self._pieces:
            self._pieces = [Piece("", "think" if self._splitter.thinking else "answer")]
            self._ids = None
        *chunks, last = self._emit()
        finish: StreamFinish = "length" if kind == "limit" else "stop"
        usage = Usage(event["tokens_evaluated"], event["tokens_predicted"], event["timings"]["cache_n"])
        matched = event["stopping_word"] if kind == "word" else None
        return [*chunks, last._replace(finish=finish, matched_stop=matched, usage=usage)]


def _merge(pieces: Sequence[Piece]) -> list[Piece]:
    """Join neighbours of one kind, and a mark with the blanks behind it, so that their ids stay together."""
    merged: list[Piece] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if last and last.markup == piece.markup and (piece.markup or last.channel == piece.channel):
            merged[-1] = last._replace(text=last.text + piece.text)
        else:
            merged.append(piece)
    return merged

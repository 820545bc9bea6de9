"""A scripted engine with a token clock: says what it is told to say, counts every token, and fails on request."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import struct
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

from ponder.core.engine import ALL_LAYERS, Cap, Chunk, Logprob, Sampling, StreamFinish, Think, Usage
from ponder.core.errors import EngineError, Unsupported
from ponder.core.problem import Prompt
from ponder.text.think import Piece, ThinkSplitter

Script = Callable[[Prompt, int], str]
"""(prompt, branch seed) to what follows the prefill. Equal arguments must give equal text."""

TOKEN = re.compile(r"</?think>|\S+?(?=</?think>)|\S+\s*|\s+")
"""A token of this engine is a word with the blanks behind it; think marks stand alone."""

CAPS = frozenset({Cap.PREFILL, Cap.TOKEN_IDS, Cap.LOGPROBS, Cap.LOGIT_BIAS, Cap.THINKING})


LAYERS, WIDTH = 3, 4
"""Of the made-up hidden states: how many layers there are, and how many numbers each has."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong in one call, after `at` tokens: a refusal, a broken line, or silence for ever."""

    kind: Literal["error", "cut", "stall"]
    at: int = 0
    status: int | None = None
    retry_after: float | None = None


def tokenize(text: str) -> list[str]:
    """Split text into this engine's tokens; they join to `text` again."""
    return TOKEN.findall(text)


def token_id(token: str) -> int:
    """Return the id of a token: 31 bits of its checksum, equal for equal text."""
    return zlib.crc32(token.encode("utf-8", "surrogatepass")) >> 1


def noise(*parts: object) -> float:
    """Return a number in (0, 1) that depends on `parts` alone."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=7).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2**56


def overthink(prompt: Prompt, seed: int) -> str:
    """Think for a while in words that mean nothing, then box a number of the question, most often its last one.

    A prefill that is a beginning of this reply is continued; after any other one the reply goes on at the same
    position, and once the thought is closed only the answer is left. How long the thought is, and whether its answer
    is the usual one, depend on the question and the seed.
    """
    question = next((m.text for m in reversed(prompt.messages) if m.role == "user"), "")
    numbers = re.findall(r"\d+", question) or ["0"]
    usual = noise(question, seed, "answer") < 0.7
    answer = numbers[-1] if usual else str(int(numbers[-1]) + 1)
    length = 4 + int(noise(question, seed, "length") * 24)
    words = ("so ", "wait ", "then ", "hmm ", "check ", "maybe ")
    drawn = hashlib.blake2b(str(seed).encode(), digest_size=28).digest()[:length]
    thought = "".join(words[byte % len(words)] for byte in drawn)
    said = f"The answer is \\boxed{{{answer}}}"
    whole = said if prompt.thinking is not None and prompt.thinking.mode == "off" else f"<think>{thought}</think>{said}"
    prefill = prompt.prefill
    if whole.startswith(prefill):
        return whole[len(prefill) :]
    if prefill.endswith("{"):
        return f"{answer}}}"
    _, closed, after = prefill.partition("</think>")
    if closed:
        return said.removeprefix(after.lstrip()) if said.startswith(after.lstrip()) else said
    return "".join(tokenize(whole)[len(tokenize(prefill)) :]) or f"</think>{said}"


class Echo:
    """Streams what `script` says, a token at a time.

    `generated` counts the tokens of all calls, as a server's own counter would; `open_streams` those that are not yet
    left. `delay` is the length of a tick in seconds: with 0 the engine gives way to others after every `turn` tokens.
    `faults` maps the number of a call (from 0) to what goes wrong in it. Where `caps` say so, tokens have made-up
    certainties and hidden states: the same wherever the same was asked and said before.
    """

    def __init__(
        self,
        script: Script | str = overthink,
        *,
        name: str = "echo",
        think: Think = Think("<think>", "</think>"),  # noqa: B008 (frozen)
        caps: frozenset[Cap] = CAPS,
        delay: float = 0.0,
        turn: int = 1,
        faults: Mapping[int, Fault] | None = None,
    ) -> None:
        self._script: Script = (lambda prompt, seed: script) if isinstance(script, str) else script
        self._name, self._think, self._caps = name, think, caps
        self._delay, self._turn = delay, turn
        self._faults = dict(faults or {})
        self.calls = self.generated = self.open_streams = 0

    @property
    def name(self) -> str:
        """The name given at construction."""
        return self._name

    @property
    def caps(self) -> frozenset[Cap]:
        """By default everything but certainties, hidden states, adapters, tools and pictures."""
        return self._caps

    @property
    def think(self) -> Think:
        """`<think>` and `</think>` by default."""
        return self._think

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Open one scripted reply. Raises `Unsupported` for a call that asks for more than `caps`."""
        _refuse(self, prompt, sampling)
        fault = self._faults.get(self.calls)
        self.calls += 1
        self.open_streams += 1
        chunks = self._generate(prompt, sampling, fault)
        try:
            yield chunks
        finally:
            self.open_streams -= 1
            await chunks.aclose()

    async def _generate(self, prompt: Prompt, sampling: Sampling, fault: Fault | None) -> AsyncGenerator[Chunk, None]:
        seed = 0 if sampling.temperature == 0 else sampling.branch_seed or sampling.seed or 0
        banned = {token for token, bias in sampling.logit_bias if bias <= -50}
        tokens = tokenize(self._script(prompt, seed))
        if banned:
            tokens = [token for token in tokens if token_id(token) not in banned]
        if sampling.ban:
            # This engine's tokens bear the blank behind them, not the one before.
            words = {text.strip() for text in sampling.ban}
            tokens = [token for token in tokens if token.strip() not in words]
        start = len(tokenize(prompt.prefill))
        size = sum(len(tokenize(message.text)) for message in prompt.messages) + start
        splitter = ThinkSplitter(self._think.open, self._think.close, prompt.prefill, self._think.opened)
        text = _Stops(sampling.stop)
        count = 0
        while True:
            if self._delay or count % self._turn == 0:
                await asyncio.sleep(self._delay)
            if fault and count >= fault.at:
                await _fail(self._name, fault)
            if count == len(tokens) or count == sampling.max_tokens:
                # Nothing is generated here: this end costs no token.
                reason: StreamFinish = "stop" if count == len(tokens) else "length"
                for chunk in _last(splitter, text.flush(), reason, None, Usage(size, count, 0)):
                    yield chunk
                return
            token = tokens[count]
            count += 1
            self.generated += 1
            known, matched = text.feed(token)
            plain = known == token
            probs = _logprobs(token, seed, start + count, sampling)
            chunks = _chunks(splitter, known, 1, (token_id(token),) if plain else (), probs)
            if sampling.hidden:
                said = prompt.prefill + "".join(tokens[: count - 1])
                chunks[0] = chunks[0]._replace(hidden=_hidden(noise(prompt.messages, said), sampling.hidden))
            for chunk in chunks:
                yield chunk
            if matched is not None:
                for chunk in _last(splitter, "", "stop", matched, Usage(size, count, 0)):
                    yield chunk
                return


def _refuse(engine: Echo, prompt: Prompt, sampling: Sampling) -> None:
    """Keep methods honest: whoever asks for something must have named it as a need, or have looked at `caps`."""
    asked = {
        Cap.PREFILL: bool(prompt.prefill),
        Cap.THINKING: prompt.thinking is not None,
        Cap.LOGPROBS: sampling.logprobs > 0,
        Cap.LOGIT_BIAS: bool(sampling.logit_bias),
        Cap.HIDDEN: bool(sampling.hidden),
        Cap.FULL_LOGPROBS: sampling.certainty,
        Cap.ADAPTER: bool(sampling.adapters),
    }
    if sampling.ban and not {Cap.LOGIT_BIAS, Cap.TOKEN_IDS} <= engine.caps:
        raise Unsupported(f"{engine.name} bans no texts: it does not know its tokens; use an engine that does")
    for cap, wanted in asked.items():
        if wanted and cap not in engine.caps:
            raise Unsupported(f"{engine.name} lacks {cap.name} ({cap.value}); use an engine that has it")
    if sampling.force:
        # Its ids are checksums: it could not say what they spell, whatever it is told to offer.
        raise Unsupported(f"{engine.name} lacks {Cap.FORCE.name} ({Cap.FORCE.value}); use an engine that has it")


class _Stops:
    """Looks for stop strings, and holds back text that could still become one."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""

    def feed(self, text: str) -> tuple[str, str | None]:
        """Return the text that is safe to give out, and the stop string that ended the reply, if one did."""
        if not self._stops:
            return text, None
        self._held += text
        found = [(at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            at, stop = min(found)
            return self._held[:at], stop
        keep = max((n for stop in self._stops for n in range(1, len(stop)) if self._held.endswith(stop[:n])), default=0)
        known, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return known, None

    def flush(self) -> str:
        """Return what was held back."""
        return self._held


def _channel(splitter: ThinkSplitter) -> Literal["think", "answer"]:
    return "think" if splitter.thinking else "answer"


def _chunks(
    splitter: ThinkSplitter, text: str, tokens: int, ids: tuple[int, ...], probs: tuple[Logprob, ...]
) -> list[Chunk]:
    """Return the chunks that one token gives: none of them holds text of both channels, one of them bears the count."""
    pieces = splitter.feed(text) or [Piece("", _channel(splitter))]
    whole = len(pieces) == 1 and pieces[0].text == text
    return [
        Chunk(
            piece.text,
            piece.channel,
            tokens if i == 0 else 0,
            ids if whole else (),
            probs if i == 0 else (),
            markup=piece.markup,
        )
        for i, piece in enumerate(pieces)
    ]


def _last(splitter: ThinkSplitter, text: str, finish: StreamFinish, matched: str | None, usage: Usage) -> list[Chunk]:
    """Return the chunks that end a reply: what was held back, at no cost, and the end itself."""
    pieces = [*splitter.feed(text), *splitter.flush()]
    end = Chunk("", _channel(splitter), 0, finish=finish, matched_stop=matched, usage=usage)
    return [*(Chunk(piece.text, piece.channel, 0, markup=piece.markup) for piece in pieces), end]


def _logprobs(token: str, seed: int, position: int, sampling: Sampling) -> tuple[Logprob, ...]:
    """Return a made-up log-probability and certainty, the same for the same token at the same place."""
    rivals = sampling.logprobs
    if not (rivals or sampling.certainty):
        return ()
    own = 0.5 + noise(seed, position, "p") / 2
    rest = [(f"rival{i} ", math.log((1 - own) / 2**i)) for i in range(1, rivals)]
    top = ((token, math.log(own)), *rest) if rivals else ()
    return (Logprob(token, math.log(own), top, noise(seed, position, "certainty") if sampling.certainty else None),)


def _hidden(before: float, layers: tuple[int, ...]) -> memoryview:
    """Return made-up states of shape (1, layers asked, WIDTH); `before` stands for what is before the token."""
    numbers = range(LAYERS) if layers == ALL_LAYERS else [layer % LAYERS for layer in layers]
    values = [noise(before, layer, place) for layer in numbers for place in range(WIDTH)]
    raw = memoryview(struct.pack(f"{len(values)}f", *values))
    return cast(memoryview, raw.cast(cast(Any, "f"), (1, len(numbers), WIDTH)))


async def _fail(name: str, fault: Fault) -> None:
    if fault.kind == "stall":
        await asyncio.get_running_loop().create_future()
    if fault.kind == "cut":
        raise EngineError(f"{name}: the reply broke off after {fault.at} tokens", retry=True)
    raise EngineError(
        f"{name}: scripted failure",
        status=fault.status or 500,
        retry=fault.status is None or fault.status >= 500 or fault.status == 429,
        retry_after=fault.retry_after,
    )

"""A recorded long thought as an engine: it goes on from any prefix, and answers probes from those that were recorded.

One expensive run then answers every threshold of every rule that stops a thought early, at no cost.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

from ponder.core.engine import Cap, Chunk, Logprob, Sampling, StreamFinish, Think, Usage
from ponder.core.errors import TapeMiss, Unsupported
from ponder.core.problem import Problem, Prompt
from ponder.text.think import ThinkSplitter

_MARK = re.compile(r"(</?think>)")


class Probe(NamedTuple):
    """An answer asked on the side after `at` tokens: `p` is its probability, `tokens` what asking cost."""

    at: int
    answer: str
    p: float | None = None
    tokens: int = 1


@dataclass(frozen=True, slots=True)
class Thought:
    """One recorded reply, thinking included, as pieces of text that bear tokens.

    `counted` says that the sum of tokens is a count and no estimate; whether the pieces end where tokens do is each
    piece's own `exact`. `opened` says that it begins inside the thought. `finish` is `length` for a reply that was cut.
    """

    pieces: tuple[Chunk, ...]
    probes: tuple[Probe, ...] = ()
    counted: bool = True
    opened: bool = False
    finish: StreamFinish = "stop"

    @classmethod
    def of_text(
        cls,
        text: str,
        tokens: int,
        probes: Sequence[Probe] = (),
        *,
        counted: bool = True,
        opened: bool = False,
        finish: StreamFinish = "stop",
        grain: int = 1,
    ) -> Thought:
        """Cut a reply of which only the sum of tokens is known into pieces of `grain` tokens and equal length.

        Think marks are a token each, as they are to most models.
        """
        pieces = tuple(_pieces(text, tokens, grain))
        return cls(pieces, tuple(probes), counted, opened, finish)

    @classmethod
    def of_chunks(cls, chunks: Sequence[Chunk], probes: Sequence[Probe] = (), *, opened: bool = False) -> Thought:
        """Take a reply from a tape or a live stream, token for token."""
        finish: StreamFinish = next((chunk.finish for chunk in chunks if chunk.finish is not None), "length")
        pieces = tuple(
            Chunk(
                chunk.text, tokens=chunk.tokens, token_ids=chunk.token_ids, logprobs=chunk.logprobs, exact=chunk.exact
            )
            for chunk in chunks
        )
        return cls(pieces, tuple(probes), all(chunk.exact for chunk in chunks), opened, finish)


def _pieces(text: str, tokens: int, grain: int) -> Iterator[Chunk]:
    """Yield the text with its tokens spread evenly over all that is not a think mark."""
    parts = [part for part in _MARK.split(text) if part] or [""]
    marks = min(tokens, sum(map(_is_mark, parts)))
    plain = sum(len(part) for part in parts if not _is_mark(part))
    seen = passed = spent = 0
    for index, part in enumerate(parts):
        if _is_mark(part):
            passed += 1
        else:
            seen += len(part)
        until = min(passed, marks) + (round((tokens - marks) * seen / plain) if plain else 0)
        own = (tokens if index == len(parts) - 1 else until) - spent
        spent += own
        count = 1 if _is_mark(part) else max(1, min(len(part), math.ceil(own / grain)))
        for i in range(count):
            share = own * (i + 1) // count - own * i // count
            yield Chunk(part[len(part) * i // count : len(part) * (i + 1) // count], tokens=share, exact=False)


def _is_mark(part: str) -> bool:
    return _MARK.fullmatch(part) is not None


class Along:
    """Plays the recorded thoughts about one problem.

    A prompt without prefill opens the next thought. One whose prefill is a beginning of a thought continues it. One
    whose prefill begins so and then goes on in words of its own is a question on the side, or a thought that was
    stopped: the recorded probe nearest at or before that place answers it. Raises `TapeMiss` where nothing was
    recorded: too many thoughts are asked for, no probe lies before the place, or, where `problem` is given, a prompt
    asks something else or asks it in other words.
    """

    def __init__(
        self,
        thoughts: Sequence[Thought],
        *,
        name: str = "along",
        think: Think = Think("<think>", "</think>"),  # noqa: B008 (frozen)
        problem: Problem | None = None,
    ) -> None:
        self._plain = None if problem is None else Prompt.of(problem)
        self._tracks = [_Track(thought) for thought in thoughts]
        self._name, self._think = name, think
        self._opened = 0
        self._branches: dict[int | None, _Track] = {}

    @property
    def name(self) -> str:
        """The name given at construction."""
        return self._name

    @property
    def caps(self) -> frozenset[Cap]:
        """Prefixes are continued; probes tell their probability."""
        return frozenset({Cap.PREFILL, Cap.LOGPROBS})

    @property
    def think(self) -> Think:
        """The marks given at construction."""
        return self._think

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Open the next thought, continue one, or answer a probe."""
        if self._plain is not None and replace(prompt, prefill="", prefill_ids=()) != self._plain:
            raise TapeMiss(
                f"{self._name}: they answer the plain question, and this method asks in words or with settings of its "
                f"own; replay methods that leave the question as it is"
            )
        if sampling.force:
            raise Unsupported(f"{self._name}: a recorded thought takes no forced tokens; use a model that does")
        if sampling.ban:
            raise Unsupported(f"{self._name}: a recorded thought says what it said; use a model that bans texts")
        if sampling.certainty:
            raise Unsupported(f"{self._name}: a recorded thought has no log-probabilities of the whole vocabulary")
        track, place = self._find(prompt.prefill, sampling)
        splitter = ThinkSplitter(self._think.open, self._think.close, prompt.prefill, track.thought.opened)
        if place < len(prompt.prefill):
            chunks = _say(splitter, *self._probe(track, place, sampling))
        else:
            chunks = _say(splitter, *track.rest(place, sampling))
        try:
            yield chunks
        finally:
            await chunks.aclose()

    def _find(self, prefill: str, sampling: Sampling) -> tuple[_Track, int]:
        """Return the thought that a prompt is about, and how many of its characters the prompt holds."""
        if not prefill:
            if self._opened == len(self._tracks):
                raise TapeMiss(f"{self._name}: {self._opened} replies were recorded, and one more is asked for")
            track = self._branches[sampling.branch_seed] = self._tracks[self._opened]
            self._opened += 1
            return track, 0
        places = [track.common(prefill) for track in self._tracks]
        own = self._branches.get(sampling.branch_seed)
        # Thoughts may begin alike: then a branch goes on with the one that it opened.
        best = max(range(len(places)), key=lambda i: (places[i], self._tracks[i] is own))
        return self._tracks[best], places[best]

    def _probe(self, track: _Track, place: int, sampling: Sampling) -> tuple[Iterator[Chunk], Chunk]:
        at, probes = track.tokens_before(place), track.thought.probes
        probe = next((probe for probe in reversed(probes) if probe.at <= at), None)
        if probe is None:
            first = f"the first one stands at {probes[0].at}" if probes else "none was recorded"
            raise TapeMiss(
                f"{self._name}: no recorded probe lies at or before token {at}; {first}; leave out what stops there"
            )
        logprobs: tuple[Logprob, ...] = ()
        if sampling.logprobs and probe.p is not None:
            logprobs = (Logprob(probe.answer, math.log(probe.p) if probe.p else -math.inf),)
        said = Chunk(probe.answer, tokens=probe.tokens, logprobs=logprobs)
        return _limited(iter([said]), sampling.max_tokens, Chunk("", tokens=0, finish="stop"))


class _Track:
    """A thought with its running sums, so that any place in it is found at once."""

    def __init__(self, thought: Thought) -> None:
        self.thought = thought
        self.text = "".join(piece.text for piece in thought.pieces)
        self._ends = list(accumulate(len(piece.text) for piece in thought.pieces))
        self._sums = [0, *accumulate(piece.tokens for piece in thought.pieces)]

    def common(self, prefill: str) -> int:
        """Return how many characters `prefill` and this thought have in common at their beginnings."""
        if self.text.startswith(prefill):
            return len(prefill)
        low, high = 0, min(len(self.text), len(prefill))
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if prefill.startswith(self.text[:middle]) else (low, middle - 1)
        return low

    def tokens_before(self, place: int) -> int:
        """Return how many whole tokens lie within the first so many characters."""
        return self._sums[bisect_right(self._ends, place)]

    def rest(self, place: int, sampling: Sampling) -> tuple[Iterator[Chunk], Chunk]:
        """Return the pieces from a place on, up to a stop string or the limit, and the chunk that ends them."""
        found = [(at, stop) for stop in sampling.stop if (at := self.text.find(stop, place)) >= 0]
        stop_at, stop = min(found, default=(len(self.text), None))
        begin = bisect_right(self._ends, place) if place else 0
        end = len(self._ends)
        # Nothing is known beyond the end of a reply that was cut: who goes on there is told so, or would ask for ever.
        finish = self.thought.finish if begin < end or not place else "stop"
        if stop is not None:
            end, finish = bisect_right(self._ends, stop_at + len(stop) - 1) + 1, "stop"
        tokens = self._sums[end] - self._sums[begin]
        usage = Usage(generated=tokens) if self.thought.counted and not place and stop is None else None
        last = Chunk("", tokens=0, finish=finish, matched_stop=stop, usage=usage)
        return _limited(self._cut(begin, end, place, stop_at), sampling.max_tokens, last)

    def _cut(self, begin: int, end: int, place: int, stop_at: int) -> Iterator[Chunk]:
        """Yield pieces without what lies before `place` and after `stop_at`; half a token counts where it begins."""
        for index in range(begin, end):
            piece = self.thought.pieces[index]
            start = self._ends[index] - len(piece.text)
            if start >= place and self._ends[index] <= stop_at:
                yield piece
            else:
                text = self.text[max(start, place) : min(self._ends[index], stop_at)]
                yield Chunk(text, tokens=piece.tokens if start >= place else 0, exact=piece.exact)


def _limited(pieces: Iterator[Chunk], limit: int, last: Chunk) -> tuple[Iterator[Chunk], Chunk]:
    """Return at most `limit` tokens of the pieces, and the end that they then have."""
    kept: list[Chunk] = []
    spent = 0
    for piece in pieces:
        if spent + piece.tokens > limit:
            left = limit - spent
            if left:
                # Always some text, so that who asks again gets on.
                part = piece.text[: max(not kept, round(len(piece.text) * left / piece.tokens))]
                kept.append(Chunk(part, tokens=left, logprobs=piece.logprobs, exact=False))
            return iter(kept), Chunk("", tokens=0, finish="length")
        spent += piece.tokens
        kept.append(piece)
    return iter(kept), last


async def _say(splitter: ThinkSplitter, pieces: Iterator[Chunk], last: Chunk) -> AsyncGenerator[Chunk, None]:
    """Yield pieces as chunks of one channel each; the first of a piece bears its count."""
    for piece in pieces:
        parts = splitter.feed(piece.text)
        if not parts and (piece.tokens or piece.logprobs):
            yield piece._replace(text="", channel="think" if splitter.thinking else "answer", token_ids=())
        for index, part in enumerate(parts):
            chunk = piece._replace(text=part.text, channel=part.channel, markup=part.markup)
            if part.text != piece.text:
                chunk = chunk._replace(token_ids=())
            yield chunk if index == 0 else chunk._replace(tokens=0, logprobs=())
    for part in splitter.flush():
        yield Chunk(part.text, part.channel, 0)
    yield last._replace(channel="think" if splitter.thinking else "answer")

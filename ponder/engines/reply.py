"""From the events of a chat or completion stream to chunks: thinking split off, every token counted once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ponder.core.engine import Channel, Chunk, Logprob, StreamFinish, Think, Usage
from ponder.core.errors import EngineError
from ponder.core.problem import ToolCall
from ponder.engines.delta import Delta, joined
from ponder.engines.http import Json, as_count, as_object, as_text
from ponder.text.think import Piece, ThinkSplitter

_TOKENS_HELD = 3
"""A character takes at most four tokens; a server that sends more of them without text sends special tokens."""

_MERGED = 16
"""Events that are read as one at most: whoever counts tokens should not be surprised by too many at a time."""

_FINISH: dict[str, StreamFinish] = {"length": "length", "max_tokens": "length", "tool_calls": "tool_calls"}
_BROKEN = {
    "content_filter": "withheld the rest of the reply (content filter); ask in other words",
    "abort": "gave up on the reply; try again",
    "error": "gave up on the reply; try again",
}


@dataclass(slots=True)
class _Part:
    """The text of one event with its tokens, until it is known which channel it belongs to."""

    left: int
    tokens: int
    ids: tuple[int, ...]
    logprobs: tuple[Logprob, ...]
    exact: bool
    cut: bool = False


@dataclass(slots=True)
class Reply:
    """Collects one reply. `feed()` each event, then `end()`.

    Thinking comes in a field of its own, or in the text between marks. Where a server does both, the second copy is
    dropped. Marks that a server took away are put back as markup, so that the text can be continued from.

    `opened` says that the template opened the thought. `parsed` becomes true with the first thinking in a field; set
    from an earlier reply, it says that text which comes without any is the answer.
    """

    marks: Think
    read: Callable[[Json], Delta]
    prefill: str = ""
    opened: bool = False
    finish: str = ""
    complete: bool = False
    parsed: bool = False
    _splitter: ThinkSplitter = field(init=False)
    _firsts: tuple[str, ...] = ()
    _parts: list[_Part] = field(default_factory=list)
    _pieces: list[Piece] = field(default_factory=list)
    _tools: dict[int, list[str]] = field(default_factory=dict)
    _usage: Usage | None = None
    _prompt_told: bool = False
    _matched: str | None = None
    _total: int = 0
    _exact: bool = True
    _last: tuple[int, tuple[Logprob, ...]] = (0, ())
    _thought: str = ""
    _again: str = ""
    _inside: bool = False
    _repeats: bool = False

    def __post_init__(self) -> None:
        self._firsts = tuple(mark.strip()[0] for mark in (self.marks.open, self.marks.close) if mark.strip())
        opened = self.opened and not self.parsed
        self._splitter = ThinkSplitter(self.marks.open, self.marks.close, self.prefill, opened)

    def feed(self, event: Json) -> list[Chunk]:
        """Return the chunks that are known after one event."""
        return self._feed(self.read(event))

    def feed_all(self, events: Iterable[Json]) -> list[Chunk]:
        """Return the chunks that are known after several events that came together."""
        chunks: list[Chunk] = []
        held: list[Delta] = []
        for event in events:
            delta = self.read(event)
            joins = self._joins(delta)
            if held and not (joins and bool(delta.text) == bool(held[0].text) and len(held) < _MERGED):
                chunks += self._feed(joined(held))
                held = []
                joins = self._joins(delta)
            if joins:
                held.append(delta)
            else:
                chunks += self._feed(delta)
        return chunks + self._feed(joined(held)) if held else chunks

    def _joins(self, delta: Delta) -> bool:
        """Say whether an event is text alone, far from any mark: joined, such events are counted as one by one."""
        if delta.finish or delta.tools or delta.ids or delta.logprobs or delta.matched_stop or self._parts:
            return False
        if delta.reasoning:
            return not delta.text
        return bool(delta.text) and not any(mark in delta.text for mark in self._firsts)

    def _feed(self, delta: Delta) -> list[Chunk]:
        tokens, exact = self._count(delta)
        self._matched = delta.matched_stop or self._matched
        if delta.usage is not None:
            self._usage = delta.usage
        ids, logprobs = delta.ids, delta.logprobs
        if delta.finish:
            self.finish = delta.finish
            if tokens and ids and delta.finish == "stop" and self._matched is None:
                # The token that ends a reply is counted, but is not part of its text.
                self._last = (1, logprobs[-1:] if len(logprobs) == tokens else ())
                tokens, ids = tokens - 1, ids[:-1]
                logprobs = logprobs[:tokens]
        chunks = self._reason(delta.reasoning) if delta.reasoning else []
        if chunks:
            chunks[-1] = chunks[-1]._replace(tokens=tokens, logprobs=logprobs, exact=exact)
            tokens, ids, logprobs = 0, (), ()
        self._call_tools(delta.tools)
        if delta.text or tokens or logprobs:
            chunks += self._content(delta.text, _Part(len(delta.text), tokens, ids, logprobs, exact))
        return self._tell_prompt(chunks)

    def end(self) -> list[Chunk]:
        """Return what was held back and the last chunk."""
        if self.finish in _BROKEN:
            raise EngineError(_BROKEN[self.finish], retry=self.finish != "content_filter")
        self._pieces += self._splitter.flush()
        chunks = self._release()
        tokens, logprobs = self._last
        usage = self._usage
        if usage is not None and usage.generated is not None and self._exact:
            tokens += max(0, usage.generated - self._total)
        if usage is not None and not usage.thinking and any((self._thought, self._splitter.thinking)):
            # Some servers report no thinking where the template opened it; then our own count is the better one.
            usage = usage._replace(thinking=None)
        calls = tuple(ToolCall(*self._tools[index]) for index in sorted(self._tools))
        finish: StreamFinish = "tool_calls" if calls else _FINISH.get(self.finish, "stop")
        last = Chunk("", self._channel, tokens, (), logprobs, finish=finish, matched_stop=self._matched)
        return [*chunks, last._replace(tool_calls=calls, usage=usage)]

    @property
    def _channel(self) -> Channel:
        return "think" if self._inside or (self._splitter.thinking and not self.parsed) else "answer"

    def _count(self, delta: Delta) -> tuple[int, bool]:
        """Return how many tokens an event stands for, and whether that is known."""
        exact = True
        if delta.total is not None:
            tokens = max(0, delta.total - self._total)
        elif delta.ids or delta.logprobs:
            tokens = len(delta.ids) or len(delta.logprobs)
        else:
            tokens = delta.events if delta.text or delta.reasoning or delta.tools else 0
            exact = not tokens
        if delta.usage is not None and not (delta.text or delta.reasoning or delta.tools or delta.ids) and self.finish:
            # The count at the end of a stream that gave none on the way: the last chunk bears it.
            return 0, True
        self._total += tokens
        self._exact = self._exact and exact
        return tokens, exact

    def _tell_prompt(self, chunks: list[Chunk]) -> list[Chunk]:
        """Put the size of the prompt on the first chunk: a reply that is left early has no last one."""
        if chunks and not self._prompt_told and self._usage is not None and self._usage.prompt is not None:
            self._prompt_told = True
            chunks[0] = chunks[0]._replace(usage=Usage(self._usage.prompt, None, self._usage.cached))
        return chunks

    def _reason(self, text: str) -> list[Chunk]:
        """Return the chunks of thinking that came in a field of its own."""
        chunks: list[Chunk] = []
        if not self._thought:
            # The server takes the marks off: an answer does not begin inside the thought, whatever the template says.
            self._splitter = ThinkSplitter(self.marks.open, self.marks.close)
        if not self._inside and self.marks.open and (self._thought or not self.opened):
            chunks.append(Chunk(self.marks.open, "think", 0, markup=True))
        self.parsed = self._inside = True
        self._thought += text
        return [*chunks, Chunk(text, "think")]

    def _call_tools(self, deltas: tuple[Json, ...]) -> None:
        for position, delta in enumerate(deltas):
            index = as_count(delta.get("index"))
            call = self._tools.setdefault(position if index is None else index, ["", "", ""])
            function = as_object(delta.get("function"))
            call[0] = call[0] or as_text(delta.get("id"))
            call[1] = call[1] or as_text(function.get("name"))
            call[2] += as_text(function.get("arguments"))

    def _content(self, text: str, part: _Part) -> list[Chunk]:
        """Return the chunks of plain text, once it is known that it holds no mark that is still incomplete."""
        self._parts.append(part)
        self._pieces += self._splitter.feed(text)
        undecided = sum(p.left for p in self._parts) - sum(len(piece.text) for piece in self._pieces)
        held = sum(p.tokens for p in self._parts)
        if undecided or (not text and held <= _TOKENS_HELD and not self._tools):
            return []
        return self._release()

    def _release(self) -> list[Chunk]:
        """Return the decided pieces, each with the tokens that begin in it; ids only where no token is cut in two."""
        chunks: list[Chunk] = []
        parts = iter(self._parts)
        part = next(parts, None)
        for piece in _merged(self._pieces):
            need, tokens, whole, exact = len(piece.text), 0, True, True
            ids: tuple[int, ...] = ()
            logprobs: tuple[Logprob, ...] = ()
            while need and part is not None:
                taken = min(need, part.left)
                need, part.left = need - taken, part.left - taken
                tokens, logprobs, exact = tokens + part.tokens, logprobs + part.logprobs, exact and part.exact
                whole = whole and not part.cut and not part.left
                ids += part.ids
                if part.left:
                    part.cut, part.tokens, part.logprobs, part.ids = True, 0, (), ()
                else:
                    part = next(parts, None)
            spelled = ids if whole and not self.parsed else ()
            chunks += self._emit(
                Chunk(piece.text, piece.channel, tokens, spelled, logprobs, markup=piece.markup, exact=exact)
            )
        rest = [p for p in (part, *parts) if p is not None]
        if tokens := sum(p.tokens for p in rest):
            logprobs = tuple(entry for p in rest for entry in p.logprobs)
            chunks.append(Chunk("", self._channel, tokens, logprobs=logprobs, exact=all(p.exact for p in rest)))
        self._parts, self._pieces = [], []
        return chunks

    def _emit(self, chunk: Chunk) -> list[Chunk]:
        """Return a piece of content; beside a reasoning field, leave out thinking that the field has said already."""
        if not self.parsed:
            return [chunk]
        if chunk.channel == "think":
            if chunk.markup and not self._repeats:
                # Marks in the text before any answer belong to a second copy of the same thought.
                self._repeats = self._inside
            again = self._again + ("" if chunk.markup else chunk.text)
            if self._repeats and self._thought.strip().startswith(again.strip()):
                self._again = again
                return [chunk._replace(text="", markup=False)] if chunk.tokens else []
        if self._inside and chunk.channel == "answer" and chunk.text.strip():
            self._inside = self._repeats = False
            if self.marks.close:
                return [Chunk(self.marks.close, "think", 0, markup=True), chunk]
        return [chunk]


def _merged(pieces: list[Piece]) -> list[Piece]:
    """Join neighbours of one kind that were only parted by the borders of events."""
    merged: list[Piece] = []
    for piece in pieces:
        if merged and merged[-1][1:] == piece[1:] and not piece.markup:
            merged[-1] = piece._replace(text=merged[-1].text + piece.text)
        else:
            merged.append(piece)
    return merged

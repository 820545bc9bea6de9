"""From token ids to chunks: characters whole, stop strings cut off, thinking apart, each id with its text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ponder.core.engine import Channel, Chunk, Logprob, StreamFinish, Think, Usage
from ponder.engines.torch.hidden import stack
from ponder.text.think import Piece, ThinkSplitter

Decode = Callable[[Sequence[int]], str]

_BROKEN = "\ufffd"
_CONTEXT = 4
"""A character has at most four bytes, so at most four tokens; as many before them show how the text goes on."""


class Detokenizer:
    """Gives each token the text that it completes; bytes of an unfinished character wait for the next token.

    `tail` are the ids before the first token: what they left unfinished is completed too.
    """

    def __init__(self, decode: Decode, tail: Sequence[int]) -> None:
        self._decode = decode
        self._ids = list(tail[-2 * _CONTEXT :])
        while len(self._ids) > _CONTEXT and decode(self._ids).startswith(_BROKEN):
            self._ids.pop(0)
        self._text = decode(self._ids)
        self._new = len(self._ids)
        self._given = len(self._text) - _unfinished(self._text)

    def feed(self, token: int) -> tuple[str, str]:
        """Return the text that is known with `token`: first what earlier tokens turn out to be, then its own."""
        before = self._text
        self._ids.append(token)
        self._text = text = self._decode(self._ids)
        if text.endswith(_BROKEN) and len(self._ids) - self._new < _CONTEXT:
            return "", ""
        # Bytes that never become a character are given out, but for the last ones, which still may.
        end = len(text) - _unfinished(text)
        own = len(before) if text.startswith(before) else self._given
        own = min(max(own, self._given), end)
        late, known = text[self._given : own], text[own:end]
        self._given = end
        if end == len(text):
            self._ids = self._ids[self._new :]
            self._text = self._decode(self._ids)
            self._new, self._given = len(self._ids), len(self._text)
        return late, known

    def flush(self) -> str:
        """Return what is left as it stands: an unfinished character reads as U+FFFD."""
        known, self._given = self._text[self._given :], len(self._text)
        return known


def _unfinished(text: str) -> int:
    return min(len(text) - len(text.rstrip(_BROKEN)), _CONTEXT - 1)


@dataclass(slots=True)
class _Token:
    """A token whose text is not given out yet, or not all of it: `left` characters are to come."""

    id: int
    left: int
    logprob: Logprob | None
    hidden: memoryview | None
    forced: bool = False
    billed: bool = False


class Reply:
    """One reply as it is generated: `feed` takes a token, `end` closes; both return chunks.

    A chunk carries whole tokens with their ids. Where a stop string or a mark is not decided yet, whole tokens wait.
    Only a token that belongs to both channels is cut in two, and then without its id. Forced tokens have chunks of
    their own, and no stop string is looked for in them.
    """

    def __init__(
        self, decode: Decode, tail: Sequence[int], think: Think, prefill: str = "", stops: tuple[str, ...] = ()
    ) -> None:
        self._text = Detokenizer(decode, tail)
        self._splitter = ThinkSplitter(think.open, think.close, prefill, think.opened)
        self._stops = stops
        self._held = ""
        self._tokens: list[_Token] = []
        self._pieces: list[Piece] = []
        self._closing: list[_Token] = []
        self.matched: str | None = None

    @property
    def channel(self) -> Channel:
        """Where the next text belongs."""
        return "think" if self._splitter.thinking else "answer"

    def feed(
        self,
        token: int,
        logprob: Logprob | None = None,
        hidden: memoryview | None = None,
        *,
        silent: bool = False,
        forced: bool = False,
    ) -> list[Chunk]:
        """Return the chunks that are known with `token`; after that, `matched` says whether a stop string has come.

        A `silent` token is a control token without text, a `forced` one was given and not generated.
        """
        late, text = ("", "") if silent else self._text.feed(token)
        if late and self._tokens:
            self._tokens[-1].left += len(late)
        else:
            text = late + text
            late = ""
        self._tokens.append(_Token(token, len(text), logprob, hidden, forced))
        self._held += late + text
        if forced:
            self._split(self._held)
            return self._drain()
        found = [(at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            at, self.matched = min(found)
            self._split(self._held[:at])
            return []
        self._split(self._held[: len(self._held) - self._undecided()])
        return self._drain()

    def close(self, logprob: Logprob | None = None, hidden: memoryview | None = None) -> None:
        """Take the token that ended the turn; it has no text, and what was unfinished before it stays so."""
        text = self._text.flush()
        if text and self._tokens:
            self._tokens[-1].left += len(text)
        self._held += text
        self._closing = [_Token(-1, 0, logprob, hidden)]

    def end(self, finish: StreamFinish, usage: Usage) -> list[Chunk]:
        """Return the last chunks."""
        if self.matched is None:
            self._split(self._held)
        self._merge(self._splitter.flush())
        chunks = self._drain(final=True)
        # What is left is half a character, or stood behind the stop: it costs, and says nothing.
        given = [token for token in self._tokens if token.forced and not token.billed]
        if given:
            chunks.append(_filled(Chunk("", self.channel, forced=True), given))
        left = [token for token in (*self._tokens, *self._closing) if not (token.billed or token.forced)]
        whole = finish == "length" and not any(token.billed and not token.forced for token in self._tokens)
        end = _filled(Chunk("", self.channel), left, exact=whole)
        return [*chunks, end._replace(finish=finish, matched_stop=self.matched, usage=usage)]

    def _undecided(self) -> int:
        """How many characters at the end could be the beginning of a stop string."""
        lengths = (n for stop in self._stops for n in range(1, len(stop)) if self._held.endswith(stop[:n]))
        return max(lengths, default=0)

    def _split(self, text: str) -> None:
        self._held = self._held[len(text) :]
        self._merge(self._splitter.feed(text))

    def _merge(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            last = self._pieces[-1] if self._pieces else None
            if last is not None and (last.channel, last.markup) == (piece.channel, piece.markup):
                self._pieces[-1] = last._replace(text=last.text + piece.text)
            else:
                self._pieces.append(piece)

    def _drain(self, *, final: bool = False) -> list[Chunk]:
        """Give out the pieces: the last one only as far as its tokens are whole, unless the reply is at its end."""
        chunks: list[Chunk] = []
        while self._pieces:
            piece = self._pieces.pop(0)
            if not self._pieces and not final:
                whole = self._whole(len(piece.text))
                if whole < len(piece.text):
                    self._pieces = [piece._replace(text=piece.text[whole:])]
                    if whole:
                        chunks += self._give(piece._replace(text=piece.text[:whole]))
                    break
            chunks += self._give(piece)
        return chunks

    def _whole(self, length: int) -> int:
        """Return how many of the next `length` characters end with a token."""
        whole = at = 0
        for token in self._tokens:
            at += token.left
            if at > length:
                break
            whole = at
        return whole

    def _give(self, piece: Piece) -> list[Chunk]:
        """Return a piece with its tokens; those that were given have chunks of their own."""
        chunks: list[Chunk] = []
        text = piece.text
        while text:
            forced = bool(self._tokens) and self._tokens[0].forced
            length, tokens, exact = self._take(len(text), forced)
            plain = Chunk(text[:length], piece.channel, markup=piece.markup, forced=forced)
            chunks.append(_filled(plain, tokens, exact=exact))
            text = text[length:]
        return chunks

    def _take(self, room: int, forced: bool) -> tuple[int, list[_Token], bool]:
        """Take tokens of one kind for at most `room` characters.

        Return how many characters they spell, the tokens that are billed with them, and whether these are all of them.
        """
        billed: list[_Token] = []
        length, exact = 0, True
        while length < room and self._tokens and self._tokens[0].forced == forced:
            token = self._tokens[0]
            exact = exact and not token.billed
            if not token.billed:
                billed.append(token)
                token.billed = True
            if token.left > room - length:
                token.left -= room - length
                return room, billed, False
            length += token.left
            self._tokens.pop(0)
        return length if self._tokens else room, billed, exact


def _filled(chunk: Chunk, tokens: Sequence[_Token], *, exact: bool = True) -> Chunk:
    """Return a chunk with its tokens, all of one kind; their ids only where they are `exact`."""
    return chunk._replace(
        tokens=0 if chunk.forced else len(tokens),
        token_ids=tuple(token.id for token in tokens) if exact else (),
        logprobs=tuple(token.logprob for token in tokens if token.logprob is not None),
        hidden=stack([token.hidden for token in tokens if token.hidden is not None]),
    )

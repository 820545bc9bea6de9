"""A client's stop strings are meant for the answer: one that occurs in the thought must not end it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from ponder.core.engine import Chunk, Sampling, Think
from ponder.core.problem import Prompt


def scope(sampling: Sampling, think: Think, prompt: Prompt) -> tuple[Sampling, tuple[str, ...]]:
    """Return what the engine is asked for, and the stop strings that are looked for here, in the answer.

    Engines look for stop strings in all that is generated. So they get them only where no thought can come: from a
    model without marks, and behind a thought that is closed already. There, their count of the reply is kept, too.
    """
    thinks = bool(think) and think.close.strip() not in prompt.prefill
    return (replace(sampling, stop=()), sampling.stop) if thinks else (sampling, ())


class AnswerStops:
    """The chunks of one stream, ended before the first stop string in the answer channel.

    Text that may be the beginning of a stop string waits in `held` until that is known; its tokens are counted at once.
    The stream is left where a string is found, so the engine's own count of the reply never comes: what was read is
    the bill.
    """

    def __init__(self, chunks: AsyncIterator[Chunk], stop: tuple[str, ...]) -> None:
        self._chunks, self._stop = chunks, stop
        self._next: Chunk | None = None
        self.held = ""

    def __aiter__(self) -> AnswerStops:
        return self

    async def __anext__(self) -> Chunk:
        if self._next is not None:
            chunk, self._next = self._next, None
            return chunk
        chunk = await self._chunks.__anext__()
        if chunk.channel == "answer" and not chunk.markup:
            return self._search(chunk)
        if self.held and (chunk.text or chunk.finish):
            # The answer broke off here: what waited is no stop string.
            held, self.held, self._next = self.held, "", chunk
            return Chunk(held, "answer", 0)
        return chunk

    def _search(self, chunk: Chunk) -> Chunk:
        text = self.held + chunk.text
        found = [(at, stop) for stop in self._stop if (at := text.find(stop)) >= 0]
        if found:
            at, stop = min(found)
            self.held = ""
            return chunk._replace(text=text[:at], token_ids=(), finish="stop", matched_stop=stop)
        keep = 0 if chunk.finish else max(_overlap(text, stop) for stop in self._stop)
        given, self.held = text[: len(text) - keep], text[len(text) - keep :]
        return chunk if given == chunk.text else chunk._replace(text=given, token_ids=())


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of `text` could be the beginning of `stop`."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)

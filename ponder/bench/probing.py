"""Asking a thought for its present answer, on the side: where it is asked, in what words, and what the reply says."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from ponder.core.engine import Chunk, Logprob, Think
from ponder.core.errors import OptionError, nearest
from ponder.core.problem import Prompt
from ponder.core.run import Call
from ponder.text.certainty import brace_end, until_brace
from ponder.text.certainty import confidence as mean_probability
from ponder.text.prompts import PROBE

OPEN, CLOSE = "<think>", "</think>"
"""The marks that recorded replies have, whatever those of the model are."""

TEXTS: Mapping[str, str] = {"close": f"\n{CLOSE}\n\n\\boxed{{", "sentence": PROBE.en}
"""The probe texts that have a name, after the ways in which `dynasor` asks: by closing the thought, or by a sentence
at its end. `</think>` in a text stands for the model's own closing mark."""


def probe_texts(specs: Sequence[str], marks: Think) -> dict[str, str]:
    """Return name to text of `NAME` or `NAME=TEXT`; by default all that have a name, for a model with think marks.

    Raises `OptionError` for a name that has no text, and for one that stands twice.
    """
    texts: dict[str, str] = {}
    for spec in specs or (list(TEXTS) if marks else ["sentence"]):
        name, given, text = spec.partition("=")
        if not given and name not in TEXTS:
            raise OptionError(f"there is no probe {name!r}{nearest(name, TEXTS)}; write NAME=TEXT for one of your own")
        if name in texts or not name or (given and not text):
            raise OptionError(f"the probe {spec!r} needs a name of its own and a text, as in sentence or NAME=TEXT")
        text = text or TEXTS[name]
        if CLOSE in text and not marks:
            raise OptionError(f"the probe {name!r} closes a thought, and this model has no mark for it; leave it out")
        texts[name] = text
    return texts


def read_probe(asked: str, said: str, ended: bool, extract: Callable[[str], str | None]) -> tuple[str, int]:
    """Return the answer in the reply to a probe, empty where there is none, and how many characters it takes.

    Behind a text that ends in an open brace, it is what stands in the box; a box that is never closed holds none,
    unless the model `ended` its reply there. Behind any other text, it is what the task reads in the reply.
    """
    if not asked.endswith("{"):
        return extract(said) or "", len(said)
    end = brace_end(said)
    if end is None:
        return (said.strip(), len(said)) if ended else ("", 0)
    return until_brace(said) or "", end - 1


def confidence(logprobs: Sequence[Logprob], characters: int) -> float | None:
    """Return the geometric mean probability of the tokens that begin within so many characters; None without any."""
    ends = list(accumulate(len(token.token) for token in logprobs))
    inside = [
        math.exp(token.logprob)
        for token, end in zip(logprobs, ends, strict=True)
        if end - len(token.token) < characters and token.token
    ]
    return mean_probability(inside) if inside else None


@dataclass(frozen=True, slots=True)
class Written:
    """A whole reply, as its chunks came: it knows its prefixes by tokens, and where its thought stands.

    `first` and `last` are the numbers of chunks up to where the thought begins and ends. A model without think marks
    thinks in all of its reply.
    """

    call: Call
    chunks: tuple[Chunk, ...]
    marks: Think
    sums: tuple[int, ...]
    """Tokens of the first so many chunks, from none on."""
    ends: tuple[int, ...]
    """Characters of the first so many chunks."""
    first: int
    last: int

    @classmethod
    def of(cls, call: Call, chunks: Sequence[Chunk], marks: Think) -> Written:
        """Take a reply; closed calls alone have their final counts."""
        inside = [i for i, chunk in enumerate(chunks) if chunk.channel == "think" and not chunk.markup and chunk.text]
        if not marks:
            first, last = 0, len(chunks)
        elif inside:
            first, last = inside[0], inside[-1] + 1
        else:
            first = last = -1
        sums = (0, *accumulate(chunk.tokens for chunk in chunks))
        ends = (0, *accumulate(len(chunk.text) for chunk in chunks))
        return cls(call, tuple(chunks), marks, sums, ends, first, last)

    @property
    def text(self) -> str:
        """The whole reply, with the think marks that recordings have."""
        return "".join(chunk.text for chunk in self._standard())

    @property
    def thinking(self) -> str:
        """The thought, without marks."""
        return "".join(chunk.text for chunk in self.chunks[: self.last] if not chunk.markup) if self.last > 0 else ""

    def pieces(self) -> list[int] | None:
        """Return the characters of each token, so that a reader can cut the text where tokens end; None where the
        chunks do not say all that was counted.
        """
        sizes: list[int] = []
        spare = 0
        for chunk in self._standard():
            if chunk.tokens:
                sizes += [spare + len(chunk.text), *([0] * (chunk.tokens - 1))]
                spare = 0
            elif sizes:
                sizes[-1] += len(chunk.text)
            else:
                spare += len(chunk.text)
        return sizes if len(sizes) == self.call.tokens and not spare else None

    def _standard(self) -> Iterator[Chunk]:
        """Yield the chunks, their marks spelt as in all recordings."""
        for chunk in self.chunks:
            mark = chunk.text.strip()
            if chunk.markup and mark:
                own = CLOSE if mark == self.marks.close.strip() else OPEN
                chunk = chunk._replace(text=chunk.text.replace(mark, own))
            yield chunk

    def prefix(self, prompt: Prompt, count: int) -> Prompt:
        """Return the prompt that is continued with the first so many chunks, by ids where the engine gave them all."""
        taken = self.chunks[:count]
        known = all(len(chunk.token_ids) == chunk.tokens for chunk in taken if chunk.text)
        ids = tuple(id_ for chunk in taken for id_ in chunk.token_ids) if known else ()
        return prompt + replace(self.call, text="".join(chunk.text for chunk in taken), token_ids=ids)

    def places(self, every: int, words: Sequence[str] = (), exit: int | None = None) -> list[int]:
        """Return where to ask, as numbers of chunks: at the thought's beginning, at each multiple of `every` tokens of
        the reply, before each of `words`, and after `exit` characters of the thought; one place for each count of
        tokens.
        """
        if self.first < 0:
            return []
        found = {self.first}
        for tokens in range(every, self.sums[self.last] + 1, every):
            found.add(bisect_right(self.sums, self.sums[bisect_left(self.sums, tokens)]) - 1)
        text = "".join(chunk.text for chunk in self.chunks[: self.last])
        for word in words:
            at = text.find(word, self.ends[self.first])
            while at >= 0:
                found.add(bisect_right(self.ends, at) - 1)
                at = text.find(word, at + len(word))
        if exit is not None:
            found.add(self.at_character(exit))
        kept = sorted(min(place, self.last) for place in found if place >= self.first)
        return [*(a for a, b in pairwise(kept) if self.sums[a] < self.sums[b]), *kept[-1:]]

    def at_character(self, characters: int) -> int:
        """Return the number of chunks after which so many characters are thought."""
        thought = accumulate(0 if chunk.markup else len(chunk.text) for chunk in self.chunks[: self.last])
        return bisect_left([0, *thought], characters)


def spelt(text: str, marks: Think, prefix: str) -> str:
    """Return a probe text for this model: with its own closing mark, and no empty line where a line has just ended."""
    text = text.replace(CLOSE, marks.close.strip()) if marks else text
    return text.removeprefix("\n") if prefix.endswith("\n") else text

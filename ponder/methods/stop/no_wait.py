"""NoWait: words by which a thought turns back are never drawn, so that it goes on to its answer (2506.08343)."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.method import Solution
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.steer.thought import Thought

WORDS = (
    *("wait", "alternatively", "hmm", "but", "however", "alternative", "another", "check", "double-check"),
    *("oh", "maybe", "verify", "other", "again", "now", "ah", "any"),
)
"""The paper's list."""


def spellings(word: str) -> tuple[str, ...]:
    """Return the spellings of a word where a word begins: behind a blank, and with a capital where a line begins.

    The bare word in small letters is left alone: it stands in the middle of others, as in `await`.
    """
    capital = word[:1].upper() + word[1:]
    forms = (word, capital) if word.isascii() else (word,)
    begun = (f" {form}" for form in forms)
    return tuple(dict.fromkeys((*begun, capital) if word.isascii() else (word, *begun)))


@dataclass(frozen=True)
class NoWait:
    """One reply in which none of `words` begins, as far as it is a single token of the model."""

    words: tuple[str, ...] = WORDS
    """What is never drawn."""

    def __post_init__(self) -> None:
        named = bool(self.words) and all(word.strip() == word and word for word in self.words)
        require(named, self, "words", self.words, "a list of words without blanks around them")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """An engine that knows the model's tokens and keeps chosen ones from being drawn."""
        return {"main": frozenset({Cap.LOGIT_BIAS, Cap.TOKEN_IDS})}

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Stream one reply. The words are missing from its answer, too, which may follow in the same call."""
        hushed = copy(run)
        hushed.sampling = replace(run.sampling, ban=tuple(text for word in self.words for text in spellings(word)))
        thought = Thought(hushed, Prompt.of(problem))
        reason = await thought.think()
        await thought.answer(reason)
        return thought.solution({"words": len(self.words)})

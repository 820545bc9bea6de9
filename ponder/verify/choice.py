"""One letter of a list of choices is right if it is the reference's letter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from ponder.core.judge import Reference, Verdict
from ponder.text.answers import choice
from ponder.text.latex import alike, formula
from ponder.verify.base import Base


@dataclass(frozen=True, slots=True)
class Choice(Base):
    """Compares letters; a reply may also state the choice itself where the reference's data is `{"choices": [...]}`."""

    letters: str = "ABCDE"

    def extract(self, answer: str) -> str | None:
        """Return the letter that a reply chooses."""
        return choice(answer, self.letters)

    def same(self, a: str, b: str) -> bool:
        """Say whether two extracted letters are one."""
        return a == b

    def check(self, reference: Reference) -> str | None:
        """A reference must be one of the letters."""
        if len(reference.text) == 1 and reference.text in self.letters:
            return None
        return f"{reference.text!r} is none of the letters {', '.join(self.letters)}"

    def __call__(self, answer: str, reference: Reference) -> Verdict:
        """Judge a whole reply by its letter, or by the one choice whose text it states."""
        letter = self.extract(answer) or self._by_text(answer, reference)
        return Verdict(letter == reference.text, letter)

    def _by_text(self, answer: str, reference: Reference) -> str | None:
        if not reference.data:
            return None
        choices = cast(list[str], cast(Mapping[str, object], json.loads(reference.data)).get("choices", []))
        stated = formula(answer)
        if stated is None:
            return None
        letters = [letter for letter, known in zip(self.letters, choices, strict=False) if alike(stated, known)]
        return letters[0] if len(letters) == 1 else None

"""Any set of Reasoning Gym by name: puzzles made from a seed, judged by their own scorers (arXiv 2505.24760)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import Protocol, cast

from ponder.core.errors import DataError, OptionError, nearest
from ponder.core.judge import Item, Reference
from ponder.tasks.shipped import item
from ponder.verify.reasoning_gym import ReasoningGym, encode, known_datasets

FORMAT = "Put the final answer alone between <answer> and </answer>."
"""Boxes would not do: many of these answers have several lines or braces of their own."""


class _Puzzles(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, object]: ...


@dataclass(frozen=True, slots=True)
class Gym:
    """`size` puzzles of one set; `options` are fields of the set's own configuration, as JSON or plain text."""

    dataset: str
    seed: int = 0
    size: int = 500
    options: Sequence[tuple[str, str]] = ()
    verifier: ReasoningGym = field(init=False)

    def __post_init__(self) -> None:
        """Raise `OptionError` for a set, an option or a value that does not exist."""
        known = known_datasets()
        if self.dataset not in known:
            raise OptionError(f"reasoning-gym has no set {self.dataset!r}{nearest(self.dataset, known)}")
        object.__setattr__(self, "verifier", ReasoningGym(self.dataset))
        self._puzzles()

    @property
    def name(self) -> str:
        """The name with its options."""
        size = [("size", str(self.size))] if self.size != 500 else []
        return ",".join([f"reasoning_gym:{self.dataset}", *(f"{key}={value}" for key, value in (*size, *self.options))])

    def items(self, limit: int | None = None) -> Iterator[Item]:
        """Yield the puzzles."""
        puzzles = self._puzzles()
        for index in islice(range(len(puzzles)), limit):
            entry = puzzles[index]
            answer = entry.get("answer")
            try:
                reference = Reference("" if answer is None else str(answer), encode(entry))
            except (TypeError, ValueError) as error:
                raise DataError(f"{self.name}: puzzle {index} cannot be written as JSON ({error})") from None
            id = f"reasoning_gym-{self.dataset}-s{self.seed}-{index}"
            yield item(id, str(entry["question"]), FORMAT, reference, self.verifier)

    def _puzzles(self) -> _Puzzles:
        from reasoning_gym import create_dataset

        known = [spec.name for spec in fields(known_datasets()[self.dataset][1])]
        for key, _ in self.options:
            if key not in known:
                raise OptionError(f"reasoning_gym:{self.dataset} has no option {key!r}{nearest(key, known)}")
        values = {key: _value(text) for key, text in self.options}
        try:
            return cast(_Puzzles, create_dataset(self.dataset, seed=self.seed, size=self.size, **values))
        except (AssertionError, TypeError, ValueError) as error:
            raise OptionError(f"{self.name}: {error or 'an option is out of its range'}") from None


def _value(text: str) -> object:
    try:
        return cast(object, json.loads(text))
    except ValueError:
        return text

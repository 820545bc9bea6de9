"""Which way does one face after some turns? Direction by direction, as LearnSkip trains on it (arXiv 2411.01855)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ponder.train.lab.generated import Draft, Generated, Turn, span
from ponder.train.lab.puzzle import Step
from ponder.verify.exact import Exact

DIRECTIONS = ("North", "East", "South", "West")
QUARTERS: Mapping[str, int] = {"Left": 3, "Right": 1, "Around": 2}
"""Each action by its quarter turns to the right."""
MOST = 100
"""The most actions of a question."""


@dataclass(frozen=True, slots=True)
class Directional(Generated):
    """A direction and a list of turns; the difficulty is how many turns. `actions` is a number or a range."""

    actions: str = "1-10"
    seed: int = 0
    kind: ClassVar[str] = "directional"
    verifier: ClassVar[Exact] = Exact("(?:north|east|south|west)")

    def __post_init__(self) -> None:
        """Refuse what is no range."""
        self._turns()

    def _turns(self) -> Sequence[Turn]:
        return [(actions,) for actions in span(self, "actions", self.actions, 1, MOST)]

    def _draft(self, draw: random.Random, turn: Turn) -> Draft:
        return directions(draw.choice(DIRECTIONS), draw.choices(list(QUARTERS), k=turn[0]), draw)


def directions(start: str, actions: Sequence[str], draw: random.Random) -> Draft:
    """Return the question and its chains: each line the new direction and the actions that remain.

    The skipping chain executes two actions in each line, from the left.
    """
    facing = [start]
    for action in actions:
        facing.append(_turned(facing[-1], QUARTERS[action]))
    steps = []
    for done, direction in enumerate(facing[1:], 1):
        wrong = draw.choice([other for other in DIRECTIONS if other != direction])
        steps.append(Step(_line(direction, actions[done:]), _line(wrong, actions[done:])))
    count = len(actions)
    pairs = [*range(2, count, 2), count] if count > 1 else []
    return Draft(
        f"You face {start}. You turn {', '.join(actions)}. Which way do you face now?",
        f"{start} then {' '.join(actions)}",
        tuple(steps),
        facing[-1],
        tuple(_line(facing[done], actions[done:]) for done in pairs),
    )


def _turned(direction: str, quarters: int) -> str:
    return DIRECTIONS[(DIRECTIONS.index(direction) + quarters) % 4]


def _line(direction: str, remaining: Sequence[str]) -> str:
    return f"{direction}: {' '.join(remaining)}" if remaining else direction

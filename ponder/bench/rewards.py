"""Recorded rewards as scores: `ponder replay --methods best_of_n:scorer=recorded` goes by what a reward model said."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ponder.bench.graded import Reply
from ponder.core.engine import Cap, SamplingArgs
from ponder.core.errors import DataError
from ponder.core.judge import Score
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.methods import Catalogue

KEY = "rewards"
"""The field of a problem's `meta` that holds the rewards of its replies, by their texts, as JSON."""
NAME = "recorded"


@dataclass(frozen=True)
class Recorded:
    """The reward that stands with a recorded reply. Only replays have any, so it is in no table of scorers."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing: no reply is read."""
        return {"main": frozenset()}

    def asks(self) -> SamplingArgs:
        """Nothing."""
        return {}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        """Return the reward of each reply. Raises `DataError` where one has none."""
        rewards: dict[str, float] = json.loads(problem.meta.get(KEY, "{}"))
        missing = next((call for call in calls if call.text not in rewards), None)
        if missing is not None:
            raise DataError(
                f"the problem {problem.id!r} has replies without a recorded reward; give each sample one, or choose "
                f"another scorer than {NAME!r}"
            )
        return [Score(rewards[call.text]) for call in calls]


def rewards_of(texts: Sequence[str], replies: Sequence[Reply]) -> dict[str, str]:
    """Return the `meta` from which `Recorded` reads: `texts` are the replies as an engine will say them."""
    rewards = {
        text: reply.sample.reward for text, reply in zip(texts, replies, strict=True) if reply.sample.reward is not None
    }
    return {KEY: json.dumps(rewards)} if rewards else {}


@dataclass(frozen=True, slots=True)
class ReplayCatalogue(Catalogue):
    """The methods of a catalogue, whose scorers may also be `recorded`."""

    def name_of(self, cls: type[object]) -> str:
        """Return the name under which a class is listed."""
        return NAME if cls is Recorded else Catalogue.name_of(self, cls)

    def _lookup(self, kind: str, name: str) -> type[object]:
        return Recorded if (kind, name) == ("scorer", NAME) else Catalogue._lookup(self, kind, name)

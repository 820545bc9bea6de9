"""Asking a router: its ratings, checked, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import NamedTuple

from ponder.core.errors import require
from ponder.core.judge import Router
from ponder.core.problem import Problem
from ponder.core.run import Run

ROUTER = -1
"""Of the router's own calls: no branch of a method has this number."""


def check_choices(method: object, choices: Sequence[str]) -> None:
    """Raise `OptionError` unless there are two choices or more, each with a name of its own."""
    named = len(set(choices)) == len(choices) >= 2
    require(named, method, "choices", choices, "at least two different names, the cheapest first")


class Rated(NamedTuple):
    """What a router says of each choice; empty where it failed, and `failed` says how."""

    ratings: Mapping[str, float]
    failed: str = ""

    @property
    def evidence(self) -> dict[str, float | str]:
        """What the solution says of a failure."""
        return {"reason": self.failed, "failed": 1} if self.failed else {}


async def rated(router: Router, problem: Problem, run: Run, choices: Sequence[str]) -> Rated:
    """Let a router rate the choices; its own calls are shown to nobody.

    A router that raises, leaves a choice out or gives no finite number is no reason to lose a question: the caller
    goes to the side that it is set to, and the evidence says why.
    """
    name = type(router).__name__
    try:
        found = dict(await router.rate(problem, run.quiet(ROUTER)))
    except Exception as error:  # whatever a router does wrong, the question is answered, and the reply says what it was
        return _failed(run, f"the router {name} failed ({type(error).__name__}: {error})")
    missing = [choice for choice in choices if choice not in found]
    if missing:
        return _failed(run, f"the router {name} does not rate {', '.join(missing)}")
    if not all(isfinite(found[choice]) for choice in choices):
        return _failed(run, f"the router {name} gave no finite number")
    return Rated({choice: found[choice] for choice in choices})


def _failed(run: Run, why: str) -> Rated:
    run.note(why)
    return Rated({}, why)

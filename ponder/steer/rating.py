"""Asking a router: its ratings, checked, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import NamedTuple

from ponder.core.errors import DataError, OptionError, Unsupported, require
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


async def rated(router: Router, problem: Problem, run: Run, choices: Sequence[str], fallback: str) -> Rated:
    """Let a router rate the choices; its own calls are shown to nobody. Every method that holds a router asks it here.

    A router that fails on a question, or gives no numbers in 0 to 1, is no reason to lose the question: the caller goes
    to `fallback`, and the evidence says why. Raises `DataError`, `OptionError` or `Unsupported` where the router cannot
    be used at all: no question can be routed with such files, options or names, so that falling back would hide it.
    """
    try:
        found = dict(await router.rate(problem, run.quiet(ROUTER)))
    except (DataError, OptionError, Unsupported):
        raise
    except Exception as error:  # whatever else a router dies of, the question is answered, and the reply says of what
        return _failed(run, f"{type(error).__name__}: {error}", fallback)
    if missing := [choice for choice in choices if choice not in found]:
        name, known = type(router).__name__, ", ".join(found)
        raise OptionError(
            f"the router {name} rates {known}, and not {missing[0]!r}; take one that does, or call them as it does"
        )
    ratings = {choice: found[choice] for choice in choices}
    if not all(_share(value) for value in ratings.values()):
        return _failed(run, f"its ratings are {ratings}, not numbers in 0 to 1", fallback)
    return Rated(ratings)


def _share(value: object) -> bool:
    """Whether a rating is what it must be; a router of somebody else's may give anything."""
    return isinstance(value, Real) and 0 <= float(value) <= 1


def _failed(run: Run, why: str, fallback: str) -> Rated:
    reason = f"the router failed ({why}); fell back to {fallback}"
    run.note(reason)
    return Rated({}, reason)

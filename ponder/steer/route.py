"""A router's ratings become a decision: the cheapest choice, unless a dearer one is likely enough to do better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ponder.core.errors import DataError, OptionError, Unsupported
from ponder.core.judge import Router
from ponder.core.problem import Problem
from ponder.core.run import Run

Side = Literal["strong", "weak"]
"""The dearest choice, or the cheapest one."""


class Decision(NamedTuple):
    """Which choice, by its place in the order of cost and by name; why; and what goes into a solution's evidence."""

    place: int
    evidence: dict[str, float | str]


async def decide(
    router: Router, choices: Sequence[str], threshold: float, fallback: Side, problem: Problem, run: Run
) -> Decision:
    """Ask the router. `choices` are its names for them, the cheapest first.

    Beginning with the cheapest, each dearer choice takes the question over where `(1 + dearer - cheaper) / 2` of their
    ratings reaches `threshold`. A router that fails sends it to the side named by `fallback`, and the evidence tells.
    Raises `DataError`, `OptionError` or `Unsupported` where the router cannot be used at all.
    """
    try:
        ratings = await router.rate(problem, run)
    except (DataError, OptionError, Unsupported):
        # Nothing to fall back from: no question can be routed with such files or options.
        raise
    except Exception as error:  # whatever else a router dies of, the question is answered, and the evidence tells
        return _failed(f"{type(error).__name__}: {error}", choices, fallback, run)
    if missing := [name for name in choices if name not in ratings]:
        raise OptionError(f"choices names {missing[0]!r}, and the router rates {', '.join(ratings)}; name those")
    values = [ratings[name] for name in choices]
    if not all(0 <= value <= 1 for value in values):
        return _failed(f"its ratings are {dict(ratings)}, not numbers in 0 to 1", choices, fallback, run)
    place, score = 0, 0.0
    for dearer in range(1, len(values)):
        gain = (1 + (values[dearer] - values[place])) / 2
        score = max(score, gain)
        if gain >= threshold:
            place, score = dearer, gain
    reason = f"the score {score:.3f} {'reaches' if place else 'is below'} the threshold {threshold:g}"
    return Decision(place, {"route": choices[place], "reason": reason, "score": score})


def _failed(why: str, choices: Sequence[str], fallback: Side, run: Run) -> Decision:
    place = 0 if fallback == "weak" else len(choices) - 1
    reason = f"the router failed ({why}); fell back to {fallback}"
    run.note(reason)
    return Decision(place, {"route": choices[place], "reason": reason, "failed": 1})

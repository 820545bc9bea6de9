"""A router's ratings become a decision: the cheapest choice, unless a dearer one is likely enough to do better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ponder.core.judge import Router
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.steer.rating import rated

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
    Raises what `rated` raises.
    """
    found = await rated(router, problem, run, choices, fallback)
    if found.failed:
        place = 0 if fallback == "weak" else len(choices) - 1
        return Decision(place, {"route": choices[place], **found.evidence})
    values = [found.ratings[name] for name in choices]
    place, score = 0, 0.0
    for dearer in range(1, len(values)):
        gain = (1 + (values[dearer] - values[place])) / 2
        score = max(score, gain)
        if gain >= threshold:
            place, score = dearer, gain
    reason = f"the score {score:.3f} {'reaches' if place else 'is below'} the threshold {threshold:g}"
    return Decision(place, {"route": choices[place], "reason": reason, "score": score})

"""How a vote begins and ends: what its options may be, which samples may win, and what the chosen one becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ponder.core.errors import require
from ponder.core.method import Finish, Solution
from ponder.core.run import Run
from ponder.steer.draw import Draw
from ponder.steer.places import place_of

MOST = 10_000
"""Samples: each is a task of its own, so a slip of the keyboard must not ask for a million."""


def check_samples(method: object, n: int, temperature: float | None) -> None:
    """Raise `OptionError` where a method asks for no samples, far too many, or a temperature below zero."""
    require(1 <= n <= MOST, method, "n", n, f"1 to {MOST:,}")
    require(temperature is None or temperature >= 0, method, "temperature", temperature, "at least 0")


def able(samples: Sequence[Draw]) -> list[Draw]:
    """Return the samples that may win: whole ones that state an answer, else those that state one, else none."""
    stating = [sample for sample in samples if sample.stated is not None]
    return [sample for sample in stating if sample.whole] or stating


def limit(samples: Sequence[Draw]) -> Finish | None:
    """Return which limit of the run cut samples short, if one did: what they would have said is not known."""
    ends = {sample.solution.finish for sample in samples}
    return "deadline" if "deadline" in ends else "budget" if "budget" in ends else None


def silent(samples: Sequence[Draw], patience: int) -> bool:
    """Say whether so many samples were drawn, and none of them states an answer; with `patience` 0 it is never so.

    Ten say with 95 % certainty that fewer than 26 % of all samples would state one (0.74 ** 10 = 0.05).
    """
    return 0 < patience <= len(samples) and all(sample.stated is None for sample in samples)


def votes(samples: Sequence[Draw], winner: Sequence[int]) -> dict[str, float | str]:
    """Return what a vote tells: the winner's votes, their share of all samples, and how many state no answer."""
    n, failed = len(samples), sum(sample.stated is None for sample in samples)
    return {"votes": len(winner), "share": len(winner) / n, "n": n, "failed": failed}


def elected(run: Run, chosen: Draw, evidence: Mapping[str, float | str], cut: Finish | None = None) -> Solution:
    """Show the chosen sample and return it as the solution; `cut` is the limit that ended the vote, if one did."""
    solution = chosen.solution
    place_of(run, chosen.at).fate = "chosen"
    run.show(solution.thinking, "think")
    run.show(solution.answer)
    return replace(solution, finish=cut or solution.finish, evidence={**solution.evidence, **evidence})

"""Numbers that options take: whole ones that a machine can hold, and fractions that are finite."""

from __future__ import annotations

import math

import click

MOST = 2**31 - 1
"""The largest whole number of any option: nothing that is counted here comes near it."""
AT_ONCE = 10_000
"""Attempts that one run may have in flight."""


class Finite(click.FloatRange):
    """A range without `nan` and `inf`: every comparison with the first one is false, so no range refuses it."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, or fail with a sentence that names it."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number

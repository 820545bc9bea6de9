"""The one table of the lab's families, and how a name with options becomes one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

from ponder.core.config import Value, from_config
from ponder.core.errors import OptionError, nearest
from ponder.tasks.spec import options
from ponder.train.lab.addition import Addition
from ponder.train.lab.algebra import Algebra
from ponder.train.lab.arithmetic import ArithmeticFamily
from ponder.train.lab.directional import Directional
from ponder.train.lab.modular import Modular
from ponder.train.lab.puzzle import Family
from ponder.train.lab.reckoning import Reckoning


class Entry(NamedTuple):
    """A line of the table: what help pages say, and the class whose fields are the options."""

    summary: str
    family: type[Family]


FAMILIES: Mapping[str, Entry] = {
    "addition": Entry("two numbers, digit by digit from the right: digits=1-3, second=DIGITS", Addition),
    "algebra": Entry("linear equations in made-up symbols: variables=4-7, steps=1-5, symbols=6", Algebra),
    "directional": Entry("which way one faces after some turns: actions=1-10", Directional),
    "modular": Entry("chains from left to right: links=1-6, modulus=7, operations=+-*", Modular),
    "reckoning": Entry("drills, operation after operation: level=1-5, lines=8", Reckoning),
    "arithmetic": Entry("the questions of the benchmark: level=1-5, language=en, zh or mix", ArithmeticFamily),
}
"""Every family by name."""


def load_family(spec: str, seed: int = 0) -> Family:
    """Return the family that `spec` names, as in `addition` or `modular:links=1-6,modulus=7`.

    Raises `OptionError` for a name or an option that does not exist, and for a seed among the options.
    """
    name, _, rest = spec.partition(":")
    if name not in FAMILIES:
        raise OptionError(f"there is no family {name!r}{nearest(name, FAMILIES)}; the families: {', '.join(FAMILIES)}")
    found = options(rest, name)
    if "seed" in found:
        raise OptionError(
            f"{spec}: the seed is no option of a family, since it says what questions are for; leave it out"
        )
    config: dict[str, Value] = {"method": name, **found, "seed": seed}
    return cast(Family, from_config(config, lambda *_: FAMILIES[name].family))

from __future__ import annotations

import operator
import re
from fractions import Fraction

from ponder.tasks.svamp import SVAMP
from ponder.verify import Number

OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


def test_the_first_question() -> None:
    (first,) = SVAMP().items(1)
    assert first.problem.id == "svamp-chal-1"
    assert first.reference is not None
    assert first.reference.text == "51"
    assert first.meta["type"] == "Subtraction"
    assert SVAMP().verifier == Number()


def test_answers_are_the_values_of_their_equations() -> None:
    checked = 0
    for one in SVAMP().items():
        simple = re.fullmatch(r"\( ([\d.]+) ([-+*/]) ([\d.]+) \)", one.meta["equation"])
        if simple is None:
            continue
        a, b = Fraction(simple[1]), Fraction(simple[3])
        value = OPERATIONS[simple[2]](a, b)
        assert one.reference is not None
        assert value == Fraction(one.reference.text), one.problem.id
        checked += 1
    assert checked > 600

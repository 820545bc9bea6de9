from __future__ import annotations

import pytest

from ponder.core.errors import OptionError
from ponder.tasks.spec import options


def test_options_are_pairs_between_commas() -> None:
    assert options("level=3,language=zh", "arithmetic") == {"level": "3", "language": "zh"}
    assert options(" level = 3 , operations = +-*", "lab") == {"level": "3", "operations": "+-*"}
    assert options("", "arithmetic") == {}
    assert options("level=3,", "arithmetic") == {"level": "3"}


def test_brackets_hold_commas_of_their_own() -> None:
    assert options("sizes=[1,2],operators=(+,-),k={a,b}", "gym") == {
        "sizes": "[1,2]",
        "operators": "(+,-)",
        "k": "{a,b}",
    }


def test_a_value_may_hold_an_equals_sign() -> None:
    assert options("pattern=a=b", "x") == {"pattern": "a=b"}


def test_what_is_no_pair_is_refused_with_the_form() -> None:
    with pytest.raises(OptionError, match="'hard' is no option of the task gsm8k; options are written gsm8k:OPTION=VA"):
        options("level=3,hard", "gsm8k")

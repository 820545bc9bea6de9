from __future__ import annotations

import pytest

from ponder.core.errors import OptionError
from ponder.train.lab.addition import Addition
from ponder.train.lab.algebra import Algebra
from ponder.train.lab.arithmetic import ArithmeticFamily
from ponder.train.lab.directional import Directional
from ponder.train.lab.modular import Modular
from ponder.train.lab.reckoning import Reckoning
from ponder.train.lab.table import FAMILIES, load_family


@pytest.mark.parametrize(
    ("spec", "family"),
    [
        ("addition", Addition(seed=3)),
        ("addition:digits=4-7,second=1-3", Addition("4-7", "1-3", 3)),
        ("algebra:variables=4-7", Algebra(seed=3)),
        ("algebra:variables=10-14,steps=10-14,symbols=13", Algebra("10-14", "10-14", 13, 3)),
        ("directional:actions=11-20", Directional("11-20", 3)),
        ("modular:links=1-6,modulus=7", Modular(seed=3)),
        ("modular: modulus=5 , operations=+-", Modular(modulus=5, operations="+-", seed=3)),
        ("reckoning:level=3,lines=4", Reckoning("3", 4, 3)),
        ("arithmetic:level=1-5,language=mix", ArithmeticFamily("1-5", "mix", 3)),
    ],
)
def test_a_spec_becomes_a_family_and_its_name_leads_back(spec: str, family: object) -> None:
    made = load_family(spec, 3)
    assert made == family
    assert load_family(made.name, 3) == made
    assert len(list(made.puzzles(3))) == 3


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("modula", "there is no family 'modula'; did you mean 'modular'?"),
        ("", "there is no family ''; the families: addition, algebra, directional, modular, "),
        ("addition:digit=3", "addition has no option 'digit'; did you mean 'digits'?"),
        ("addition:3", "'3' is no option of the task addition; options are written addition:OPTION=VALUE"),
        ("modular:modulus=seven", "modular: modulus = 'seven' must be of type int"),
        ("addition:seed=3", "addition:seed=3: the seed is no option of a family"),
        ("arithmetic:level=11", "level = '11' is out of range"),
    ],
)
def test_what_does_not_exist_is_said(spec: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        load_family(spec)
    assert message in str(caught.value)


def test_the_table_names_the_options_of_every_family() -> None:
    for name, entry in FAMILIES.items():
        assert load_family(name, 1).name == name
        assert len(entry.summary) <= 90
        options = [option for option in vars(entry.family)["__match_args__"] if option != "seed"]
        assert [option for option in options if f"{option}=" not in entry.summary] == []


def test_without_a_seed_a_family_asks_for_tests() -> None:
    assert load_family("addition").seed == 0

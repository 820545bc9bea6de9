from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.config import Value, field_of, from_config, options_of, parts, to_config
from ponder.core.errors import OptionError, require
from ponder.core.judge import Router
from ponder.core.method import Method


@dataclass(frozen=True)
class Leaf:
    n: int = 4
    share: float = 0.5
    greedy: bool = False
    word: str = "Wait"
    limit: int | None = 8
    label: str | None = None
    mode: Literal["fast", "slow", "2"] = "fast"
    levels: tuple[int, ...] = (1, 2)

    def __post_init__(self) -> None:
        require(self.n >= 1, self, "n", self.n, "at least 1")


@dataclass(frozen=True)
class Pair:
    first: Method
    rest: tuple[Method, ...] = ()
    inner: Method = field(default_factory=Leaf)  # type: ignore[assignment]


@dataclass(frozen=True)
class Routed:
    n: int = 1
    guide: Router = field(default_factory=Leaf)  # type: ignore[assignment]


CLASSES: dict[str, type[object]] = {"leaf": Leaf, "pair": Pair}


def lookup(kind: str, name: str) -> type[object]:
    if name not in CLASSES:
        raise OptionError(f"there is no method {name!r}")
    return CLASSES[name]


def name_of(cls: type[object]) -> str:
    return {value: key for key, value in CLASSES.items()}[cls]


def build(config: dict[str, Value]) -> object:
    return from_config(config, lookup)


def test_only_what_differs_from_the_defaults_is_written() -> None:
    assert to_config(Leaf(), name_of) == {"method": "leaf"}
    assert to_config(Leaf(n=5, levels=()), name_of) == {"method": "leaf", "n": 5, "levels": []}


leaves = st.builds(
    Leaf, st.integers(1, 99), st.floats(allow_nan=False), st.booleans(), st.text(), st.none() | st.integers(),
    st.none() | st.text().filter(lambda text: text not in ("", "none")), st.sampled_from(["fast", "slow", "2"]),
    st.lists(st.integers()).map(tuple),
)  # fmt: skip


@given(st.builds(Pair, leaves, st.lists(leaves).map(tuple), leaves))
def test_every_value_survives_the_way_to_toml_and_back(pair: Pair) -> None:
    import tomllib

    import tomli_w

    config = tomllib.loads(tomli_w.dumps(to_config(pair, name_of)))
    assert from_config(config, lookup) == pair
    assert hash(from_config(config, lookup)) == hash(pair)


def test_none_where_the_default_is_something_survives() -> None:
    assert to_config(Leaf(limit=None), name_of) == {"method": "leaf", "limit": "none"}
    assert build({"method": "leaf", "limit": "none"}) == Leaf(limit=None)


@pytest.mark.parametrize(
    ("option", "value", "built"),
    [
        ("n", "7", Leaf(n=7)),
        ("share", "0.25", Leaf(share=0.25)),
        ("share", 1, Leaf(share=1.0)),
        ("greedy", "yes", Leaf(greedy=True)),
        ("greedy", "0", Leaf()),
        ("word", "Hmm", Leaf(word="Hmm")),
        ("limit", "", Leaf(limit=None)),
        ("label", "a", Leaf(label="a")),
        ("mode", "slow", Leaf(mode="slow")),
        ("mode", 2, Leaf(mode="2")),
        ("levels", "3,4", Leaf(levels=(3, 4))),
        ("levels", "", Leaf(levels=())),
        ("levels", [5], Leaf(levels=(5,))),
    ],
)
def test_options_may_be_text_as_on_the_command_line(option: str, value: Value, built: Leaf) -> None:
    assert build({"method": "leaf", option: value}) == built


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, 'needs its name, as in method = "sample"'),
        ({"method": "leef"}, "no method 'leef'"),
        ({"method": "leaf", "nn": 1}, r"leaf has no option 'nn'; did you mean 'n'\?; its options: n, share"),
        ({"method": "leaf", "n": "x"}, "leaf: n = 'x' must be of type int"),
        ({"method": "leaf", "n": 1.5}, "leaf: n = 1.5 must be of type int"),
        ({"method": "leaf", "n": True}, "leaf: n = True must be of type int"),
        ({"method": "leaf", "n": [1]}, r"leaf: n = \[1\] must be of type int"),
        ({"method": "leaf", "n": 0}, "Leaf: n = 0 is out of range; it must be at least 1"),
        ({"method": "leaf", "share": "nan"}, "leaf: share = 'nan' must be a number"),
        ({"method": "leaf", "word": 5}, "leaf: word = 5 must be of type str"),
        ({"method": "leaf", "greedy": "maybe"}, "leaf: greedy = 'maybe' must be true or false"),
        ({"method": "leaf", "mode": "fst"}, r"mode = 'fst' must be one of fast, slow, 2; did you mean 'fast'\?"),
        ({"method": "leaf", "levels": 3.5}, "leaf: levels = 3.5 must be a list"),
        ({"method": "leaf", "levels": {"a": 1}}, "leaf: levels = .* must be a list"),
        ({"method": "pair"}, "pair needs the option 'first'; add -o first=VALUE"),
        ({"method": "pair", "first": 3}, "pair: first must name a method, not 3"),
        ({"method": "pair", "first": {"method": "leaf", "n": "x"}}, "leaf: n = 'x'"),
    ],
)
def test_what_does_not_fit_is_named_with_a_remedy(config: dict[str, Value], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        build(config)


def test_a_method_inside_may_be_named_by_text_alone() -> None:
    assert build({"method": "pair", "first": "leaf"}) == Pair(Leaf())  # type: ignore[arg-type]


def test_a_value_that_no_table_can_hold_is_refused() -> None:
    with pytest.raises(OptionError, match="cannot be written to a configuration"):
        to_config(Leaf(word=object()), name_of)  # type: ignore[arg-type]


def test_options_are_described_for_help_pages() -> None:
    assert options_of(Leaf) == {
        "n": ("int", "4"),
        "share": ("float", "0.5"),
        "greedy": ("bool", "False"),
        "word": ("str", "'Wait'"),
        "limit": ("int", "8"),
        "label": ("str", "None"),
        "mode": ("fast | slow | 2", "'fast'"),
        "levels": ("list of int", "(1, 2)"),
    }
    assert options_of(Pair)["first"] == ("method", "required")
    assert options_of(Pair)["inner"] == ("method", repr(Leaf()))


def test_parts_stand_where_a_table_has_them() -> None:
    inner, first, second = Leaf(n=1), Leaf(n=2), Leaf(n=3)
    pair = Pair(inner, (first, Pair(second)))  # type: ignore[arg-type]
    found = dict(parts(Pair(pair)))  # type: ignore[arg-type]
    assert found[""] == Pair(pair)  # type: ignore[arg-type]
    assert (found["first"], found["first.first"], found["first.rest[0]"]) == (pair, inner, first)
    assert (found["first.rest[1].first"], found["first.rest[1].inner"]) == (second, Leaf())
    assert found["inner"] == found["first.inner"] == Leaf()
    assert len(found) == 9


def test_the_field_of_a_router_is_found_by_its_type() -> None:
    assert (field_of(Routed(), "router"), field_of(Routed(), "scorer")) == ("guide", "")
    assert field_of(Leaf(), "router") == ""

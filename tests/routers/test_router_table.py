"""What every router of the table keeps to."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass
from pathlib import Path

import pytest

from ponder.core.config import options_of
from ponder.core.errors import OptionError
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.methods import catalogue
from ponder.routers import ROUTERS, find_router

PAGE = (Path(__file__).parents[2] / "docs" / "routers.md").read_text(encoding="utf-8")
CONTROLS = ("constant", "random")
"""The routers that need no training."""


@pytest.mark.parametrize("name", ROUTERS)
def test_a_router_is_a_value(name: str) -> None:
    cls = find_router(name)
    assert is_dataclass(cls)
    given = {"path": "somewhere"} if "path" in options_of(cls) else {}
    router = cls(**given)
    assert (router, hash(router)) == (cls(**given), hash(cls(**given)))
    assert isinstance(router.needs(), dict)
    for spec in fields(router):
        with pytest.raises(FrozenInstanceError):
            setattr(router, spec.name, None)
    assert catalogue().name_of(cls) == name


@pytest.mark.parametrize("name", CONTROLS)
async def test_a_control_rates_each_choice_without_a_call(name: str) -> None:
    router, run = find_router(name)(), Run(Echo())
    for question in ("What is 2 + 3?", "", "二加三等于几？"):
        ratings = await router.rate(Problem.of(question), run)
        assert list(ratings) == ["weak", "strong"]
        assert all(0 <= rating <= 1 for rating in ratings.values())
        assert await router.rate(Problem.of(question), run) == ratings
    assert (router.needs(), run.trace.calls) == ({}, [])


@pytest.mark.parametrize("name", CONTROLS)
async def test_a_control_rates_as_many_choices_as_it_is_told(name: str) -> None:
    table = {"router": name, "choices": "a,b,c", **({"ratings": "0.1,0.2,0.3"} if name == "constant" else {})}
    found = catalogue()._lookup("router", name)
    assert found is find_router(name)
    from ponder.core.config import from_config

    router = from_config(table, catalogue()._lookup, "router")
    assert isinstance(router, find_router(name))
    assert list(await router.rate(Problem.of("q"), Run(Echo()))) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ROUTERS)
def test_the_page_tells_of_it_and_of_its_options(name: str) -> None:
    _, found, rest = PAGE.partition(f"\n## {name}\n")
    assert found
    section = rest.partition("\n## ")[0]
    for option, (_, default) in options_of(find_router(name)).items():
        assert f"| `{option}` |" in section
        assert (default if default == "required" else f"`{default}`") in section


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="there is no router 'ramdom'; did you mean 'random'"):
        find_router("ramdom")

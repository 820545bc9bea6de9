"""What every scorer of the table keeps to."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, fields, is_dataclass
from pathlib import Path

import pytest
from scorer_cases import scorer_of

from ponder.core.config import options_of
from ponder.core.engine import Cap
from ponder.core.errors import OptionError
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.methods.vote.sample import Sample
from ponder.scorers import SCORERS, find_scorer
from ponder.steer.draw import draw
from ponder.text.answers import number

PAGE = (Path(__file__).parents[2] / "docs" / "scorers.md").read_text(encoding="utf-8")
QUESTION = Problem.of("Between 12 and 99.")


@pytest.mark.parametrize("name", SCORERS)
async def test_a_scorer_is_a_value_that_gives_each_reply_one_number(name: str, tmp_path: Path) -> None:
    scorer = scorer_of(name, tmp_path)
    assert is_dataclass(scorer)
    assert (scorer, hash(scorer)) == (scorer_of(name, tmp_path), hash(scorer_of(name, tmp_path)))
    for spec in fields(scorer):
        with pytest.raises(FrozenInstanceError):
            setattr(scorer, spec.name, None)
    run = Run({engine: Echo(caps=frozenset(Cap)) for engine in ("main", *scorer.needs())}, extract=number)
    calls = [(await draw(Sample(), QUESTION, run, i, asks=scorer.asks())).call for i in range(3)]
    before = run.trace.tokens
    found = await scorer.score(QUESTION, calls, run.quiet(3))
    assert len(found) == 3
    assert not any(math.isnan(score.value) or score.value == math.inf for score in found)
    assert run.trace.tokens - before == run.trace.tokens_by_role.get("verify", 0)
    assert [score.value for score in await scorer.score(QUESTION, calls, run.quiet(3))] == [s.value for s in found]


@pytest.mark.parametrize("name", SCORERS)
def test_the_page_tells_of_it_and_of_its_options(name: str) -> None:
    _, found, rest = PAGE.partition(f"\n## {name}\n")
    assert found
    section = rest.partition("\n## ")[0]
    for option, (_, default) in options_of(find_scorer(name)).items():
        assert f"`{option}`" in section
        assert f"`{default}`".replace("'", "") in section


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="there is no scorer 'agrement'"):
        find_scorer("agrement")

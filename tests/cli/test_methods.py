from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from support.command import Command

from ponder.engines.echo import CAPS
from ponder.methods import METHODS, catalogue


def test_the_json_is_a_list_with_the_documented_fields(ponder: Command) -> None:
    rows = cast(list[dict[str, Any]], ponder("methods", "--json").json)
    assert {row["name"] for row in rows} >= set(METHODS)
    for row in rows:
        assert set(row) >= {"name", "room", "summary", "paper", "needs", "options", "page"}
        assert row["summary"]
        assert Path(__file__).parents[2].joinpath(row["page"]).is_file()


def test_the_table_has_a_line_for_each_method(ponder: Command) -> None:
    out = ponder("methods").out
    assert all(any(line.startswith(name) for line in out.splitlines()) for name in METHODS)


def test_a_page_is_printed_with_the_options(ponder: Command) -> None:
    out = ponder("methods", "chain_of_draft").out
    assert "2502.18600" in out
    assert "words: int = 5" in out


def test_an_unknown_method_is_named_with_the_nearest(ponder: Command) -> None:
    ran = ponder("methods", "chain_of_thougt")
    assert ran.code == 1
    assert "chain_of_thougt" in ran.err


def test_a_model_says_what_works_on_it(ponder: Command) -> None:
    rows = cast(list[dict[str, Any]], ponder("methods", "--model", "echo", "--json").json)
    needs = {name: catalogue().build(name).needs() for name in METHODS}
    caps = {name: {cap.name for cap in set().union(*each.values()) - CAPS} for name, each in needs.items()}
    lacking = {name: caps[name] or {f"--engine {role}" for role in needs[name] if role != "main"} for name in METHODS}
    assert {row["name"] for row in rows if row["works"]} == {name for name in METHODS if not lacking[name]}
    for row in rows:
        missing = lacking[row["name"]]
        assert row["why_not"] is None if row["works"] else all(word in row["why_not"] for word in missing)
    assert 0 < sum(map(bool, lacking.values())) < len(METHODS) / 4
    assert "works" in ponder("methods", "--model", "echo").out


def test_what_does_not_work_is_explained(ponder: Command, tmp_path: Path) -> None:
    file = tmp_path / "needy.py"
    file.write_text(
        "from collections.abc import Mapping\nfrom dataclasses import dataclass\n"
        "from ponder import Cap\nfrom ponder.methods.vote.sample import Sample\n"
        "@dataclass(frozen=True)\nclass Needy(Sample):\n"
        "    def needs(self):\n        return {'main': frozenset({Cap.HIDDEN})}\n"
        "METHODS = {'needy': Needy}\n",
        encoding="utf-8",
    )
    rows = cast(list[dict[str, Any]], ponder("methods", "--model", "echo", "--plugin", str(file), "--json").json)
    (needy,) = [row for row in rows if row["name"] == "needy"]
    assert needy["works"] is False
    assert "HIDDEN" in needy["why_not"]

import json
from pathlib import Path

from support.command import Command

EXAMPLE = str(Path(__file__).parents[1] / "data" / "traces" / "example_probes.jsonl")


def test_json_is_one_object_and_the_picture_is_drawn(ponder: Command, tmp_path: Path) -> None:
    ran = ponder("replay", "--along", EXAMPLE, "--plot", "along.svg", "--json")
    shown = json.loads(ran.out)
    assert list(shown) == ["run", "rows"]
    assert (shown["run"]["thoughts"], shown["run"]["probes"], shown["run"]["every"]) == (2, 7, 6)
    assert shown["rows"][0]["label"] == "full"
    assert (tmp_path / "along.svg").read_text().startswith("<svg")


def test_the_table_for_people(ponder: Command) -> None:
    said = ponder("replay", EXAMPLE, "--along").out
    assert "example_probes.jsonl: 2 thoughts" in said
    assert "dynasor(every=6, count=3)" in said
    assert "7 probes, mostly 6 tokens apart; their cost is part of the tokens." in said


def test_what_does_not_go_together_is_refused(ponder: Command) -> None:
    for args, said in (
        (("--along", "--by", "x"), "--along takes no --by"),
        (("--along", "--curve"), "--along takes no --curve"),
        (("--probe", "close"), "--probe and --plot belong to --along"),
        (("--along", "--plot", "a.gif"), "a picture is .svg or .png"),
        (("--along", "--probe", "x"), "has no probes 'x'"),
    ):
        ran = ponder("replay", EXAMPLE, *args)
        assert ran.code == 1
        assert said in ran.err

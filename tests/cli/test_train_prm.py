"""`ponder train prm`: on the tiny reasoner that ships, with transformers; and what is refused before any work."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, cast

import pytest
from support.command import Command

import ponder as package

TINY = str(Path(package.__file__).parent / "models" / "tiny-reasoner-small")
TASK = "lab:modular:links=3-5"
SMALL = ("--questions", "6", "--samples", "2", "--max-tokens", "200")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("lab:addition", "--model", "echo"), "a head reads hidden states, and echo shows none"),
        (("lab:adition", "--model", "echo"), "did you mean 'addition'"),
        (("gsm8k", "--model", "http://127.0.0.1:9/v1#asked", "--form", "tokens"), "take --labels rollouts"),
        (("lab:addition", "--model", "echo", "--delimiter", ";"), "the lab knows what lines are worth"),
        (("gsm8k", "--model", "echo", "--labels", "rollouts", "--delimiter", ""), "--delimiter is empty"),
        (("lab:addition", "--model", "echo", "--seed", "0"), "--seed"),
        (("lab:addition", "--model", "echo", "--plot", "a.pdf"), "must end in .svg or .png"),
        (("lab:addition", "--model", "echo", "--tag", ";"), "a head casts none: take --form tokens"),
        (("lab:addition", "--model", "echo", "--form", "tokens", "--tag", " "), "Prm: tag"),
        (("lab:addition", "--model", "echo", "--form", "tokens", "--judge", "prn"), "did you mean 'prm'"),
        (("lab:addition", "--model", "echo", "--form", "tokens", "--judge", "prm"), "--engine prm="),
        (("lab:addition", "--model", "echo", "--form", "tokens", "--judge", "mean_logprob"), "files do not keep"),
        (("lab:addition", "--model", "echo", "--form", "tokens", "--plot", "a.svg"), "is the picture of a head"),
    ],
)
def test_what_cannot_be_trained_is_told(ponder: Command, tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    ran = ponder("train", "prm", *args, "--questions", "2", "--out", str(tmp_path / "p"))
    assert ran.code != 0
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "p").exists()


def test_what_is_there_is_left_alone(ponder: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    ran = ponder("train", "prm", "lab:addition", "--model", "echo", "--out", str(tmp_path))
    assert "is not an empty folder" in ran.err
    ran = ponder("train", "prm", "lab:addition", "--model", "echo", "--form", "tokens", "--out", str(tmp_path))
    assert "is a folder; votes go into a file" in ran.err
    own = ("train", "prm", "lab:addition", "--model", "echo", "--form", "tokens", "--out", str(tmp_path / "mine"))
    assert "whose votes it may hold, does not; name another file" in ponder(*own).err
    assert (tmp_path / "mine").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("option", ["--out", "--plot"])
def test_a_place_that_cannot_be_written_is_told_before_the_work(ponder: Command, tmp_path: Path, option: str) -> None:
    (tmp_path / "file").touch()
    given = {"--out": str(tmp_path / "head"), option: str(tmp_path / "file" / "a.svg")}
    ran = ponder("train", "prm", "lab:addition", "--model", "echo", *(word for pair in given.items() for word in pair))
    assert ran.code != 0
    assert "a.svg could not be written (" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_votes_are_written_and_replies_are_drawn_once(ponder: Command, tmp_path: Path) -> None:
    """The scripted engine boxes the last number most of the time: completions tell what its steps are worth."""
    out, kept, asked = tmp_path / "votes.jsonl", tmp_path / "votes.replies.jsonl", tmp_path / "asked.jsonl"
    rows = [{"id": str(n), "question": f"Is it {n} or {n + 50}?", "answer": str(n + 50)} for n in range(20)]
    asked.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ("train", "prm", f"jsonl:{asked}", "--model", "echo", "--form", "tokens", "--labels", "rollouts")
    command = (*command, "--delimiter", "wait", "--rollouts", "4")
    ran = ponder(*command, "--questions", "20", "--samples", "2", "--out", str(out), "--json")
    assert ran.code == 0, ran.err
    found = cast(dict[str, Any], ran.json)
    assert found["replies"] == 40
    assert found["held_out"] == 5
    assert found["label_tokens"] > found["tokens"] > 0
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert found["rows"] == len(rows) <= 30
    assert sum(found["votes"].values()) == sum(len(row["votes"]) for row in rows)
    before = kept.read_bytes()
    again = ponder(*command, "--questions", "20", "--samples", "2", "--out", str(out))
    assert "ponder train sft" in again.out
    assert kept.read_bytes() == before
    judge = ("--judge", "prm:good=<think>,bad=rival1,delimiter=wait", "--engine", "prm=echo")
    ran = ponder(*command, *judge, "--questions", "20", "--samples", "2", "--out", str(out), "--json")
    judged = cast(dict[str, Any], ran.json)["judged"]
    assert judged["held_out"] == 5
    assert judged["cost"]["calls"] == judged["held_out_steps"]
    assert 0 <= judged["auc"]["head"]["auc"] <= 1
    told = ponder(*command, *judge, "--questions", "20", "--samples", "2", "--out", str(out))
    assert "the judge" in told.out
    other = ponder(*command, "--temperature", "0.3", "--questions", "20", "--samples", "2", "--out", str(out))
    assert "drawn otherwise (temperature = 1.0, and now 0.3)" in other.err


def page(name: str) -> list[str]:
    text = (Path(__file__).parents[2] / "docs" / "json.md").read_text("utf-8").partition(f"\n## `{name}`\n")[2]
    return re.findall(r"^\| `(\w+)` \|", text.partition("\n## ")[0], re.MULTILINE)


@pytest.mark.torch
def test_a_head_of_the_tiny_reasoner_guides_a_search(ponder: Command, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    out, plot = tmp_path / "head", tmp_path / "r.svg"
    train = ("train", "prm", TASK, "--model", TINY, "--threads", "1", *SMALL, "--out", str(out))
    ran = ponder(*train, "--chains", "2", "--plot", str(plot), "--json")
    assert ran.code == 0, ran.err
    found = cast(dict[str, Any], ran.json)
    assert (found["replies"], found["layer"], found["scores"], found["held_out"]) == (24, -1, "steps", 2)
    controls = {"place", "random", "mean_logprob", "mean_logprob_within"}
    assert set(found["auc"]) == {"head", "within", "decided", *controls}
    assert found["cost"]["calls"] == found["steps"] > 100
    assert plot.read_text("utf-8").startswith("<svg")
    assert page("train prm") == list(found)
    card = tomllib.loads((out / "prm.toml").read_text())
    assert (card["scores"], card["delimiter"], card["labels"]) == ("steps", "\n", "lab")

    rows = [json.loads(line) for line in (tmp_path / "head.replies.jsonl").read_text("utf-8").splitlines()[1:]]
    assert {step[2] for row in rows for step in row["steps"]} == {"right", "useless", "wrong"}

    kept = ("--replies", str(tmp_path / "head.replies.jsonl"))
    told = ponder(*train[:-1], str(tmp_path / "outcome"), *kept, "--outcome")
    assert "head of outcome" in told.out
    assert "mean log-probability of the step, without training" in told.out

    run = ("bench", "lab:modular:links=2", "--model", TINY, "--limit", "2", "--threads", "1", "--max-tokens", "120")
    method = f"beam_search:n=2,width=2,delimiter=\\n,scorer=prm_head,scorer.path={out}"
    assert ponder(*run, "--methods", method, "--out", str(tmp_path / "run"), "--no-report").code == 0

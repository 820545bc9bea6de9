"""`ponder train probe`: on the tiny reasoner that ships, with transformers; and what is refused before any work."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, cast

import pytest
from support.command import Command

import ponder as package

TINY = str(Path(package.__file__).parent / "models" / "tiny-reasoner-small")
SMALL = ("--limit", "8", "--max-tokens", "160", "--threads", "1")
TASKS = "lab:modular:links=1-2,lab:addition"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("lab:addition", "--model", "echo"), "a probe reads hidden states, and echo shows none"),
        (("lab:addition", "--model", "echo", "--method", "sample,no_thinking"), "must be one method"),
        (("lab:adition", "--model", "echo"), "did you mean 'addition'"),
        (("lab:addition", "--model", "echo", "--rate", "0"), "--rate"),
    ],
)
def test_what_cannot_be_trained_is_told(ponder: Command, tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    ran = ponder("train", "probe", *args, "--limit", "2", "--out", str(tmp_path / "p"))
    assert ran.code != 0
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "p").exists()


def test_what_is_there_is_left_alone(ponder: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    ran = ponder("train", "probe", "lab:addition", "--model", "echo", "--out", str(tmp_path))
    assert ran.code == 1
    assert "is not an empty folder" in ran.err
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.torch
def test_a_probe_of_the_tiny_reasoner_routes(ponder: Command, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    out = tmp_path / "probe"
    train = ("train", "probe", TASKS, "--model", TINY, "--method", "sample", "--out", str(out), *SMALL)
    ran = ponder(*train, "--json")
    assert ran.code == 0, ran.err
    found = cast(dict[str, Any], ran.json)
    assert found["questions"] + found["left_out"] == 16
    assert 0 < found["right"] < 1
    assert (found["layer"], len(found["tasks"])) == (-1, 2)
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text("utf-8").partition("\n## `train probe`\n")[2]
    assert re.findall(r"^\| `(\w+)` \|", page.partition("\n## ")[0], re.MULTILINE) == list(found)
    card = tomllib.loads((out / "probe.toml").read_text())
    assert (card["width"], card["questions"]) == (128, found["questions"])
    told = ponder(
        "train", "probe", TASKS, "--model", TINY, "--method", "sample", "--out", str(tmp_path / "two"), *SMALL
    )
    assert "of mean_logprob on the same replies" in told.out

    run = ("bench", "lab:addition", "--model", TINY, "--limit", "2", "--threads", "1", "--out", str(tmp_path / "run"))
    method = f"confident_or_seek_stronger:scorer=probe,scorer.path={out},threshold=-inf,weak=sample"
    assert ponder(*run, "--methods", method, "--max-tokens", "160", "--no-report").code == 0
    ran = ponder("calibrate", str(tmp_path / "run"), "--weak", "confident", "--out", str(tmp_path / "c.toml"), "--json")
    assert ran.code == 0, ran.err
    assert 0 <= cast(dict[str, Any], ran.json)["threshold"] <= 1

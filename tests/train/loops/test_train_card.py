"""What a run was told: the same goes on, anything else that matters is named and refused."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from support.sums import sums

from ponder.core.errors import DataError
from ponder.train.loops.messages import Stage
from ponder.train.loops.settings import SFT

pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")
pytestmark = pytest.mark.torch

from ponder.train.loops.card import begin, make_card, read_card  # noqa: E402
from ponder.train.loops.portions import Portion  # noqa: E402

STAGES = [Stage("a.jsonl", sums(4), sha256="f" * 64), Stage("b", sums(2))]
PORTIONS = [Portion("a.jsonl", (0, 1, 3), 4, 1, 0, 10 / 3), Portion("b", (4, 5), 2, 0, 0, 5.0)]
SETTINGS = SFT(schedule="progressive", lengths=(40, 20), steps=2)


def card(settings: SFT = SETTINGS, stages: list[Stage] = STAGES, sha256: str = "0" * 64) -> dict[str, Any]:
    return dict(make_card(settings, "tiny", sha256, "{{ x }}", stages, PORTIONS))


def test_a_card_says_what_was_asked_read_and_left_out(tmp_path: Path) -> None:
    begin(tmp_path / "new" / "out", card())
    assert [path.name for path in (tmp_path / "new" / "out").iterdir()] == ["train.toml"]
    known = tomllib.loads((tmp_path / "new" / "out" / "train.toml").read_text())
    assert known == card()
    assert known["settings"]["lengths"] == [40, 20]
    assert known["base"]["chat_template"] == hashlib.sha256(b"{{ x }}").hexdigest()
    assert known["data"][0] == {"name": "a.jsonl", "rows": 4, "sha256": "f" * 64}
    assert known["stage"][0] == {"name": "a.jsonl", "rows": 3, "too_long": 1, "beyond": 0, "mean_tokens": 3.33}
    assert known["versions"]["trl"] == version("trl")


def test_rows_without_a_file_are_told_apart_by_what_they_say() -> None:
    hashes = [card(stages=[Stage("b", sums(2, start=start))])["data"][0]["sha256"] for start in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]
    quiet = [replace(row, thinking=False) for row in sums(2)]
    assert card(stages=[Stage("b", tuple(quiet))])["data"][0]["sha256"] != hashes[0]


@pytest.mark.parametrize("change", [{"save_every": 7}, {"eval_every": 3}, {"save_dtype": "float16"}], ids=str)
def test_what_may_differ(tmp_path: Path, change: dict[str, Any]) -> None:
    begin(tmp_path, card())
    other = card(replace(SETTINGS, **change))
    other["versions"] = {"torch": "1.0"}
    begin(tmp_path, other)
    assert tomllib.loads((tmp_path / "train.toml").read_text()) == other


def test_a_run_of_before_the_result_had_a_type_goes_on(tmp_path: Path) -> None:
    old = card()
    del old["settings"]["save_dtype"]
    begin(tmp_path, old)
    begin(tmp_path, card())
    assert tomllib.loads((tmp_path / "train.toml").read_text())["settings"]["save_dtype"] == "float32"


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (card(replace(SETTINGS, seed=1, batch=2)), r"batch: 16 there, 2 here; seed: 0 there, 1 here"),
        (card(replace(SETTINGS, lengths=(40, 30))), r"lengths: \[40, 20\] there, \[40, 30\] here"),
        (card(sha256="1" * 64), r"base\.sha256: 0{64} there, 1{64} here"),
        (card(stages=STAGES[:1]), r"data 2\.name: b there, None here"),
    ],
    ids=["settings", "lengths", "base", "data"],
)
def test_what_may_not_differ_is_named(tmp_path: Path, other: dict[str, Any], named: str) -> None:
    begin(tmp_path, card())
    with pytest.raises(DataError, match=rf"unfinished run of other settings \(.*{named}"):
        begin(tmp_path, other)
    assert tomllib.loads((tmp_path / "train.toml").read_text()) == card()


def test_what_was_noted_is_read(tmp_path: Path) -> None:
    assert read_card(tmp_path) is None
    begin(tmp_path, card())
    assert read_card(tmp_path) == card()


def test_finished_and_broken_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "train.toml").write_text("[settings")
    with pytest.raises(DataError, match=r"train\.toml is broken; remove"):
        read_card(tmp_path)
    with pytest.raises(DataError, match=r"train\.toml is broken; remove"):
        begin(tmp_path, card())
    (tmp_path / "train.toml").unlink()
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(DataError, match="holds a model already"):
        begin(tmp_path, card())
    (tmp_path / "checkpoints").mkdir()
    begin(tmp_path, card())
    assert (tmp_path / "train.toml").exists()

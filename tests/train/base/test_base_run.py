"""The same recipe gives the same files, also when it was interrupted; a folder appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from ponder.core.errors import DataError
from ponder.train.base.recipe import Recipe

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::FutureWarning")]

from ponder.train.base import run  # noqa: E402
from ponder.train.base.measure import Measured  # noqa: E402
from ponder.train.base.run import RECIPE, train_base  # noqa: E402
from ponder.train.loops.record import Step  # noqa: E402


class Stopped(Exception):
    """Stands for a power cut."""


def nothing(folder: Path, measured: list[Measured]) -> None:
    """Add no files."""


def digests(folder: Path) -> dict[str, str]:
    """Digests of a model's files; the log tells seconds, which no two runs share."""
    files = (file for file in sorted(folder.iterdir()) if file.name != "log.jsonl")
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, mini: Recipe) -> Path:
    out = tmp_path_factory.mktemp("base") / "mini"
    train_base(mini, out, 2, nothing)
    return out


def test_a_folder_is_a_model_and_how_it_came_about(trained: Path) -> None:
    names = {file.name for file in trained.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= names
    assert {"chat_template.jinja", "log.jsonl", RECIPE} <= names
    assert not any(file.is_dir() for file in trained.iterdir())
    assert [file.name for file in trained.parent.iterdir()] == ["mini"]


def test_the_log_has_every_step(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text("utf-8").splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 26))
    assert steps[-1]["loss"] < steps[0]["loss"]


def test_the_same_recipe_gives_the_same_files(trained: Path, mini: Recipe, tmp_path: Path) -> None:
    train_base(mini, tmp_path / "mini", 2, nothing)
    assert digests(tmp_path / "mini") == digests(trained)


def test_an_interrupted_run_goes_on_to_the_same_files(trained: Path, mini: Recipe, tmp_path: Path) -> None:
    def stop(step: Step) -> None:
        if step.step == 11:
            raise Stopped

    out = tmp_path / "mini"
    with pytest.raises(Stopped):
        train_base(mini, out, 2, nothing, stop)
    assert not out.exists()
    seen: list[int] = []
    train_base(mini, out, 2, nothing, lambda step: seen.append(step.step))
    assert 1 < seen[0] <= 11
    assert digests(out) == digests(trained)


@pytest.mark.parametrize("quick", [True, False], ids=["bfloat16", "float32"])
def test_a_run_goes_on_elsewhere_in_the_type_in_which_it_began(
    mini: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: bool
) -> None:
    def stop(step: Step) -> None:
        raise Stopped

    monkeypatch.setattr(run, "bfloat16_is_quick", lambda: quick)
    with pytest.raises(Stopped):
        train_base(mini, tmp_path / "mini", 2, nothing, stop)
    monkeypatch.setattr(run, "bfloat16_is_quick", lambda: not quick)
    with pytest.raises(Stopped):
        train_base(mini, tmp_path / "mini", 2, nothing, stop)
    card = tomllib.loads((tmp_path / ".mini.partial" / "trained" / "train.toml").read_text("utf-8"))
    assert card["settings"]["dtype"] == ("bfloat16" if quick else "float32")


def test_what_fails_at_the_end_does_not_train_again(trained: Path, mini: Recipe, tmp_path: Path) -> None:
    def fail(folder: Path, measured: list[Measured]) -> None:
        raise Stopped

    out = tmp_path / "mini"
    with pytest.raises(Stopped):
        train_base(mini, out, 2, fail)
    assert not out.exists()
    seen: list[int] = []
    told: list[tuple[Path, int]] = []
    train_base(mini, out, 2, lambda folder, found: told.append((folder, len(found))), lambda step: seen.append(1))
    assert seen == []
    assert told == [(tmp_path / ".mini.partial" / "mini", 12)]
    assert digests(out) == digests(trained)


def test_a_folder_that_holds_something_is_left_alone(mini: Recipe, tmp_path: Path) -> None:
    (tmp_path / "mini").mkdir()
    (tmp_path / "mini" / "mine.txt").write_text("x")
    with pytest.raises(DataError, match="not an empty folder"):
        train_base(mini, tmp_path / "mini", 2, nothing)
    assert [file.name for file in tmp_path.iterdir()] == ["mini"]


def test_an_unfinished_run_of_another_recipe_is_left_alone(mini: Recipe, tmp_path: Path) -> None:
    def stop(step: Step) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        train_base(mini, tmp_path / "mini", 2, nothing, stop)
    with pytest.raises(DataError, match="unfinished run of another recipe"):
        train_base(replace(mini, seed=8), tmp_path / "mini", 2, nothing)


def test_a_full_disk_at_the_end_keeps_what_was_trained(trained: Path, mini: Recipe, tmp_path: Path) -> None:
    def full(folder: Path, measured: list[Measured]) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "mini"
    with pytest.raises(DataError, match="make room, and start again: what was trained is kept"):
        train_base(mini, out, 2, full)
    assert not out.exists()
    seen: list[int] = []
    train_base(mini, out, 2, nothing, lambda step: seen.append(step.step))
    assert seen == []
    assert digests(out) == digests(trained)

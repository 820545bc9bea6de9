"""`ponder train base`, from the command line to a folder that both engines run."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from ponder.cli.train_base import base
from ponder.core.engine import Sampling
from ponder.core.problem import Problem, Prompt

pytest.importorskip("torch")
pytest.importorskip("trl")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::FutureWarning")]

MINI = (
    "--size small --family modular:links=1 --family addition:digits=1 --hidden 32 --layers 1 --heads 2 --kv-heads 1 "
    "--inner 48 --vocabulary 400 --context 128 --echoes 8 --drills 8 --chains 16 --thoughts 16 --batch 8 "
    "--lr 0.001 --seed 4"
)


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(base, words, catch_exceptions=False)
    return done.exit_code, done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, object]]]:
    out = tmp_path_factory.mktemp("cli") / "mini"
    code, shown = run(*MINI.split(), "--questions", "3", "--threads", "1", "--json", "--out", str(out))
    assert code == 0
    return out, json.loads(shown)


def test_it_prints_scores_by_family_and_difficulty(made: tuple[Path, list[dict[str, object]]]) -> None:
    scores = made[1]
    assert [(score["family"], score["difficulty"], score["thinking"]) for score in scores] == [
        (family, difficulty, thinking)
        for thinking in (True, False)
        for family in ("addition:digits=1", "modular:links=1")
        for difficulty in (None, 1)
    ]
    assert {score["questions"] for score in scores} == {3}
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text("utf-8").partition("\n## `train base`\n")[2]
    listed = re.findall(r"^\| `(\w+)` \|", page.partition("\n## ")[0], re.MULTILINE)
    assert all(listed == [*score] for score in scores)


def test_the_folder_names_the_command_that_made_it(made: tuple[Path, list[dict[str, object]]]) -> None:
    out = made[0]
    page = (out / "README.md").read_text("utf-8")
    assert "--size small --family modular:links=1 --family addition:digits=1 --hidden 32" in page
    assert str(out.parent) not in page
    recipe = tomllib.loads((out / "recipe.toml").read_text("utf-8"))
    assert (recipe["seed"], recipe["chains"], recipe["learning_rate"]) == (4, 16, 0.001)


async def test_llama_cpp_reads_the_gguf(made: tuple[Path, list[dict[str, object]]]) -> None:
    pytest.importorskip("xllamacpp")
    from ponder.engines.llama import LlamaEngine

    prompt = Prompt(Problem.of("What is 1 + 2?").messages)
    async with LlamaEngine(made[0] / "model.gguf", threads=1, slots=1, context=128) as engine:
        assert (engine.think.open, engine.think.close) == ("<think>", "</think>")
        async with engine.stream(prompt, Sampling(max_tokens=5, temperature=0)) as chunks:
            assert sum([chunk.tokens async for chunk in chunks]) == 5


def test_without_gguf_there_is_none(tmp_path: Path) -> None:
    code, shown = run(*MINI.split(), "--questions", "1", "--threads", "1", "--no-gguf", "--out", str(tmp_path / "mini"))
    assert code == 0
    assert not list(tmp_path.rglob("*.gguf"))
    assert "modular:links=1" in shown


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--size", "stong"), "strong"),
        (("--family", "additon"), "addition"),
        (("--family", "addition:seed=3"), "seed"),
        (("--heads", "5"), "do not fit"),
        (("--seed", "0"), "seed = 0"),
    ],
)
def test_what_cannot_be_is_said_at_once(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    from ponder.core.errors import OptionError

    with pytest.raises(OptionError, match=told):
        run(*words, "--out", str(tmp_path / "mini"))
    assert not list(tmp_path.iterdir())

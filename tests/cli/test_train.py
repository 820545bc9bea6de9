"""`ponder train sft` as a user runs it: from files to a folder, resumed, refused, measured."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest
from support.command import Command
from support.sums import sums

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")
pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random Llama."""
    from tiny_llama import save_model, save_tokenizer

    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("tiny") / "tiny-llama"
    save_model(path)
    save_tokenizer(path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """24 conversations, of replies of three lengths."""
    path = tmp_path / "sums.jsonl"
    lines = (
        {"messages": [{"role": role, "content": text} for role, text in row.messages], "id": row.line}
        for row in sums(24)
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def command(model: Path, data: Path, *more: str) -> tuple[str, ...]:
    usual = ("--out", "out", "--steps", "4", "--batch", "4", "--lora", "4", "--alpha", "8", "--lr", "1e-3")
    return ("train", "sft", "-m", str(model), "--data", str(data), *usual, "--threads", "1", *more)


def test_an_adapter_is_trained(ponder: Command, model: Path, data: Path) -> None:
    ran = ponder(*command(model, data))
    assert (ran.code, ran.out.startswith("out: 4 steps, loss ")) == (0, True), ran.err
    assert "sums.jsonl: 24 rows" in ran.err
    assert "4/4  stage 1  loss" in ran.err
    assert "Warning" not in ran.err
    assert {path.name for path in Path("out").iterdir()} >= {
        "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "log.jsonl", "tokenizer.json",
        "train.toml",
    }  # fmt: skip
    card = tomllib.loads(Path("out/train.toml").read_text())
    assert card["base"]["name"] == "tiny-llama"
    assert card["settings"]["lora"] == 4
    again = ponder(*command(model, data))
    assert again.code == 1
    assert "out holds a model already" in again.err


def test_lengths_make_stages_and_json_tells_them(ponder: Command, model: Path, data: Path) -> None:
    ran = ponder(*command(model, data, "--lengths", "400,30", "--json"))
    assert ran.code == 0, ran.err
    assert ran.err == ""
    told = ran.json
    assert isinstance(told, dict)
    first, second = told["stages"]
    assert told["steps"] == 8
    assert (first["rows"], first["beyond"]) == (24, 0)
    assert second["rows"] + second["beyond"] == 24
    assert first["mean"] > second["mean"]
    assert told["last"]["stage"] == 1


def test_the_page_of_json_lists_every_field(ponder: Command, model: Path, data: Path) -> None:
    Path("q.jsonl").write_text('{"question": "2 + 3?", "answer": "5"}\n')
    told = ponder(*command(model, data, "--json", "--eval", "q.jsonl", "--eval-tokens", "4")).json
    assert isinstance(told, dict)
    assert told["schema"] == 1
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text("utf-8").partition("\n## `train sft`\n")[2]
    sections = re.split(r"^###? .*$", page, flags=re.MULTILINE)
    listed = [re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) for section in sections[:4]]
    last = told["last"]
    assert listed == [[*told], [*told["stages"][0]], [*last], [*last["evaluation"]]]


def test_the_result_can_be_rounded(ponder: Command, model: Path, data: Path) -> None:
    from safetensors.torch import load_file

    assert ponder(*command(model, data, "--save-as", "bfloat16")).code == 0
    weights = load_file("out/adapter_model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    assert tomllib.loads(Path("out/train.toml").read_text())["settings"]["save_dtype"] == "bfloat16"


def test_questions_are_answered_while_training(ponder: Command, model: Path, data: Path) -> None:
    Path("q.jsonl").write_text('{"question": "2 + 3?", "answer": "5"}\n{"question": "1 + 1?", "answer": "2"}\n')
    ran = ponder(*command(model, data, "--eval", "q.jsonl", "--eval-every", "3", "--eval-tokens", "8"))
    assert ran.code == 0, ran.err
    lines = [json.loads(line) for line in Path("out/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "evaluation" in line] == [3, 4]
    found = lines[-1]["evaluation"]
    assert found["questions"] == 2
    assert 0 <= found["low"] <= found["accuracy"] <= found["high"] <= 1
    assert 1 <= found["tokens"] <= 8
    assert f"of 2, {found['tokens']:.1f} tokens" in ran.err
    Path("q.jsonl").write_text('{"question": "2 + 3?"}\n')
    assert "q.jsonl holds no question with an answer" in ponder(*command(model, data, "--eval", "q.jsonl")).err


def test_an_adapter_goes_on_with_its_own_rank_and_template(ponder: Command, model: Path, data: Path) -> None:
    template = Path("own.jinja")
    template.write_text((model / "chat_template.jinja").read_text() + "{# own #}")
    assert ponder(*command(model, data, "--chat-template", "own.jinja")).code == 0
    shutil.move("out", "first")
    usual = ("train", "sft", "-m", str(model), "--data", str(data), "--steps", "2", "--out", "out")
    ran = ponder(*usual, "--adapter", "first")
    assert ran.code == 0, ran.err
    config = json.loads(Path("out/adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (4, 8)
    assert Path("out/chat_template.jinja").read_text().endswith("{# own #}")
    other = ponder(*usual[:-1], "other", "--adapter", "first", "--lora", "8")
    assert "first has r = 4, and 8 is asked for" in other.err
    assert "--full trains all weights" in ponder(*usual[:-1], "other", "--adapter", "first", "--full").err
    assert "holds no adapter_config.json" in ponder(*usual[:-1], "other", "--adapter", str(model)).err


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (("--lengths", "60,400"), "lengths = (60, 400) must fall"),
        (("--lengths", "many"), "--lengths 'many' must be whole numbers"),
        (("--lengths", "60", "--schedule", "standard"), "leave out --schedule standard"),
        (("--lengths", "5"), "at most 5 tokens: no row is left to train on; of 24 rows, 0 are longer"),
        (("--max-length", "10"), "no row is left to train on; of 24 rows, 24 are longer than max_length = 10"),
        (("--data", "none.jsonl"), "none.jsonl cannot be read: No such file"),
        (("--model", "tiny-lama"), "no catalogue has a model 'tiny-lama'"),
        (("--model", "tiny.gguf"), "there is no file tiny.gguf"),
        (("--model", "."), "holds no config.json"),
        (("--full",), "--full trains all weights; leave out --lora"),
        (("--chat-template", "none.jinja"), "none.jinja cannot be read as a chat template"),
        (("--eval", "nothing"), "nothing"),
    ],
)
def test_mistakes_end_in_a_sentence(ponder: Command, model: Path, data: Path, more: tuple[str, ...], what: str) -> None:
    ran = ponder(*command(model, data, *more))
    assert ran.code == 1
    assert ran.err.startswith("ponder: ")
    assert what in ran.err
    assert not Path("out").exists()


def test_help_names_the_commands(ponder: Command) -> None:
    assert all(name in ponder("train", "--help").out for name in ("sft", "base"))
    told = ponder("train", "sft", "--help").out
    assert all(option in told for option in ("--lengths", "--adapter", "--eval-tokens", "--chat-template"))

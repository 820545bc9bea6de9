"""Training runs: the same numbers whenever and however often they are started, and results that others can load."""

from __future__ import annotations

import json
import tomllib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.sums import sums

from ponder.core.errors import DataError, OptionError
from ponder.train.loops.messages import Stage
from ponder.train.loops.settings import SFT

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")
pytestmark = pytest.mark.torch

from ponder.train.loops.quiet import quiet  # noqa: E402
from ponder.train.loops.record import Step  # noqa: E402
from ponder.train.loops.sft import train  # noqa: E402

if TYPE_CHECKING:
    from ponder.train.loops.adapt import Model

SETTINGS = SFT(steps=6, batch=4, learning_rate=3e-3, lora=4, alpha=8, save_every=2, dtype="float32", seed=5)
Fresh = Callable[[], tuple["Model", object]]


class Killed(Exception):
    """Stands for whatever ends a run."""


def weights(out: Path) -> Mapping[str, torch.Tensor]:
    from safetensors.torch import load_file

    (file,) = out.glob("*.safetensors")
    found: Mapping[str, torch.Tensor] = load_file(file)
    return found


def log(out: Path) -> list[dict[str, float]]:
    """The log without what the clock says."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    for line in lines:
        del line["seconds"]
    return lines


def assert_same(one: Path, two: Path) -> None:
    assert log(one) == log(two)
    first, second = weights(one), weights(two)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def kill_after(step: int) -> Callable[[Step], None]:
    def watch(seen: Step) -> None:
        if seen.step == step:
            raise Killed

    return watch


@pytest.mark.parametrize("lora", [4, 0], ids=["adapter", "whole"])
@pytest.mark.parametrize("killed", [5, 4])
def test_a_killed_run_goes_on_to_the_same_numbers(
    fresh: Fresh, data: Stage, tmp_path: Path, lora: int, killed: int
) -> None:
    settings = replace(SETTINGS, lora=lora)
    train(settings, *fresh(), [data], tmp_path / "whole")
    with pytest.raises(Killed):
        train(settings, *fresh(), [data], tmp_path / "broken", progress=kill_after(killed))
    seen: list[int] = []
    train(settings, *fresh(), [data], tmp_path / "broken", progress=lambda step: seen.append(step.step))
    # Step 4 was written to the log, but killed before its checkpoint.
    assert seen == ([5, 6] if killed == 5 else [3, 4, 5, 6])
    assert_same(tmp_path / "whole", tmp_path / "broken")
    assert not (tmp_path / "broken" / "checkpoints").exists()


def test_a_checkpoint_that_was_cut_short_is_not_trusted(fresh: Fresh, data: Stage, tmp_path: Path) -> None:
    train(SETTINGS, *fresh(), [data], tmp_path / "whole")
    out = tmp_path / "broken"
    with pytest.raises(Killed):
        train(SETTINGS, *fresh(), [data], out, progress=kill_after(5))
    (out / "checkpoints" / "checkpoint-4" / "complete").unlink()
    with (out / "log.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    train(SETTINGS, *fresh(), [data], out)
    assert_same(tmp_path / "whole", out)


def test_the_same_seed_makes_the_same_files(fresh: Fresh, data: Stage, tmp_path: Path) -> None:
    for name in ("one", "two"):
        train(SETTINGS, *fresh(), [data], tmp_path / name)
    for file in ("adapter_model.safetensors", "adapter_config.json", "train.toml", "tokenizer.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    train(replace(SETTINGS, seed=6), *fresh(), [data], tmp_path / "three")
    assert log(tmp_path / "one") != log(tmp_path / "three")


def test_with_one_stage_progressive_equals_standard(fresh: Fresh, data: Stage, tmp_path: Path) -> None:
    train(SETTINGS, *fresh(), [data], tmp_path / "standard")
    train(replace(SETTINGS, schedule="progressive"), *fresh(), [data], tmp_path / "progressive")
    assert_same(tmp_path / "standard", tmp_path / "progressive")
    one_length = replace(SETTINGS, schedule="progressive", lengths=(10_000,))
    train(one_length, *fresh(), [data], tmp_path / "length")
    assert_same(tmp_path / "standard", tmp_path / "length")


def test_stages_go_on_with_the_weights_and_begin_the_schedule_anew(fresh: Fresh, tmp_path: Path) -> None:
    stages = [Stage("long", sums(12, again=3)), Stage("short", sums(12))]
    settings = replace(SETTINGS, steps=4, schedule="progressive")
    result = train(settings, *fresh(), stages, tmp_path / "out")
    lines = log(tmp_path / "out")
    assert [line["stage"] for line in lines] == [0] * 4 + [1] * 4
    rates = [line["learning_rate"] for line in lines]
    assert rates[:4] == rates[4:]
    assert rates[0] > rates[-1] > 0
    assert [portion.name for portion in result.portions] == ["long", "short"]
    assert result.portions[0].mean > result.portions[1].mean
    train(replace(settings, schedule="standard"), *fresh(), stages[:1], tmp_path / "first")
    assert log(tmp_path / "first") == lines[:4]


def test_training_learns(fresh: Fresh, data: Stage, tmp_path: Path) -> None:
    train(replace(SETTINGS, steps=40, lora=0), *fresh(), [data], tmp_path / "out")
    losses = [line["loss"] for line in log(tmp_path / "out")]
    assert losses[-1] < losses[0] / 2


def test_an_adapter_is_a_folder_that_peft_loads(fresh: Fresh, data: Stage, folder: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    out = tmp_path / "out"
    seen: list[torch.Tensor] = []
    ids = torch.arange(40)[None]

    def probe(model: Model) -> Mapping[str, float]:
        seen.append(model(ids).logits)
        return {}

    train(SETTINGS, *fresh(), [data], out, probe)
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny-llama"
    assert config["target_modules"] == sorted(config["target_modules"])
    assert "lm_head" not in config["target_modules"]
    model, _ = fresh()
    with torch.no_grad(), quiet():
        plain = model(ids).logits
        again = PeftModel.from_pretrained(model, out)(ids).logits
    assert torch.allclose(again, seen[-1], atol=1e-5)
    assert not torch.allclose(again, plain, atol=1e-2)
    assert str(tmp_path) not in "".join(path.read_text() for path in out.glob("*.json"))


def test_all_weights_become_a_transformers_folder(fresh: Fresh, data: Stage, folder: Path, tmp_path: Path) -> None:
    from ponder.engines.torch.load import load

    out = tmp_path / "out"
    train(replace(SETTINGS, lora=0), *fresh(), [data], out)
    loaded = load(out, "float32")
    assert loaded.tokenizer.chat_template == fresh()[1].chat_template  # type: ignore[attr-defined]
    before, after = weights(folder), weights(out)
    assert before.keys() == after.keys()
    assert not any(torch.equal(before[name], after[name]) for name in before if "proj" in name)


def test_an_adapter_is_continued(fresh: Fresh, data: Stage, tmp_path: Path) -> None:
    first = tmp_path / "first"
    train(SETTINGS, *fresh(), [data], first)
    frozen = replace(SETTINGS, steps=1, learning_rate=1e-12)
    train(frozen, *fresh(), [data], tmp_path / "second", adapter=first)
    before, after = weights(first), weights(tmp_path / "second")
    assert all(torch.allclose(before[name], after[name], atol=1e-9) for name in before)
    assert log(tmp_path / "second")[0]["loss"] < log(first)[0]["loss"]


def test_what_a_run_was_told_stands_beside_its_result(fresh: Fresh, data: Stage, tmp_path: Path) -> None:
    train(SETTINGS, *fresh(), [data], tmp_path / "out")
    card = tomllib.loads((tmp_path / "out" / "train.toml").read_text())
    assert card["settings"]["learning_rate"] == 3e-3
    assert card["settings"]["seed"] == 5
    assert card["data"][0]["rows"] == 24
    assert len(card["data"][0]["sha256"]) == len(card["base"]["sha256"]) == 64
    assert card["versions"]["torch"] == torch.__version__.partition("+")[0] or card["versions"]["torch"]
    lines = log(tmp_path / "out")
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines[0].keys() == {"step", "stage", "loss", "learning_rate", "grad_norm", "tokens"}
    assert lines[-1]["tokens"] > lines[0]["tokens"] > 0


def test_evaluation_leaves_no_trace_in_the_numbers(fresh: Fresh, data: Stage, tmp_path: Path) -> None:
    seen: list[bool] = []

    def evaluate(model: Model) -> Mapping[str, float]:
        seen.append(model.training)
        torch.rand(7)
        return {"accuracy": 0.5}

    train(SETTINGS, *fresh(), [data], tmp_path / "alone")
    train(replace(SETTINGS, eval_every=4), *fresh(), [data], tmp_path / "watched", evaluate)
    lines = log(tmp_path / "watched")
    assert [line["step"] for line in lines if "evaluation" in line] == [4, 6]
    assert lines[3].pop("evaluation") == lines[5].pop("evaluation") == {"accuracy": 0.5}
    assert lines == log(tmp_path / "alone")
    assert seen == [False, False]
    first, second = weights(tmp_path / "alone"), weights(tmp_path / "watched")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_other_settings_do_not_go_on_in_a_run(fresh: Fresh, data: Stage, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Killed):
        train(SETTINGS, *fresh(), [data], out, progress=kill_after(3))
    with pytest.raises(DataError, match=r"other settings \(learning_rate: 0\.003 there, 0\.1 here\)"):
        train(replace(SETTINGS, learning_rate=0.1), *fresh(), [data], out)
    with pytest.raises(DataError, match=r"data 1\.sha256"):
        train(SETTINGS, *fresh(), [Stage("sums", sums(24, start=1))], out)
    other, tokenizer = fresh()
    with torch.no_grad():
        other.get_output_embeddings().weight.mul_(2)
    with pytest.raises(DataError, match=r"base\.sha256"):
        train(SETTINGS, other, tokenizer, [data], out)
    train(replace(SETTINGS, save_every=3), *fresh(), [data], out)
    with pytest.raises(DataError, match="holds a model already"):
        train(SETTINGS, *fresh(), [data], out)


def test_numbers_that_are_none_stop_the_run(fresh: Fresh, data: Stage, tmp_path: Path) -> None:
    out = tmp_path / "out"
    model, tokenizer = fresh()

    def poison(step: Step) -> None:
        if step.step == 3:
            with torch.no_grad():
                model.get_output_embeddings().weight.fill_(torch.nan)

    with pytest.raises(DataError, match=r"loss is nan in step 4, .*checkpoint-2 holds the weights of step 2"):
        train(SETTINGS, model, tokenizer, [data], out, progress=poison)
    assert not list(out.glob("*.safetensors"))
    whole = tmp_path / "whole"
    train(SETTINGS, *fresh(), [data], whole)
    train(SETTINGS, *fresh(), [data], out)
    assert_same(whole, out)


def test_numbers_that_are_none_before_any_checkpoint(fresh: Fresh, data: Stage, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"in step \d+, .*try a lower --lr"):
        train(replace(SETTINGS, steps=8, save_every=8, lora=0, learning_rate=1e30), *fresh(), [data], tmp_path / "out")


def test_a_full_disk_leaves_nothing_half_written(
    fresh: Fresh, data: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real = tmp_path / "out", torch.save

    def full(*args: object, **kwargs: object) -> None:
        if "checkpoint-4" in str(args[1]):
            raise OSError(28, "No space left on device")
        real(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        with pytest.raises(DataError, match=r"checkpoint-4 cannot be written .*No space left"):
            train(SETTINGS, *fresh(), [data], out)
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["checkpoint-2"]
    train(SETTINGS, *fresh(), [data], tmp_path / "whole")
    train(SETTINGS, *fresh(), [data], out)
    assert_same(tmp_path / "whole", out)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), MemoryError()],
    ids=["torch", "python"],
)
def test_too_little_memory_says_what_to_lower(
    fresh: Fresh, data: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    from ponder.train.loops import trainer

    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(trainer, "mean_loss", fail)
    with pytest.raises(OptionError, match=r"lower --batch \(now 4\) or --max-length \(now 1024\)"):
        train(SETTINGS, *fresh(), [data], tmp_path / "out")


def test_libraries_keep_quiet(fresh: Fresh, data: Stage, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(SETTINGS, *fresh(), [data], tmp_path / "out")
    assert capfd.readouterr() == ("", "")
    assert caught == []

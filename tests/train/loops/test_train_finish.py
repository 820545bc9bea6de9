"""Results in smaller types: half the size, loaded by PEFT, transformers and the engine, and readable for others."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.sums import sums

from ponder.core.errors import DataError
from ponder.train.loops.messages import Stage
from ponder.train.loops.settings import SFT

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")]

from safetensors.torch import load_file, save_file  # noqa: E402

from ponder.train.loops.finish import round_weights, usual_mode  # noqa: E402
from ponder.train.loops.sft import train  # noqa: E402

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

    from ponder.train.loops.record import Step

    Fresh = Callable[[], tuple[LlamaForCausalLM, PreTrainedTokenizerBase]]

SETTINGS = SFT(steps=2, batch=4, learning_rate=3e-2, lora=4, alpha=8, save_every=1, dtype="float32")
STAGES = [Stage("sums", sums(12))]
IDS = torch.arange(40)[None]
WEIGHTS = "adapter_model.safetensors"


class Killed(Exception):
    """Stands for whatever ends a run."""


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_rounded_adapter_is_loaded_by_peft_and_by_the_engine(
    fresh: Fresh, folder: Path, tmp_path: Path, dtype: str
) -> None:
    from peft import PeftModel

    from ponder.engines.torch.adapter_files import read_adapter
    from ponder.engines.torch.adapters import Adapters
    from ponder.engines.torch.load import load

    train(SETTINGS, *fresh(), STAGES, tmp_path / "full")
    out = tmp_path / "out"
    train(replace(SETTINGS, save_dtype=dtype), *fresh(), STAGES, out)
    full, rounded = load_file(tmp_path / "full" / WEIGHTS), load_file(out / WEIGHTS)
    assert full.keys() == rounded.keys()
    assert all(torch.equal(rounded[name], full[name].to(getattr(torch, dtype))) for name in full)
    assert 0.4 < (out / WEIGHTS).stat().st_size / (tmp_path / "full" / WEIGHTS).stat().st_size < 0.6
    with torch.no_grad():
        plain = fresh()[0](IDS).logits
        before = PeftModel.from_pretrained(fresh()[0], tmp_path / "full")(IDS).logits
        after = PeftModel.from_pretrained(fresh()[0], out)(IDS).logits
        loaded = load(folder, "float32")
        adapters = Adapters(loaded.model, {"a": read_adapter(out, loaded.model)})
        adapters.use([(("a", 1.0),)])
        ours = loaded.model(IDS).logits
    assert not torch.allclose(plain, before, atol=0.1)
    assert not torch.equal(before, after)
    assert torch.allclose(before, after, atol=0.05)
    assert torch.allclose(ours, after, atol=1e-4)


async def test_the_engine_answers_with_a_rounded_adapter(fresh: Fresh, folder: Path, tmp_path: Path) -> None:
    from tiny_llama import ask, read

    from ponder.core.engine import Sampling
    from ponder.engines.torch.engine import TorchEngine

    train(replace(SETTINGS, save_dtype="bfloat16"), *fresh(), STAGES, tmp_path / "out")
    sampling = Sampling(max_tokens=4, temperature=0, adapters=(("a", 1.0),))
    async with TorchEngine(folder, dtype="float32", threads=1, adapters=[("a", tmp_path / "out")]) as engine:
        chunks = await read(engine, ask("2 + 3?"), sampling)
    assert 1 <= sum(chunk.tokens for chunk in chunks) <= 4


def test_a_rounded_adapter_is_continued_in_float32(fresh: Fresh, tmp_path: Path) -> None:
    train(replace(SETTINGS, save_dtype="bfloat16"), *fresh(), STAGES, tmp_path / "first")
    still = replace(SETTINGS, steps=1, learning_rate=1e-12)
    train(still, *fresh(), STAGES, tmp_path / "second", adapter=tmp_path / "first")
    before, after = load_file(tmp_path / "first" / WEIGHTS), load_file(tmp_path / "second" / WEIGHTS)
    assert {weight.dtype for weight in after.values()} == {torch.float32}
    assert all(torch.allclose(before[name].float(), after[name], atol=1e-9) for name in before)


def test_a_rounded_model_says_its_type(fresh: Fresh, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    train(replace(SETTINGS, lora=0), *fresh(), STAGES, tmp_path / "full")
    train(replace(SETTINGS, lora=0, save_dtype="bfloat16"), *fresh(), STAGES, tmp_path / "out")
    full, rounded = (
        AutoModelForCausalLM.from_pretrained(tmp_path / name, dtype="auto").state_dict() for name in ("full", "out")
    )
    assert {weight.dtype for weight in rounded.values()} == {torch.bfloat16}
    assert all(torch.equal(rounded[name], full[name].bfloat16()) for name in full)
    configs = [json.loads((tmp_path / name / "config.json").read_text()) for name in ("full", "out")]
    assert configs[0] | {"dtype": "bfloat16"} == configs[1]


def test_a_run_goes_on_to_the_same_numbers_and_another_type(fresh: Fresh, tmp_path: Path) -> None:
    def kill(step: Step) -> None:
        if step.step == 2:
            raise Killed

    out = tmp_path / "out"
    train(SETTINGS, *fresh(), STAGES, tmp_path / "whole")
    with pytest.raises(Killed):
        train(SETTINGS, *fresh(), STAGES, out, progress=kill)
    kept = load_file(next(out.glob("checkpoints/*/*.safetensors")))
    assert {weight.dtype for weight in kept.values()} == {torch.float32}
    train(replace(SETTINGS, save_dtype="float16"), *fresh(), STAGES, out)
    whole, rounded = load_file(tmp_path / "whole" / WEIGHTS), load_file(out / WEIGHTS)
    assert all(torch.equal(rounded[name], whole[name].half()) for name in whole)
    assert 'save_dtype = "float16"' in (out / "train.toml").read_text()


def test_weights_beyond_a_type_are_not_lost(fresh: Fresh, tmp_path: Path) -> None:
    model, tokenizer = fresh()

    def swell(step: Step) -> None:
        if step.step == 2:
            with torch.no_grad():
                next(weight for name, weight in model.named_parameters() if "lora_A" in name).fill_(1e5)

    out = tmp_path / "out"
    with pytest.raises(DataError, match=r"lora_A\.weight has values beyond the range of float16; .* another --save-as"):
        train(replace(SETTINGS, save_dtype="float16"), model, tokenizer, STAGES, out, progress=swell)
    assert not list(out.glob("*.safetensors"))
    train(replace(SETTINGS, save_dtype="bfloat16"), *fresh(), STAGES, out)
    assert max(float(weight.max()) for weight in load_file(out / WEIGHTS).values()) == float(
        torch.tensor(1e5).bfloat16()
    )


def test_the_files_of_a_large_model_are_rounded_one_by_one(tmp_path: Path) -> None:
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    weights = [{"a": torch.tensor([1.0, 1 + 2**-12])}, {"b": torch.full((3,), 0.1), "count": torch.tensor([7])}]
    for name, part in zip(names, weights, strict=True):
        save_file(part, tmp_path / name, {"format": "pt"})
    index = {"metadata": {"total_size": 28}, "weight_map": {"a": names[0], "b": names[1], "count": names[1]}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    round_weights(tmp_path, "float32")
    assert torch.equal(load_file(tmp_path / names[0])["a"], weights[0]["a"])
    round_weights(tmp_path, "bfloat16")
    assert load_file(tmp_path / names[0])["a"].tolist() == [1.0, 1.0]
    second = load_file(tmp_path / names[1])
    assert second["b"].dtype == torch.bfloat16
    assert second["count"].tolist() == [7]
    index["metadata"] = {"total_size": 2 * 2 + 3 * 2 + 8}
    assert json.loads((tmp_path / "model.safetensors.index.json").read_text()) == index


def test_weights_have_the_mode_of_other_files(fresh: Fresh, tmp_path: Path) -> None:
    for lora, dtype in ((4, "float32"), (4, "bfloat16"), (0, "float32")):
        out = tmp_path / f"{lora}-{dtype}"
        train(replace(SETTINGS, lora=lora, save_dtype=dtype), *fresh(), STAGES, out)
        assert len({stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()}) == 1
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    usual_mode(tmp_path)
    other = tmp_path / "other"
    other.touch()
    assert (tmp_path / "a.safetensors").stat().st_mode == other.stat().st_mode
    assert not (tmp_path / ".mode").exists()

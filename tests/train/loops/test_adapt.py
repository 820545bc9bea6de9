"""Adapters to continue must be of this base and of the rank that is asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
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
# PEFT asks transformers for something by its old name; a run keeps that to itself.
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")]

from ponder.train.loops.adapt import adapted, fingerprint, save  # noqa: E402
from ponder.train.loops.sft import train  # noqa: E402

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

    Fresh = Callable[[], tuple[LlamaForCausalLM, PreTrainedTokenizerBase]]

SETTINGS = SFT(steps=1, batch=2, lora=4, alpha=8, dtype="float32")


@pytest.fixture
def adapter(fresh: Fresh, tmp_path: Path) -> Path:
    train(SETTINGS, *fresh(), [Stage("sums", sums(4))], tmp_path / "adapter")
    return tmp_path / "adapter"


def test_a_fresh_adapter_changes_nothing_and_comes_from_the_seed(fresh: Fresh) -> None:
    ids = torch.arange(20)[None]
    plain = fresh()[0]
    tuned = [adapted(replace(SETTINGS, seed=seed), fresh()[0]) for seed in (1, 1, 2)]
    with torch.no_grad():
        assert torch.equal(tuned[0](ids).logits, plain(ids).logits)
    first, again, other = ({n: p for n, p in one.named_parameters() if "lora_A" in n} for one in tuned)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_targets_are_the_layers_named(fresh: Fresh) -> None:
    tuned = adapted(replace(SETTINGS, targets="q_proj,v_proj"), fresh()[0])
    names = {name.split(".")[-4] for name, part in tuned.named_parameters() if part.requires_grad}
    assert names == {"q_proj", "v_proj"}
    with pytest.raises(OptionError, match="targets = 'wings' does not suit the model"):
        adapted(replace(SETTINGS, targets="wings"), fresh()[0])


@pytest.mark.parametrize(("change", "what"), [({"lora": 8}, "r = 4, and 8"), ({"alpha": 16.0}, "lora_alpha = 8")])
def test_another_rank_is_refused(fresh: Fresh, adapter: Path, change: dict[str, float], what: str) -> None:
    with pytest.raises(DataError, match=f"{what}"):
        adapted(replace(SETTINGS, **change), fresh()[0], adapter)  # type: ignore[arg-type]


def test_the_adapter_of_other_weights_is_refused(fresh: Fresh, adapter: Path) -> None:
    model = fresh()[0]
    assert fingerprint(model) == fingerprint(fresh()[0].bfloat16())
    adapted(SETTINGS, fresh()[0], adapter)
    with torch.no_grad():
        model.get_output_embeddings().weight[0, 0] += 1
    with pytest.raises(DataError, match=r"was trained on other weights \(tiny-llama\)"):
        adapted(SETTINGS, model, adapter)


def test_the_adapter_of_another_shape_is_refused(fresh: Fresh, adapter: Path, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    bare = shutil.copytree(adapter, tmp_path / "bare")
    (bare / "train.toml").unlink()
    config = LlamaConfig(
        vocab_size=30, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )
    with pytest.raises(
        DataError, match=r"is the adapter of another base: for .* it holds \(4, 128\), .* needs \(4, 64\)"
    ):
        adapted(SETTINGS, LlamaForCausalLM(config), bare)
    deeper = fresh()[0].config
    deeper.num_hidden_layers = 3
    with pytest.raises(DataError, match=r"layers\.2\..* it holds nothing"):
        adapted(SETTINGS, LlamaForCausalLM(deeper), bare)


def test_what_is_no_adapter(fresh: Fresh, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no adapter_config\.json"):
        adapted(SETTINGS, fresh()[0], tmp_path)
    with pytest.raises(OptionError, match="merge it into the model first"):
        adapted(replace(SETTINGS, lora=0), fresh()[0], adapter)
    (adapter / "adapter_model.safetensors").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"adapter_model\.safetensors cannot be read"):
        adapted(SETTINGS, fresh()[0], adapter)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "peft_type": "IA3"}))
    with pytest.raises(DataError, match="is no LoRA adapter"):
        adapted(SETTINGS, fresh()[0], adapter)


def test_a_result_that_cannot_be_written_leaves_nothing(
    fresh: Fresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = fresh()

    def full(folder: Path) -> None:
        (Path(folder) / "tokenizer.json").write_text("{")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tokenizer, "save_pretrained", full)
    with pytest.raises(DataError, match=r"cannot be written .*No space left.*make room"):
        save(adapted(SETTINGS, model), tokenizer, tmp_path, "tiny-llama")
    assert list(tmp_path.iterdir()) == []

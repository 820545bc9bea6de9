"""Adapters to continue must be of this base and of the rank that is asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lora_folders import edit_config, save_lora
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


@pytest.mark.parametrize(
    "more",
    [
        {"use_rslora": True},
        {"lora_dropout": 0.25},
        {"target_modules": ["q_proj", "up_proj"], "layers_to_transform": [1], "layers_pattern": "layers"},
        {"target_modules": r".*\.0\..*_proj"},
        {
            "target_modules": ["q_proj", "up_proj"],
            "exclude_modules": ["layers.0.mlp.up_proj", "layers.0.self_attn.q_proj"],
        },
    ],
    ids=lambda more: "-".join(more),
)
def test_an_adapter_goes_on_with_its_own_settings(
    fresh: Fresh, folder: Path, tmp_path: Path, more: dict[str, object]
) -> None:
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

    given = save_lora(folder, tmp_path / "given", **more)
    ids = torch.arange(40)[None]
    model, tokenizer = fresh()
    ours, wanted = adapted(SETTINGS, model, given), PeftModel.from_pretrained(fresh()[0], given)
    layers = [part for part in ours.modules() if isinstance(part, LoraLayer)]
    assert {part.scaling["default"] for part in layers} == {4.0 if "use_rslora" in more else 2.0}
    assert {type(part.lora_dropout["default"]).__name__ for part in layers} == {
        "Dropout" if "lora_dropout" in more else "Identity"
    }
    with torch.no_grad():
        assert torch.equal(ours.eval()(ids).logits, wanted.eval()(ids).logits)
    save(ours, tokenizer, tmp_path, "tiny-llama")
    before, after = (json.loads((path / "adapter_config.json").read_text()) for path in (given, tmp_path))
    for name in more:
        assert after[name] == (sorted(before[name]) if isinstance(before[name], list) else before[name])


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"alpha_pattern": {"q_proj": 16}}, "has alpha_pattern, and only adapters of one rank and one alpha"),
        ({"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"up": 2}}, "has alpha_pattern and rank_pattern, and only"),
        ({"use_dora": True}, "was trained with use_dora, which two factors a module cannot say"),
        ({"bias": "all"}, "was trained with bias"),
        ({"init_lora_weights": "pissa"}, "was begun with init_lora_weights = 'pissa'"),
        ({"target_modules": None}, r"adapter_config\.json names no target_modules"),
        ({"target_modules": ["wings"]}, "given does not suit the model"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_continued_is_refused(
    fresh: Fresh, folder: Path, tmp_path: Path, more: dict[str, object], what: str
) -> None:
    given = save_lora(folder, tmp_path / "given")
    edit_config(given, **more)
    with pytest.raises(DataError, match=what):
        adapted(SETTINGS, fresh()[0], given)


def test_targets_of_an_adapter_are_its_own(fresh: Fresh, folder: Path, tmp_path: Path) -> None:
    given = save_lora(folder, tmp_path / "given", target_modules=["v_proj", "q_proj"])
    adapted(replace(SETTINGS, targets="q_proj,v_proj"), fresh()[0], given)
    with pytest.raises(DataError, match="adapts the layers q_proj,v_proj, and q_proj are asked for; leave --targets"):
        adapted(replace(SETTINGS, targets="q_proj"), fresh()[0], given)


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
    with pytest.raises(DataError, match="is an adapter of type IA3; only LORA is understood"):
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

"""What PEFT freezes, scales and skips without a word: adapters with a scale and adapters that are mixed rest on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
# The deprecated name is peft's own use of transformers.
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")]

if TYPE_CHECKING:
    from peft import PeftModel

IDS = torch.tensor([[5, 9, 17, 33, 21]])
MARKS = [62, 63]


def adapted(rank: int = 4, targets: tuple[str, ...] = ("q_proj", "v_proj"), **more: object) -> PeftModel:
    """Return a tiny Llama with an adapter named "default" whose weights are random, so that it says something."""
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        tie_word_embeddings=False,
        eos_token_id=None,
        bos_token_id=None,
    )
    model = peft.get_peft_model(transformers.LlamaForCausalLM(config), lora(rank, targets, **more)).eval()
    shake(model)
    return model


def lora(rank: int = 4, targets: tuple[str, ...] = ("q_proj", "v_proj"), **more: object) -> peft.LoraConfig:
    return peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(targets), task_type="CAUSAL_LM", **more)


def shake(model: PeftModel, name: str = "default") -> None:
    """Give an adapter's second matrices, which start at zero, other values."""
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if f"lora_B.{name}" in key:
                weight.normal_()


@torch.no_grad()
def logits(model: PeftModel) -> torch.Tensor:
    return model(input_ids=IDS).logits


def right(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return bool((found - wanted).abs().max() < 1e-4)


def wrong(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return bool((found - wanted).abs().max() > 0.1)


def trainable(model: PeftModel) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def layers(model: PeftModel) -> list[peft.tuners.lora.LoraLayer]:
    return [module for module in model.modules() if isinstance(module, peft.tuners.lora.LoraLayer)]


def delta(model: PeftModel, name: str) -> torch.Tensor:
    """What an adapter adds to the first matrix that it targets."""
    return layers(model)[0].get_delta_weight(name).detach()


def two() -> PeftModel:
    """A model with two adapters, of ranks 4 and 2."""
    model = adapted()
    model.add_adapter("other", lora(2))
    shake(model, "other")
    return model


class TestWhatTrains:
    def test_a_plain_adapter_freezes_the_embeddings_so_new_marks_never_train(self) -> None:
        assert all("lora_" in name for name in trainable(adapted()))

    def test_chosen_rows_can_train_and_the_embeddings_that_one_gets_are_the_adapted_ones(self) -> None:
        model = adapted(trainable_token_indices={"embed_tokens": MARKS})
        rows = {name: weight for name, weight in model.named_parameters() if "trainable_tokens_delta" in name}
        assert set(rows) <= trainable(model)
        assert [tuple(weight.shape) for weight in rows.values()] == [(2, 32)]
        with torch.no_grad():
            next(iter(rows.values())).fill_(0.5)
        found = model.get_input_embeddings()(torch.tensor([MARKS[0], 7]))
        base = model.get_base_model().model.embed_tokens.original_module.weight
        assert torch.equal(found[0], torch.full((32,), 0.5))
        assert torch.equal(found[1], base[7])

    def test_choosing_an_adapter_thaws_it_and_freezes_the_others(self) -> None:
        model = two()
        for name, other in (("other", "default"), ("default", "other")):
            model.set_adapter(name)
            assert any(f".{name}." in key for key in trainable(model))
            assert not any(f".{other}." in key for key in trainable(model))

    def test_an_adapter_can_be_loaded_frozen_and_choosing_it_thaws_it(self) -> None:
        model = adapted()
        for weight in model.parameters():
            weight.requires_grad_(False)
        model.set_adapter("default")
        assert trainable(model)
        model.set_adapter("default", inference_mode=True)
        assert not trainable(model)

    def test_without_adapters_the_base_speaks_for_the_length_of_a_block(self) -> None:
        model = adapted()
        with_adapter, base = logits(model), logits_of_base(model)
        with model.disable_adapter():
            assert right(logits(model), base)
        assert wrong(with_adapter, base)
        assert right(logits(model), with_adapter)


def logits_of_base(model: PeftModel) -> torch.Tensor:
    """The logits with all second matrices at zero."""
    kept = {name: weight.detach().clone() for name, weight in model.named_parameters() if "lora_B" in name}
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name in kept:
            weights[name].zero_()
        found = logits(model)
        for name, weight in kept.items():
            weights[name].copy_(weight)
    return found


class TestScale:
    def test_setting_is_absolute_and_scaling_compounds(self) -> None:
        model = adapted()
        plain = delta(model, "default")
        for _ in range(2):
            for layer in layers(model):
                layer.set_scale("default", 0.5)
            assert right(delta(model, "default"), 0.5 * plain)
        for times in (0.25, 0.125):
            for layer in layers(model):
                layer.scale_layer(0.5)
            assert right(delta(model, "default"), times * plain)

    def test_the_ready_made_block_restores(self) -> None:
        model = adapted()
        plain = delta(model, "default")
        with peft.helpers.rescale_adapter_scale(model, 0.5):
            assert right(delta(model, "default"), 0.5 * plain)
        assert right(delta(model, "default"), plain)

    def test_a_scaled_adapter_merges_as_it_is_scaled(self) -> None:
        model = adapted()
        for layer in layers(model):
            layer.set_scale("default", 0.5)
        wanted = logits(model)
        assert right(logits(model.merge_and_unload()), wanted)


class TestMixing:
    @pytest.mark.parametrize(
        ("kind", "rank", "exact"),
        [("cat", None, True), ("svd", 6, True), ("svd", None, False), ("linear", None, False)],
    )
    def test_only_a_mix_of_full_rank_is_the_sum(self, kind: str, rank: int | None, exact: bool) -> None:
        model = two()
        if kind == "linear":
            with pytest.raises(ValueError, match="same r"):
                model.add_weighted_adapter(["default", "other"], [0.7, 0.3], "mix", combination_type=kind)
            model.add_adapter("even", lora(4))
            shake(model, "even")
            names = ["default", "even"]
        else:
            names = ["default", "other"]
        more = {"svd_rank": rank} if rank else {}
        model.add_weighted_adapter(names, [0.7, 0.3], "mix", combination_type=kind, **more)
        wanted = 0.7 * delta(model, names[0]) + 0.3 * delta(model, names[1])
        found = delta(model, "mix")
        assert right(found, wanted) == exact
        if not exact:
            assert wrong(found, wanted)

    @pytest.mark.parametrize("kind", ["cat", "svd", "linear"])
    def test_one_adapter_with_a_weight_is_exact_in_every_form(self, kind: str) -> None:
        model = adapted()
        model.add_weighted_adapter(["default"], [0.5], "weaker", combination_type=kind)
        assert right(delta(model, "weaker"), 0.5 * delta(model, "default"))

    def test_a_name_that_exists_is_left_as_it_is_without_a_word(self) -> None:
        model = two()
        before = delta(model, "other")
        model.add_weighted_adapter(["default"], [9.0], "other", combination_type="linear")
        assert torch.equal(delta(model, "other"), before)

    def test_a_name_that_a_module_has_for_a_method_is_refused(self) -> None:
        with pytest.raises(KeyError, match="already exists"):
            adapted().add_adapter("half", lora())

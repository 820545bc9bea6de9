"""Where transformers goes wrong without a word, and the form that is right: the engines rest on the second.

Each test shows both, so that a library that mends or moves a trap is noticed. The weights are large (0.3, not 0.02), or
else some wrong results would differ by a thousandth only; right is within 1e-4, wrong is off by more than 0.1.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.torch

from transformers import DynamicCache  # noqa: E402

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LEAST = torch.finfo(torch.float32).min
IDS = torch.tensor([[5, 9, 17, 33, 21, 40, 8, 60, 11, 29]])
LENGTH = IDS.shape[1]


def tiny(kind: str, attention: str = "sdpa", **more: object) -> PreTrainedModel:
    """Return a random model of two layers."""
    torch.manual_seed(3)
    shape = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    llama = {"intermediate_size": 64, "num_key_value_heads": 2}
    config = transformers.AutoConfig.for_model(
        kind, **shape, **(llama if kind != "gpt2" else {}), **more, initializer_range=0.3
    )
    config.bos_token_id = config.eos_token_id = config.pad_token_id = None
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return tiny(request.param)


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def attention(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def full(model: PreTrainedModel, ids: torch.Tensor = IDS) -> torch.Tensor:
    return model(input_ids=ids, use_cache=False).logits


def prefix(model: PreTrainedModel, length: int) -> DynamicCache:
    return model(input_ids=IDS[:, :length], use_cache=True).past_key_values


def right(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return bool((found - wanted).abs().max() < 1e-4)


def wrong(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return bool((found - wanted).abs().max() > 0.1)


def causal(length: int, least: float = LEAST) -> torch.Tensor:
    """The additive mask of a whole sequence, (1, 1, length, length)."""
    return torch.full((length, length), least).triu(1)[None, None]


def is_llama(model: PreTrainedModel) -> bool:
    return bool(model.config.model_type == "llama")


class TestStates:
    def test_embeddings_replace_ids_and_learned_positions_are_added_inside(self, model: PreTrainedModel) -> None:
        rows = model.get_input_embeddings()(IDS)
        assert right(model(inputs_embeds=rows).logits, full(model))

    def test_the_last_hidden_state_is_behind_the_norm_and_the_first_is_the_embedding(
        self, model: PreTrainedModel
    ) -> None:
        out = model(input_ids=IDS, output_hidden_states=True)
        assert len(out.hidden_states) == model.config.num_hidden_layers + 1
        assert torch.equal(model.lm_head(out.hidden_states[-1]), out.logits)
        first = model.get_input_embeddings()(IDS)
        if not is_llama(model):
            first = first + model.transformer.wpe(torch.arange(LENGTH))
        assert torch.equal(out.hidden_states[0], first)

    def test_gradients_reach_the_first_position_through_a_cache(self, model: PreTrainedModel) -> None:
        with torch.enable_grad():
            rows = model.get_input_embeddings()(IDS).detach().requires_grad_()
            past = model(inputs_embeds=rows[:, :6], use_cache=True).past_key_values
            model(inputs_embeds=rows[:, 6:], past_key_values=past).logits[0, -1].sum().backward()
        assert rows.grad is not None
        assert float(rows.grad[0, 0].abs().max()) > 0


class TestCache:
    def test_steps_with_a_cache_equal_one_pass(self, model: PreTrainedModel) -> None:
        wanted, past = full(model), DynamicCache()
        for at in range(LENGTH):
            out = model(input_ids=IDS[:, at : at + 1], past_key_values=past, use_cache=True)
            assert out.past_key_values is past
            assert past.get_seq_length() == at + 1
            assert right(out.logits[0, 0], wanted[0, at])

    def test_a_cache_that_is_passed_grows_even_where_none_is_asked_for(self, model: PreTrainedModel) -> None:
        past = prefix(model, 4)
        out = model(input_ids=IDS[:, 4:5], past_key_values=past, use_cache=False)
        assert past.get_seq_length() == 5
        assert (out.past_key_values is past) == is_llama(model)

    def test_the_forms_of_earlier_versions_are_gone(self, model: PreTrainedModel) -> None:
        past = prefix(model, 4)
        with pytest.raises(AttributeError, match="get_seq_length"):
            model(input_ids=IDS[:, 4:], past_key_values=[(keys, values) for keys, values, _ in past])
        with pytest.raises(TypeError):
            past[0]
        assert [len(layer) for layer in past] == [3, 3]
        assert not {"to_legacy_cache", "from_legacy_cache", "key_cache", "value_cache"} & set(dir(past))

    def test_two_branches_need_two_caches(self, model: PreTrainedModel) -> None:
        wanted = full(model)[0, -1]
        past = prefix(model, 9)
        fork = copy.deepcopy(past)
        model(input_ids=torch.tensor([[50]]), past_key_values=past)
        assert wrong(model(input_ids=IDS[:, 9:], past_key_values=past).logits[0, -1], wanted)
        assert right(model(input_ids=IDS[:, 9:], past_key_values=fork).logits[0, -1], wanted)

    def test_with_gradients_a_fork_is_built_anew(self, model: PreTrainedModel) -> None:
        with torch.enable_grad():
            rows = model.get_input_embeddings()(IDS).detach().requires_grad_()
            past = model(inputs_embeds=rows[:, :9], use_cache=True).past_key_values
            with pytest.raises(RuntimeError, match="graph leaves"):
                copy.deepcopy(past)
            fork = DynamicCache([(layer[0], layer[1]) for layer in past])
            model(input_ids=torch.tensor([[50]]), past_key_values=past)
            logits = model(inputs_embeds=rows[:, 9:], past_key_values=fork).logits[0, -1]
            logits.sum().backward()
        assert right(logits, full(model)[0, -1])
        assert rows.grad is not None
        assert float(rows.grad[0, 0].abs().max()) > 0

    def test_fanning_out_and_choosing_rows_happens_in_place(self, model: PreTrainedModel) -> None:
        past = prefix(model, 9)
        assert past.batch_repeat_interleave(3) is None
        ends = torch.tensor([[50], [29], [51]])
        logits = model(input_ids=ends, past_key_values=past).logits[:, -1]
        assert right(logits[1], full(model)[0, -1])
        past.batch_select_indices(torch.tensor([1]))
        more = model(input_ids=torch.tensor([[7]]), past_key_values=past).logits[0, -1]
        assert right(more, full(model, torch.cat([IDS, torch.tensor([[7]])], 1))[0, -1])

    def test_crop_takes_away_so_many(self, model: PreTrainedModel) -> None:
        past = prefix(model, 9)
        past.crop(0)
        assert past.get_seq_length() == 9
        with pytest.raises(ValueError, match="positive"):
            past.crop(4)
        past.crop(-4)
        assert past.get_seq_length() == 5
        assert right(model(input_ids=IDS[:, 5:], past_key_values=past).logits, full(model)[:, 5:])
        past.crop(-99)
        assert past.get_seq_length() == 0
        assert right(model(input_ids=IDS, past_key_values=past).logits, full(model))

    def test_after_a_deletion_in_the_middle_positions_must_be_given(self, model: PreTrainedModel) -> None:
        hidden = causal(LENGTH)
        hidden[..., 7:, 2:5] = LEAST
        wanted = model(input_ids=IDS, attention_mask=hidden, use_cache=False).logits[:, 7:]
        places = torch.arange(7, LENGTH)[None]
        for explicit in (True, False):
            past = prefix(model, 7)
            for layer in past.layers:
                layer.keys = torch.cat([layer.keys[:, :, :2], layer.keys[:, :, 5:]], 2)
                layer.values = torch.cat([layer.values[:, :, :2], layer.values[:, :, 5:]], 2)
            assert past.get_seq_length() == 4
            given = {"position_ids": places} if explicit else {}
            logits = model(input_ids=IDS[:, 7:], past_key_values=past, **given).logits
            assert right(logits, wanted) if explicit else wrong(logits, wanted)


class TestSlidingWindow:
    @pytest.fixture
    def windowed(self) -> PreTrainedModel:
        return tiny("mistral", sliding_window=4)

    def test_a_full_one_can_be_cropped_only_if_the_past_is_recorded(self, windowed: PreTrainedModel) -> None:
        """`is_croppable` does not tell: it asks about recurrent states alone."""
        wanted = windowed(input_ids=IDS, use_cache=False).logits[0, -1]
        for recorded in (False, True):
            past = DynamicCache(config=windowed.config)
            if recorded:
                past.activate_past_recording()
            windowed(input_ids=IDS[:, :8], past_key_values=past)
            assert past.is_croppable
            if recorded:
                past.crop(-1)
                assert right(windowed(input_ids=IDS[:, 7:], past_key_values=past).logits[0, -1], wanted)
            else:
                with pytest.raises(RuntimeError, match="activate_past_recording"):
                    past.crop(-1)

    def test_only_a_copy_remembers_how_much_was_seen(self, windowed: PreTrainedModel) -> None:
        wanted = windowed(input_ids=IDS, use_cache=False).logits[0, -1]
        past = windowed(input_ids=IDS[:, :9], use_cache=True).past_key_values
        rebuilt = DynamicCache([(layer[0], layer[1]) for layer in past])
        copied = copy.deepcopy(past)
        assert (copied.get_seq_length(), rebuilt.get_seq_length()) == (9, 3)
        assert right(windowed(input_ids=IDS[:, 9:], past_key_values=copied).logits[0, -1], wanted)
        assert wrong(windowed(input_ids=IDS[:, 9:], past_key_values=rebuilt).logits[0, -1], wanted)


class TestCheckpointing:
    """Gradient checkpointing leaves a cache out, so that latent steps see no context. Only its length tells."""

    @pytest.fixture(params=["llama", "gpt2"])
    def trained(self, request: pytest.FixtureRequest) -> PreTrainedModel:
        model = tiny(request.param).train()
        assert prefix(model, 6).get_seq_length() == 6
        model.activation_checkpointing_enable()
        return model

    def test_none_comes_back(self, trained: PreTrainedModel) -> None:
        assert trained(input_ids=IDS, use_cache=True).past_key_values is None
        trained.eval()
        assert prefix(trained, 6).get_seq_length() == 6

    def test_one_that_is_passed_is_not_read_and_may_come_back_as_it_was(self, trained: PreTrainedModel) -> None:
        past = prefix(trained.eval(), 9)
        trained.train()
        out = trained(input_ids=IDS[:, 9:], past_key_values=past, use_cache=True)
        assert past.get_seq_length() == 9
        assert (out.past_key_values is past) == is_llama(trained)
        anew = trained(input_ids=IDS[:, 9:], position_ids=torch.tensor([[9]]), use_cache=False)
        if is_llama(trained):
            assert right(out.logits, anew.logits)

    def test_several_new_tokens_fail_over_the_size_of_the_mask(self, trained: PreTrainedModel) -> None:
        past = prefix(trained.eval(), 6)
        trained.train()
        with pytest.raises(RuntimeError, match="must match the size"):
            trained(input_ids=IDS[:, 6:], past_key_values=past, use_cache=True)


class TestPositions:
    def test_left_padding_needs_positions_where_they_are_learned(self, model: PreTrainedModel) -> None:
        padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), IDS], 1)
        mask = (torch.arange(LENGTH + 3) >= 3).long()[None]
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        given = model(input_ids=padded, attention_mask=mask, position_ids=places).logits[:, 3:]
        default = model(input_ids=padded, attention_mask=mask).logits[:, 3:]
        assert right(given, full(model))
        assert right(default, full(model)) == is_llama(model)

    def test_positions_that_jump_pass_for_packed_sequences(self, model: PreTrainedModel) -> None:
        places = torch.tensor([[0, 1, 2, 3, 8, 9, 10, 11, 12, 13]])
        ones = torch.ones(1, LENGTH, dtype=torch.long)
        blocks = causal(LENGTH)
        blocks[..., 4:, :4] = LEAST
        whole = model(input_ids=IDS, position_ids=places, attention_mask=causal(LENGTH), use_cache=False).logits
        apart = model(input_ids=IDS, position_ids=places, attention_mask=blocks, use_cache=False).logits
        found = model(input_ids=IDS, position_ids=places, use_cache=False).logits
        assert right(found, apart)
        assert wrong(found, whole)
        assert right(model(input_ids=IDS, position_ids=places, attention_mask=ones, use_cache=False).logits, whole)
        assert right(model(input_ids=IDS, position_ids=places, use_cache=True).logits, whole)

    def test_a_start_behind_zero_is_no_jump(self, model: PreTrainedModel) -> None:
        places = torch.arange(4, 4 + LENGTH)[None]
        found = model(input_ids=IDS, position_ids=places, use_cache=False).logits
        wanted = model(input_ids=IDS, position_ids=places, attention_mask=causal(LENGTH), use_cache=False).logits
        assert right(found, wanted)


class TestMasks:
    def test_with_a_cache_the_flat_mask_covers_the_past_too(self, model: PreTrainedModel) -> None:
        """A short one is read from the first column on and filled up with zeros: the new tokens see the oldest ones."""
        wanted = full(model)[:, 7:]
        for length in (LENGTH, LENGTH + 5):
            ones = torch.ones(1, length, dtype=torch.long)
            found = model(input_ids=IDS[:, 7:], past_key_values=prefix(model, 7), attention_mask=ones).logits
            assert right(found, wanted)
        short = torch.ones(1, 3, dtype=torch.long)
        found = model(input_ids=IDS[:, 7:], past_key_values=prefix(model, 7), attention_mask=short).logits
        oldest = torch.full((1, 1, 3, LENGTH), LEAST)
        oldest[..., :3] = 0
        read = model(input_ids=IDS[:, 7:], past_key_values=prefix(model, 7), attention_mask=oldest).logits
        assert wrong(found, wanted)
        assert right(found, read)

    @pytest.mark.parametrize("kind", ["llama", "gpt2"])
    def test_a_boolean_mask_is_right_under_one_attention_and_an_additive_one_under_both(
        self, kind: str, attention: str
    ) -> None:
        model = tiny(kind, attention)
        wanted, seen = full(model), causal(LENGTH) == 0
        assert right(model(input_ids=IDS, attention_mask=causal(LENGTH)).logits, wanted)
        found = model(input_ids=IDS, attention_mask=seen).logits
        assert right(found, wanted) if attention == "sdpa" else wrong(found, wanted)
        assert wrong(model(input_ids=IDS, attention_mask=seen.float()).logits, wanted)

    @pytest.mark.parametrize("kind", ["llama", "gpt2"])
    def test_a_row_hidden_by_minus_infinity_spoils_all_rows_under_eager_attention(
        self, kind: str, attention: str
    ) -> None:
        model = tiny(kind, attention)
        for least, spoilt in ((LEAST, False), (-torch.inf, attention == "eager")):
            mask = causal(LENGTH, least)
            mask[..., 0, :] = least
            found = model(input_ids=IDS, attention_mask=mask, use_cache=False).logits
            assert bool(found.isnan().all()) == spoilt
            assert bool(found.isnan().any()) == spoilt

    @pytest.mark.parametrize("kind", ["llama", "gpt2"])
    def test_an_additive_mask_has_the_models_own_type(self, kind: str, attention: str) -> None:
        model, mask = tiny(kind, attention), causal(LENGTH).double()
        if attention == "eager":
            assert right(model(input_ids=IDS, attention_mask=mask).logits.float(), full(model))
        else:
            with pytest.raises(RuntimeError, match="dtype"):
                model(input_ids=IDS, attention_mask=mask)

    def test_a_mask_without_heads_is_refused_or_misread(self, model: PreTrainedModel) -> None:
        flat = causal(LENGTH)[0]
        if is_llama(model):
            with pytest.raises((RuntimeError, ValueError, IndexError)):
                model(input_ids=IDS, attention_mask=flat)
        else:
            assert wrong(model(input_ids=IDS, attention_mask=flat).logits, full(model))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_new_rows_of_the_embeddings_stand_at_the_mean_of_the_old_ones_unless_told_otherwise(kind: str) -> None:
    """All new marks then mean nearly the same."""
    mean = tiny(kind).get_input_embeddings().weight.mean(0)
    near, spread = tiny(kind), tiny(kind)
    near.resize_token_embeddings(68)
    spread.resize_token_embeddings(68, mean_resizing=False)
    assert right(near.get_input_embeddings().weight[64:], mean)
    assert wrong(spread.get_input_embeddings().weight[64:], mean)


class TestGenerate:
    @pytest.fixture
    def wanted(self, model: PreTrainedModel) -> list[int]:
        ids = IDS
        for _ in range(5):
            ids = torch.cat([ids, full(model, ids)[:, -1].argmax(-1, keepdim=True)], 1)
        return [int(token) for token in ids[0, LENGTH:]]

    @staticmethod
    def more(model: PreTrainedModel, **given: object) -> list[int]:
        out = model.generate(**given, max_new_tokens=5, do_sample=False, pad_token_id=0)
        return [int(token) for token in out[0]]

    def test_from_embeddings_only_new_ids_come_back(self, model: PreTrainedModel, wanted: list[int]) -> None:
        rows, ones = model.get_input_embeddings()(IDS), torch.ones_like(IDS)
        assert self.more(model, inputs_embeds=rows, attention_mask=ones) == wanted
        both = self.more(model, input_ids=torch.zeros_like(IDS), inputs_embeds=rows, attention_mask=ones)
        assert both == [0] * LENGTH + wanted

    def test_a_longest_length_counts_the_embeddings(self, model: PreTrainedModel, wanted: list[int]) -> None:
        rows, ones = model.get_input_embeddings()(IDS), torch.ones_like(IDS)
        given = {"inputs_embeds": rows, "attention_mask": ones, "do_sample": False, "pad_token_id": 0}
        assert model.generate(**given, max_length=LENGTH + 3)[0].tolist() == wanted[:3]
        with pytest.raises(ValueError, match="max_length"):
            model.generate(**given, max_length=LENGTH)

    def test_behind_a_cache_the_embeddings_are_the_whole_sequence(
        self, model: PreTrainedModel, wanted: list[int]
    ) -> None:
        """The rows of what is cached are not looked at; the new rows alone are taken for part of the past."""
        rows, ones = model.get_input_embeddings()(IDS), torch.ones_like(IDS)
        blank = torch.cat([torch.zeros_like(rows[:, :4]), rows[:, 4:]], 1)
        found = self.more(model, inputs_embeds=blank, attention_mask=ones, past_key_values=prefix(model, 4))
        assert found == wanted
        found = self.more(model, inputs_embeds=rows[:, 4:], attention_mask=ones, past_key_values=prefix(model, 4))
        assert found != wanted
        with pytest.raises((RuntimeError, ValueError, IndexError)):
            self.more(model, inputs_embeds=rows[:, 9:], attention_mask=ones, past_key_values=prefix(model, 9))

    def test_behind_a_cache_new_ids_need_a_mask_of_full_length(self, model: PreTrainedModel, wanted: list[int]) -> None:
        assert self.more(model, input_ids=IDS, past_key_values=prefix(model, 4))[-5:] == wanted
        ones = torch.ones_like(IDS)
        new = self.more(model, input_ids=IDS[:, 4:], attention_mask=ones, past_key_values=prefix(model, 4))
        assert new[-5:] == wanted
        for mask in ({}, {"attention_mask": ones[:, 4:]}):
            try:
                found = self.more(model, input_ids=IDS[:, 4:], past_key_values=prefix(model, 4), **mask)
            except (RuntimeError, ValueError, IndexError):
                continue
            assert found[-5:] != wanted

    def test_a_mask_with_heads_does_not_survive_the_loop(self, model: PreTrainedModel) -> None:
        rows, mask = model.get_input_embeddings()(IDS), causal(LENGTH)
        for given in ({"input_ids": IDS}, {"inputs_embeds": rows}):
            with pytest.raises((RuntimeError, ValueError, IndexError)):
                self.more(model, **given, attention_mask=mask)

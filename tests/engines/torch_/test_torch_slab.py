"""The block of keys and values: ragged rows through the model equal each row alone, in one piece."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.torch

from ponder.engines.torch.slab import Slab  # noqa: E402

SEQUENCES = [[5, 6, 7, 8, 9, 10], [20, 21, 22], [30, 31, 32, 33, 34, 35, 36, 37, 38]]


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=["llama", "gpt2", "qwen3", "eager"])
def model(request: pytest.FixtureRequest) -> torch.nn.Module:
    """Models that differ in what could go wrong: relative and learned positions, grouped heads, other attention."""
    torch.manual_seed(1)
    small = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    kinds = {
        "llama": ("llama", {"intermediate_size": 64, "num_key_value_heads": 2}),
        "eager": ("llama", {"intermediate_size": 64, "num_key_value_heads": 4}),
        "gpt2": ("gpt2", {}),
        "qwen3": ("qwen3", {"intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 16}),
    }
    name, more = kinds[request.param]
    config = transformers.AutoConfig.for_model(name, **small, **more, initializer_range=0.3)
    config.bos_token_id = config.eos_token_id = config.pad_token_id = None
    attention = "eager" if request.param == "eager" else "sdpa"
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()


def step(model: torch.nn.Module, slab: Slab, rows: list[int], starts: list[int], ids: list[list[int]]) -> torch.Tensor:
    new = len(ids[0])
    slab.aim(rows, starts, new)
    places = torch.tensor(starts)[:, None] + torch.arange(new)
    hidden = torch.arange(max(starts) + new) > places[:, None, :, None]
    mask = torch.zeros(hidden.shape).masked_fill(hidden, torch.finfo(torch.float32).min)
    out = model(
        input_ids=torch.tensor(ids),
        attention_mask=mask,
        position_ids=places,
        past_key_values=slab.cache,
        use_cache=True,
    )
    return out.logits


def alone(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]


def filled(model: torch.nn.Module, room: int = 16) -> Slab:
    """All but the last token of each sequence, read in pieces."""
    slab = Slab(2)
    slab.reserve(3, room)
    for row, ids in enumerate(SEQUENCES):
        step(model, slab, [row], [0], [ids[:2]])
        if len(ids) > 3:
            step(model, slab, [row], [2], [ids[2:-1]])
    return slab


@pytest.mark.parametrize("rows", [[0, 1, 2], [1, 2], [0, 2], [1]])
def test_ragged_rows_equal_each_row_alone(model: torch.nn.Module, rows: list[int]) -> None:
    slab = filled(model)
    ids = [[SEQUENCES[row][-1]] for row in rows]
    logits = step(model, slab, rows, [len(SEQUENCES[row]) - 1 for row in rows], ids)
    for row, found in zip(rows, logits[:, -1], strict=True):
        assert torch.allclose(found, alone(model, SEQUENCES[row]), atol=1e-4)


def test_growing_loses_nothing(model: torch.nn.Module) -> None:
    slab = filled(model)
    slab.reserve(5, 300)
    logits = step(model, slab, [0], [5], [[SEQUENCES[0][-1]]])
    assert torch.allclose(logits[0, -1], alone(model, SEQUENCES[0]), atol=1e-4)


def test_what_is_read_out_can_be_written_to_another_row(model: torch.nn.Module) -> None:
    slab = filled(model)
    first, second = slab.read(2, 0, 3), slab.read(2, 3, 8)
    assert [tensor.shape[1] for tensor in first] == [3] * 4
    other = Slab(2)
    other.reserve(2, 16)
    assert other.write(1, 0, []) == 0
    assert other.write(1, 0, [first, second]) == 8
    logits = step(model, other, [1], [8], [[SEQUENCES[2][-1]]])
    assert torch.allclose(logits[0, -1], alone(model, SEQUENCES[2]), atol=1e-4)


def test_what_is_read_out_is_a_copy(model: torch.nn.Module) -> None:
    slab = filled(model)
    before = slab.read(0, 0, 2)
    kept = [tensor.clone() for tensor in before]
    step(model, slab, [0], [0], [[60, 61]])
    assert all(torch.equal(one, two) for one, two in zip(before, kept, strict=True))
    assert not torch.equal(slab.read(0, 0, 2)[0], kept[0])


def test_a_row_can_move(model: torch.nn.Module) -> None:
    slab = filled(model)
    slab.move(2, 0, 8)
    logits = step(model, slab, [0], [8], [[SEQUENCES[2][-1]]])
    assert torch.allclose(logits[0, -1], alone(model, SEQUENCES[2]), atol=1e-4)


def test_a_cleared_block_gives_its_memory_back_and_starts_anew(model: torch.nn.Module) -> None:
    slab = filled(model)
    slab.clear()
    assert all(layer.keys is None for layer in slab.cache.layers)
    slab.reserve(1, 16)
    step(model, slab, [0], [0], [SEQUENCES[1][:-1]])
    logits = step(model, slab, [0], [2], [[SEQUENCES[1][-1]]])
    assert torch.allclose(logits[0, -1], alone(model, SEQUENCES[1]), atol=1e-4)


@pytest.mark.parametrize("rows", [[0, 1, 2], [0, 2]])
def test_several_rows_take_several_tokens_and_what_fills_up_the_short_ones_does_no_harm(
    model: torch.nn.Module, rows: list[int]
) -> None:
    slab = Slab(2)
    slab.reserve(3, 16)
    starts = [1, 0, 2]
    for row in rows:
        if starts[row]:
            step(model, slab, [row], [0], [SEQUENCES[row][: starts[row]]])
    new = [SEQUENCES[row][starts[row] : starts[row] + 3] for row in rows]
    new[1 if len(rows) == 3 else 0][2] = 63
    known = [starts[row] + (2 if tokens[2] == 63 else 3) for row, tokens in zip(rows, new, strict=True)]
    step(model, slab, rows, [starts[row] for row in rows], new)
    for row, at in zip(rows, known, strict=True):
        logits = step(model, slab, [row], [at], [SEQUENCES[row][at : at + 1]]) if at < len(SEQUENCES[row]) else None
        if logits is not None:
            assert torch.allclose(logits[0, -1], alone(model, SEQUENCES[row][: at + 1]), atol=1e-4)

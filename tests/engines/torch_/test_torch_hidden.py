"""Hidden states are those that the model itself gives, at the position whose logits drew the token."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_llama import ask, go_on, ids_of, read

from ponder.core.engine import ALL_LAYERS, Cap, Chunk, Sampling
from ponder.core.run import Run

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.torch

from ponder.engines.torch.engine import TorchEngine  # noqa: E402
from ponder.engines.torch.hidden import pack, resolve, stack  # noqa: E402
from ponder.engines.torch.load import load  # noqa: E402

END = 1
LAYERS = (0, 1, 2)
GREEDY = Sampling(max_tokens=9, temperature=0, hidden=LAYERS, logit_bias=((END, -math.inf),))


def states_of(chunks: list[Chunk]) -> torch.Tensor:
    """All states of a reply: (tokens, layers, hidden size)."""
    parts = [
        torch.frombuffer(bytearray(c.hidden), dtype=torch.float32).view(*c.hidden.shape) for c in chunks if c.hidden
    ]
    return torch.cat(parts)


def own_states(folder: Path, question: str, reply: tuple[int, ...]) -> torch.Tensor:
    """The model's own states before each token of a reply, from one pass over everything, all layers."""
    loaded = load(folder, "float32")
    head = loaded.renderer("here", None).render(ask(question)).ids
    with torch.no_grad():
        out = loaded.model(torch.tensor([[*head, *reply]]), output_hidden_states=True)
    return torch.stack([state[0, len(head) - 1 : -1] for state in out.hidden_states], dim=1)


def close(found: torch.Tensor, own: torch.Tensor) -> bool:
    """To 1e-5 of the largest entry: states grow from block to block, to 30 here."""
    return found.shape == own.shape and float((found - own).abs().max()) <= 1e-5 * float(own.abs().max())


def test_numbers_count_from_either_end() -> None:
    assert resolve((0, 2, -1, -3, 1), 2) == (0, 2, 2, 0, 1)
    assert resolve((), 2) == ()
    assert resolve(ALL_LAYERS, 2) == (0, 1, 2)


def test_states_become_bytes_in_the_order_that_was_asked_for() -> None:
    states = {0: torch.arange(12.0).view(2, 3, 2), 4: -torch.arange(12.0).view(2, 3, 2)}
    assert pack(states, (), 0, 0) is None
    one = pack(states, (4, 0), 1, -1)
    assert one is not None
    assert (one.tolist(), one.format, one.shape) == ([[-10.0, -11.0], [10.0, 11.0]], "f", (2, 2))
    two = stack([one, one])
    assert two is not None
    assert (two.tolist(), two.shape) == ([one.tolist()] * 2, (2, 2, 2))
    assert stack([]) is None


def test_states_of_half_precision_are_given_as_float32() -> None:
    one = pack({0: torch.ones(1, 1, 4, dtype=torch.bfloat16) / 3}, (0,), 0, 0)
    assert one is not None
    assert (one.format, one.shape) == ("f", (1, 4))
    assert one[0, 0] == pytest.approx(1 / 3, abs=1e-3)


async def test_they_equal_the_models_own(folder: Path, engine: TorchEngine) -> None:
    assert Cap.HIDDEN in engine.caps
    chunks = await read(engine, ask("12 + 30"), GREEDY)
    found = states_of(chunks)
    assert found.shape == (9, 3, 64)
    assert close(found, own_states(folder, "12 + 30", ids_of(chunks)))


async def test_all_layers_can_be_asked_for_without_knowing_how_many_there_are(engine: TorchEngine) -> None:
    chunks = await read(engine, ask("12 + 30"), GREEDY)
    assert states_of(await read(engine, ask("12 + 30"), replace(GREEDY, hidden=ALL_LAYERS))).equal(states_of(chunks))


async def test_the_last_state_gives_the_logits_that_drew_the_token(folder: Path, engine: TorchEngine) -> None:
    chunks = await read(engine, ask("12 + 30"), replace(GREEDY, hidden=(-1,), logit_bias=()))
    head = load(folder, "float32").model.get_output_embeddings()
    drawn = head(states_of(chunks)[:, 0]).argmax(-1).tolist()
    assert drawn[: len(ids_of(chunks))] == list(ids_of(chunks))


async def test_rows_of_a_batch_get_their_own_and_only_what_they_ask_for(folder: Path, engine: TorchEngine) -> None:
    asked: list[tuple[int, ...]] = [(2,), (), (0, -1), (1,), (-2, 0, 1)]
    calls = [(ask("q" * n), replace(GREEDY, hidden=layers)) for n, layers in enumerate(asked, 1)]
    replies = await asyncio.gather(*(read(engine, *call) for call in calls))
    for n, (layers, chunks) in enumerate(zip(asked, replies, strict=True), 1):
        if not layers:
            assert all(chunk.hidden is None for chunk in chunks)
            continue
        own = own_states(folder, "q" * n, ids_of(chunks))[:, list(resolve(layers, 2))]
        assert close(states_of(chunks), own)


async def test_every_token_that_is_billed_has_its_states(engine: TorchEngine) -> None:
    """Also the token that ends the turn, tokens of an unfinished character, and those behind a stop string."""
    ended = await read(engine, ask("x"), replace(GREEDY, logit_bias=((END, 1e4),)))
    stopped = await read(engine, ask("x"), replace(GREEDY, max_tokens=300, temperature=1.0, stop=("e",)))
    for chunks in (ended, stopped):
        for chunk in chunks:
            assert (chunk.hidden is None) == (chunk.tokens == 0)
            assert chunk.hidden is None or chunk.hidden.shape == (chunk.tokens, 3, 64)


async def test_a_continued_thought_has_the_states_of_the_uncut_one(folder: Path, engine: TorchEngine) -> None:
    async with TorchEngine(folder, dtype="float32", threads=1) as other:
        whole = await read(other, ask("cut"), replace(GREEDY, max_tokens=14))
    first = await read(engine, ask("cut"), replace(GREEDY, max_tokens=7))
    second = await read(engine, go_on(ask("cut"), first), replace(GREEDY, max_tokens=7))
    assert close(torch.cat([states_of(first), states_of(second)]), states_of(whole))


async def test_a_call_collects_them_in_the_order_of_its_tokens(folder: Path, engine: TorchEngine) -> None:
    call = await Run(engine, sampling=replace(GREEDY, hidden=(1,))).generate(ask("call"))
    rows = [row for block in call.hidden for row in block.tolist()]
    assert len(rows) == call.tokens == 9
    own = own_states(folder, "call", call.token_ids)[:, 1]
    assert close(torch.tensor(rows)[:, 0], own)


@pytest.mark.parametrize("kind", ["gpt2", "qwen3", "gemma2"])
async def test_models_that_number_differently_inside(folder: Path, tmp_path: Path, kind: str) -> None:
    """Learned positions are part of state 0 in GPT-2, a scale is in Gemma."""
    from tiny_llama import save_tokenizer

    torch.manual_seed(3)
    small = {"vocab_size": 322, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    more = {} if kind == "gpt2" else {"intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8}
    config = transformers.AutoConfig.for_model(kind, **small, **more, initializer_range=0.3)
    config.bos_token_id = config.pad_token_id = None
    config.eos_token_id = END
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    async with TorchEngine(tmp_path, dtype="float32", threads=1) as engine:
        chunks = await read(engine, ask("12 + 30"), GREEDY)
    found, own = states_of(chunks), own_states(tmp_path, "12 + 30", ids_of(chunks))
    assert close(found, own)

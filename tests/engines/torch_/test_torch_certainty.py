"""Certainty is KL(U || p) of the model's own distribution, at every token, whoever else is in the batch."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_llama import ask, ids_of, read, save_tokenizer

from ponder.core.engine import Cap, Chunk, Logprob, Sampling
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample
from ponder.scorers.self_certainty import MeanCertainty
from ponder.steer.draw import draw as draw_sample

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.torch

from ponder.engines.torch.engine import TorchEngine  # noqa: E402
from ponder.engines.torch.load import load  # noqa: E402
from ponder.engines.torch.sampler import FLOOR, certainty  # noqa: E402

REASONER = Path(__file__).parents[3] / "ponder" / "models" / "tiny-reasoner"
WARM = Sampling(max_tokens=24, temperature=0.9, seed=3, certainty=True)


@pytest.fixture
async def reasoner() -> AsyncIterator[TorchEngine]:
    async with TorchEngine(REASONER, dtype="float32", threads=1) as opened:
        yield opened


def own(folder: Path, prompt: Prompt, reply: Sequence[int]) -> list[float]:
    """Return the certainties of a reply from one pass over everything: a full log-softmax at each position."""
    loaded = load(folder, "float32")
    head = loaded.renderer("here", None).render(prompt).ids
    with torch.no_grad():
        logits = loaded.model(torch.tensor([[*head, *reply]])).logits[0, len(head) - 1 : -1].double()
    every = torch.log_softmax(logits[:, : loaded.spelled], dim=-1)
    return [float(-(math.log(loaded.spelled) + row).mean()) for row in every]


def tokens(chunks: list[Chunk]) -> list[Logprob]:
    return [token for chunk in chunks for token in chunk.logprobs]


def found(chunks: list[Chunk]) -> list[float]:
    return [token.certainty for token in tokens(chunks) if token.certainty is not None]


def test_the_worked_numbers() -> None:
    logits = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.25] * 4]).log()
    assert certainty(logits, 4).tolist() == pytest.approx([0.42981, 0.0], abs=1e-5)
    assert certainty(logits + 5.0, 4).tolist() == pytest.approx([0.42981, 0.0], abs=1e-5)


def test_rows_that_only_fill_the_vocabulary_up_do_not_count() -> None:
    padded = torch.tensor([[[0.7, 0.1, 0.1, 0.1, 9.0, 1e-9]]]).log()
    assert certainty(padded, 4).tolist() == [[pytest.approx(0.42981, abs=1e-5)]]


def test_a_token_that_is_ruled_out_counts_as_the_floor() -> None:
    logits = torch.tensor([0.5, 0.5, 0.0, 0.0]).log()
    expected = -(2 * math.log(0.5) + 2 * FLOOR) / 4 - math.log(4)
    assert float(certainty(logits, 4)) == pytest.approx(expected, rel=1e-6)


async def test_it_equals_a_full_log_softmax_at_every_token(reasoner: TorchEngine) -> None:
    assert Cap.FULL_LOGPROBS in reasoner.caps
    chunks = await read(reasoner, ask("12 + 30 = ?"), replace(WARM, temperature=0, max_tokens=200))
    ids = ids_of(chunks)
    figures = found(chunks)
    assert len(figures) == sum(chunk.tokens for chunk in chunks) > 20
    assert figures[: len(ids)] == pytest.approx(own(REASONER, ask("12 + 30 = ?"), ids), abs=1e-4)
    assert all(token.top == () for token in tokens(chunks))


async def test_rows_of_a_batch_get_their_own_and_only_where_they_ask(reasoner: TorchEngine) -> None:
    asked = [True, False, True, True, False]
    calls = [(ask("7 + " * n + "5"), replace(WARM, certainty=on, seed=n)) for n, on in enumerate(asked, 1)]
    replies = await asyncio.gather(*(read(reasoner, *call) for call in calls))
    for (prompt, _), on, chunks in zip(calls, asked, replies, strict=True):
        if not on:
            assert tokens(chunks) == []
            continue
        ids = ids_of(chunks)
        assert found(chunks)[: len(ids)] == pytest.approx(own(REASONER, prompt, ids), abs=1e-4)


async def test_it_stands_beside_the_rivals_and_is_that_of_the_raw_logits(folder: Path, engine: TorchEngine) -> None:
    """Bias, filters and temperature change what is drawn, and not what the model was sure of."""
    bent = replace(WARM, logprobs=3, temperature=2.0, top_k=5, top_p=0.9, logit_bias=((40, 5.0), (1, -math.inf)))
    chunks = await read(engine, ask("raw"), bent)
    ids = ids_of(chunks)
    assert all(len(token.top) == 3 for token in tokens(chunks))
    assert found(chunks)[: len(ids)] == pytest.approx(own(folder, ask("raw"), ids), abs=1e-4)
    plain = [token._replace(certainty=None) for token in tokens(chunks)]
    assert tokens(await read(engine, ask("raw"), replace(bent, certainty=False))) == plain


async def test_forced_tokens_have_theirs(folder: Path, engine: TorchEngine) -> None:
    given = (40, 41, 50, 60, 45)
    chunks = await read(engine, ask("x"), Sampling(max_tokens=0, force=given, certainty=True))
    assert found(chunks) == pytest.approx(own(folder, ask("x"), given), abs=1e-4)
    chunks = await read(engine, ask("y"), replace(WARM, force=given, max_tokens=6, logit_bias=((1, -math.inf),)))
    ids = ids_of(chunks)
    assert found(chunks)[: len(ids)] == pytest.approx(own(folder, ask("y"), ids), abs=1e-4)


async def test_a_padded_model_leaves_its_padding_out(tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=384, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, initializer_range=0.3, eos_token_id=1, bos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    loaded = load(tmp_path, "float32")
    assert (loaded.words, loaded.spelled) == (384, len(transformers.AutoTokenizer.from_pretrained(tmp_path)))
    assert loaded.spelled < 384
    real = tuple((token, -math.inf) for token in (1, *range(loaded.spelled, 384)))
    async with TorchEngine(tmp_path, dtype="float32", threads=1) as engine:
        chunks = await read(engine, ask("x"), replace(WARM, max_tokens=5, logit_bias=real))
    ids = ids_of(chunks)
    assert found(chunks)[: len(ids)] == pytest.approx(own(tmp_path, ask("x"), ids), abs=1e-4)


async def test_the_scorer_reads_what_it_asked_for(reasoner: TorchEngine) -> None:
    scorer, question = MeanCertainty(), Problem.of("7 + 5 = ?")
    run = Run(reasoner, sampling=Sampling(max_tokens=30, temperature=0.8))
    samples = [await draw_sample(Sample(), question, run, index, asks=scorer.asks()) for index in range(2)]
    scores = await scorer.score(question, [sample.call for sample in samples], run)
    for sample, score in zip(samples, scores, strict=True):
        figures = [token.certainty or 0.0 for token in sample.call.logprobs]
        assert len(figures) == sample.call.tokens
        assert score.value == pytest.approx(math.fsum(figures) / len(figures))

"""Forced tokens: read as a prompt, given out as such, scored as the model would score them, and never billed."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path

import pytest
from lora_folders import save_lora
from tiny_llama import ask, ids_of, read, text_of, tokens_of

from ponder.core.engine import Cap, Chunk, Sampling
from ponder.core.errors import EngineError, OptionError
from ponder.core.run import Run

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")]

from ponder.engines.torch.batch import Batch  # noqa: E402
from ponder.engines.torch.engine import TorchEngine  # noqa: E402
from ponder.engines.torch.load import load  # noqa: E402

END = 1
WARM = Sampling(max_tokens=30, temperature=0.8, branch_seed=7, logit_bias=((END, -math.inf),))
GIVEN = (77, 130, 300, 9, 41, 250)


def own(folder: Path, question: str, reply: tuple[int, ...], prefill: str = "") -> tuple[list[float], torch.Tensor]:
    """The log-probabilities of a reply in one plain pass, and the states before them (tokens, layers, size)."""
    loaded = load(folder, "float32")
    head = loaded.renderer("here", None).render(ask(question, prefill)).ids
    with torch.no_grad():
        out = loaded.model(torch.tensor([[*head, *reply]]), output_hidden_states=True)
    every = torch.log_softmax(out.logits[0, len(head) - 1 : -1], -1)
    states = torch.stack([state[0, len(head) - 1 : -1] for state in out.hidden_states], dim=1)
    return [float(row[token]) for row, token in zip(every, reply, strict=True)], states


def probabilities(chunks: list[Chunk]) -> list[float]:
    return [one.logprob for chunk in chunks for one in chunk.logprobs]


def forced(chunks: list[Chunk]) -> list[Chunk]:
    return [chunk for chunk in chunks if chunk.forced]


async def test_a_given_text_is_scored_and_nothing_is_generated(folder: Path, engine: TorchEngine) -> None:
    assert Cap.FORCE in engine.caps
    chunks = await read(engine, ask("12"), Sampling(max_tokens=0, force=GIVEN, logprobs=2, hidden=(0, 2)))
    scores, states = own(folder, "12", GIVEN)
    assert ids_of(chunks) == GIVEN
    assert probabilities(chunks) == pytest.approx(scores, abs=1e-4)
    assert all(len(one.top) == 2 for chunk in chunks for one in chunk.logprobs)
    found = torch.tensor([row for chunk in chunks if chunk.hidden for row in chunk.hidden.tolist()])
    assert torch.allclose(found, states[:, [0, 2]], atol=1e-4)
    assert (tokens_of(chunks), engine.generated) == (0, 0)
    assert [chunk.forced for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    end = chunks[-1]
    assert (end.text, end.finish) == ("", "length")
    assert end.usage is not None
    assert end.usage.prompt is not None
    assert (end.usage.generated, engine.positions) == (0, end.usage.prompt - 1)


async def test_a_text_is_spelt_as_the_model_s_own_tokens(folder: Path, engine: TorchEngine) -> None:
    """Marks in it are marks, and what stands before and behind it may be ids."""
    spelt = tuple(load(folder, "float32").renderer("here", None).spelt(["<think>\nso the answer is 42"]))
    given = Sampling(max_tokens=0, force=(77, "<think>\nso the answer is 42", 130), logprobs=1)
    chunks = await read(engine, ask("12"), given)
    assert len(spelt) < len("so the answer is 42")
    assert ids_of(chunks) == (77, *spelt, 130)
    assert probabilities(chunks) == pytest.approx(own(folder, "12", (77, *spelt, 130))[0], abs=1e-4)
    call = await Run(engine).generate(ask("12"), force=given.force, max_tokens=0, logprobs=1)
    assert (call.forced, call.tokens, len(call.logprobs)) == (len(spelt) + 2, 0, len(spelt) + 2)
    with pytest.raises(OptionError, match="texts that are not empty"):
        Sampling(force=("",))


async def test_the_prompt_counts_them(engine: TorchEngine) -> None:
    plain = (await read(engine, ask("12"), replace(WARM, max_tokens=1)))[-1].usage
    usage = (await read(engine, ask("12"), replace(WARM, max_tokens=1, force=GIVEN)))[-1].usage
    assert plain is not None
    assert usage is not None
    assert usage.prompt == (plain.prompt or 0) + len(GIVEN)
    assert usage.generated == 1


@pytest.mark.parametrize("temperature", [0.0, 0.8])
async def test_a_reply_goes_on_after_them_as_the_uncut_one(
    folder: Path, engine: TorchEngine, temperature: float
) -> None:
    sampling = replace(WARM, temperature=temperature, logprobs=1)
    async with TorchEngine(folder, dtype="float32", threads=1) as other:
        whole = await read(other, ask("12 + 30"), sampling)
    ids = ids_of(whole)
    chunks = await read(engine, ask("12 + 30"), replace(sampling, force=ids[:11], max_tokens=19))
    assert ids_of(chunks) == ids
    assert text_of(chunks) == text_of(whole)
    assert probabilities(chunks) == pytest.approx(probabilities(whole), abs=1e-4)
    assert tokens_of(chunks) == engine.generated == 19
    assert sum(len(chunk.token_ids) for chunk in forced(chunks)) == 11


async def test_what_was_drawn_scores_as_it_did_when_it_was_drawn(folder: Path, engine: TorchEngine) -> None:
    """Also the end of the turn, which is a token like others when it is forced."""
    whole = await read(engine, ask("drawn"), replace(WARM, logprobs=1))
    ids = ids_of(whole)
    chunks = await read(engine, ask("drawn"), Sampling(max_tokens=0, force=(*ids, END), logprobs=1))
    assert ids_of(chunks) == (*ids, END)
    assert probabilities(chunks)[:-1] == pytest.approx(probabilities(whole), abs=1e-4)
    assert probabilities(chunks) == pytest.approx(own(folder, "drawn", (*ids, END))[0], abs=1e-4)


async def test_the_whole_distribution_of_every_forced_token(engine: TorchEngine) -> None:
    chunks = await read(engine, ask("all"), Sampling(max_tokens=0, force=GIVEN, logprobs=322))
    probs = [one for chunk in chunks for one in chunk.logprobs]
    assert len(probs) == len(GIVEN)
    for one in probs:
        assert math.isclose(math.fsum(math.exp(value) for _, value in one.top), 1.0, rel_tol=1e-5)


async def test_a_long_text_is_scored_in_pieces(folder: Path, engine: TorchEngine) -> None:
    text = tuple(5 + 7 * n % 300 for n in range(700))
    chunks = await read(engine, ask("long"), Sampling(max_tokens=0, force=text, logprobs=1, hidden=(1,)))
    scores, states = own(folder, "long", text)
    assert probabilities(chunks) == pytest.approx(scores, abs=1e-3)
    rows = [row for chunk in chunks if chunk.hidden for row in chunk.hidden.tolist()]
    assert torch.allclose(torch.tensor(rows)[:, 0], states[:, 1], atol=1e-3)


async def test_scores_are_right_also_where_all_was_read_before(folder: Path, engine: TorchEngine) -> None:
    """Keys and values are kept, logits are not: positions that score are computed again, and no others."""
    ask_for = Sampling(max_tokens=0, force=GIVEN, logprobs=1)
    first = await read(engine, ask("twice"), ask_for)
    before = engine.positions
    again = await read(engine, ask("twice"), ask_for)
    assert probabilities(again) == pytest.approx(probabilities(first), abs=1e-4)
    assert engine.positions - before == len(GIVEN)
    before = engine.positions
    silent = await read(engine, ask("twice"), replace(ask_for, logprobs=0))
    assert (ids_of(silent), engine.positions - before) == (GIVEN, 0)


async def test_eight_texts_after_one_question_read_it_once(folder: Path, engine: TorchEngine) -> None:
    texts = [(50 + n, *GIVEN) for n in range(8)]
    question = "which is the best? " * 20
    calls = [Sampling(max_tokens=0, force=text, logprobs=1) for text in texts]
    replies = await asyncio.gather(*(read(engine, ask(question), call) for call in calls))
    for text, chunks in zip(texts, replies, strict=True):
        assert probabilities(chunks) == pytest.approx(own(folder, question, text)[0], abs=1e-4)
    usage = replies[0][-1].usage
    assert usage is not None
    assert usage.prompt is not None
    question_size = usage.prompt - len(texts[0])
    assert engine.positions == question_size - 1 + 8 * len(texts[0])


async def test_they_stand_behind_a_prefill_and_close_a_thought(folder: Path, engine: TorchEngine) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    opening, closing = tokenizer.convert_tokens_to_ids(["<think>", "</think>"])
    no_marks = ((opening, -math.inf), (closing, -math.inf), (END, -math.inf))
    give = replace(WARM, max_tokens=5, force=(77, closing, 78), logit_bias=no_marks)
    chunks = await read(engine, ask("x", "<think>\nhm"), give)
    shown = [(chunk.channel, chunk.markup, chunk.forced) for chunk in chunks if chunk.text]
    assert shown[:3] == [("think", False, True), ("think", True, True), ("answer", False, True)]
    assert {(channel, given) for channel, _, given in shown[3:]} == {("answer", False)}
    scored = await read(engine, ask("x", "so "), Sampling(max_tokens=0, force=GIVEN, logprobs=1))
    assert probabilities(scored) == pytest.approx(own(folder, "x", GIVEN, "so ")[0], abs=1e-4)


async def test_a_stop_string_is_looked_for_in_what_is_generated(folder: Path, engine: TorchEngine) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    given = tuple(tokenizer("wait, wait", add_special_tokens=False)["input_ids"])
    forcing = ((given[-1], 1e4),)
    chunks = await read(engine, ask("x"), Sampling(max_tokens=4, force=given, stop=("wait",), logit_bias=forcing))
    assert text_of(forced(chunks)) == "wait, wait"
    assert ids_of(chunks)[: len(given)] == given


async def test_half_a_character_at_the_end_is_completed_by_what_is_generated(folder: Path, engine: TorchEngine) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    first, *rest = tokenizer("é", add_special_tokens=False)["input_ids"]
    assert len(rest) == 1
    chunks = await read(engine, ask("x"), Sampling(max_tokens=1, force=(first,), logit_bias=((rest[0], 1e4),)))
    assert [(c.text, c.token_ids, c.tokens, c.forced) for c in chunks if c.token_ids] == [
        ("", (first,), 0, True), ("é", tuple(rest), 1, False)
    ]  # fmt: skip


async def test_a_run_keeps_them_apart_from_the_bill(engine: TorchEngine) -> None:
    run = Run(engine, sampling=replace(WARM, branch_seed=None, logprobs=1), budget=40)
    call = await run.generate(ask("run"), force=GIVEN, max_tokens=8)
    assert (call.forced, call.tokens, call.finish) == (6, 8, "length")
    assert call.token_ids[:6] == GIVEN
    assert len(call.token_ids) == len(call.logprobs) == 14
    scored = await run.generate(ask("run"), force=call.token_ids, max_tokens=0)
    assert (scored.tokens, scored.finish, scored.forced, scored.token_ids) == (0, "length", 14, call.token_ids)
    assert [one.logprob for one in scored.logprobs] == pytest.approx([one.logprob for one in call.logprobs], abs=1e-4)
    further = await run.generate(ask("run") + call, max_tokens=3)
    assert further.prompt_tokens == call.prompt_tokens + 8
    assert run.trace.tokens == engine.generated == 11
    assert run.budget == 29


async def test_a_run_whose_budget_is_spent_still_scores(engine: TorchEngine) -> None:
    run = Run(engine, sampling=replace(WARM, branch_seed=None), budget=3)
    assert (await run.generate(ask("spent"))).finish == "budget"
    assert (await run.generate(ask("spent"), force=GIVEN)).finish == "budget"
    scored = await run.generate(ask("spent"), force=GIVEN, max_tokens=0, logprobs=1)
    assert (scored.finish, len(scored.logprobs)) == ("length", 6)
    assert run.trace.tokens == engine.generated == 3


async def test_a_run_continues_a_branch_with_its_own_noise(folder: Path, engine: TorchEngine) -> None:
    """As continuing from a prefill does: the first sample of a prompt, given a part of itself, goes on as it did."""
    sampling = replace(WARM, branch_seed=None)
    whole = await Run(engine, sampling=sampling, seed=5).generate(ask("noise"))
    run = Run(engine, sampling=sampling, seed=5)
    first = await run.generate(ask("noise"), max_tokens=7)
    second = await run.generate(ask("noise"), force=first.token_ids, max_tokens=23)
    assert second.token_ids == whole.token_ids


async def test_each_adapter_scores_for_itself(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    save_lora(folder, tmp_path / "a")
    call = Sampling(max_tokens=0, force=GIVEN, logprobs=1)
    async with TorchEngine(folder, dtype="float32", threads=1, adapters=[("a", tmp_path / "a")]) as engine:
        plain = await read(engine, ask("x"), call)
        other = await read(engine, ask("x"), replace(call, adapters=(("a", 1.0),)))
    assert probabilities(plain) == pytest.approx(own(folder, "x", GIVEN)[0], abs=1e-4)
    assert probabilities(other) != pytest.approx(probabilities(plain), abs=0.1)


async def test_limits_of_what_can_be_forced(folder: Path, engine: TorchEngine) -> None:
    with pytest.raises(OptionError, match="force = 322 is out of range; it must be in 0 to 321"):
        await read(engine, ask("x"), Sampling(force=(322,)))
    with pytest.raises(OptionError, match="at least 1, unless tokens are forced"):
        await read(engine, ask("x"), Sampling(max_tokens=0))
    with pytest.raises(EngineError, match="context of 2048"):
        await read(engine, ask("x"), Sampling(max_tokens=0, force=(5,) * 2048))
    size = (await read(engine, ask("x"), Sampling(max_tokens=0, force=(5,))))[-1].usage
    assert size is not None
    full = (5,) * (2048 - (size.prompt or 0) + 1)
    with pytest.raises(EngineError, match="none is left for a reply"):
        await read(engine, ask("x"), Sampling(max_tokens=1, force=full))
    assert ids_of(await read(engine, ask("x"), Sampling(max_tokens=0, force=full))) == full


def test_a_row_that_only_scores_is_at_its_end_when_it_is_read(folder: Path) -> None:
    loaded = load(folder, "float32")
    batch = Batch(loaded, loaded.renderer("here", None), "tiny", 1000)
    with torch.inference_mode():
        row = batch.add(ask("x"), Sampling(max_tokens=0, force=GIVEN, logprobs=1))
        batch.recall([row])
        (chunks,) = batch.read([row])
        assert not row.reading
        assert chunks[-1].finish == "length"
        assert chunks[0].usage is not None
        assert (chunks[0].usage.prompt, chunks[0].usage.generated) == (len(row.ids), None)
        batch.remove(row)
    assert (batch.rows, batch.generated) == ([], 0)

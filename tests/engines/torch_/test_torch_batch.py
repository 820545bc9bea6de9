"""The batch without its thread: rows come, go and change places, and the counts are exact."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_llama import ask

from ponder.core.engine import Chunk, Sampling
from ponder.core.errors import EngineError, OptionError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from ponder.engines.torch.batch import Batch, Row  # noqa: E402
from ponder.engines.torch.load import Loaded, load  # noqa: E402
from ponder.engines.torch.tree import shared  # noqa: E402

LONG = Sampling(max_tokens=30, temperature=1.0, branch_seed=3, logit_bias=((1, -1e9),))


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Loaded:
    return load(folder, "float32")


def batch_of(loaded: Loaded, kept: int = 10000) -> Batch:
    return Batch(loaded, loaded.renderer("here", None), "tiny", kept)


def ready(batch: Batch, question: str, sampling: Sampling = LONG) -> Row:
    row = batch.add(ask(question), sampling)
    finish(batch, row)
    return row


def finish(batch: Batch, *rows: Row) -> list[list[Row]]:
    """Read prompts as the worker does; return which of them went through the model together."""
    passes = []
    while waiting := [row for row in rows if row.reading]:
        for row in batch.due(waiting):
            batch.recall([row])
        if reading := [row for row in waiting if row.cached is not None and row.reading]:
            passes.append(batch.pick(reading))
            batch.read(passes[-1])
    return passes


def drive(batch: Batch, row: Row) -> list[int]:
    """Decode a row alone to its end."""
    while True:
        (chunks,) = batch.decode([row])
        if chunks and chunks[-1].finish is not None:
            batch.remove(row)
            return row.ids[row.prompt :]


def test_rows_that_come_and_go_at_random_equal_rows_alone(loaded: Loaded) -> None:
    expected = {name: drive(one := batch_of(loaded), ready(one, name)) for name in "abcdefgh"}
    batch, chance = batch_of(loaded), random.Random(5)
    waiting, running, done = list("abcdefgh"), dict[str, Row](), dict[str, list[int]]()
    while waiting or running:
        if waiting and chance.random() < 0.3:
            name = waiting.pop(0)
            running[name] = ready(batch, name)
        chosen = sorted((row for row in running.values() if chance.random() < 0.7), key=lambda row: row.slot)
        if not chosen:
            continue
        for row, chunks in zip(chosen, batch.decode(chosen), strict=True):
            if chunks and chunks[-1].finish is not None:
                (name,) = [name for name, one in running.items() if one is row]
                batch.remove(running.pop(name))
                done[name] = row.ids[row.prompt :]
        assert [row.slot for row in batch.rows] == list(range(len(batch.rows)))
    assert done == expected


def test_a_prompt_is_read_in_pieces_and_every_position_is_counted_once(loaded: Loaded) -> None:
    batch = batch_of(loaded)
    row = batch.add(ask("word " * 300), LONG)
    assert len(finish(batch, row)) > 2
    assert batch.positions == row.known == row.prompt - 1
    batch.decode([row])
    assert batch.positions == row.prompt
    assert batch.generated == 1


def test_prompts_of_about_one_length_are_read_together_and_each_as_if_alone(loaded: Loaded) -> None:
    """Also behind beginnings of different length that are known already, and by rows that do not lie side by side."""
    words = [
        "aa bb cc dd ee",
        "ff gg hh ii jj kk ll",
        "mm nn oo pp qq rr",
        "ss tt " * 40,
        "uu vv ww xx yy",
        "zz " * 300,
    ]
    expected = [drive(one := batch_of(loaded), ready(one, text)) for text in words]
    batch = batch_of(loaded)
    rows = [batch.add(ask(text), LONG) for text in words]
    passes = finish(batch, *rows)
    together = next(group for group in passes if len(group) > 1)
    assert [row.slot for row in together] == sorted(row.slot for row in together)
    assert rows[3] not in together
    assert all(len(group) == 1 for group in passes if rows[5] in group)
    assert batch.positions == sum(row.prompt - 1 - (row.cached or 0) for row in rows)
    for row, reply in zip(rows, expected, strict=True):
        while row.generated < len(reply):
            batch.decode([row])
        assert row.ids[row.prompt :] == reply


def test_a_pass_over_several_prompts_is_no_longer_than_one_over_a_long_one(loaded: Loaded) -> None:
    batch = batch_of(loaded)
    rows = [batch.add(ask(f"{chr(97 + number)} {number} " * 20), LONG) for number in range(8)]
    passes = finish(batch, *rows)
    assert sum(len(group) for group in passes) == 8
    assert any(len(group) > 1 for group in passes)
    assert all(len(group) * max(row.prompt - (row.cached or 0) for row in group) <= 256 + 8 for group in passes)


def test_a_prompt_waits_for_the_stream_that_is_reading_what_they_have_in_common(loaded: Loaded) -> None:
    batch = batch_of(loaded)
    first, second, other = (batch.add(ask(text), LONG) for text in ("same " * 100 + "a", "same " * 100 + "b", "new"))
    assert batch.due([first, second, other]) == [first, other]
    finish(batch, first)
    assert batch.due([second, other]) == [second, other]
    finish(batch, second, other)
    assert (first.cached, second.cached) == (0, shared(first.ids, second.ids))
    assert batch.positions == sum(row.prompt - 1 - (row.cached or 0) for row in (first, second, other))


def test_short_beginnings_in_common_are_not_waited_for(loaded: Loaded) -> None:
    batch = batch_of(loaded)
    rows = [batch.add(ask(text), LONG) for text in ("quite", "other")]
    assert batch.due(rows) == rows


def test_what_left_is_known_and_what_failed_is_not(loaded: Loaded) -> None:
    batch = batch_of(loaded)
    first = ready(batch, "a question that is asked again")
    batch.decode([first])
    batch.remove(first)
    again = ready(batch, "a question that is asked again")
    assert again.cached == first.prompt - 1
    batch.drop(again)
    other = batch_of(loaded)
    failed = other.add(ask("never read"), LONG)
    other.drop(failed)
    assert ready(other, "never read").cached == 0


def test_without_a_tree_only_running_rows_are_shared(loaded: Loaded) -> None:
    batch = batch_of(loaded, kept=0)
    first = ready(batch, "same")
    batch.remove(first)
    assert ready(batch, "same").cached == 0


def test_the_size_of_the_prompt_stands_on_the_first_chunk_only(loaded: Loaded) -> None:
    batch = batch_of(loaded)
    row = ready(batch, "size", Sampling(max_tokens=12, temperature=0))
    chunks: list[Chunk] = []
    while not chunks or chunks[-1].finish is None:
        chunks += batch.decode([row])[0]
    told = [chunk.usage for chunk in chunks if chunk.usage is not None]
    assert [(usage.prompt, usage.generated, usage.cached) for usage in told] == [
        (row.prompt, None, 0),
        (row.prompt, sum(chunk.tokens for chunk in chunks), 0),
    ]


def test_noise_goes_by_the_position_in_the_reply(loaded: Loaded) -> None:
    """The same conversation, once with the first token drawn and once with it given."""
    batch = batch_of(loaded)
    whole = drive(batch, ready(batch, "place"))
    given = batch.add(ask("place", ids=tuple(whole[:10])), LONG)
    finish(batch, given)
    assert given.cached == given.prompt - 1
    assert drive(batch, given)[:20] == whole[10:]


def test_the_tree_is_bounded_while_rows_run(loaded: Loaded) -> None:
    batch = batch_of(loaded, kept=100)
    for name in ("one " * 20, "two " * 20, "three " * 20):
        drive(batch, ready(batch, name))
        assert batch._tree.tokens <= 100


def test_prompts_that_cannot_be_read_take_no_place(loaded: Loaded) -> None:
    batch = batch_of(loaded)
    with pytest.raises(EngineError, match="context of 2048"):
        batch.add(ask("x" * 5000), LONG)
    with pytest.raises(OptionError, match="an id that the model does not know"):
        batch.add(ask("x", ids=(322,)), LONG)
    assert batch.rows == []


def test_the_memory_goes_back_when_the_last_row_leaves(loaded: Loaded) -> None:
    batch = batch_of(loaded)
    rows = [ready(batch, name) for name in "ab"]
    for row in rows:
        batch.remove(row)
    assert batch.rows == []
    assert all(layer.keys is None for layer in batch._slab.cache.layers)
    assert ready(batch, "a").cached == rows[0].prompt - 1

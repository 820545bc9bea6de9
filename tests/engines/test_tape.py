import asyncio
import json
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.core.engine import Cap, Chunk, Engine, Logprob, Sampling, Think, Usage
from ponder.core.errors import DataError, EngineError, TapeMiss
from ponder.core.problem import Problem, Prompt, ToolCall
from ponder.core.run import Run
from ponder.engines.echo import Echo, Fault
from ponder.engines.tape import Recorder, Replay, dump_chunk, load_chunk
from ponder.engines.tape_store import VERSION, info, purge
from ponder.methods.vote.sample import Sample

PROMPT = Prompt.of(Problem.of("What is 2 + 3?"))
SAMPLING = Sampling(max_tokens=64, seed=1, branch_seed=2)


async def read(
    engine: Engine, prompt: Prompt = PROMPT, sampling: Sampling = SAMPLING, limit: int = 10**9
) -> list[Chunk]:
    chunks: list[Chunk] = []
    async with engine.stream(prompt, sampling) as stream:
        async for chunk in stream:
            chunks.append(chunk)
            if len(chunks) == limit:
                break
    return chunks


class Fixed:
    """Yields given chunks, and nothing else."""

    name = "fixed"
    caps = frozenset({Cap.HIDDEN})
    think = Think("<t>", "</t>", opened=True)

    def __init__(self, chunks: list[Chunk]) -> None:
        self.chunks = chunks

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        async def chunks() -> AsyncIterator[Chunk]:
            for chunk in self.chunks:
                yield chunk

        yield chunks()


async def test_a_replay_says_what_was_recorded(tmp_path: Path) -> None:
    with closing(Recorder(Echo(), tmp_path / "a.tape")) as recorder:
        said = await read(recorder)
    with closing(Replay(tmp_path / "a.tape")) as replay:
        assert await read(replay) == said
        assert (replay.name, replay.caps, replay.think) == (recorder.name, recorder.caps, recorder.think)
    assert os.listdir(tmp_path) == ["a.tape"]


async def test_a_whole_run_replays_with_its_bill(tmp_path: Path) -> None:
    async def answer(engine: Engine) -> Run:
        run = Run(engine, seed=7)
        await Sample().solve(Problem.of("What is 20 + 3?"), run)
        return run

    with closing(Recorder(Echo(), tmp_path / "run.tape")) as recorder:
        first = await answer(recorder)
    with closing(Replay(tmp_path / "run.tape")) as replay:
        again = await answer(replay)
    assert again.trace.tokens == first.trace.tokens > 0
    assert again.trace.tokens_by_role == first.trace.tokens_by_role
    assert again.trace.shown == first.trace.shown
    assert again.trace.prompt_tokens == first.trace.prompt_tokens > 0


async def test_every_field_of_a_chunk_survives(tmp_path: Path) -> None:
    hidden = memoryview(struct.pack("6f", 1, 2, 3, 4, 5, 6)).cast("B").cast("f", [2, 3])
    logprobs = (Logprob("a", -0.5, (("a", -0.5), ("b", float("-inf")))), Logprob("\ud800", -1.0))
    chunks = [
        Chunk("", "think", 0, usage=Usage(3, None, 1)),
        Chunk("思考\n", "think", 2, (5, 6), logprobs, hidden, latent=3, exact=False),
        Chunk("</t>", "think", 1, markup=True),
        Chunk("so", "answer", 0, (7,), forced=True),
        Chunk("", "answer", 1, tool_calls=(ToolCall("1", "f", "{}"),)),
        Chunk("", "answer", 0, finish="tool_calls", matched_stop="###", usage=Usage(3, 4, 1, 2)),
    ]
    with closing(Recorder(Fixed(chunks), tmp_path / "a")) as recorder:
        await read(recorder)
    with closing(Replay(tmp_path / "a")) as replay:
        again = await read(replay)
        assert replay.think == Fixed.think
    assert again == chunks
    assert again[1].hidden is not None
    assert (again[1].hidden.format, again[1].hidden.shape) == ("f", (2, 3))
    assert again[1].hidden.tolist() == [[1, 2, 3], [4, 5, 6]]


CHUNKS = st.builds(
    Chunk,
    st.text(),
    st.sampled_from(["think", "answer"]),
    st.integers(0, 3),
    st.lists(st.integers(0, 2**31)).map(tuple),
    st.lists(
        st.builds(Logprob, st.text(), st.floats(-50, 0), st.just((("x", -1.0),)), st.none() | st.floats(0, 9))
    ).map(tuple),
    st.none(),
    st.integers(0, 2),
    st.lists(st.builds(ToolCall, st.text(), st.text(), st.text())).map(tuple),
    st.sampled_from([None, "stop", "length", "tool_calls"]),
    st.none() | st.text(),
    st.none() | st.builds(Usage, st.none() | st.integers(), st.none() | st.integers()),
    st.booleans(),
    st.booleans(),
)


@given(CHUNKS)
@settings(deadline=None)
def test_a_chunk_survives_the_trip_through_json(chunk: Chunk) -> None:
    assert load_chunk(json.loads(dump_chunk(chunk))) == chunk


def test_a_plain_token_is_stored_in_a_few_characters() -> None:
    assert dump_chunk(Chunk("so ")) == '["so "]'
    assert dump_chunk(Chunk("so ", "think")) == '["so ","think"]'


async def test_who_leaves_early_is_recorded_up_to_there(tmp_path: Path) -> None:
    with closing(Recorder(Echo("one two three four five"), tmp_path / "a")) as recorder:
        said = await read(recorder, limit=3)
    assert (info(tmp_path / "a").left, info(tmp_path / "a").tokens) == (1, 3)
    with closing(Replay(tmp_path / "a")) as replay:
        assert await read(replay, limit=3) == said
    with closing(Replay(tmp_path / "a")) as replay, pytest.raises(TapeMiss, match="only the first 3 tokens"):
        await read(replay)


async def test_who_leaves_a_replay_early_gets_the_same_prefix(tmp_path: Path) -> None:
    with closing(Recorder(Echo(), tmp_path / "a")) as recorder:
        said = await read(recorder)
    with closing(Replay(tmp_path / "a")) as replay:
        assert await read(replay, limit=4) == said[:4]


async def test_repeated_calls_replay_in_their_order_and_no_more_often(tmp_path: Path) -> None:
    replies = iter(["first", "second"])
    with closing(Recorder(Echo(lambda prompt, seed: next(replies)), tmp_path / "a")) as recorder:
        for _ in range(2):
            await read(recorder)
    with closing(Replay(tmp_path / "a")) as replay:
        assert [(await read(replay))[0].text for _ in range(2)] == ["first", "second"]
        with pytest.raises(TapeMiss, match="less often than it is asked now"):
            await read(replay)


async def test_order_is_that_of_opening_not_of_ending(tmp_path: Path) -> None:
    replies = iter(["slow", "quick"])
    with closing(Recorder(Echo(lambda prompt, seed: next(replies)), tmp_path / "a")) as recorder:
        async with recorder.stream(PROMPT, SAMPLING) as slow:
            assert (await anext(slow)).text == "slow"
            await read(recorder)
            assert [chunk.text async for chunk in slow] == [""]
    with closing(Replay(tmp_path / "a")) as replay:
        assert [(await read(replay))[0].text for _ in range(2)] == ["slow", "quick"]


async def test_concurrent_replays_interleave(tmp_path: Path) -> None:
    with closing(Recorder(Echo("a b c d"), tmp_path / "a")) as recorder:
        for _ in range(2):
            await read(recorder)
    seen: list[int] = []

    async def reader(number: int, replay: Replay) -> None:
        async with replay.stream(PROMPT, SAMPLING) as chunks:
            async for _ in chunks:
                seen.append(number)

    with closing(Replay(tmp_path / "a")) as replay:
        await asyncio.gather(reader(0, replay), reader(1, replay))
    assert seen == [0, 1] * 5


@pytest.mark.parametrize(
    "fault", [Fault("error", 0, status=429, retry_after=1.5), Fault("cut", 2), Fault("error", 3, status=400)]
)
async def test_errors_replay_too(tmp_path: Path, fault: Fault) -> None:
    async def fail(engine: Engine) -> tuple[list[Chunk], EngineError]:
        chunks: list[Chunk] = []
        try:
            async with engine.stream(PROMPT, SAMPLING) as stream:
                async for chunk in stream:
                    chunks.append(chunk)
        except EngineError as error:
            return chunks, error
        raise AssertionError("the engine did not fail")

    with closing(Recorder(Echo(faults={0: fault}), tmp_path / "a")) as recorder:
        chunks, error = await fail(recorder)
        good = await read(recorder)
    with closing(Replay(tmp_path / "a")) as replay:
        chunks_again, error_again = await fail(replay)
        assert await read(replay) == good
    assert chunks_again == chunks
    assert len(chunks) == fault.at
    assert str(error_again) == str(error)
    assert vars(error_again) == vars(error)
    assert info(tmp_path / "a").errors == 1


class Refusing(Fixed):
    """Fails before the first token."""

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        raise EngineError("refused", status=503, retry=True)
        yield


async def test_a_refusal_at_the_door_is_recorded(tmp_path: Path) -> None:
    with closing(Recorder(Refusing([]), tmp_path / "a")) as recorder, pytest.raises(EngineError, match="refused"):
        await read(recorder)
    with closing(Replay(tmp_path / "a")) as replay, pytest.raises(EngineError, match="refused") as caught:
        await read(replay)
    assert (caught.value.status, caught.value.retry) == (503, True)
    assert not isinstance(caught.value, TapeMiss)


async def test_an_error_of_the_readers_own_is_not_the_engines(tmp_path: Path) -> None:
    async def stumble(engine: Engine) -> None:
        async with engine.stream(PROMPT, SAMPLING) as chunks:
            await anext(chunks)
            raise EngineError("elsewhere")

    with closing(Recorder(Echo(), tmp_path / "a")) as recorder, pytest.raises(EngineError, match="elsewhere"):
        await stumble(recorder)
    assert (info(tmp_path / "a").left, info(tmp_path / "a").errors) == (1, 0)


async def test_a_reply_without_an_end_replays_without_one(tmp_path: Path) -> None:
    with closing(Recorder(Fixed([Chunk("a"), Chunk("b")]), tmp_path / "a")) as recorder:
        await read(recorder)
    with closing(Replay(tmp_path / "a")) as replay:
        assert await read(replay) == [Chunk("a"), Chunk("b")]


@pytest.mark.parametrize(
    ("prompt", "sampling", "message"),
    [
        (PROMPT, Sampling(max_tokens=64, seed=1, branch_seed=3), r"differs in branch_seed \(recorded '2', asked '3'\)"),
        (PROMPT, Sampling(max_tokens=9, seed=1, branch_seed=2), r"differs in max_tokens \(recorded '64', asked '9'\)"),
        (PROMPT + "so", SAMPLING, r"differs in prefill \(recorded '', asked 'so'\)"),
        (Prompt.of(Problem.of("What is 2 + 4?")), SAMPLING, r"differs in messages from character \d+ on"),
        (Prompt.of(Problem.of("Who?")), Sampling(), r"differs in messages .*; temperature \(recorded '0', asked"),
    ],
)
async def test_a_miss_names_the_nearest_difference(
    tmp_path: Path, prompt: Prompt, sampling: Sampling, message: str
) -> None:
    with closing(Recorder(Echo(), tmp_path / "a")) as recorder:
        await read(recorder, Prompt.of(Problem.of("Something else entirely")), Sampling(temperature=0))
        await read(recorder)
    with closing(Replay(tmp_path / "a")) as replay, pytest.raises(TapeMiss, match=message):
        await read(replay, prompt, sampling)


async def test_a_miss_says_where_long_texts_part(tmp_path: Path) -> None:
    thought = "wait " * 40
    with closing(Recorder(Echo(), tmp_path / "a")) as recorder:
        await read(recorder, PROMPT + (thought + "so it is 5"))
    with (
        closing(Replay(tmp_path / "a")) as replay,
        pytest.raises(TapeMiss, match=r"prefill from character 209 on \(recorded '5', asked '6'\)"),
    ):
        await read(replay, PROMPT + (thought + "so it is 6"))


async def test_a_tape_grows_with_its_own_engine_only(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for _ in range(2):
        with closing(Recorder(Echo(), path)) as recorder:
            await read(recorder)
    assert info(path).calls == 2
    with closing(Replay(path)) as replay:
        assert await read(replay) == await read(replay)
    with pytest.raises(DataError, match="records another engine: echo, not other"):
        Recorder(Echo(name="other"), path)
    with pytest.raises(DataError, match="it differs in LOGPROBS"):
        Recorder(Echo(caps=Echo().caps - {Cap.LOGPROBS}), path)
    with pytest.raises(DataError, match="think marks"):
        Recorder(Echo(think=Think()), path)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with closing(Recorder(Echo(), tmp_path / "a")):
        with pytest.raises(DataError, match="another run is writing to it"):
            Recorder(Echo(), tmp_path / "a")
        with pytest.raises(DataError, match="another run is writing to it"):
            Replay(tmp_path / "a")


def test_what_is_not_a_tape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a tape, but a longer text than SQLite's header\n" * 40)
    with closing(sqlite3.connect(tmp_path / "other.db")) as db:
        db.execute("CREATE TABLE x (y)")
    (tmp_path / "empty").touch()
    with closing(Recorder(Echo(), tmp_path / "newer")):
        pass
    with closing(sqlite3.connect(tmp_path / "newer")) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    for name, message in {
        "text": "it is no SQLite file",
        "other.db": "an SQLite file but not a tape",
        "empty": "is empty: nothing was recorded",
        "newer": f"a tape of version {VERSION + 1}, and this ponder reads up to {VERSION}; upgrade ponder",
        "missing": "there is no tape",
    }.items():
        with pytest.raises(DataError, match=message):
            Replay(tmp_path / name)
    for name in ("text", "other.db", "newer"):
        with pytest.raises(DataError, match="tape"):
            Recorder(Echo(), tmp_path / name)
    with pytest.raises(DataError, match="check that the folder exists"):
        Recorder(Echo(), tmp_path / "no" / "folder")
    with closing(sqlite3.connect(tmp_path / "other.db")) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("x",)]


def test_a_truncated_tape_is_refused(tmp_path: Path) -> None:
    with closing(Recorder(Echo(), tmp_path / "a")):
        pass
    data = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(data[: len(data) // 3])
    with pytest.raises(DataError, match="cannot be used: SQLite says"):
        Replay(tmp_path / "a")


WRITER = """
import asyncio, sys
from ponder.core.engine import Sampling
from ponder.core.problem import Problem, Prompt
from ponder.engines.echo import Echo
from ponder.engines.tape import Recorder

async def main():
    recorder = Recorder(Echo("word " * 50), sys.argv[1])
    for seed in range(10**6):
        async with recorder.stream(Prompt.of(Problem.of("kill me")), Sampling(seed=seed)) as chunks:
            async for _ in chunks:
                pass
        print(seed, flush=True)

asyncio.run(main())
"""


def test_kill_9_loses_nothing_that_had_ended(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = -1
        for line in process.stdout:
            last = int(line)
            if last == 100:
                os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    prompt = Prompt.of(Problem.of("kill me"))
    with closing(Replay(path)) as replay:
        for seed in range(last + 1):
            assert len(asyncio.run(read(replay, prompt, Sampling(seed=seed)))) == 51
    assert info(path).calls in (last + 1, last + 2)
    with closing(Recorder(Echo("word " * 50), path)) as recorder:
        asyncio.run(read(recorder, prompt, Sampling(seed=2**31 - 1)))
    assert info(path).calls in (last + 2, last + 3)


async def test_a_full_disk_is_named_and_loses_nothing(tmp_path: Path) -> None:
    written: list[int] = []

    async def fill(recorder: Recorder) -> None:
        for seed in range(10**4):
            await read(recorder, Prompt.of(Problem.of(os.urandom(3000).hex())), Sampling(seed=seed))
            written.append(seed)

    with closing(Recorder(Echo(), tmp_path / "a")) as recorder:
        recorder._db.execute("PRAGMA max_page_count = 40")
        with pytest.raises(DataError, match="the disk is full; free some space: what was recorded is safe"):
            await fill(recorder)
    assert info(tmp_path / "a").calls == len(written) > 3


async def test_keys_never_enter(tmp_path: Path) -> None:
    class Keyed(Fixed):
        key = "sk-secret-1234"

    with closing(Recorder(Keyed([Chunk("a", finish="stop")]), tmp_path / "a")) as recorder:
        await read(recorder)
        for name in os.listdir(tmp_path):
            assert b"secret" not in (tmp_path / name).read_bytes()
    assert b"secret" not in (tmp_path / "a").read_bytes()


async def test_purge_by_age_and_whole(tmp_path: Path) -> None:
    path, now = tmp_path / "a", time.time()
    ages = iter([now - 40 * 86400, now - 20 * 86400, now])
    with closing(Recorder(Echo(), path, clock=lambda: next(ages))) as recorder:
        for question in ("old-question-text", "middle-question-text", "new-question-text"):
            await read(recorder, Prompt.of(Problem.of(question)))
    assert purge(path, now - 30 * 86400) == 1
    raw = path.read_bytes()
    assert b"old-question-text" not in raw
    assert b"middle-question-text" in raw
    with closing(Replay(path)) as replay:
        assert await read(replay, Prompt.of(Problem.of("new-question-text")))
        with pytest.raises(TapeMiss):
            await read(replay, Prompt.of(Problem.of("old-question-text")))
    assert purge(path) == 2
    assert b"question-text" not in path.read_bytes()
    assert (info(path).calls, info(path).tokens, info(path).first) == (0, 0, None)
    with pytest.raises(DataError, match="there is no tape"):
        purge(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


async def test_shared_context_is_kept_once_and_growing_prefixes_stay_small(tmp_path: Path) -> None:
    path, question = tmp_path / "a", "a question of some length " * 400
    prompt = Prompt.of(Problem.of(question))
    thought = "".join(f"step {i} follows from step {i * i}; " for i in range(100))
    with closing(Recorder(Echo("x"), path)) as recorder:
        for i in range(100):
            await read(recorder, prompt + thought[: 30 * i])
    plain = sum(len(question) + 30 * i for i in range(100))
    assert path.stat().st_size < plain / 4
    assert path.read_bytes().count(b"a question of some length a question") <= len(question) // 26


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 30)), max_size=12))
def test_any_mix_of_reads_replays(tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[int, int]]) -> None:
    path = tmp_path_factory.mktemp("tape") / "a"

    async def play(engine: Engine) -> list[list[Chunk]]:
        return [await read(engine, PROMPT, Sampling(seed=seed, branch_seed=seed), limit) for seed, limit in plan]

    with closing(Recorder(Echo(), path)) as recorder:
        said = asyncio.run(play(recorder))
    with closing(Replay(path)) as replay:
        assert asyncio.run(play(replay)) == said
    assert info(path).tokens == sum(chunk.tokens for chunks in said for chunk in chunks)

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.core.engine import Cap, Chunk, Sampling, Think, Usage
from ponder.core.errors import EngineError
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Call, Purse, Run
from ponder.core.stops import AnswerStops, scope
from ponder.engines.echo import CAPS, Echo, tokenize

ASK = Prompt.of(Problem.of("?"))
MARKS = Think("<think>", "</think>")


async def ask(said: str, *stop: str, think: Think = MARKS, **over: int) -> tuple[Echo, Call]:
    echo = Echo(said, think=think)
    return echo, await Run(echo, sampling=Sampling(stop=stop, **over)).generate(ASK)


@pytest.mark.parametrize(
    ("think", "prefill", "ours"),
    [
        (MARKS, "", True),
        (MARKS, "<think>half a", True),
        (MARKS, "<think>done</think>\n\n", False),
        (Think(), "", False),
        (Think("", "</think>\n", True), "so </think>", False),
    ],
)
def test_an_engine_gets_stop_strings_only_where_no_thought_can_come(think: Think, prefill: str, ours: bool) -> None:
    asked, here = scope(Sampling(stop=("X",), max_tokens=7), think, ASK + prefill)
    assert (asked.stop, here) == (((), ("X",)) if ours else (("X",), ()))
    assert asked.max_tokens == 7


# In the thought and in the answer


@pytest.mark.parametrize("stop", [("END",), ("b EN", "END"), ("END", "zzz")])
async def test_an_answer_ends_before_a_stop_string_and_a_thought_does_not(stop: tuple[str, ...]) -> None:
    _, call = await ask("<think>END of it </think>a b END c d", *stop)
    first = min(stop, key=lambda one: "a b END c d".find(one) % 99)
    assert (call.thinking, call.answer) == ("END of it ", "a b END c d".partition(first)[0])
    assert (call.finish, call.matched_stop) == ("stop", first)


async def test_the_stream_is_left_where_the_string_stands_and_nothing_is_lost_from_the_bill() -> None:
    echo, call = await ask("<think>x </think>one two three four five six", "two three")
    assert (call.answer, call.token_ids) == ("one ", ())
    assert call.tokens == echo.generated == 6
    assert (call.think_tokens, call.answer_tokens, echo.open_streams) == (3, 3, 0)


async def test_what_only_looked_like_one_is_given_out() -> None:
    echo, call = await ask("<think>x </think>one two threx", "two three")
    assert (call.answer, call.finish, call.matched_stop) == ("one two threx", "stop", None)
    assert call.tokens == echo.generated


async def test_stop_strings_that_a_call_names_itself_bind_the_thought_too() -> None:
    run = Run(Echo("<think>so stop me </think>a b"), sampling=Sampling(stop=("b",)))
    call = await run.generate(ASK, stop=("stop",))
    assert (call.thinking, call.answer, call.matched_stop) == ("so ", "", "stop")


async def test_a_model_that_does_not_think_is_left_to_its_server() -> None:
    _, call = await ask("a b c", "b", think=Think())
    assert (call.answer, call.matched_stop) == ("a ", "b")


@pytest.mark.parametrize("limit", [4, 5, 6])
async def test_what_waits_when_a_limit_ends_the_call_is_kept(limit: int) -> None:
    said = "<think>x </think>one two three four"
    for run in (
        Run(Echo(said), sampling=Sampling(max_tokens=limit, stop=("one two three fourth",))),
        Run(Echo(said), sampling=Sampling(stop=("one two three fourth",)), budget=Purse(limit)),
    ):
        call = await run.generate(ASK)
        assert call.text == "".join(tokenize(said)[:limit])
        assert (call.tokens, call.finish in ("length", "budget")) == (limit, True)


async def test_what_waits_when_the_method_leaves_is_kept() -> None:
    run = Run(Echo("<think>x </think>one two three"), sampling=Sampling(stop=("one two thre!",)))
    async with run.stream(ASK) as live:
        async for chunk in live:
            assert not chunk.text.startswith("one")
            if live.call.answer_tokens == 2:
                break
    assert (live.call.answer, live.call.finish) == ("one two ", "left")


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from("ab "), max_size=12).map("".join),
    st.lists(st.sampled_from("ab "), max_size=12).map("".join),
    st.lists(st.text("ab ", min_size=1, max_size=3), min_size=1, max_size=3),
)
async def test_the_answer_is_cut_at_the_first_of_them_wherever_tokens_end(
    thought: str, answer: str, stop: list[str]
) -> None:
    said = f"<think>{thought}</think>{answer}"
    echo, call = await ask(said, *stop)
    _, plain = await ask(said)
    ends = [at for one in stop if (at := plain.answer.find(one)) >= 0]
    assert call.thinking == plain.thinking
    assert call.answer == plain.answer[: min(ends, default=None)]
    assert call.tokens == echo.generated <= plain.tokens


async def test_text_that_waits_comes_before_a_thought_that_is_opened_again() -> None:
    chunks = [Chunk("a E"), Chunk("<think>", "think", markup=True), Chunk("b", "think"), Chunk("END"), Chunk("!")]

    async def stream() -> AsyncIterator[Chunk]:
        for chunk in chunks:
            yield chunk

    seen = []
    async for chunk in AnswerStops(stream(), ("END",)):
        seen.append((chunk.text, chunk.tokens, chunk.finish))
        if chunk.finish:
            break
    assert seen == [("a ", 1, None), ("E", 0, None), ("<think>", 1, None), ("b", 1, None), ("", 1, "stop")]


async def test_the_servers_count_is_kept_where_the_string_stands_in_its_last_words() -> None:
    async def stream() -> AsyncIterator[Chunk]:
        yield Chunk("a END", tokens=3, finish="length", usage=Usage(5, 9))

    (chunk,) = [chunk async for chunk in _first(AnswerStops(stream(), ("END",)))]
    assert (chunk.text, chunk.finish, chunk.matched_stop, chunk.usage) == ("a ", "stop", "END", Usage(5, 9))


async def _first(chunks: AnswerStops) -> AsyncIterator[Chunk]:
    yield await chunks.__anext__()


# Where nobody knows how the model marks its thoughts


class Unmarked:
    """A server that splits thoughts off, and searches them for stop strings; nobody knows its marks."""

    name, caps, think = "server", CAPS - {Cap.PREFILL}, Think()

    def __init__(self, said: str) -> None:
        self.inner = Echo(said)

    def stream(self, prompt: Prompt, sampling: Sampling) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        return self.inner.stream(prompt, sampling)


async def test_a_thought_that_a_server_ended_is_an_error_with_its_remedy_and_is_billed() -> None:
    server = Unmarked("<think>so END of it </think>42")
    run = Run(server, sampling=Sampling(stop=("END",)))
    with pytest.raises(EngineError, match=r"server: the reply ended in its thinking.*--think-close MARK") as caught:
        await run.generate(ASK)
    assert not caught.value.retry
    assert [(call.finish, call.thinking) for call in run.trace.calls] == [("error", "so ")]
    assert run.trace.tokens == server.inner.generated == 3


@pytest.mark.parametrize(
    ("said", "answer"),
    [("<think>so </think>4 END", "4 "), ("<think>so</think>42", "42"), ("4 END", "4 "), ("END", "")],
)
async def test_a_reply_with_an_answer_or_without_a_thought_is_none(said: str, answer: str) -> None:
    call = await Run(Unmarked(said), sampling=Sampling(stop=("END",))).generate(ASK)
    assert (call.finish, call.answer) == ("stop", answer)


async def test_an_answer_that_begins_with_a_stop_string_is_empty_and_no_error() -> None:
    class Blocks(Unmarked):
        @asynccontextmanager
        async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
            async def chunks() -> AsyncIterator[Chunk]:
                yield Chunk("so ", "think")
                yield Chunk("", "answer", 0, finish="stop", matched_stop="END")

            yield chunks()

    call = await Run(Blocks(""), sampling=Sampling(stop=("END",))).generate(ASK)
    assert (call.thinking, call.answer, call.matched_stop) == ("so ", "", "END")

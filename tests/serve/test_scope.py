from __future__ import annotations

import pytest

from ponder.core.engine import Chunk, Sampling, Think
from ponder.core.problem import Problem, Prompt
from ponder.engines.echo import Echo
from ponder.serve.scope import Scoped

ASK = Prompt.of(Problem.of("?"))


async def read(
    said: str, *stop: str, think: bool = True, asked: tuple[str, ...] | None = None
) -> tuple[Echo, list[Chunk]]:
    engine = Echo(said) if think else Echo(said, think=Think())
    sampling = Sampling(stop=stop if asked is None else asked)
    async with Scoped(engine, stop).stream(ASK, sampling) as chunks:
        return engine, [chunk async for chunk in chunks]


def text(chunks: list[Chunk], channel: str) -> str:
    return "".join(chunk.text for chunk in chunks if chunk.channel == channel and not chunk.markup)


@pytest.mark.parametrize("stop", [("END",), ("b EN", "END"), ("END", "zzz")])
async def test_an_answer_ends_before_a_stop_string_and_a_thought_does_not(stop: tuple[str, ...]) -> None:
    _, chunks = await read("<think>END of it </think>a b END c d", *stop)
    assert text(chunks, "think") == "END of it "
    assert text(chunks, "answer") == "a b END".partition(min(stop, key=lambda s: "a b END c".find(s) % 99))[0]
    assert (chunks[-1].finish, chunks[-1].matched_stop in stop) == ("stop", True)


async def test_a_stop_string_is_found_across_tokens() -> None:
    engine, chunks = await read("<think>x </think>one two three four five six", "two three")
    assert text(chunks, "answer") == "one "
    assert engine.generated <= 7


async def test_what_only_looked_like_one_is_given_out() -> None:
    _, chunks = await read("<think>x </think>one two threx", "two three")
    assert text(chunks, "answer") == "one two threx"
    assert chunks[-1].finish == "stop"
    assert chunks[-1].matched_stop is None


async def test_no_token_is_lost_from_the_bill() -> None:
    _, chunks = await read("<think>x </think>one two threx", "two three")
    _, plain = await read("<think>x </think>one two threx", "never")
    assert sum(chunk.tokens for chunk in chunks) == sum(chunk.tokens for chunk in plain)


async def test_calls_with_stop_strings_of_their_own_keep_them() -> None:
    _, chunks = await read("<think>stop me </think>a b", "b", asked=("stop",))
    assert text(chunks, "answer") == ""
    assert chunks[-1].matched_stop == "stop"


async def test_a_model_that_does_not_think_is_left_to_its_server() -> None:
    _, chunks = await read("a b c", "b", think=False)
    assert (text(chunks, "answer"), chunks[-1].matched_stop) == ("a ", "b")

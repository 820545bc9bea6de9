from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.engine import ALL_LAYERS, Cap, Chunk, Sampling, Think
from ponder.core.errors import EngineError, Unsupported
from ponder.core.problem import Image, Message, Prompt, Thinking, Tool
from ponder.engines.echo import CAPS, LAYERS, WIDTH, Echo, Fault, noise, overthink, token_id, tokenize
from ponder.text.think import split

ASK = Prompt((Message.of("user", "What is 12 + 30?"),))
ALL = Sampling(max_tokens=1000, branch_seed=1)

texts = st.lists(
    st.sampled_from(["so ", "a", " ", "<think>", "</think>", "<", "think>", "</", "\n", "42", "é", "<think", "x>y "])
).map("".join)


async def read(echo: Echo, prompt: Prompt = ASK, sampling: Sampling = ALL) -> list[Chunk]:
    async with echo.stream(prompt, sampling) as chunks:
        return [chunk async for chunk in chunks]


def text(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


# Tokens


@given(texts)
def test_tokens_join_to_the_text(value: str) -> None:
    assert "".join(tokenize(value)) == value


def test_a_token_is_a_word_and_marks_stand_alone() -> None:
    assert tokenize("<think>so then\n</think>It is") == ["<think>", "so ", "then\n", "</think>", "It ", "is"]
    assert tokenize(" a<think>b") == [" ", "a", "<think>", "b"]
    assert tokenize("") == []


def test_ids_and_noise_are_functions_of_their_arguments() -> None:
    assert token_id("so ") == token_id("so ") != token_id("so")
    assert noise(1, "a") == noise(1, "a") != noise(1, "b")
    values = [noise(seed) for seed in range(1000)]
    assert all(0 < value < 1 for value in values)
    assert abs(sum(values) / 1000 - 0.5) < 0.05


# Streams


@given(texts, st.integers(0, 12), st.integers(1, 4))
async def test_what_is_said_comes_out_verbatim_and_counted(value: str, limit: int, turn: int) -> None:
    echo = Echo(value, turn=turn)
    chunks = await read(echo, sampling=Sampling(max_tokens=limit))
    kept = tokenize(value)[:limit]
    assert text(chunks) == "".join(kept)
    assert sum(chunk.tokens for chunk in chunks) == echo.generated == len(kept)
    assert [chunk.finish for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].finish == ("stop" if len(tokenize(value)) <= limit else "length")


@given(texts)
async def test_channels_are_those_of_the_whole_text(value: str) -> None:
    chunks = await read(Echo(value))
    thinking, answer = split(value, "<think>", "</think>")
    content = [chunk for chunk in chunks if not chunk.markup]
    assert text([chunk for chunk in content if chunk.channel == "think"]) == thinking
    assert text([chunk for chunk in content if chunk.channel == "answer"]) == answer


@given(texts, st.lists(st.sampled_from(["so", "<", "<think>", "42", "k>s", "a <"]), max_size=3).map(tuple))
async def test_a_reply_ends_before_the_first_stop_string(value: str, stops: tuple[str, ...]) -> None:
    chunks = await read(Echo(value), sampling=Sampling(max_tokens=1000, stop=stops))
    found = [at for stop in stops if (at := value.find(stop)) >= 0]
    assert text(chunks) == value[: min(found, default=len(value))]
    assert (chunks[-1].matched_stop is not None) == bool(found)


@pytest.mark.parametrize(
    ("value", "stop", "kept", "tokens"),
    [
        ("one two three", "tw", "one ", 2),
        ("one two three", "e t", "on", 2),
        ("one two", "x", "one two", 2),
        ("one <two", "<x", "one <two", 2),
        ("say <", "<b", "say <", 2),
        ("a < b", "<", "a ", 2),
    ],
)
async def test_stop_strings_across_tokens(value: str, stop: str, kept: str, tokens: int) -> None:
    echo = Echo(value)
    chunks = await read(echo, sampling=Sampling(stop=(stop,)))
    assert (text(chunks), echo.generated) == (kept, tokens)


async def test_ids_spell_each_token() -> None:
    chunks = await read(Echo("<think>so </think>It is"))
    assert [chunk.token_ids for chunk in chunks if chunk.tokens] == [
        (token_id(token),) for token in ("<think>", "so ", "</think>", "It ", "is")
    ]


async def test_logprobs_come_with_rivals_most_likely_first() -> None:
    first, again = [await read(Echo("so then"), sampling=Sampling(logprobs=3, branch_seed=5)) for _ in range(2)]
    assert first == again
    for chunk in first[:-1]:
        (one,) = chunk.logprobs
        assert one.token == chunk.text
        assert one.top[0] == (one.token, one.logprob)
        assert [p for _, p in one.top] == sorted((p for _, p in one.top), reverse=True)
        assert len(one.top) == 3


async def test_banned_tokens_are_not_said() -> None:
    sampling = Sampling(logit_bias=((token_id("then "), -100.0), (token_id("so "), 5.0)))
    assert text(await read(Echo("so then 42"), sampling=sampling)) == "so 42"


async def test_the_prompt_is_counted_with_its_prefill() -> None:
    chunks = await read(Echo("42"), ASK + "<think>so </think>")
    assert chunks[-1].usage is not None
    assert chunks[-1].usage == (8, 1, 0, None)
    assert [chunk.channel for chunk in chunks] == ["answer", "answer"]


async def test_a_template_that_opens_the_thought_begins_inside_it() -> None:
    chunks = await read(Echo("so </think>42", think=Think("<think>", "</think>", opened=True)))
    assert [(chunk.text, chunk.channel) for chunk in chunks if chunk.text and not chunk.markup] == [
        ("so ", "think"),
        ("42", "answer"),
    ]


# Leaving, time and faults


async def test_leaving_stops_the_generation() -> None:
    echo = Echo("a " * 100)
    async with echo.stream(ASK, ALL) as chunks:
        assert echo.open_streams == 1
        for _ in range(3):
            await anext(chunks)
    await asyncio.sleep(0.01)
    assert (echo.generated, echo.open_streams) == (3, 0)


async def test_streams_take_turns() -> None:
    order: list[str] = []

    async def follow(name: str) -> None:
        async with Echo("a " * 3).stream(ASK, ALL) as chunks:
            async for chunk in chunks:
                order.append(name if chunk.text else "")

    await asyncio.gather(follow("x"), follow("y"))
    assert order[:6] == ["x", "y"] * 3


async def test_a_fault_strikes_its_call_after_its_tokens() -> None:
    echo = Echo("a b c", faults={1: Fault("cut", at=2)})
    assert text(await read(echo)) == "a b c"
    with pytest.raises(EngineError, match="echo: the reply broke off after 2 tokens") as caught:
        await read(echo)
    assert caught.value.retry
    assert (echo.generated, echo.open_streams) == (5, 0)
    assert text(await read(echo)) == "a b c"


@pytest.mark.parametrize(("status", "retry"), [(None, True), (429, True), (503, True), (400, False), (401, False)])
async def test_a_refusal_says_whether_another_try_may_help(status: int | None, retry: bool) -> None:
    with pytest.raises(EngineError, match="scripted failure") as caught:
        await read(Echo(faults={0: Fault("error", status=status, retry_after=2.0)}))
    assert (caught.value.status, caught.value.retry, caught.value.retry_after) == (status or 500, retry, 2.0)


async def test_a_stall_lasts_until_somebody_stops_waiting() -> None:
    echo = Echo("a b", faults={0: Fault("stall", at=1)})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await read(echo)
    assert (echo.generated, echo.open_streams) == (1, 0)


@pytest.mark.parametrize(
    ("prompt", "sampling", "cap"),
    [
        (ASK + "so", ALL, Cap.PREFILL),
        (Prompt(ASK.messages, thinking=Thinking.off()), ALL, Cap.THINKING),
        (ASK, Sampling(logprobs=1), Cap.LOGPROBS),
        (ASK, Sampling(logit_bias=((1, 1.0),)), Cap.LOGIT_BIAS),
        (ASK, Sampling(hidden=(1,)), Cap.HIDDEN),
        (ASK, Sampling(certainty=True), Cap.FULL_LOGPROBS),
        (ASK, Sampling(adapters=(("a", 1.0),)), Cap.ADAPTER),
    ],
)
async def test_whoever_asks_for_more_than_the_engine_has_is_refused(
    prompt: Prompt, sampling: Sampling, cap: Cap
) -> None:
    echo = Echo("42", caps=frozenset(Cap) - {cap})
    with pytest.raises(Unsupported, match=f"echo lacks {cap.name}"):
        await read(echo, prompt, sampling)
    assert (echo.calls, echo.generated, echo.open_streams) == (0, 0, 0)
    assert text(await read(Echo("42", caps=frozenset(Cap)), prompt, sampling)) == "42"


async def test_made_up_certainties_and_states_depend_on_what_was_said_alone() -> None:
    echo = Echo("one two three", caps=frozenset(Cap))
    asked = Sampling(certainty=True, hidden=ALL_LAYERS, branch_seed=5)
    whole = await read(echo, ASK, asked)
    certain = [token.certainty for chunk in whole for token in chunk.logprobs]
    assert len(set(certain)) == 3
    assert all(token.top == () for chunk in whole for token in chunk.logprobs)
    states = [chunk.hidden for chunk in whole if chunk.hidden is not None]
    assert [state.shape for state in states] == [(1, LAYERS, WIDTH)] * 3
    again = await read(echo, ASK, Sampling(hidden=(-1, 0), branch_seed=6))
    for state, chunk in zip(states, again, strict=False):
        assert chunk.hidden is not None
        assert chunk.hidden.tolist() == [[state.tolist()[0][-1], state.tolist()[0][0]]]
    other = await read(Echo("one zwei three", caps=frozenset(Cap)), ASK, asked)
    seen = [chunk.hidden.tolist() for chunk in other if chunk.hidden is not None]
    assert [state.tolist() for state in states[:2]] == seen[:2]
    assert states[2].tolist() != seen[2]


async def test_tokens_are_never_forced_whatever_it_is_told_to_offer() -> None:
    echo = Echo("42", caps=frozenset(Cap))
    with pytest.raises(Unsupported, match="echo lacks FORCE"):
        await read(echo, ASK, Sampling(force=(1,)))
    assert (echo.calls, echo.generated) == (0, 0)


async def test_what_a_user_sends_along_is_never_refused() -> None:
    prompt = Prompt((Message("user", (Image("data:,"),)),), tools=(Tool("t", "{}"),))
    assert text(await read(Echo("42"), prompt)) == "42"
    assert CAPS.isdisjoint({Cap.TOOLS, Cap.IMAGES})


# The usual script


def test_the_usual_reply_thinks_and_boxes_a_number_of_the_question() -> None:
    replies = [overthink(ASK, seed) for seed in range(200)]
    thinking, answers = zip(*(split(reply, "<think>", "</think>") for reply in replies), strict=True)
    assert set(answers) == {"The answer is \\boxed{30}", "The answer is \\boxed{31}"}
    assert 0.6 < sum("30" in answer for answer in answers) / 200 < 0.8
    lengths = {len(tokenize(thought)) for thought in thinking}
    assert (min(lengths), max(lengths)) == (4, 27)


def test_a_question_without_numbers_is_answered_too() -> None:
    assert "\\boxed{" in overthink(Prompt((Message.of("user", "Why?"),)), 1)
    assert "\\boxed{" in overthink(Prompt(()), 1)


@given(st.integers(0, 1000), st.integers(0, 40))
def test_a_beginning_of_the_reply_is_continued(seed: int, tokens: int) -> None:
    whole = overthink(ASK, seed)
    start = "".join(tokenize(whole)[:tokens])
    assert start + overthink(ASK + start, seed) == whole


def test_after_a_closed_thought_only_the_answer_is_left() -> None:
    said = overthink(ASK + "<think>done</think>\n\n", 3)
    assert said.startswith("The answer is \\boxed{3")
    assert overthink(ASK + "<think>done</think>The answer ", 3) == said.removeprefix("The answer ")
    assert overthink(ASK + "<think>done</think>So: \\boxed{", 3) == said.removeprefix("The answer is \\boxed{")


def test_a_strange_beginning_goes_on_at_its_position() -> None:
    whole = overthink(ASK, 3)
    assert overthink(ASK + "<think>why not ", 3) == "".join(tokenize(whole)[3:])
    endless = overthink(ASK + "<think>" + "well " * 100, 3)
    assert endless.startswith("</think>The answer is")


def test_the_switch_for_thinking_is_heeded() -> None:
    prompt = Prompt(ASK.messages, thinking=Thinking.off())
    assert overthink(prompt, 3).startswith("The answer is")
    assert overthink(Prompt(ASK.messages, thinking=Thinking.on()), 3) == overthink(ASK, 3)


async def test_greedy_decoding_is_the_same_whatever_the_seed() -> None:
    texts = {text(await read(Echo(), sampling=Sampling(temperature=0, branch_seed=seed))) for seed in range(5)}
    assert len(texts) == 1
    sampled = {text(await read(Echo(), sampling=Sampling(temperature=1, branch_seed=seed))) for seed in range(5)}
    assert len(sampled) > 1

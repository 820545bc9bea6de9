from __future__ import annotations

import pytest

from ponder.core.engine import Think, Usage
from ponder.engines.delta import Delta, joined, read_chat, read_completion
from ponder.engines.http import Json
from ponder.engines.reply import Reply

MARKS = Think("<think>", "</think>")


def chat(delta: Json, **more: object) -> Json:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None, **more}]}


def content(*texts: str) -> list[Json]:
    return [chat({"content": text}) for text in texts]


@pytest.mark.parametrize("delta", [{"content": "a"}, {"reasoning_content": "a"}])
def test_the_quick_way_and_the_full_one_read_alike(delta: Json) -> None:
    quick, full = read_chat(chat(delta)), read_chat(chat({**delta, "role": "assistant"}))
    assert quick == full
    assert quick.events == 1


@pytest.mark.parametrize(
    "event",
    [
        chat({"content": "a"}, token_ids=[1]),
        chat({"content": "a"}, logprobs={"content": [{"token": "a", "logprob": -1.0}]}),
        chat({"content": "a"}) | {"usage": {"completion_tokens": 3}},
        chat({"content": "a"}) | {"timings": {"predicted_n": 3}},
        chat({"content": "a", "reasoning": "b"}),
    ],
)
def test_an_event_that_says_more_is_read_in_full(event: Json) -> None:
    delta = read_chat(event)
    assert delta.text == "a"
    assert delta != Delta("a")


def test_a_last_event_keeps_its_reason() -> None:
    assert read_chat({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}).finish == "stop"
    assert read_completion({"choices": [{"text": "a", "finish_reason": "length"}]}).finish == "length"


def test_joined_events_hold_their_number_and_the_last_count() -> None:
    one, two = Delta("a", total=4, usage=Usage(1, 4)), Delta("b", total=5, usage=Usage(1, 5))
    assert joined([one, two]) == Delta("ab", total=5, usage=Usage(1, 5), events=2)
    assert joined([one]) is one


def test_events_that_came_together_are_one_chunk_and_as_many_tokens() -> None:
    reply = Reply(MARKS, read_chat)
    chunks = reply.feed_all(content("one ", "two ", "three "))
    assert [(chunk.text, chunk.tokens, chunk.exact) for chunk in chunks] == [("one two three ", 3, False)]


def test_no_more_than_sixteen_events_become_one() -> None:
    chunks = Reply(MARKS, read_chat).feed_all(content(*["w "] * 40))
    assert [chunk.tokens for chunk in chunks] == [16, 16, 8]


@pytest.mark.parametrize(
    "texts",
    [
        ("<think>", "a ", "b ", "</think>", "c ", "d "),
        ("<thi", "nk>", "a ", "b ", "</th", "ink>", "c ", "d "),
        ("a ", "< ", "b ", "c "),
    ],
)
def test_marks_are_counted_as_if_each_event_came_alone(texts: tuple[str, ...]) -> None:
    together, alone = Reply(MARKS, read_chat), Reply(MARKS, read_chat)
    chunks = together.feed_all(content(*texts))
    single = [chunk for event in content(*texts) for chunk in alone.feed(event)]
    for channel in ("think", "answer"):
        joined_text = "".join(chunk.text for chunk in chunks if chunk.channel == channel)
        assert joined_text == "".join(chunk.text for chunk in single if chunk.channel == channel)
        tokens = sum(chunk.tokens for chunk in chunks if chunk.channel == channel)
        assert tokens == sum(chunk.tokens for chunk in single if chunk.channel == channel)


def test_thinking_and_answer_are_never_joined() -> None:
    events = [chat({"reasoning_content": "a "}), chat({"reasoning_content": "b "}), *content("c ", "d ")]
    chunks = [chunk for chunk in Reply(MARKS, read_chat).feed_all(events) if not chunk.markup]
    assert [(chunk.text, chunk.channel, chunk.tokens) for chunk in chunks] == [
        ("a b ", "think", 2),
        ("c d ", "answer", 2),
    ]

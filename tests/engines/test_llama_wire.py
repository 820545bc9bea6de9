from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.engine import Chunk, Sampling, Think
from ponder.core.errors import OptionError, Unsupported
from ponder.engines.llama_server import Event
from ponder.engines.llama_wire import Decoder, check_sampling, check_text, request_body

MARKS = Think("<think>", "</think>")


def token(content: str, ids: list[int], predicted: int) -> Event:
    return {"content": content, "tokens": ids, "stop": False, "tokens_predicted": predicted, "tokens_evaluated": 7}


def last(kind: str, predicted: int, word: str = "") -> Event:
    return {
        "content": "",
        "tokens": [],
        "stop": True,
        "stop_type": kind,
        "stopping_word": word,
        "tokens_predicted": predicted,
        "tokens_evaluated": 7,
        "timings": {"cache_n": 3, "prompt_n": 4},
    }


PROGRESS: Event = {
    "content": "",
    "tokens": [0],
    "stop": False,
    "tokens_predicted": 0,
    "tokens_evaluated": 7,
    "prompt_progress": {"total": 7, "cache": 3, "processed": 7},
}


def decode(*events: Event, think: Think | None = None, prefill: str = "", opened: bool = False) -> list[Chunk]:
    decoder = Decoder(think or Think(), prefill, opened)
    return [chunk for event in events for chunk in decoder.feed(event)]


def summary(chunks: list[Chunk]) -> list[tuple[str, int, tuple[int, ...]]]:
    return [(chunk.text, chunk.tokens, chunk.token_ids) for chunk in chunks]


def test_plain_reply_with_an_end_mark() -> None:
    chunks = decode(PROGRESS, token("Hi", [5], 1), token(" you", [6], 2), token("", [2], 3), last("eos", 3))
    assert summary(chunks) == [("Hi", 1, (5,)), (" you", 1, (6,)), ("", 1, ())]
    assert chunks[0].usage is not None
    assert (chunks[0].usage.prompt, chunks[0].usage.generated, chunks[0].usage.cached) == (7, None, 3)
    assert chunks[-1].finish == "stop"
    assert chunks[-1].matched_stop is None
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt, chunks[-1].usage.generated, chunks[-1].usage.cached) == (7, 3, 3)


WORDS = ["a", "<", "</", "<think>", "</think>", "think>", "\n", " ", "漢", ""]


@given(
    st.lists(st.tuples(st.sampled_from(WORDS), st.integers(1, 3)), max_size=12),
    st.sampled_from(["limit", "eos", "word"]),
)
def test_nothing_is_lost_or_counted_twice(words: list[tuple[str, int]], end: str) -> None:
    events, total = [], 0
    for word, tokens in words:
        total += tokens
        events.append(token(word, list(range(tokens)) if tokens < 3 else [7], total))
    chunks = decode(PROGRESS, *events, last(end, total, "END"), think=MARKS)
    assert "".join(chunk.text for chunk in chunks) == "".join(word for word, _ in words)
    assert sum(chunk.tokens for chunk in chunks) == total
    assert [chunk.finish is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert all(len(chunk.token_ids) in (0, chunk.tokens) or chunk.finish for chunk in chunks)


def test_progress_is_no_token() -> None:
    assert decode(PROGRESS, PROGRESS) == []


def test_a_character_of_three_tokens_counts_three_and_has_no_ids() -> None:
    chunks = decode(token("a", [4], 1), token("漢", [112], 4), token("b", [9], 5), last("limit", 5))
    assert summary(chunks) == [("a", 1, (4,)), ("漢", 3, ()), ("b", 1, (9,)), ("", 0, ())]
    assert chunks[-1].finish == "length"


def test_a_limit_inside_a_character_is_counted() -> None:
    chunks = decode(token("a", [4], 1), last("limit", 3))
    assert summary(chunks) == [("a", 1, (4,)), ("", 2, ())]


def test_text_that_a_stop_string_held_back_brings_its_ids_along() -> None:
    chunks = decode(token("", [4], 1), token("\n", [9], 2), last("limit", 2))
    assert summary(chunks) == [("\n", 2, (4, 9)), ("", 0, ())]


def test_a_stop_string_is_counted_but_not_in_the_text() -> None:
    chunks = decode(token("a", [4], 1), token("", [5], 2), token("", [6], 3), last("word", 3, "END"))
    assert summary(chunks) == [("a", 1, (4,)), ("", 2, ())]
    assert (chunks[-1].finish, chunks[-1].matched_stop) == ("stop", "END")


def test_held_back_at_the_limit_has_no_ids() -> None:
    chunks = decode(token("a", [4], 1), token("", [5], 2), last("limit", 2))
    assert summary(chunks) == [("a", 1, (4,)), ("", 1, ())]


def test_channels_and_marks() -> None:
    events = [token("<think>", [1], 1), token("\n", [2], 2), token("so", [3], 3), token("</think>", [4], 4)]
    chunks = decode(*events, token("\n\n", [5], 5), token("5", [6], 6), token("", [0], 7), last("eos", 7), think=MARKS)
    assert [(c.text, c.channel, c.markup) for c in chunks] == [
        ("<think>", "think", True),
        ("\n", "think", True),
        ("so", "think", False),
        ("</think>", "think", True),
        ("\n\n", "answer", True),
        ("5", "answer", False),
        ("", "answer", False),
    ]
    assert [c.token_ids for c in chunks] == [(1,), (2,), (3,), (4,), (5,), (6,), ()]
    assert sum(c.tokens for c in chunks) == 7


def test_a_mark_of_several_tokens_stays_in_one_piece() -> None:
    events = [token("so ", [3], 1), token("</", [4], 2), token("think", [5], 3), token(">\n", [6], 4)]
    chunks = decode(*events, last("limit", 4), think=MARKS, opened=True)
    assert summary(chunks) == [("so ", 1, (3,)), ("</think>\n", 3, (4, 5, 6)), ("", 0, ())]


def test_what_looks_like_a_mark_at_the_end_is_text() -> None:
    chunks = decode(token("2 ", [3], 1), token("<", [4], 2), token("", [0], 3), last("eos", 3), think=MARKS)
    assert summary(chunks) == [("2 ", 1, (3,)), ("<", 2, (4,))]
    assert chunks[-1].finish == "stop"


def test_a_token_over_both_channels_is_counted_once_and_has_no_ids() -> None:
    chunks = decode(token("so</think>5", [3], 1), last("limit", 1), think=MARKS, opened=True)
    assert [(c.text, c.channel, c.tokens, c.token_ids) for c in chunks] == [
        ("so", "think", 1, ()),
        ("</think>", "think", 0, ()),
        ("5", "answer", 0, ()),
        ("", "answer", 0, ()),
    ]


def test_a_prefill_that_closed_the_thought_is_followed_by_the_answer() -> None:
    chunks = decode(token("5", [6], 1), last("limit", 1), think=MARKS, prefill="so</think>", opened=True)
    assert [c.channel for c in chunks] == ["answer", "answer"]


def test_logprobs_stand_on_the_chunk_of_their_tokens_and_not_on_the_end() -> None:
    first = token("a", [4], 1)
    rivals = [{"token": "a", "logprob": -0.1}, {"token": "b", "logprob": -2.5}]
    first["completion_probabilities"] = [{"token": "a", "logprob": -0.1, "top_logprobs": rivals}]  # type: ignore[typeddict-item]
    end = token("", [0], 2)
    end["completion_probabilities"] = [{"token": "", "logprob": -0.3, "top_logprobs": []}]
    chunks = decode(first, end, last("eos", 2))
    assert [len(c.logprobs) for c in chunks] == [1, 0]
    assert chunks[0].logprobs[0] == ("a", -0.1, (("a", -0.1), ("b", -2.5)), None)


def test_ids_of_the_slot_end_at_the_first_gap() -> None:
    decoder = Decoder(Think(), "", False)
    for event in (token("a", [4], 1), token("漢", [112], 4), token("b", [9], 5)):
        decoder.feed(event)
    assert decoder.generated == [4]


@pytest.mark.parametrize(
    ("sampling", "named"),
    [
        (Sampling(max_tokens=0), "max_tokens"),
        (Sampling(logprobs=101), "logprobs"),
        (Sampling(stop=("\ud800",)), "stop"),
        (Sampling(logit_bias=((100, 1.0),)), "logit_bias"),
        (Sampling(logit_bias=((-1, 1.0),)), "logit_bias"),
        (Sampling(logit_bias=((1, math.nan),)), "logit_bias"),
        (Sampling(logit_bias=((1, math.inf),)), "logit_bias"),
        (Sampling(adapters=(("other", 1.0),)), "adapter"),
        (Sampling(adapters=(("valve", math.nan),)), "adapter"),
    ],
)
def test_bad_values_are_refused_by_name(sampling: Sampling, named: str) -> None:
    with pytest.raises(OptionError, match=named):
        check_sampling(sampling, ("valve",), 100)


def test_good_values_pass_and_hidden_states_and_forced_tokens_do_not() -> None:
    good = Sampling(stop=("a", "漢"), logit_bias=((99, -math.inf), (0, 3.0)), adapters=(("valve", 0.5),), seed=0)
    check_sampling(good, ("valve",), 100)
    with pytest.raises(Unsupported, match="hidden"):
        check_sampling(Sampling(hidden=(1,)), (), 100)
    with pytest.raises(Unsupported, match="forced tokens"):
        check_sampling(Sampling(force=(1,)), (), 100)
    with pytest.raises(Unsupported, match="the whole vocabulary"):
        check_sampling(Sampling(certainty=True), (), 100)


def test_half_a_character_is_named() -> None:
    check_text("漢字 🦙", "a message")
    with pytest.raises(OptionError, match=r"a message .* at 2"):
        check_text("ab\ud83d", "a message")


def test_every_sampling_field_is_sent() -> None:
    body = request_body(Sampling(max_tokens=9, temperature=0.7, top_p=0.9, top_k=3, min_p=0.1, seed=4), (), {})
    assert {key: body[key] for key in ("n_predict", "temperature", "top_p", "top_k", "min_p", "seed")} == {
        "n_predict": 9,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 3,
        "min_p": 0.1,
        "seed": 4,
    }
    neutral = (
        "repeat_penalty",
        "presence_penalty",
        "frequency_penalty",
        "dry_multiplier",
        "xtc_probability",
        "mirostat",
    )
    assert [body[key] for key in neutral] == [1.0, 0.0, 0.0, 0.0, 0.0, 0]
    assert all(body[key] is True for key in ("stream", "return_tokens", "return_progress", "cache_prompt"))
    assert "lora" not in body


def test_bans_greedy_and_adapters_as_sent() -> None:
    sampling = Sampling(temperature=0, logit_bias=((5, -math.inf), (6, 2.0)), adapters=(("b", 0.5),))
    body = request_body(sampling, ("a", "b"), {"json_schema": {}})
    assert (body["top_k"], body["samplers"]) == (1, ["top_k"])
    assert body["logit_bias"] == [[5, False], [6, 2.0]]
    assert body["lora"] == [{"id": 0, "scale": 0.0}, {"id": 1, "scale": 0.5}]
    assert body["seed"] == -1
    assert body["json_schema"] == {}
    json.dumps(body, allow_nan=False)

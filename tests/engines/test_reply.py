"""How events become chunks: channels, marks, counts and ids, for every way in which servers cut a reply."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.engine import Chunk, Logprob, Think, Usage
from ponder.core.errors import EngineError
from ponder.core.problem import ToolCall
from ponder.engines.delta import read_chat, read_completion
from ponder.engines.http import Json
from ponder.engines.reply import Reply

MARKS = Think("<think>", "</think>")
STOP: Json = {"choices": [{"delta": {}, "finish_reason": "stop"}]}


def delta(content: str = "", ids: list[int] | None = None, total: int | None = None, **fields: object) -> Json:
    event: Json = {"choices": [{"delta": {"content": content, **fields}, "token_ids": ids}]}
    if total is not None:
        event["usage"] = {"prompt_tokens": 5, "completion_tokens": total}
    return event


def chunks_of(*events: Json, opened: bool = False, prefill: str = "", raw: bool = False) -> list[Chunk]:
    reply = Reply(MARKS, read_completion if raw else read_chat, prefill, opened)
    return [chunk for event in events for chunk in reply.feed(event)] + reply.end()


def shown(chunks: list[Chunk]) -> list[tuple[str, str, bool, int, tuple[int, ...]]]:
    return [(c.text, c.channel, c.markup, c.tokens, c.token_ids) for c in chunks[:-1]]


def test_marks_that_are_cut_anywhere() -> None:
    events = [
        delta("<th", [1], 1),
        delta("ink>hm", [2], 2),
        delta("</", [3], 3),
        delta("think>", [4], 4),
        delta("4", [5], 5),
    ]
    assert shown(chunks_of(*events, STOP)) == [
        ("<think>", "think", True, 2, ()),
        ("hm", "think", False, 0, ()),
        ("</think>", "think", True, 2, (3, 4)),
        ("4", "answer", False, 1, (5,)),
    ]


def test_text_that_only_looks_like_a_mark_keeps_its_ids() -> None:
    events = [delta("x", [1]), delta(" <", [2]), delta(" 3", [3])]
    assert shown(chunks_of(*events, STOP)) == [
        ("x", "answer", False, 1, (1,)),
        (" < 3", "answer", False, 2, (2, 3)),
    ]


def test_several_tokens_in_one_event_are_all_counted() -> None:
    (chunk, _) = chunks_of(delta("one two", [1, 2]), STOP)
    assert (chunk.tokens, chunk.token_ids, chunk.exact) == (2, (1, 2), True)
    rows = [{"token": t, "logprob": -1.0, "top_logprobs": []} for t in ("one", " two")]
    event: Json = {"choices": [{"delta": {"content": "one two"}, "logprobs": {"content": rows}}]}
    (chunk, _) = chunks_of(event, STOP)
    assert (chunk.tokens, chunk.exact) == (2, True)
    assert chunk.logprobs == (Logprob("one", -1.0), Logprob(" two", -1.0))


def test_a_server_without_counts_is_taken_at_a_token_an_event() -> None:
    chunks = chunks_of(delta("one"), delta(" two"), STOP)
    assert [(c.tokens, c.exact) for c in chunks] == [(1, False), (1, False), (0, True)]
    assert chunks[-1].usage is None


def test_a_count_at_the_end_does_not_spoil_the_channels() -> None:
    usage: Json = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 90}}
    chunks = chunks_of(delta("<think>a"), delta("</think>b"), STOP, usage)
    assert [c.tokens for c in chunks] == [1, 0, 1, 0, 0]
    assert chunks[-1].usage == Usage(3, 90, None, None)


def test_the_prompt_is_told_early_and_once() -> None:
    chunks = chunks_of(delta("a", [1], 1), delta("b", [2], 2), STOP)
    assert [c.usage for c in chunks] == [Usage(5, None, None), None, Usage(5, 2, None, None)]


def test_a_character_of_several_tokens_keeps_all_its_ids() -> None:
    chunks = chunks_of(delta("", [1], 1), delta("", [2], 2), delta("漢", [3], 3), STOP)
    assert shown(chunks) == [("漢", "answer", False, 3, (1, 2, 3))]


def test_tokens_without_text_are_billed_while_they_come() -> None:
    reply = Reply(MARKS, read_chat)
    given = [sum(c.tokens for c in reply.feed(delta("", [n], n))) for n in range(1, 10)]
    assert sum(given) == 8
    assert max(n - sum(given[:n]) for n in range(9)) <= 3
    reply.feed(STOP)
    assert sum(c.tokens for c in reply.end()) == 1


def test_the_token_that_ends_a_reply_is_counted_but_spells_nothing() -> None:
    last: Json = {"choices": [{"text": " b", "token_ids": [2, 99], "finish_reason": "stop", "stop_reason": None}]}
    chunks = chunks_of({"choices": [{"text": "a", "token_ids": [1]}]}, last, raw=True)
    assert [(c.text, c.tokens, c.token_ids) for c in chunks] == [("a", 1, (1,)), (" b", 1, (2,)), ("", 1, ())]


def test_a_stop_string_is_named_where_the_server_names_it() -> None:
    for name in ("stop_reason", "matched_stop"):
        last: Json = {"choices": [{"text": "", "finish_reason": "stop", name: "\n\n"}]}
        assert chunks_of(last, raw=True)[-1].matched_stop == "\n\n"
    verbose: Json = {**STOP, "__verbose": {"stopping_word": "END"}}
    assert chunks_of(verbose)[-1].matched_stop == "END"
    by_token: Json = {"choices": [{"text": "", "finish_reason": "stop", "stop_reason": 151645}]}
    assert chunks_of(by_token, raw=True)[-1].matched_stop is None


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_a_field_of_its_own_gets_its_marks_back(name: str) -> None:
    chunks = chunks_of(delta(**{name: "hm"}), delta(**{name: "m"}), delta("4"), STOP)
    assert [(c.text, c.channel, c.markup) for c in chunks[:-1]] == [
        ("<think>", "think", True),
        ("hm", "think", False),
        ("m", "think", False),
        ("</think>", "think", True),
        ("4", "answer", False),
    ]
    assert [c.tokens for c in chunks] == [0, 1, 1, 0, 1, 0]


def test_two_names_for_one_thought_are_one_thought() -> None:
    details = [{"type": "reasoning.text", "text": "hm"}]
    both = delta(reasoning_content="hm", reasoning="hm", reasoning_details=details)
    assert "".join(c.text for c in chunks_of(both, delta("4"), STOP)) == "<think>hm</think>4"
    only = delta(reasoning_details=details)
    assert "".join(c.text for c in chunks_of(only, delta("4"), STOP)) == "<think>hm</think>4"


def test_a_thought_in_the_field_and_in_marks_is_one_thought() -> None:
    events = [delta("<think>two", reasoning="two"), delta(" and", reasoning=" and"), delta("</think>4"), STOP]
    chunks = chunks_of(*events)
    assert "".join(c.text for c in chunks) == "<think>two and</think>4"
    assert sum(c.tokens for c in chunks) == 3


def test_a_new_thought_in_the_answer_is_kept() -> None:
    chunks = chunks_of(delta(reasoning="two"), delta("4 <think>wait</think>5"), STOP)
    assert "".join(c.text for c in chunks) == "<think>two</think>4 <think>wait</think>5"


def test_an_opened_thought_whose_marks_the_server_takes_away() -> None:
    chunks = chunks_of(delta(reasoning="hm"), delta("4"), STOP, opened=True)
    assert [(c.text, c.channel) for c in chunks[:-1]] == [("hm", "think"), ("</think>", "think"), ("4", "answer")]


def test_blanks_between_field_and_answer_do_not_end_the_thought() -> None:
    chunks = chunks_of(delta(reasoning="a"), delta("\n"), delta(reasoning="b"), delta("4"), STOP)
    assert "".join(c.text for c in chunks if c.markup) == "<think></think>"


def test_an_opened_thought_in_plain_text() -> None:
    chunks = chunks_of(delta("hm</think>\n\n"), delta("4"), STOP, opened=True)
    assert "".join(c.text for c in chunks if c.channel == "think" and not c.markup) == "hm"
    assert "".join(c.text for c in chunks) == "hm</think>\n\n4"


def test_a_prefill_says_where_the_reply_goes_on() -> None:
    inside = chunks_of({"choices": [{"text": "x"}]}, STOP, prefill="<think>a", raw=True)
    outside = chunks_of({"choices": [{"text": "x"}]}, STOP, prefill="<think>a</think>b", raw=True)
    assert (inside[0].channel, outside[0].channel) == ("think", "answer")


def test_tool_calls_are_put_together() -> None:
    events = [
        delta(tool_calls=[{"index": 0, "id": "c1", "function": {"name": "add", "arguments": ""}}]),
        delta(
            tool_calls=[
                {"index": 0, "function": {"arguments": '{"a"'}},
                {"index": 1, "id": "c2", "function": {"name": "f"}},
            ]
        ),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ":1}"}}]),
    ]
    last = chunks_of(*events, STOP)[-1]
    assert last.finish == "tool_calls"
    assert last.tool_calls == (ToolCall("c1", "add", '{"a":1}'), ToolCall("c2", "f", ""))
    assert sum(c.tokens for c in chunks_of(*events, STOP)) == 3


@pytest.mark.parametrize(
    ("said", "finish"),
    [("stop", "stop"), ("length", "length"), ("max_tokens", "length"), ("tool_calls", "tool_calls"), ("eos", "stop")],
)
def test_how_a_reply_ends(said: str, finish: str) -> None:
    assert chunks_of({"choices": [{"delta": {}, "finish_reason": said}]})[-1].finish == finish


@pytest.mark.parametrize(("said", "retry"), [("content_filter", False), ("abort", True), ("error", True)])
def test_a_reply_that_did_not_end_is_an_error(said: str, retry: bool) -> None:
    with pytest.raises(EngineError) as caught:
        chunks_of({"choices": [{"delta": {}, "finish_reason": said}]})
    assert caught.value.retry == retry


def test_usage_in_every_shape() -> None:
    said: Json = {
        "prompt_tokens": 9,
        "completion_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 6},
    }
    assert chunks_of(STOP, {"choices": [], "usage": said})[-1].usage == Usage(9, 8, 4, 6)
    deepseek: Json = {"prompt_tokens": 9, "completion_tokens": 8, "prompt_cache_hit_tokens": 3}
    assert chunks_of({**STOP, "usage": deepseek})[-1].usage == Usage(9, 8, 3, None)
    timings: Json = {"cache_n": 3, "prompt_n": 6, "predicted_n": 8}
    assert chunks_of({**STOP, "timings": timings})[-1].usage == Usage(9, None, 3, None)


def test_no_reasoning_tokens_beside_a_thought_is_no_statement() -> None:
    usage: Json = {"completion_tokens": 8, "completion_tokens_details": {"reasoning_tokens": 0}}
    assert chunks_of(delta(reasoning="hm"), {**STOP, "usage": usage})[-1].usage == Usage(None, 8, None, None)


def test_raw_logprobs_with_their_rivals_in_order() -> None:
    table = {"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": [{"b": -1.0, "a": -0.5}]}
    (chunk, _) = chunks_of({"choices": [{"text": "a", "logprobs": table}]}, STOP, raw=True)
    assert chunk.logprobs == (Logprob("a", -0.5, (("a", -0.5), ("b", -1.0))),)
    table = {"tokens": ["a"], "token_logprobs": [None], "top_logprobs": None}  # type: ignore[dict-item]
    (chunk, _) = chunks_of({"choices": [{"text": "a", "logprobs": table}]}, STOP, raw=True)
    assert chunk.logprobs[0].logprob == -math.inf


@given(st.text(alphabet="<think>/ ab\n漢", max_size=40), st.lists(st.integers(0, 40), max_size=12), st.booleans())
def test_text_and_counts_survive_any_cut(text: str, cuts: list[int], inside: bool) -> None:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in pairwise(places)]
    events = [delta(piece, [n], n) for n, piece in enumerate(pieces, 1)]
    chunks = chunks_of(*events, STOP, opened=inside)
    assert "".join(c.text for c in chunks) == text
    assert sum(c.tokens for c in chunks) == len(pieces)
    whole = chunks_of(delta(text, [1]), STOP, opened=inside)
    for channel in ("think", "answer"):
        want, got = ("".join(c.text for c in run if c.channel == channel) for run in (whole, chunks))
        assert want == got
    spelled, said = "", ""
    for chunk in chunks:
        said += chunk.text
        if chunk.text and len(chunk.token_ids) != chunk.tokens:
            break
        spelled += "".join(pieces[i - 1] for i in chunk.token_ids)
        assert spelled == said

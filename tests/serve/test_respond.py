"""Whole replies: message and thinking under each name, finish, usage over all calls, and what was applied."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from ponder.core.engine import Logprob
from ponder.core.method import Finish, Solution
from ponder.core.problem import ToolCall
from ponder.core.trace import Call, Trace
from ponder.serve.control import FORMATS, ReasoningFormat
from ponder.serve.fields import Fields
from ponder.serve.messages import read_messages
from ponder.serve.respond import (
    TAGS,
    Applied,
    Bill,
    Choice,
    Outcome,
    answer_logprobs,
    chat_body,
    completion_body,
    headers,
    logprobs_body,
    message_body,
    new_id,
    old_logprobs,
    request_id,
    text_of,
)

ADD = ToolCall("call_1", "add", '{"a": 1}')
BILL = Bill(prompt=10, completion=30, reasoning=20, cached=4, by_role={"think": 20, "answer": 10}, calls=1)
DONE = Outcome("chatcmpl-1", 1700000000, "qwen3", (Choice("4", "2 and 2"),), BILL, {"method": "auto"})


def call(role: str = "think", **more: object) -> Call:
    return replace(Call(role, "m", (), 0), **more)  # type: ignore[arg-type]


# The body


def test_the_whole_reply() -> None:
    """Always `id, object, created, model, choices[].index, finish_reason, usage{...}`."""
    assert chat_body(DONE) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "qwen3",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "4",
                    "refusal": None,
                    "reasoning_content": "2 and 2",
                    "reasoning": "2 and 2",
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 30,
            "total_tokens": 40,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 20},
        },
        "ponder": {"method": "auto"},
    }


def test_several_choices_have_their_index() -> None:
    """`n > 1` must work"""
    outcome = replace(DONE, choices=(Choice("a"), Choice("b"), Choice("", tool_calls=(ADD,))))
    found = chat_body(outcome)["choices"]
    assert isinstance(found, list)
    assert [choice["index"] for choice in found] == [0, 1, 2]
    assert [choice["finish_reason"] for choice in found] == ["stop", "stop", "tool_calls"]


@pytest.mark.parametrize(
    ("format", "fields", "content"),
    [
        ("both", {"reasoning_content": "t", "reasoning": "t"}, "a"),
        ("reasoning_content", {"reasoning_content": "t"}, "a"),
        ("reasoning", {"reasoning": "t"}, "a"),
        ("think_tags", {}, "<think>\nt\n</think>\n\na"),
        ("none", {}, "a"),
    ],
)
def test_thinking_under_the_name_that_the_client_knows(
    format: ReasoningFormat, fields: dict[str, str], content: str
) -> None:
    """Send `reasoning_content` and `reasoning` with the same text by default, with a switch."""
    message = message_body(Choice("a", "t"), format)
    assert message == {"role": "assistant", "content": content, "refusal": None, **fields}


@pytest.mark.parametrize("format", FORMATS)
def test_no_thinking_leaves_no_trace_of_it(format: ReasoningFormat) -> None:
    assert message_body(Choice("a"), format) == {"role": "assistant", "content": "a", "refusal": None}


@pytest.mark.parametrize("format", ["both", "reasoning_content", "reasoning", "think_tags"])
def test_a_reply_that_is_echoed_is_read_back(format: ReasoningFormat) -> None:
    echoed = message_body(Choice("the answer\n", "a\n\nthought", tool_calls=(ADD,)), format)
    ignored: list[str] = []
    (message,) = read_messages(Fields({"messages": [echoed]}), ignored)
    assert (message.text, message.reasoning, message.tool_calls) == ("the answer\n", "a\n\nthought", (ADD,))
    assert ignored == []


def test_calls_of_tools() -> None:
    message = message_body(Choice("", "t", tool_calls=(ADD, replace(ADD, id="call_2"))), "both")
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
        {"id": "call_2", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
    ]
    assert message_body(Choice("see", "", tool_calls=(ADD,)), "both")["content"] == "see"


# The finish


@pytest.mark.parametrize(
    ("finish", "answer", "thinking", "tools", "reason"),
    [
        ("stop", "4", "", (), "stop"),
        ("stop", "", "", (), "stop"),
        ("stop", "4", "t", (), "stop"),
        ("length", "4", "t", (), "length"),
        # `tool_calls` when there are tool calls, whatever the server said
        ("tool_calls", "", "t", (ADD,), "tool_calls"),
        ("stop", "", "t", (ADD,), "tool_calls"),
        ("length", "x", "t", (ADD,), "tool_calls"),
        # a cap on the thought that we enforced is a normal `stop`
        ("exit", "4", "t", (), "stop"),
        # a limit that cut the answer itself is `length`
        ("budget", "it is 4 beca", "t", (), "length"),
        ("deadline", "it is", "t", (), "length"),
        # reasoning ate the limit: never a successful empty answer
        ("length", "", "t", (), "length"),
        ("stop", "", "t", (), "length"),
        ("exit", " \n", "t", (), "length"),
        ("tool_calls", "4", "", (), "stop"),
    ],
)
def test_finish_reasons(finish: Finish, answer: str, thinking: str, tools: tuple[ToolCall, ...], reason: str) -> None:
    assert Choice(answer, thinking, finish, tools).reason == reason


def test_a_choice_is_what_a_solution_is() -> None:
    logprobs = (Logprob("4", -0.1),)
    solution = Solution("4", "t", "exit", (ADD,), logprobs, {"exit": "budget"})
    assert Choice.of(solution) == Choice("4", "t", "exit", (ADD,), logprobs)


# Usage


def test_usage_is_everything_over_all_calls() -> None:
    """`usage` = everything spent over all upstream calls; `completion_tokens` already contains reasoning."""
    first = Trace([call(think_tokens=100, answer_tokens=20, prompt_tokens=50, cached_tokens=10)])
    second = Trace(
        [
            call(think_tokens=30, answer_tokens=5, prompt_tokens=50, cached_tokens=48),
            call("probe", think_tokens=0, answer_tokens=7, prompt_tokens=80),
            call("draft", think_tokens=3, answer_tokens=4, latent=2, prompt_tokens=1),
        ]
    )
    bill = Bill.of([first, second])
    assert (bill.prompt, bill.cached) == (181, 58)
    assert bill.completion == 171 == first.tokens + second.tokens
    assert bill.reasoning == 135 == 100 + 30 + 3 + 2
    assert bill.by_role == {"think": 130, "answer": 25, "probe": 7, "draft": 9}
    assert sum(bill.by_role.values()) == bill.completion
    assert (bill.calls, bill.exact) == (4, True)
    usage = bill.body()
    assert usage["total_tokens"] == 181 + 171
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 135}


def test_an_estimate_is_said() -> None:
    assert not Bill.of([Trace([call(), call(exact=False)])]).exact


@pytest.mark.parametrize(("escaped", "think", "answer"), [(0, 10, 30), (12, 22, 18), (30, 40, 0), (99, 40, 0)])
def test_escaped_thinking_is_billed_as_thinking(escaped: int, think: int, answer: int) -> None:
    """when a closed thought goes on as thinking inside the answer, it is detected, billed as thinking"""
    bill = Bill.of([Trace([call(think_tokens=10, answer_tokens=30)])], escaped)
    assert (bill.reasoning, bill.by_role.get("answer", 0), bill.completion) == (think, answer, 40)
    assert sum(bill.by_role.values()) == bill.completion


def test_nothing_spent() -> None:
    assert Bill.of([]).body() == {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "total_tokens": 0,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


# What was applied


def test_the_ponder_object_says_what_was_applied() -> None:
    """method, route, budget asked, used, enforced by whom, exit reason, tokens by role; saved is null unless backed"""
    applied = Applied(
        "budget_forcing",
        route="hard",
        route_score=0.75,
        source="thinking_budget",
        budget=16,
        enforced_by="prefill",
        exit="forced_close",
        capped=True,
        ignored=("messages.name",),
        overridden=("temperature",),
        evidence={"waits": 1.0, "nothing": float("nan")},
    )
    assert applied.body(BILL) == {
        "method": "budget_forcing",
        "route": "hard",
        "route_score": 0.75,
        "source": "thinking_budget",
        "budget": 16,
        "ignored": ["messages.name"],
        "used": 20,
        "enforced_by": "prefill",
        "exit": "forced_close",
        "capped": True,
        "overridden": ["temperature"],
        "tokens": {"think": 20, "answer": 10},
        "calls": 1,
        "exact": True,
        "evidence": {"waits": 1.0},
        "saved": None,
    }


def test_before_the_first_token_only_the_plan_is_known() -> None:
    assert Applied("auto", budget=16).body() == {
        "method": "auto",
        "route": None,
        "route_score": None,
        "source": None,
        "budget": 16,
        "ignored": [],
    }


def test_a_saving_is_said_where_it_is_backed() -> None:
    saved = Applied("auto", saved={"tokens": 0.4, "run": "r-1"}).body(BILL)["saved"]
    assert saved == {"tokens": 0.4, "run": "r-1"}


def test_headers_say_the_same() -> None:
    """a few `x-...` headers"""
    applied = Applied("auto", route="trivial", budget=0, enforced_by="server", exit="natural", ignored=("a", "b"))
    assert headers(applied.body(BILL)) == {
        "x-ponder-method": "auto",
        "x-ponder-route": "trivial",
        "x-ponder-budget": "0",
        "x-ponder-used": "20",
        "x-ponder-enforced-by": "server",
        "x-ponder-exit": "natural",
        "x-ponder-capped": "false",
        "x-ponder-tokens": "think=20, answer=10",
        "x-ponder-ignored": "a, b",
    }


def test_headers_name_what_was_ignored_and_what_was_overridden() -> None:
    said = headers(Applied("auto", ignored=("a", "b"), overridden=("temperature", "top_p")).body(BILL))
    assert (said["x-ponder-ignored"], said["x-ponder-overridden"]) == ("a, b", "temperature, top_p")


@pytest.mark.parametrize("name", ["a\r\nset-cookie: x", "méthode", "你好", "\ud800", "50%", "x" * 5000, "\x00\x7f"])
def test_headers_are_ascii_and_cannot_be_split(name: str) -> None:
    """x-ponder-* headers (ASCII only)"""
    said = headers(Applied(name, ignored=(name,)).body())
    assert set(said) == {"x-ponder-method", "x-ponder-ignored"}
    for value in said.values():
        assert value.isascii()
        assert value.isprintable()
        assert len(value) <= 1024


# Log-probabilities

TOKENS = (
    Logprob("<think>", -0.5),
    Logprob("2", -0.1),
    Logprob("</think>", -0.2),
    Logprob("\n", 0.0),
    Logprob("It", -0.3, (("It", -0.3), ("The", -1.5), ("4", float("-inf")))),
    Logprob(" is", -0.4),
    Logprob("<|im_end|>", -0.01),
)


def test_logprobs_are_those_of_the_answer() -> None:
    assert [entry.token for entry in answer_logprobs(TOKENS, "It is")] == ["It", " is"]
    assert answer_logprobs(TOKENS, "something else") == TOKENS
    assert answer_logprobs(TOKENS, "") == TOKENS
    assert answer_logprobs((), "x") == ()


def test_the_logprobs_object() -> None:
    found = logprobs_body(TOKENS[4:6], 3)
    assert found == {
        "content": [
            {
                "token": "It",
                "logprob": -0.3,
                "bytes": [73, 116],
                "top_logprobs": [
                    {"token": "It", "logprob": -0.3, "bytes": [73, 116]},
                    {"token": "The", "logprob": -1.5, "bytes": [84, 104, 101]},
                    {"token": "4", "logprob": -9999.0, "bytes": [52]},
                ],
            },
            {"token": " is", "logprob": -0.4, "bytes": [32, 105, 115], "top_logprobs": []},
        ],
        "refusal": None,
    }
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(("top", "rivals"), [(0, 0), (1, 1), (2, 2), (5, 3)])
def test_as_many_rivals_as_were_asked_for(top: int, rivals: int) -> None:
    found = logprobs_body(TOKENS[4:5], top)["content"]
    assert isinstance(found, list)
    assert len(found[0]["top_logprobs"]) == rivals


@pytest.mark.parametrize(("asked", "count"), [(None, None), (0, 2), (2, 2)])
def test_logprobs_come_only_where_they_were_asked_for(asked: int | None, count: int | None) -> None:
    choice = Choice("It is", "2", logprobs=TOKENS)
    found = chat_body(replace(DONE, choices=(choice,), top_logprobs=asked))["choices"]
    assert isinstance(found, list)
    said = found[0]["logprobs"]
    assert (None if said is None else len(said["content"])) == count


def test_logprobs_of_half_a_character() -> None:
    found = logprobs_body((Logprob("\udce4", -1.0),), 1)
    assert json.loads(json.dumps(found))["content"][0]["bytes"] == [63]


# Legacy


def test_the_legacy_reply() -> None:
    choice = Choice("It is", "2", "length", logprobs=TOKENS)
    body = completion_body(replace(DONE, id="cmpl-1", choices=(choice,), top_logprobs=1))
    assert body["object"] == "text_completion"
    assert body["choices"] == [
        {
            "index": 0,
            "text": "It is",
            "logprobs": {
                "tokens": ["It", " is"],
                "token_logprobs": [-0.3, -0.4],
                "top_logprobs": [{"It": -0.3}, {}],
                "text_offset": [0, 2],
            },
            "finish_reason": "length",
        }
    ]
    assert body["usage"] == BILL.body()


def test_the_legacy_reply_with_its_prompt() -> None:
    outcome = replace(DONE, choices=(Choice("4"), Choice("6")))
    found = completion_body(outcome, echo=("2+2=", "3+3="))["choices"]
    assert isinstance(found, list)
    assert [choice["text"] for choice in found] == ["2+2=4", "3+3=6"]
    assert found[0]["logprobs"] is None


def test_legacy_thinking_stands_between_tags_or_nowhere() -> None:
    assert text_of(Choice("a", "t"), "think_tags") == TAGS[0] + "t" + TAGS[1] + "a"
    assert text_of(Choice("a", "t"), "both") == "a"


def test_old_logprobs_have_no_infinity() -> None:
    assert old_logprobs((Logprob("a", float("-inf")), Logprob("bc", -1.0)), 0) == {
        "tokens": ["a", "bc"],
        "token_logprobs": [-9999.0, -1.0],
        "top_logprobs": [{}, {}],
        "text_offset": [0, 1],
    }


# Ids


def test_ids_are_new_and_say_what_they_name() -> None:
    ids = {new_id() for _ in range(100)} | {new_id("cmpl")}
    assert len(ids) == 101
    assert all(re.fullmatch(r"(chatcmpl|cmpl)-[0-9a-f]{24}", one) for one in ids)


@pytest.mark.parametrize("given", ["abc-123", "x" * 128, "a/b:c=d"])
def test_a_request_keeps_its_id(given: str) -> None:
    assert request_id(given) == given


@pytest.mark.parametrize("given", [None, "", "two words", "line\nbreak", "ü", "x" * 129, "\x00"])
def test_an_id_that_is_no_plain_word_is_replaced(given: str | None) -> None:
    assert re.fullmatch(r"req-[0-9a-f]{24}", request_id(given))

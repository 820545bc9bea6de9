from __future__ import annotations

import io
import sys
from typing import Any, cast

import pytest
from support.command import Command


def ask(ponder: Command, *args: str) -> dict[str, Any]:
    ran = ponder("ask", *args, "--model", "echo", "--json")
    assert ran.code == 0, ran.err
    return cast(dict[str, Any], ran.json)


def test_the_json_has_the_documented_shape(ponder: Command) -> None:
    found = ask(ponder, "2+3等于几")
    assert set(found) >= {"answer", "thinking", "finish", "tokens_by_role", "calls"}
    assert found["finish"] == "stop"
    assert found["answer"].startswith("The answer is")
    (call,) = found["calls"]
    assert call["think_tokens"] + call["answer_tokens"] == sum(found["tokens_by_role"].values())


def test_the_answer_is_streamed_and_the_bill_stands_apart(ponder: Command) -> None:
    ran = ponder("ask", "2+3=?", "--model", "echo")
    found = ask(ponder, "2+3=?")
    assert ran.code == 0
    assert found["thinking"].strip() in ran.out
    assert ran.out.rstrip().endswith(found["answer"])
    tokens = sum(found["tokens_by_role"].values())
    assert f"{tokens} tokens: think" in ran.err
    assert "1 call" in ran.err


def test_a_method_that_shows_nothing_still_prints_its_answer(ponder: Command) -> None:
    ran = ponder("ask", "2+3=?", "--model", "echo", "--method", "self_consistency:n=3")
    assert ran.code == 0
    assert "The answer is" in ran.out
    assert "3 calls" in ran.err


def test_a_budget_cuts_and_says_so(ponder: Command) -> None:
    ran = ponder("ask", "2+3=?", "--model", "echo", "--budget", "3")
    assert ran.code == 1, "no answer at all is no success"
    assert "3 tokens" in ran.err
    assert "cut by budget" in ran.err


def test_the_question_may_come_from_standard_input(ponder: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("what is 41?"))
    assert "41" in ask(ponder, "-")["answer"] or "42" in ask(ponder, "41?")["answer"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("  ",), "the question is empty"),
        (("2+3=?", "--method", "sample,concise_cot"), "takes one method"),
        (("2+3=?", "--method", "smaple"), "did you mean 'sample'?"),
        (("2+3=?", "--engine", "strong"), "strong=URL#NAME"),
    ],
)
def test_bad_input_is_one_sentence(ponder: Command, args: tuple[str, ...], said: str) -> None:
    ran = ponder("ask", *args, "--model", "echo")
    assert ran.code == 1
    assert said in ran.err
    assert ran.err.strip().count("\n") <= 1


def test_the_same_seed_gives_the_same_reply_and_another_one_another(ponder: Command) -> None:
    hot = ("tell me of 7, 8 and 9", "--temperature", "1")
    first, again = ask(ponder, *hot, "--seed", "1"), ask(ponder, *hot, "--seed", "1")
    other = ask(ponder, *hot, "--seed", "2")
    assert first["thinking"] == again["thinking"] != other["thinking"]


def test_what_is_recorded_replays_to_the_token(ponder: Command) -> None:
    said = ask(ponder, "2+3=?", "--record", "ask.tape")
    ran = ponder("ask", "2+3=?", "--model", "tape:ask.tape", "--json")
    assert ran.code == 0, ran.err
    again = cast(dict[str, Any], ran.json)
    assert (again["answer"], again["thinking"]) == (said["answer"], said["thinking"])
    assert again["tokens_by_role"] == said["tokens_by_role"]
    missed = ponder("ask", "2+4=?", "--model", "tape:ask.tape")
    assert missed.code == 1
    assert "Traceback" not in missed.err


@pytest.mark.parametrize("method", ["dynasor", "budget_forcing", "self_consistency:n=2,inner=deer"])
def test_a_method_that_could_do_nothing_is_no_silent_sample(ponder: Command, method: str) -> None:
    args = ("ask", "2+3=?", "--model", "echo", "--method", method)
    ran = ponder(*args, "--think-close", "")
    assert ran.code == 0
    assert "could not do its work: echo tells no think marks" in ran.err
    assert "--think-open MARK --think-close MARK" in ran.err
    assert "could not do its work" not in ponder(*args).err

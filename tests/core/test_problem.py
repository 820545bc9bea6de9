from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError

import pytest

from ponder.core.problem import Image, Message, Problem, Prompt, Text, Thinking, Tool
from ponder.core.trace import Call


def call(text: str, ids: tuple[int, ...] = ()) -> Call:
    return Call("think", "echo", (), 0, text=text, token_ids=ids)


def test_a_problem_of_one_question() -> None:
    problem = Problem.of("2+3?", id="a", system="Be kind.")
    assert [(m.role, m.text) for m in problem.messages] == [("system", "Be kind."), ("user", "2+3?")]
    assert (problem.id, problem.question) == ("a", "2+3?")


def test_the_question_is_the_last_user_message() -> None:
    turns = (
        Message.of("user", "one"),
        Message.of("assistant", "1"),
        Message.of("user", "two"),
        Message.of("tool", "x"),
    )
    assert Problem("p", turns).question == "two"
    assert Problem("p", (Message.of("system", "s"),)).question == ""


def test_values_are_frozen_hashable_and_can_be_sent_to_other_processes() -> None:
    problem = Problem("p", (Message.of("user", "q"),), (Tool("t", "{}"),), "{}", {"k": "v"})
    prompt = Prompt.of(problem, "Be brief.", Thinking.budget(8)) + "So"
    for value in (problem, prompt, Thinking.effort("low"), Image("data:,")):
        assert pickle.loads(pickle.dumps(value)) == value
        assert hash(pickle.loads(pickle.dumps(value))) == hash(value)
    with pytest.raises(FrozenInstanceError):
        problem.id = "other"  # type: ignore[misc]


def test_meta_is_part_of_equality_but_not_of_the_hash() -> None:
    a, b = Problem("p", (), meta={"k": "1"}), Problem("p", (), meta={"k": "2"})
    assert a != b
    assert hash(a) == hash(b)


def test_message_text_leaves_pictures_out() -> None:
    message = Message("user", (Text("a"), Image("u"), Text("b")))
    assert message.text == "a\nb"


def test_append_adds_a_paragraph_and_keeps_pictures_in_place() -> None:
    assert Message.of("user", "a").append("b").parts == (Text("a\n\nb"),)
    assert Message("user", (Text("a"), Image("u"))).append("b").parts == (Text("a"), Image("u"), Text("b"))
    assert Message("user", ()).append("b").parts == (Text("b"),)


def test_an_instruction_goes_to_the_last_user_message_and_the_system_message_is_kept() -> None:
    turns = (Message.of("system", "s"), Message.of("user", "q"), Message.of("tool", "t"))
    prompt = Prompt.of(Problem("p", turns), "Be concise.")
    assert [m.text for m in prompt.messages] == ["s", "q\n\nBe concise.", "t"]
    assert Prompt.of(Problem("p", turns)).messages == turns


def test_an_instruction_without_any_user_message_becomes_one() -> None:
    prompt = Prompt.of(Problem("p", (Message.of("system", "s"),)), "Go.")
    assert [(m.role, m.text) for m in prompt.messages] == [("system", "s"), ("user", "Go.")]


def test_of_keeps_tools_format_and_thinking() -> None:
    problem = Problem("p", (), (Tool("t", "{}"),), '{"type": "json_object"}')
    prompt = Prompt.of(problem, thinking=Thinking.off())
    assert (prompt.tools, prompt.response_format, prompt.thinking) == (
        problem.tools,
        problem.response_format,
        Thinking("off"),
    )


def test_further_fields_of_a_request_come_with_every_prompt_of_it() -> None:
    problem = Problem("p", (Message.of("user", "q"),), extra='{"user": "u"}')
    prompt = Prompt.of(problem, "Be brief.", Thinking.off())
    assert prompt.extra == (prompt + "So").extra == '{"user": "u"}'
    assert Problem("p", ()).extra == Prompt(()).extra == ""


def test_thinking_says_what_is_asked() -> None:
    assert [Thinking.off().mode, Thinking.on().mode] == ["off", "on"]
    assert Thinking.budget(64).tokens == 64
    assert Thinking.effort("high").label == "high"


def test_appending_text_without_ids_leaves_no_ids() -> None:
    prompt = Prompt(()) + "a" + "b"
    assert (prompt.prefill, prompt.prefill_ids) == ("ab", ())


def test_appending_a_call_keeps_its_ids() -> None:
    prompt = Prompt(()) + call("so then ", (1, 2))
    assert (prompt.prefill, prompt.prefill_ids) == ("so then ", (1, 2))


def test_text_put_in_by_hand_stands_between_ids_as_one_piece() -> None:
    prompt = Prompt(()) + "<think>" + call("so ", (1,)) + "wait " + "what " + call("then ", (2, 3)) + ""
    assert prompt.prefill == "<think>so wait what then "
    assert prompt.prefill_ids == ("<think>", 1, "wait what ", 2, 3)


def test_a_call_without_ids_is_text_among_ids() -> None:
    prompt = Prompt(()) + call("a", (1,)) + call("b") + "c"
    assert prompt.prefill_ids == (1, "bc")
    assert (Prompt(()) + call("b")).prefill_ids == ()


def test_forking_is_using_a_prompt_twice() -> None:
    stem = Prompt(()) + call("a", (1,))
    left, right = stem + "x", stem + "y"
    assert stem.prefill == "a"
    assert (left.prefill, right.prefill) == ("ax", "ay")
    assert left == Prompt(()) + call("a", (1,)) + "x"

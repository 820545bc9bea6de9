from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.engine import Chunk, Logprob, Sampling, Think
from ponder.core.run import Run
from ponder.engines.echo import Echo, tokenize
from ponder.steer.answer import HELD, Answer

MARKS = Think("<think>", "</think>")


def answer(text: str, stop: tuple[str, ...] = (), held: bool = False) -> tuple[Answer, Run]:
    """Return an answer that has been given `text` token by token, and the run that it was shown to."""
    run = Run(Echo(), sampling=Sampling(stop=stop))
    reply = Answer(run)
    reply.begin(MARKS, held)
    for token in tokenize(text):
        reply.feed(Chunk(token))
    reply.flush()
    return reply, run


def shown(run: Run) -> str:
    return "".join(text for _, text in run.trace.shown)


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("text", ["42", "The answer is 42.", "word " * 100])
def test_a_plain_answer_is_shown_whole_held_back_or_not(text: str, held: bool) -> None:
    reply, run = answer(text, held=held)
    assert reply.text == shown(run) == text
    assert (reply.escaped, reply.moved, reply.stopped) == (0, 0, False)


def test_without_holding_back_each_token_is_shown_at_once() -> None:
    _, run = answer("one two three")
    assert [text for _, text in run.trace.shown] == ["one ", "two ", "three"]


def test_what_is_held_back_is_shown_once_it_is_long_enough() -> None:
    _, run = answer("word " * 60, held=True)
    first = run.trace.shown[0][1]
    assert HELD <= len(first.strip()) < HELD + 10
    assert len(run.trace.shown) > 20


def test_blanks_before_an_answer_are_none_of_it() -> None:
    reply, run = answer("\n\n  42 ")
    assert reply.text == shown(run) == "42 "


def test_a_second_close_takes_what_was_held_and_bills_it() -> None:
    reply, run = answer("no wait, more. \n</think>\n\n42", held=True)
    assert reply.text == shown(run) == "42"
    assert reply.escaped == reply.moved
    assert 3 <= reply.escaped <= 5


def test_a_second_close_after_all_has_been_shown_is_cut_out_alone() -> None:
    text = "so " * 100
    reply, run = answer(f"{text}\n</think>\n\n42")
    assert reply.text == shown(run)
    assert reply.text.replace("\n", "") == text + "42"
    assert reply.escaped >= 100


def test_a_thought_inside_is_billed_and_what_stands_around_it_is_not() -> None:
    reply, _ = answer("one two\n<think>three four</think>five")
    assert reply.text == "one two\nfive"
    assert (reply.escaped, reply.moved) == (4, 4)


def test_tokens_that_the_engine_took_for_thinking_are_not_moved_again() -> None:
    run = Run(Echo())
    reply = Answer(run)
    reply.begin(MARKS, False)
    reply.feed(Chunk("42\n"))
    reply.feed(Chunk("<think>", "think", markup=True))
    reply.feed(Chunk("hm", "think"))
    assert reply.inside
    assert (reply.escaped, reply.moved) == (2, 0)


@pytest.mark.parametrize(
    ("stop", "left"),
    [
        (("three",), "one two "),
        (("two three",), "one "),
        (("zzz", "hree", "wo"), "one t"),
        (("four five",), "one two three four"),
        (("one",), ""),
    ],
)
def test_an_answer_ends_before_a_stop_string(stop: tuple[str, ...], left: str) -> None:
    reply, run = answer("one two three four", stop)
    assert reply.text == shown(run) == left
    assert reply.stopped is (left != "one two three four")


def test_a_stop_string_inside_of_an_escape_stops_nothing() -> None:
    reply, _ = answer("</think>4\n<think>END</think>2", ("END",))
    assert (reply.text, reply.stopped) == ("4\n2", False)


@given(st.text("ab<think>/ \n`", max_size=40), st.booleans(), st.sampled_from([(), ("b",), ("a b", "ba")]))
def test_what_is_shown_is_the_text(text: str, held: bool, stop: tuple[str, ...]) -> None:
    reply, run = answer(text, stop, held)
    assert shown(run) == reply.text
    assert not any(string in reply.text for string in stop)
    assert reply.text == reply.text.lstrip()
    assert 0 <= reply.moved <= reply.escaped <= len(tokenize(text))


def test_text_that_is_said_by_hand_begins_the_answer_and_is_not_held_back() -> None:
    run = Run(Echo())
    reply = Answer(run)
    reply.begin(MARKS, True)
    reply.say("Final Answer:")
    assert shown(run) == "Final Answer:"
    reply.begin(MARKS, False)
    reply.feed(Chunk(" 42", logprobs=(Logprob(" 42", -0.1),)))
    reply.flush()
    assert reply.text == "Final Answer: 42"
    assert [entry.token for entry in reply.logprobs] == [" 42"]


def test_log_probabilities_go_with_the_text_even_where_it_had_to_wait() -> None:
    reply = Answer(Run(Echo()))
    reply.begin(MARKS, False)
    for token in ("a <", "b", "\n<think>", "hm", "</think>", "c"):
        reply.feed(Chunk(token, logprobs=(Logprob(token, -0.5),)))
    assert [entry.token for entry in reply.logprobs] == ["a <", "b", "c"]
    assert (reply.text, reply.escaped) == ("a <b\nc", 3)

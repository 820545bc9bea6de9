"""Replies that grow step by step: where steps end, what is kept of them, and that nothing is written twice."""

from __future__ import annotations

import pytest
from support.trees import QUESTION, letters, run_on, writer

from ponder.core.engine import Cap, Sampling
from ponder.core.problem import Image, Message, Prompt, Text, Tool
from ponder.core.run import Call
from ponder.engines.echo import CAPS, Echo, token_id
from ponder.steer.branch import WHOLE, Branch, Cut, grow, joined, root, since, steppable

LINE = Cut("\n", 8)


UNTOLD = CAPS - {Cap.TOKEN_IDS}
"""Of an engine that does not say which stop string it met."""


async def steps(branch: Branch, run: object, cut: Cut) -> list[Branch]:
    """Grow a branch until it has ended."""
    grown = [branch]
    while not grown[-1].ended:
        grown.append(await grow(grown[-1], run, cut, {}))  # type: ignore[arg-type]
    return grown[1:]


@pytest.mark.parametrize("caps", [CAPS, UNTOLD])
async def test_a_reply_in_steps_is_the_whole_reply(caps: frozenset[Cap]) -> None:
    for seed in range(5):
        cut, uncut = run_on(Echo(caps=caps), seed=seed), run_on(Echo(caps=caps), seed=seed)
        grown = (await steps(root(QUESTION, cut, None), cut, Cut("wait ", 3)))[-1]
        whole = await uncut.generate(Prompt.of(QUESTION))
        assert (grown.call.text, grown.call.thinking, grown.call.answer) == (whole.text, whole.thinking, whole.answer)
        assert (grown.call.think_tokens, grown.call.answer_tokens) == (whole.think_tokens, whole.answer_tokens)
        assert (cut.trace.tokens, grown.whole) == (uncut.trace.tokens, True)
        assert all(call.tokens <= 3 for call in cut.trace.calls)


async def test_each_step_goes_on_from_the_last_one() -> None:
    run = run_on(Echo(lambda prompt, seed: letters(3)(prompt.prefill, 0)))
    grown = await steps(root(QUESTION, run, False), run, LINE)
    assert [branch.call.text for branch in grown] == ["a\n", "a\na\n", "a\na\na\n", "a\na\na\n7"]
    assert [branch.call.finish for branch in grown] == ["left"] * 3 + ["stop"]


async def test_ids_are_kept_as_far_as_they_are_known() -> None:
    """The token that the delimiter ends is given out without an id, so it is encoded again, and nothing before it."""
    run = run_on(Echo("so we add\nthen 7"))
    first = await grow(root(QUESTION, run, False), run, LINE, {})
    assert first.prompt.prefill == "so we add\n"
    assert first.prompt.prefill_ids == (token_id("so "), token_id("we "), "add\n")
    paused = await grow(root(QUESTION, run, False), run, Cut("\n", 2), {})
    assert paused.prompt.prefill_ids == (token_id("so "), token_id("we "))
    assert paused.call.token_ids == paused.prompt.prefill_ids


@pytest.mark.parametrize("caps", [CAPS, UNTOLD])
async def test_a_step_ends_behind_the_delimiter_but_not_before_it_says_something(caps: frozenset[Cap]) -> None:
    run = run_on(Echo(lambda prompt, seed: "\n\none\n\ntwo".removeprefix(prompt.prefill), caps=caps))
    first = await grow(root(QUESTION, run, False), run, Cut("\n\n"), {})
    assert first.call.text == "\n\none\n\n"
    assert (await grow(first, run, Cut("\n\n"), {})).call.text == "\n\none\n\ntwo"
    short = await grow(root(QUESTION, run, False), run, Cut("\n\n", 1), {})
    assert (short.call.text, short.ended) == ("\n\n", False)


@pytest.mark.parametrize("caps", [CAPS, UNTOLD])
async def test_a_delimiter_belongs_where_it_was_written(caps: frozenset[Cap]) -> None:
    whole = "<think>\na\n</think>\n\nb\n"
    run = run_on(Echo(lambda prompt, seed: whole.removeprefix(prompt.prefill), caps=caps))
    grown = await steps(root(QUESTION, run, False), run, LINE)
    assert [(branch.call.thinking, branch.call.answer) for branch in grown[:2]] == [("a\n", ""), ("a\n", "b\n")]
    assert (grown[0].call.text, grown[1].call.text) == ("<think>\na\n", whole)


async def test_an_engine_that_says_how_it_stopped_is_never_left() -> None:
    for caps, finish in ((CAPS, {"stop"}), (UNTOLD, {"left", "stop"})):
        run = run_on(Echo(lambda prompt, seed: letters(3)(prompt.prefill, 0), caps=caps))
        await steps(root(QUESTION, run, False), run, LINE)
        assert {call.finish for call in run.trace.calls} == finish


@pytest.mark.parametrize("caps", [CAPS, UNTOLD])
@pytest.mark.parametrize(("text", "stop", "cut"), [
    ("a\n\nHuman: b", "\n\nHuman:", Cut("\n\n")),
    ("a\n\nHuman: b", "\nHuman:", Cut("\n\n")),
    ("a b c d", "b c", Cut("\n", 2)),
    ("<think>a b c</think>d", "b c", Cut("\n", 3)),
])  # fmt: skip
async def test_a_stop_string_across_two_steps_ends_the_reply(
    caps: frozenset[Cap], text: str, stop: str, cut: Cut
) -> None:
    run = run_on(
        Echo(lambda prompt, seed: text.removeprefix(prompt.prefill), caps=caps), sampling=Sampling(stop=(stop,))
    )
    last = (await steps(root(QUESTION, run, False), run, cut))[-1]
    assert (last.call.text, last.whole, last.call.matched_stop) == (text[: text.index(stop)], True, stop)
    assert last.call.thinking + last.call.answer == last.call.text.replace("<think>", "")


async def test_a_delimiter_that_the_client_stops_at_ends_the_reply() -> None:
    run = run_on(Echo("a\nb"), sampling=Sampling(stop=("\n",)))
    grown = await steps(root(QUESTION, run, False), run, LINE)
    assert ([branch.call.text for branch in grown], grown[-1].whole) == (["a"], True)


async def test_a_branch_used_twice_is_two_replies() -> None:
    run = run_on(writer(letters(2)))
    first = await grow(root(QUESTION, run, False), run.quiet(0), LINE, {})
    twins = [await grow(first, run.quiet(slot), LINE, {}) for slot in (0, 1)]
    assert [twin.call.text for twin in twins] == ["a\na\n", "a\nb\n"]
    assert first.call.text == "a\n"


async def test_a_branch_that_has_ended_makes_no_call() -> None:
    run = run_on(Echo("7"))
    ended = await grow(root(QUESTION, run, False), run, WHOLE, {})
    assert (ended.ended, await grow(ended, run, WHOLE, {}), len(run.trace.calls)) == (True, ended, 1)


async def test_the_reply_as_a_whole_keeps_max_tokens_and_a_step_its_own() -> None:
    run = run_on(Echo("on " * 50), sampling=Sampling(max_tokens=10))
    grown = await steps(root(QUESTION, run, False), run, Cut("\n", 4))
    assert [branch.call.tokens for branch in grown] == [4, 8, 10]
    assert (grown[-1].call.finish, grown[-1].whole) == ("length", False)


async def test_limits_of_the_run_end_a_branch() -> None:
    run = run_on(Echo("on " * 50), budget=6)
    grown = await steps(root(QUESTION, run, False), run, Cut("\n", 4))
    assert [branch.call.tokens for branch in grown] == [4, 6]
    assert grown[-1].call.finish == "budget"
    nothing = await grow(root(QUESTION, run, False), run, WHOLE, {})
    assert (nothing.ended, nothing.call.tokens, nothing.call.finish) == (True, 0, "budget")
    none = run_on(Echo("on "), sampling=Sampling(max_tokens=0))
    assert (await grow(root(QUESTION, none, False), none, LINE, {})).call.finish == "length"


async def test_the_clients_stop_strings_end_a_reply() -> None:
    run = run_on(
        Echo(lambda prompt, seed: "a\nb STOP c".removeprefix(prompt.prefill)), sampling=Sampling(stop=("STOP",))
    )
    grown = await steps(root(QUESTION, run, False), run, LINE)
    assert (grown[-1].call.text, grown[-1].whole) == ("a\nb ", True)


async def test_chunks_are_told_as_they_come() -> None:
    run, heard = run_on(Echo("<think>a\n</think>b")), []
    await grow(root(QUESTION, run, False), run, WHOLE, {}, lambda chunk: heard.append(chunk.text))
    assert "".join(heard) == "<think>a\n</think>b"


def test_two_calls_are_one() -> None:
    first = Call("think", "echo", (1,), 5, "ab", "a", "b", 1, 2, 0, 10, 3, (1, 2, 3), seconds=1.0, finish="left")
    second = Call("think", "echo", (2,), 6, "c", "", "c", 0, 1, 4, 13, 12, (4,), seconds=0.5, finish="stop")
    both = joined(first, second)
    assert (both.text, both.thinking, both.answer, both.token_ids) == ("abc", "a", "bc", (1, 2, 3, 4))
    assert (both.think_tokens, both.answer_tokens, both.latent, both.tokens) == (1, 3, 4, 8)
    assert (both.prompt_tokens, both.cached_tokens, both.seconds) == (23, 15, 1.5)
    assert (both.seed, both.branch, both.finish) == (6, (2,), "stop")
    unspelt = joined(first, Call("think", "echo", (), 0, "c"))
    assert unspelt.token_ids == (), "ids spell all of the text or none"


async def test_a_step_by_itself_is_a_reply_of_its_own() -> None:
    run = run_on(Echo(lambda prompt, seed: letters(3)(prompt.prefill, 0)))
    first, second = (await steps(root(QUESTION, run, False), run, LINE))[:2]
    alone = since(first, second).call
    assert (alone.text, alone.answer, alone.thinking, alone.tokens) == ("a\n", "a\n", "", 1)
    assert joined(first.call, alone).text == second.call.text
    assert (joined(first.call, alone).tokens, alone.seed) == (second.call.tokens, second.call.seed)


async def test_drafts_are_billed_as_drafts() -> None:
    run = run_on(Echo("a b c"))
    await grow(root(QUESTION, run, False), run, WHOLE, {}, role="draft")
    assert run.trace.tokens_by_role == {"draft": 3}


def test_what_nobody_can_go_on_with_is_known() -> None:
    picture = Message("user", (Text("what is it"), Image("data:,")))
    assert steppable(Prompt.of(QUESTION))
    assert not steppable(Prompt((picture,)))
    assert not steppable(Prompt(QUESTION.messages, tools=(Tool("f", "{}"),)))
    assert not steppable(Prompt(QUESTION.messages, response_format="{}"))


def test_steps_are_asked_for_where_the_model_does_not_think() -> None:
    thinks, plain = run_on(Echo()), run_on(writer(letters(1)))
    assert root(QUESTION, thinks, None).prompt == Prompt.of(QUESTION)
    assert "step by step" in root(QUESTION, plain, True).prompt.messages[-1].text
    assert root(QUESTION, plain, False, slot=3).slot == 3

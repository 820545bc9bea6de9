from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.engine import Cap, Channel, Chunk, Sampling, Think
from ponder.core.method import Method, Solution
from ponder.core.problem import Image, Message, Problem, Prompt, Text, Thinking, Tool, ToolCall
from ponder.core.run import Run
from ponder.engines.echo import CAPS, Echo, Fault, Script, tokenize
from ponder.methods.stop.answer_convergence import AnswerConvergence
from ponder.methods.stop.budget_forcing import BudgetForcing
from ponder.methods.stop.constant_cut import ConstantCut
from ponder.methods.stop.deer import Deer
from ponder.methods.stop.dynasor import Dynasor
from ponder.methods.stop.infty_think import InftyThink
from ponder.steer.thought import FULL, NATURAL, OVER, PAUSED, Thought, can_close, can_end, shut, why_open

ASK = Prompt.of(Problem.of("What is 12 + 30?"))
THINKS = Think("<think>", "</think>")
EIGHT = "one two three four five six seven eight"
REPLY = f"<think>{EIGHT}</think>\n\nThe answer is 42."
SWITCH = CAPS - {Cap.PREFILL, Cap.TOKEN_IDS}


def says(whole: str, forced: str = "So: 42.") -> Script:
    """A model that means to say `whole`, goes on with any beginning of it, and says `forced` after a thought it did not
    close itself."""

    def script(prompt: Prompt, seed: int) -> str:
        off = prompt.thinking is not None and prompt.thinking.mode == "off"
        if whole.startswith(prompt.prefill) and not off:
            return whole[len(prompt.prefill) :]
        if "</think>" in prompt.prefill or off:
            return forced
        return "".join(tokenize(whole)[len(tokenize(prompt.prefill)) :])

    return script


def start(echo: Echo, prompt: Prompt = ASK, **limits: int) -> tuple[Thought, Run]:
    budget = limits.pop("budget", None)
    run = Run(echo, budget=budget, sampling=Sampling(**limits) if limits else None)  # type: ignore[arg-type]
    return Thought(run, prompt), run


def shown(run: Run, channel: Channel) -> str:
    return "".join(text for where, text in run.trace.shown if where == channel)


# A thought that ends by itself


async def test_thought_and_answer_come_in_one_call() -> None:
    echo = Echo(says(REPLY))
    thought, run = start(echo)
    assert await thought.think() == OVER
    await thought.answer()
    solution = thought.solution({"route": "asked"})
    assert replace(solution, evidence={}) == Solution("The answer is 42.", EIGHT, "stop")
    assert solution.evidence == {"exit": "natural", "escaped": 0, "route": "asked"}
    assert echo.calls == 1
    assert (shown(run, "think"), shown(run, "answer")) == (solution.thinking, solution.answer)
    assert run.trace.tokens_by_role == {"think": 10, "answer": echo.generated - 10}


async def test_without_through_the_thought_comes_back_open_and_can_be_extended() -> None:
    whole = "<think>one two three</think>42"
    echo = Echo(says(whole))
    thought, _ = start(echo)
    assert await thought.think(through=False) == NATURAL
    assert (thought.closed, thought.text) == (False, "one two three")
    assert thought.prompt.prefill == "<think>one two three"
    thought.extend(" Wait")
    assert thought.prompt.prefill == "<think>one two three Wait"
    await thought.answer()
    solution = thought.solution()
    assert (solution.thinking, solution.answer) == ("one two three Wait", "So: 42.")
    assert (solution.finish, solution.evidence["exit"]) == ("stop", "natural")


async def test_a_model_that_answers_at_once_has_no_thought() -> None:
    thought, _ = start(Echo("Just 42."))
    assert await thought.think(3) in (OVER, NATURAL)
    await thought.answer()
    assert (thought.solution().thinking, thought.solution().answer) == ("", "Just 42.")


async def test_a_model_that_stops_inside_its_thought_is_asked_for_its_answer() -> None:
    thought, _ = start(Echo(says("<think>one two")))
    assert await thought.think() == NATURAL
    await thought.answer()
    assert thought.solution().answer == "So: 42."


# Interruptions


async def test_a_pause_leaves_the_thought_open_and_its_prompt_goes_on_exactly() -> None:
    echo = Echo(says(REPLY))
    thought, run = start(echo)
    ends = [await thought.think(3) for _ in range(3)]
    assert ends == [PAUSED, PAUSED, PAUSED]
    assert thought.tokens == 9 == echo.generated
    assert thought.prompt.prefill == "<think>one two three four five six seven eight"
    assert len(thought.prompt.prefill_ids) == 9
    assert await thought.think() == OVER
    assert thought.solution().answer == "The answer is 42."
    assert run.trace.tokens == len(tokenize(REPLY))


@given(st.lists(st.integers(1, 7), max_size=12))
async def test_however_a_thought_is_cut_in_pieces_the_reply_is_the_same(steps: list[int]) -> None:
    thought, run = start(Echo(says(REPLY)))
    for step in steps:
        if not thought.closed and not thought.over:
            await thought.think(step)
    if not thought.closed:
        await thought.think()
    await thought.answer()
    assert replace(thought.solution(), evidence={}) == Solution("The answer is 42.", EIGHT, "stop")
    assert shown(run, "answer") == "The answer is 42."


async def test_a_watch_sees_every_piece_and_ends_the_thought_where_it_says() -> None:
    seen: list[str] = []

    def watch(text: str) -> str | None:
        seen.append(text)
        return "enough" if text.startswith("four") else None

    echo = Echo(says(REPLY))
    thought, run = start(echo)
    assert await thought.think(watch=watch) == "enough"
    await thought.answer("enough", bridge="\nThat will do.")
    solution = thought.solution()
    assert "".join(seen) == solution.thinking == "one two three four "
    assert (solution.answer, solution.finish, solution.evidence["exit"]) == ("So: 42.", "exit", "enough")
    assert run.trace.tokens <= echo.generated <= run.trace.tokens + 2
    # The closing words belong to the prompt, so they are not part of the thought, and are not billed.
    assert "That will do." not in solution.thinking


async def test_a_thought_is_closed_by_the_models_own_mark_from_its_own_ids() -> None:
    prompts: list[Prompt] = []

    def script(prompt: Prompt, seed: int) -> str:
        prompts.append(prompt)
        return says(REPLY)(prompt, seed)

    thought, _ = start(Echo(script, think=Think("<think>\n", "\n</think>\n\n")))
    await thought.think(4)
    await thought.answer("budget")
    assert prompts[1].prefill == "<think>one two three \n</think>\n\n"
    *ids, text = prompts[1].prefill_ids
    assert text == "\n</think>\n\n"
    assert all(isinstance(token, int) for token in ids)
    assert len(ids) == 4


async def test_what_is_dropped_is_shown_and_billed_and_not_continued_from() -> None:
    thought, run = start(Echo(says(REPLY)))
    await thought.think(5)
    thought.drop(len("three four "))
    assert thought.prompt.prefill == "<think>one two "
    assert shown(run, "think") == thought.text == "one two three four "
    assert thought.tokens == 5


@pytest.mark.parametrize(
    ("marks", "prefill", "closing"),
    [
        (THINKS, "", "<think>\n\n</think>\n\n"),
        (Think("<think>", "</think>", opened=True), "", "\n</think>\n\n"),
        (THINKS, "<think>so", "\n</think>\n\n"),
        (THINKS, "<think>so\n", "</think>\n\n"),
        (Think("", "</think>"), "so", "\n</think>\n\n"),
    ],
)
def test_how_a_thought_is_shut(marks: Think, prefill: str, closing: str) -> None:
    assert shut(marks, prefill) == closing


# Limits


@given(limit=st.integers(0, 30), budget=st.none() | st.integers(0, 30), cap=st.none() | st.integers(0, 12))
async def test_max_tokens_and_the_runs_budget_hold_over_all_calls(
    limit: int, budget: int | None, cap: int | None
) -> None:
    echo = Echo(says(REPLY))
    run = Run(echo, budget=budget, sampling=Sampling(max_tokens=limit))
    thought = Thought(run, ASK)
    reason = await thought.think(cap)
    await thought.answer(reason)
    solution = thought.solution()
    most = limit if budget is None else min(limit, budget)
    assert run.trace.tokens == echo.generated <= most
    assert cap is None or thought.tokens <= cap or solution.evidence["exit"] == "natural"
    if not solution.answer:
        assert solution.finish in ("length", "budget")
        assert most < 4
    if solution.finish == "budget":
        assert budget is not None
        assert budget <= limit


async def test_what_is_left_for_the_answer_is_kept_back_from_the_thought() -> None:
    echo = Echo(says("<think>" + "so " * 100 + "</think>42"))
    thought, _ = start(echo, max_tokens=40)
    assert await thought.think() == FULL
    assert thought.tokens == 30
    await thought.answer(FULL)
    solution = thought.solution()
    assert (solution.answer, solution.evidence["exit"], solution.finish) == ("So: 42.", "forced_close", "exit")


async def test_an_answer_that_outgrows_the_thoughts_call_is_continued() -> None:
    echo = Echo(says(REPLY))
    thought, run = start(echo)
    await thought.think(12)
    assert not thought.over
    assert shown(run, "answer") == "The "
    await thought.answer()
    assert thought.solution().answer == "The answer is 42."
    assert echo.calls == 2
    assert run.trace.tokens == len(tokenize(REPLY))


async def test_an_answer_that_the_limit_cuts_says_so() -> None:
    thought, _ = start(Echo(says("<think>a</think>" + "word " * 50)), max_tokens=20)
    await thought.think()
    await thought.answer()
    assert thought.solution().finish == "length"
    assert thought.solution().answer.startswith("word word")


async def test_the_deadline_ends_it_where_it_is() -> None:
    echo = Echo(says(REPLY), faults={0: Fault("stall", at=3)})
    run = Run(echo)
    run.deadline = time.monotonic() + 0.02
    thought = Thought(run, ASK)
    assert await thought.think() == OVER
    await thought.answer()
    assert (thought.solution().finish, thought.solution().answer) == ("deadline", "")
    assert echo.open_streams == 0


# The client's own wishes


async def test_stop_strings_bind_the_answer_alone() -> None:
    echo = Echo(says("<think>one STOP two</think>The answer STOP is 42."))
    run = Run(echo, sampling=Sampling(stop=("STOP",)))
    thought = Thought(run, ASK)
    await thought.think()
    await thought.answer()
    solution = thought.solution()
    assert (solution.thinking, solution.answer) == ("one STOP two", "The answer ")
    assert solution.finish == "stop"
    assert echo.generated <= run.trace.tokens + 2


async def test_a_stop_string_over_several_tokens_is_never_shown() -> None:
    run = Run(Echo(says("<think>a</think>one two three four")), sampling=Sampling(stop=("wo thr", "zzz")))
    thought = Thought(run, ASK)
    await thought.think()
    await thought.answer()
    assert thought.solution().answer == shown(run, "answer") == "one t"


async def test_an_answer_that_begins_with_a_stop_string_is_empty_by_the_clients_own_wish() -> None:
    echo = Echo(says("<think>a</think>END of it"))
    thought = Thought(Run(echo, sampling=Sampling(stop=("END",))), ASK)
    await thought.think()
    await thought.answer()
    assert (thought.solution().answer, thought.solution().finish, echo.calls) == ("", "stop", 1)


async def test_a_response_format_binds_the_answer_alone() -> None:
    prompts: list[Prompt] = []

    def script(prompt: Prompt, seed: int) -> str:
        prompts.append(prompt)
        return '{"x": 42}' if "</think>" in prompt.prefill else REPLY

    problem = Problem("p", (Message.of("user", "12 + 30?"),), response_format='{"type": "json_object"}')
    thought = Thought(Run(Echo(script)), Prompt.of(problem))
    await thought.think()
    await thought.answer(cue="never said")
    assert [prompt.response_format for prompt in prompts] == [None, '{"type": "json_object"}']
    assert prompts[1].prefill.endswith("</think>\n\n")
    assert thought.solution().answer == '{"x": 42}'


async def test_log_probabilities_are_those_of_the_answer() -> None:
    run = Run(Echo(says(REPLY)), sampling=Sampling(logprobs=2))
    thought = Thought(run, ASK)
    await thought.think()
    await thought.answer()
    assert "".join(entry.token for entry in thought.solution().logprobs) == "\n\nThe answer is 42."


# Escapes


@pytest.mark.parametrize(
    ("after", "answer", "escaped"),
    [
        ("Hmm, more of it.\n</think>\n\n42.", "42.", 5),
        ("<think>\nno, wait a bit", "Final Answer: 42.", 1),
        ("Well then\n<think>\nno, wait", "Final Answer: 42.", 3),
        ("</think>\n\n42.", "42.", 1),
        ("The tag `<think>` opens it.", "The tag `<think>` opens it.", 0),
    ],
    ids=["second close", "new thought", "words and a new thought", "close repeated", "mention"],
)
async def test_thinking_after_a_forced_close_is_cut_and_billed_as_thinking(
    after: str, answer: str, escaped: int
) -> None:
    def script(prompt: Prompt, seed: int) -> str:
        if prompt.prefill.endswith("Final Answer:"):
            return " 42."
        return after if "</think>" in prompt.prefill else REPLY

    echo = Echo(script)
    run = Run(echo)
    thought = Thought(run, ASK)
    await thought.think(4)
    await thought.answer("budget")
    solution = thought.solution()
    assert solution.answer == shown(run, "answer") == answer
    assert solution.evidence["escaped"] == pytest.approx(escaped, abs=1)
    assert "</think>" not in solution.answer.replace("`", "")
    by_role = run.trace.tokens_by_role
    assert by_role["think"] >= 4 + int(solution.evidence["escaped"]) - 1
    assert run.trace.tokens <= echo.generated <= run.trace.tokens + 2 * echo.calls


async def test_thinking_that_comes_back_behind_an_answer_is_closed_again() -> None:
    prompts: list[Prompt] = []

    def script(prompt: Prompt, seed: int) -> str:
        prompts.append(prompt)
        return "" if len(prompts) > 1 else "<think>a</think>It is 42.\n<think>let me check that again</think>Yes."

    run = Run(Echo(script))
    thought = Thought(run, ASK)
    await thought.think()
    await thought.answer()
    solution = thought.solution()
    assert solution.answer == "It is 42.\n"
    assert prompts[1].prefill == "<think>a</think>It is 42.\n\n<think>\n\n</think>\n\n"
    assert (solution.evidence["exit"], solution.evidence["escaped"]) == ("natural", 1)


async def test_a_model_that_only_ever_thinks_is_given_up_after_a_few_calls() -> None:
    echo = Echo(lambda prompt, seed: "<think>wait, and wait, and wait")
    run = Run(echo)
    thought = Thought(run, ASK)
    await thought.think(2)
    await thought.answer("budget")
    assert thought.solution().evidence["exit"] == "escape"
    assert echo.calls <= 6
    assert echo.open_streams == 0


async def test_where_nothing_can_be_closed_the_escape_is_left_out_of_the_answer() -> None:
    reply = "<think>a</think>It is <think>no, wait</think>42."
    run = Run(Echo(reply, caps=frozenset()))
    thought = Thought(run, ASK)
    await thought.think(1)
    await thought.answer()
    solution = thought.solution()
    assert (solution.answer, solution.evidence["escaped"]) == ("It is 42.", 4)
    assert run.trace.tokens == len(tokenize(reply))


async def test_an_empty_answer_is_asked_for_once_more() -> None:
    def script(prompt: Prompt, seed: int) -> str:
        return " 42." if prompt.prefill.endswith("Final Answer:") else "" if "</think>" in prompt.prefill else REPLY

    thought, run = start(Echo(script))
    await thought.think(4)
    await thought.answer("budget")
    assert thought.solution().answer == shown(run, "answer") == "Final Answer: 42."


async def test_a_thought_that_never_comes_to_an_answer_is_no_success() -> None:
    echo = Echo(lambda prompt, seed: "" if "</think>" in prompt.prefill else "<think>hm</think>")
    thought, _ = start(echo)
    await thought.think()
    await thought.answer()
    solution = thought.solution()
    assert (solution.answer.strip(), solution.finish) == ("Final Answer:", "length")
    assert echo.calls <= 6


async def test_a_chat_server_whose_answer_is_empty_is_asked_once_more_without_thinking() -> None:
    def script(prompt: Prompt, seed: int) -> str:
        return "42." if prompt.thinking == Thinking.off() else "<think>hm</think>"

    echo = Echo(script, caps=SWITCH)
    thought, _ = start(echo)
    await thought.think()
    await thought.answer()
    assert (thought.solution().answer, thought.solution().thinking, echo.calls) == ("42.", "hm", 2)


async def test_a_closing_mark_that_the_limit_cuts_in_two_is_finished() -> None:
    prompts: list[Prompt] = []

    def script(prompt: Prompt, seed: int) -> str:
        prompts.append(prompt)
        return "42." if "</think>" in prompt.prefill else "<think>one </thi nk>42"

    thought, _ = start(Echo(script))
    await thought.think(3)
    thought.prompt = replace(thought.prompt, prefill=thought.prompt.prefill.rstrip(), prefill_ids=())
    await thought.answer("budget", bridge="never said")
    assert prompts[1].prefill == "<think>one </think>\n\n"
    assert thought.solution().answer == "42."


async def test_closing_again_and_again_ends_the_reply() -> None:
    echo = Echo(says("<think>a</think>b c </think>\n\nd e </think>\n\n" + "f g </think>\n\n" * 40))
    thought, run = start(echo)
    await thought.think()
    await thought.answer()
    assert thought.solution().evidence["exit"] == "escape"
    assert run.trace.tokens < 40


# Engines that continue nothing


async def test_a_thought_that_cannot_be_closed_is_ended_by_asking_anew_without_thinking() -> None:
    asked: list[Thinking | None] = []

    def script(prompt: Prompt, seed: int) -> str:
        asked.append(prompt.thinking)
        return says(REPLY)(prompt, seed)

    echo = Echo(script, caps=SWITCH)
    thought, run = start(echo)
    assert await thought.think(4) == PAUSED
    await thought.answer("budget")
    solution = thought.solution()
    assert (solution.thinking, solution.answer) == ("one two three ", "So: 42.")
    assert asked == [None, Thinking.off()]
    assert run.trace.tokens <= echo.generated <= run.trace.tokens + 2


async def test_where_nothing_can_end_a_thought_it_is_not_interrupted() -> None:
    thought, _ = start(Echo(says(REPLY), caps=frozenset()))
    assert await thought.think(2, watch=lambda text: "no") == OVER
    assert thought.solution().answer == "The answer is 42."


async def test_a_server_that_keeps_its_budget_is_said_to_have_closed_the_thought() -> None:
    run = Run(Echo("<think>one two three</think>42", caps=SWITCH))
    thought = Thought(run, Prompt.of(Problem.of("?"), thinking=Thinking.budget(3)), server_budget=3)
    await thought.think()
    await thought.answer()
    assert thought.solution().evidence["exit"] == "budget"


async def test_a_server_that_does_not_is_cut_a_little_later() -> None:
    prompt = Prompt.of(Problem.of("?"), thinking=Thinking.budget(3))
    run = Run(Echo(says("<think>" + "so " * 200 + "</think>42")))
    thought = Thought(run, prompt, server_budget=3)
    assert await thought.think() == PAUSED
    assert thought.tokens <= 3 + 32 + 2
    await thought.answer("budget")
    assert thought.solution().answer == "So: 42."


@pytest.mark.parametrize(
    ("caps", "think", "prompt", "closes", "ends"),
    [
        (CAPS, THINKS, ASK, True, True),
        (CAPS, Think(), ASK, False, True),
        (frozenset({Cap.PREFILL}), THINKS, ASK, True, True),
        (frozenset({Cap.THINKING}), THINKS, ASK, False, True),
        (frozenset(), THINKS, ASK, False, False),
        (CAPS, THINKS, Prompt(ASK.messages, (Tool("f", "{}"),)), False, True),
        (CAPS, THINKS, Prompt((Message("user", (Text("?"), Image("data:,"))),)), False, True),
    ],
)
def test_what_can_be_closed_and_ended(
    caps: frozenset[Cap], think: Think, prompt: Prompt, closes: bool, ends: bool
) -> None:
    echo = Echo("x", caps=caps, think=think)
    assert (can_close(echo, prompt), can_end(echo, prompt)) == (closes, ends)


async def test_an_answer_can_be_watched_too() -> None:
    run = Run(Echo(says("<think>a</think>one two three four")))
    thought = Thought(run, ASK, watch_answer=lambda text: "seen" if "three" in text else None)
    await thought.think()
    await thought.answer()
    solution = thought.solution()
    assert (solution.answer, solution.finish, solution.evidence["exit"]) == ("one two three ", "exit", "seen")


class Parsed:
    """A server that takes thinking apart by itself and does not say which marks it looks for."""

    name, caps, think = "parsed", frozenset[Cap](), Think()

    def __init__(self, *chunks: Chunk) -> None:
        self._chunks = chunks

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        async def run() -> AsyncIterator[Chunk]:
            for chunk in self._chunks:
                yield chunk

        yield run()


async def test_thinking_in_a_field_of_its_own_is_thinking_though_nobody_knows_the_marks() -> None:
    think, end = Chunk("hm, ", "think"), Chunk("", tokens=0, finish="stop")
    run = Run(Parsed(think, think, Chunk("It is "), Chunk("42."), end))
    thought = Thought(run, ASK)
    await thought.think()
    await thought.answer()
    solution = thought.solution()
    assert (solution.thinking, solution.answer, solution.finish) == ("hm, hm, ", "It is 42.", "stop")
    assert run.trace.tokens_by_role == {"think": 2, "answer": 2}


async def test_thinking_that_such_a_server_leaves_in_the_answer_is_found_by_the_usual_marks() -> None:
    end = Chunk("", tokens=0, finish="stop")
    run = Run(Parsed(Chunk("hm", "think"), Chunk("more of it "), Chunk("</think>\n\n"), Chunk("42."), end))
    thought = Thought(run, Prompt.of(Problem.of("?"), thinking=Thinking.budget(1)), server_budget=1)
    await thought.think()
    await thought.answer()
    assert thought.solution().answer == "42."
    assert thought.solution().evidence["escaped"] == 2
    assert run.trace.tokens_by_role == {"think": 3, "answer": 1}


async def test_tool_calls_end_the_reply_and_are_handed_on() -> None:
    call = ToolCall("1", "f", "{}")
    run = Run(Parsed(Chunk("hm", "think"), Chunk("", tokens=5, finish="tool_calls", tool_calls=(call,))))
    thought = Thought(run, ASK)
    await thought.think()
    await thought.answer()
    solution = thought.solution()
    assert (solution.tool_calls, solution.finish, solution.answer) == ((call,), "tool_calls", "")


# Methods that are nothing without a thought to close


@pytest.mark.parametrize(
    ("think", "caps", "prompt", "why"),
    [
        (THINKS, CAPS, ASK, ""),
        (Think(), CAPS, ASK, "echo tells no think marks.*--think-open MARK --think-close MARK"),
        (THINKS, SWITCH, ASK, "echo takes no half-written reply.*an engine with PREFILL"),
        (THINKS, CAPS, replace(ASK, tools=(Tool("f", "{}"),)), "a half-written reply holds no tools"),
    ],
)
async def test_a_plain_reply_in_place_of_a_method_says_why(
    think: Think, caps: frozenset[Cap], prompt: Prompt, why: str
) -> None:
    echo = Echo(REPLY, think=think, caps=caps)
    assert re.match(why, why_open(echo, prompt))
    assert bool(why) != can_close(echo, prompt)
    for by_hand in (True, False):
        thought = Thought(Run(echo), prompt, by_hand=by_hand)
        await thought.think()
        await thought.answer()
        assert thought.solution().evidence.get("refused") == ((why_open(echo, prompt) or None) if by_hand else None)


@pytest.mark.parametrize(
    "method", [AnswerConvergence(), BudgetForcing(), ConstantCut(), Deer(), Dynasor(), InftyThink()], ids=repr
)
async def test_no_stop_is_silent_where_no_marks_are_known(method: Method) -> None:
    problem = Problem.of("What is 12 + 30?")
    plain = await method.solve(problem, Run(Echo("no marks here 42", think=Think())))
    assert (plain.answer, plain.finish) == ("no marks here 42", "stop")
    assert "--think-close" in str(plain.evidence["refused"])
    assert "refused" not in (await method.solve(problem, Run(Echo()))).evidence

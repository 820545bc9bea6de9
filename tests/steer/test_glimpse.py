"""A look into a thought: its answer, its probabilities, and what is left when it says nothing."""

from __future__ import annotations

import time

import pytest

from ponder.core.engine import Sampling, Think
from ponder.core.method import Method
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.engines.along import Along, Probe
from ponder.engines.along import Thought as Recorded
from ponder.engines.echo import Echo, Fault
from ponder.methods.stop.answer_convergence import AnswerConvergence
from ponder.methods.stop.deer import Deer
from ponder.methods.stop.dynasor import Dynasor
from ponder.steer.glimpse import beside, conclude, glimpse
from ponder.steer.thought import Thought
from ponder.text.answers import number
from ponder.text.prompts import PROBE, TRIAL

QUESTION = Problem.of("What is 12 + 30?")
ASK = Prompt.of(QUESTION)


@pytest.mark.parametrize(
    ("prefill", "said", "answer"),
    [
        ("\\boxed{", "42} \\] so", "42"),
        ("\\boxed{", "42 and so on", "42 and so on"),
        ("\\boxed", "{42} so", "42"),
        ("\\boxed", " {\\frac{1}{2}} so", "\\frac{1}{2}"),
        ("\\boxed{", "} nothing", ""),
        ("\\boxed{", "", ""),
    ],
)
async def test_the_answer_stands_in_the_box_or_is_all_that_was_said(prefill: str, said: str, answer: str) -> None:
    look = await glimpse(Run(Echo(said)), ASK + prefill, 7, whole=True)
    assert (look.at, look.answer, look.text) == (7, answer, said)


async def test_a_box_that_is_cut_states_nothing() -> None:
    look = await glimpse(Run(Echo("4 2 and so on")), ASK + "\\boxed{", 0, whole=True, max_tokens=3)
    assert (look.answer, look.stated) == ("", "")


async def test_the_rest_is_left_unless_it_is_wanted() -> None:
    for whole, tokens in ((True, 5), (False, 2)):
        echo = Echo("42 } wait and see")
        run = Run(echo, extract=number)
        look = await glimpse(run, ASK + "\\boxed{", 0, whole=whole, logprobs=1)
        assert (look.stated, run.trace.tokens) == ("42", tokens)
        assert len(look.probabilities) == 2
        assert all(0.5 <= p <= 1 for p in look.probabilities)
        assert run.trace.tokens_by_role == {"probe": tokens}


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("said", "answer", "tokens"),
    [
        ("4 2. </think> \\boxed{7} and so on", "4 2", 3),
        ("42</think>7", "42", 2),
        ("{ 42 </think>7", "42", 3),
        ("42 } so </think>7", "42", 4),
        (" </think>7", "", 2),
    ],
)
async def test_a_probe_that_closes_its_thought_has_said_its_answer(
    said: str, answer: str, tokens: int, whole: bool
) -> None:
    echo = Echo(said)
    run = Run(echo)
    look = await glimpse(run, ASK + "<think>so \\boxed{", 0, whole=whole, logprobs=1)
    assert look.answer == answer
    assert "</think>" not in look.text
    spent = 2 if "}" in said[:5] and not whole else tokens
    assert run.trace.tokens == echo.generated == spent
    assert len(look.probabilities) == (2 if "} so" in said else tokens - 1)


async def test_a_mark_behind_a_thought_that_is_closed_already_ends_no_probe() -> None:
    run = Run(Echo("42 </think> 7"))
    look = await glimpse(run, ASK + "<think>so</think>\n\n\\boxed{", 0, whole=True, max_tokens=20)
    assert (look.text, look.answer) == ("42 </think> 7", "42 </think> 7")


async def test_recorded_probes_close_no_box() -> None:
    thought = Recorded.of_text("<think>so then</think>42", 4, (Probe(0, "C", 0.93),))
    look = await glimpse(Run(Along([thought])), ASK + "<think>so" + PROBE.en, 1, whole=False, logprobs=1)
    assert (look.answer, look.probabilities) == ("C", pytest.approx((0.93,)))


@pytest.mark.parametrize("opened", [True, False])
async def test_both_ways_to_ask(opened: bool) -> None:
    thought = Thought(Run(Echo("<think>a b c d", think=Think("<think>", "</think>", opened))), ASK)
    await thought.think(3)
    run, said = Run(Echo(think=Think("<think>", "</think>", opened))), thought.prompt.prefill
    assert beside(thought, run, "sentence", PROBE, "你好吗").prefill == said + PROBE.zh
    assert beside(thought, run, "close", PROBE, "").prefill == f"{said}\n</think>\n\n\\boxed{{"
    assert beside(thought, run, "close", TRIAL, "").prefill == f"{said}\n</think>\n\n\\boxed"
    assert thought.prompt.prefill == said


async def test_the_papers_closing_text() -> None:
    run = Run(Echo("<think>a b c d"))
    thought = Thought(run, ASK)
    await thought.think(3)
    solution = conclude(thought, run, "", "42", "agreement", {"probes": 2})
    assert solution.answer == (
        "Oh, I have got the answer to the whole problem\n**Final Answer:**\n\\[\n \\boxed{42}\n\\]"
    )
    assert solution.thinking == "a b \n\n..."
    assert solution.evidence == {"exit": "agreement", "escaped": 0, "probes": 2}
    assert "".join(text for channel, text in run.trace.shown if channel == "answer") == solution.answer


async def test_a_stop_string_ends_the_papers_closing_text_too() -> None:
    run = Run(Echo("<think>a b c d"), sampling=Sampling(stop=("]", "\\boxed", "\n\\[")))
    thought = Thought(run, ASK)
    await thought.think(3)
    solution = conclude(thought, run, "", "42", "agreement", {})
    assert solution.answer == "Oh, I have got the answer to the whole problem\n**Final Answer:**"
    assert "".join(text for channel, text in run.trace.shown if channel == "answer") == solution.answer


@pytest.mark.parametrize(
    ("method", "first"),
    [
        (Dynasor(every=4, count=9), "so so so so so so so so"),
        (AnswerConvergence(every=4, count=9), "so so so so so so so so"),
        (Deer(threshold=1.0, ask="close"), "so so so Wait, so so so so"),
    ],
)
async def test_a_deadline_in_mid_thought_leaves_the_last_answer_that_was_asked(method: Method, first: str) -> None:
    def script(prompt: Prompt, seed: int) -> str:
        return "12}" if "boxed" in prompt.prefill[-8:] else f"<think>{first}"[len(prompt.prefill) :]

    echo = Echo(script, faults={2: Fault("stall", at=1)})
    run = Run(echo, deadline=time.monotonic() + 0.3, extract=number)
    solution = await method.solve(QUESTION, run)
    assert (solution.finish, run.extract(solution.answer)) == ("deadline", "12")
    shown = ["".join(text for kind, text in run.trace.shown if kind == channel) for channel in ("think", "answer")]
    assert shown == [solution.thinking, solution.answer]
    assert run.trace.tokens == echo.generated


async def test_a_deadline_before_any_answer_was_asked_leaves_none() -> None:
    run = Run(Echo("<think>so so", faults={0: Fault("stall", at=2)}), deadline=time.monotonic() + 0.2)
    solution = await Dynasor(every=4).solve(QUESTION, run)
    assert (solution.finish, solution.answer) == ("deadline", "")

from __future__ import annotations

import pytest

from ponder.core.engine import Cap, Sampling, Think
from ponder.core.errors import OptionError, Unsupported
from ponder.core.method import Solution, check
from ponder.core.problem import Image, Message, Problem, Prompt, Text
from ponder.core.run import Run
from ponder.engines.along import Along, Probe, Thought
from ponder.engines.echo import CAPS, Echo, Script
from ponder.methods.stop.dynasor import Dynasor
from ponder.methods.vote.sample import Sample
from ponder.text.answers import number
from ponder.text.prompts import PROBE

QUESTION = Problem.of("What is 12 + 30?")
THOUGHT = "so " * 40
GOLDEN = ("7}", "12}", "12}", "}", "12}", "12}", "12}")


def probed(*answers: str, thought: str = THOUGHT, prompts: list[Prompt] | None = None) -> Script:
    """A model that thinks, and answers its probes as listed; the last one for ever."""
    asked = 0

    def script(prompt: Prompt, seed: int) -> str:
        nonlocal asked
        prefill = prompt.prefill
        if prompts is not None:
            prompts.append(prompt)
        if prefill.endswith("\\boxed{"):
            asked += 1
            return answers[min(asked, len(answers)) - 1]
        whole = f"<think>{thought}</think>\n\nSo 42."
        return whole[len(prefill) :] if whole.startswith(prefill) else "So 12."

    return script


async def solve(method: Dynasor, script: Script, **limits: int) -> tuple[Solution, Echo, Run]:
    echo = Echo(script)
    run = Run(echo, sampling=Sampling(**limits) if limits else None, extract=number)  # type: ignore[arg-type]
    return await method.solve(QUESTION, run), echo, run


async def test_it_leaves_where_the_last_answers_agree_and_none_is_empty() -> None:
    solution, _, _ = await solve(Dynasor(every=2, count=3), probed(*GOLDEN))
    assert solution.evidence["answers"] == "7 | 12 | 12 |  | 12 | 12 | 12"
    # The opening mark is a token, so the seventh pause is after thirteen words.
    assert (solution.evidence["stopped_at"], solution.thinking) == (14, "so " * 13)
    assert (solution.answer, solution.finish, solution.evidence["exit"]) == ("So 12.", "exit", "agreement")


async def test_probing_comes_after_the_chunk() -> None:
    """The released proxy probes before it, so that its first probe sees no thought and its last chunk is wasted."""
    prompts: list[Prompt] = []
    await solve(Dynasor(every=4, count=2), probed("12}", prompts=prompts))
    assert [prompt.prefill for prompt in prompts[:4]] == [
        "",
        "<think>so so so " + PROBE.en,
        "<think>so so so ",
        "<think>" + "so " * 7 + PROBE.en,
    ]


async def test_enough_probes_without_agreement_are_not_enough() -> None:
    """The released server path falls through to True here."""
    solution, _, _ = await solve(Dynasor(every=2, count=2), probed(*(f"{n}}}" for n in range(99))))
    assert (solution.answer, solution.evidence["exit"]) == ("So 42.", "natural")


@pytest.mark.parametrize(("tail", "leaves"), [("12} Wait, no", False), ("12} I know another", True)])
async def test_a_probe_that_hesitates_does_not_count(tail: str, leaves: bool) -> None:
    solution, _, _ = await solve(Dynasor(every=2, count=2), probed(tail))
    assert (solution.evidence["exit"] == "agreement") == leaves


async def test_a_share_of_the_window_may_suffice() -> None:
    script = probed("7}", "12}", "7}", "12}")
    solution, _, _ = await solve(Dynasor(every=2, count=3, agree=0.6), script)
    assert solution.evidence["probes"] == 3


async def test_the_first_probe_waits_for_a_minimum() -> None:
    solution, _, _ = await solve(Dynasor(every=2, count=1, after=11), probed("12}"))
    assert (solution.evidence["probes"], solution.evidence["stopped_at"]) == (1, 11)


async def test_a_probe_that_never_says_an_answer_leaves_a_plain_thought() -> None:
    solution, _, _ = await solve(Dynasor(every=2, count=2), probed("so it goes on and on " * 9))
    assert (solution.answer, solution.thinking, solution.evidence["exit"]) == ("So 42.", THOUGHT, "natural")


async def test_the_bill_counts_every_probe() -> None:
    solution, echo, run = await solve(Dynasor(every=8, count=5), probed("12} and then it said a lot more " * 9))
    roles = run.trace.tokens_by_role
    assert (solution.evidence["probes"], roles["think"]) == (5, 40)
    assert roles["probe"] == 5 * 20
    assert run.trace.tokens == echo.generated


async def test_the_papers_ending_draws_no_further_token() -> None:
    solution, _, run = await solve(Dynasor(every=2, count=2, conclude=False), probed("12}"))
    assert number(solution.answer) == "12"
    assert solution.finish == "exit"
    assert "answer" not in {role for role, tokens in run.trace.tokens_by_role.items() if tokens}


async def test_a_chinese_question_is_probed_in_chinese() -> None:
    prompts: list[Prompt] = []
    run = Run(Echo(probed("12}", prompts=prompts)))
    await Dynasor(every=2, count=1).solve(Problem.of("12加30等于几"), run)
    assert any(prompt.prefill.endswith(PROBE.zh) for prompt in prompts)


@pytest.mark.parametrize("seed", range(6))
async def test_more_probes_asked_for_than_come_is_plain_decoding(seed: int) -> None:
    plain = await Sample().solve(QUESTION, Run(Echo(), seed=seed))
    run = Run(Echo(), seed=seed)
    solution = await Dynasor(every=3, count=99).solve(QUESTION, run)
    assert (solution.thinking, solution.answer, solution.finish) == (plain.thinking, plain.answer, plain.finish)
    assert run.trace.tokens_by_role["probe"] > 0


async def test_recorded_thoughts_answer_from_recorded_probes() -> None:
    reply = Thought.of_text(f"<think>{THOUGHT}</think>42", 44, (Probe(0, "7"), Probe(8, "42"), Probe(30, "42")))
    solution = await Dynasor(every=4, count=2).solve(QUESTION, Run(Along([reply])))
    assert (solution.answer, solution.evidence["answers"], solution.evidence["stopped_at"]) == ("42", "7 | 42 | 42", 12)


async def test_pictures_and_models_without_a_thought_are_asked_plainly() -> None:
    picture = Problem("p", (Message("user", (Text("What?"), Image("data:image/png;base64,"))),))
    for engine, problem in ((Echo("<think>a cat</think>A cat."), picture), (Echo("A cat.", think=Think()), QUESTION)):
        solution = await Dynasor(every=1, count=1).solve(problem, Run(engine))
        assert (solution.answer, solution.evidence["probes"]) == ("A cat.", 0)


async def test_a_limit_leaves_room_for_an_answer() -> None:
    solution, _, run = await solve(Dynasor(every=4, count=99), probed("12}", thought="so " * 900), max_tokens=40)
    assert (solution.answer, solution.evidence["exit"]) == ("So 12.", "forced_close")
    assert run.trace.tokens_by_role["think"] + run.trace.tokens_by_role["answer"] <= 40


def test_an_engine_that_continues_nothing_is_refused() -> None:
    with pytest.raises(Unsupported, match="PREFILL"):
        check(Dynasor(), {"main": Echo(caps=CAPS - {Cap.PREFILL})})


@pytest.mark.parametrize(
    "options",
    [{"every": 0}, {"count": 0}, {"agree": 0.0}, {"after": -1}, {"probe": 0}, {"temperature": -1.0}, {"top_p": 0.0}],
)
def test_values_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        Dynasor(**options)  # type: ignore[arg-type]

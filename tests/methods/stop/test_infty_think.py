from __future__ import annotations

import pytest

from ponder.core.engine import Cap, Sampling, Think
from ponder.core.errors import OptionError, Unsupported
from ponder.core.method import Solution, check
from ponder.core.problem import Image, Message, Problem, Prompt, Text
from ponder.core.run import Run
from ponder.engines.echo import CAPS, Echo, Script
from ponder.methods.stop.infty_think import InftyThink
from ponder.methods.vote.sample import Sample
from ponder.text.prompts import SO_FAR, SUMMARISE

QUESTION = Problem.of("What is 12 + 30?")


def counting(need: int, prompts: list[Prompt] | None = None, summary: str | None = None) -> Script:
    """A model that counts up to `need`, from whatever its history says, and sums up how far it has come."""

    def script(prompt: Prompt, seed: int) -> str:
        prefill = prompt.prefill
        if prompts is not None:
            prompts.append(prompt)
        if "</think>" in prefill:
            return f"It is {last(prefill)}.".removeprefix(prefill.partition("</think>")[2].lstrip())
        if SUMMARISE.en in prefill:
            said = f"at {last(prefill)}" if summary is None else summary
            return f"{said} \n\nand on it goes"
        begin = last(prefill) + 1
        return (
            ("" if "<think>" in prefill else "<think>")
            + "".join(f"{n} " for n in range(begin, need + 1))
            + f"</think>It is {need}."
        )

    return script


def last(prefill: str) -> int:
    return max((int(word) for word in prefill.split() if word.isdigit()), default=0)


async def solve(method: InftyThink, script: Script, **limits: int) -> tuple[Solution, Run]:
    run = Run(Echo(script, think=Think("<think>", "</think>", opened=True)))
    if limits:
        run.sampling = Sampling(**limits)  # type: ignore[arg-type]
    return await method.solve(QUESTION, run), run


def untagged(script: Script) -> Script:
    """The same behind a template that opens the thought."""
    return lambda prompt, seed: script(prompt, seed).removeprefix("<think>")


async def test_each_round_begins_with_the_summary_of_the_one_before_and_nothing_else() -> None:
    prompts: list[Prompt] = []
    solution, _ = await solve(InftyThink(segment=5), untagged(counting(12, prompts)))
    begun = f"{SO_FAR.en}\nat 5\n\n"
    assert begun in [prompt.prefill for prompt in prompts]
    assert f"{SO_FAR.en}\nat 10\n\n" in [prompt.prefill for prompt in prompts]
    assert (solution.answer, solution.evidence["exit"]) == ("It is 12.", "natural")
    assert (solution.evidence["rounds"], solution.evidence["summary"]) == (3, "at 10")
    assert "and on" not in str(solution.evidence["summary"])


async def test_the_context_stays_short_however_long_the_thought_is() -> None:
    whole, run = await solve(InftyThink(segment=200), untagged(counting(60)))
    parts, parted = await solve(InftyThink(segment=6, rounds=20), untagged(counting(60)))
    assert parts.answer == whole.answer == "It is 60."
    assert float(parts.evidence["peak_context"]) < 50 < 60 < float(whole.evidence["peak_context"])
    # The tokens in all grow: summaries are generated, too.
    assert parted.trace.tokens > run.trace.tokens


async def test_one_segment_is_a_plain_thought() -> None:
    for seed in range(4):
        plain = await Sample().solve(QUESTION, Run(Echo(), seed=seed))
        solution = await InftyThink(segment=99).solve(QUESTION, Run(Echo(), seed=seed))
        assert (solution.thinking, solution.answer) == (plain.thinking, plain.answer)
        assert solution.evidence["rounds"] == 1


async def test_the_last_round_is_closed_and_answered() -> None:
    solution, _ = await solve(InftyThink(segment=5, rounds=2), untagged(counting(99)))
    assert (solution.answer, solution.finish, solution.evidence["exit"]) == ("It is 10.", "exit", "budget")
    assert solution.evidence["rounds"] == 2


async def test_an_empty_summary_keeps_the_one_before() -> None:
    solution, _ = await solve(InftyThink(segment=5, rounds=3), untagged(counting(99, summary="")))
    assert solution.evidence["summary"] in ("", "and on it goes")
    assert solution.answer


async def test_all_rounds_together_keep_to_the_limit() -> None:
    solution, run = await solve(InftyThink(segment=5, rounds=50), untagged(counting(999)), max_tokens=60)
    assert run.trace.tokens <= 60
    assert solution.answer.startswith("It is")


def trained(prompts: list[Prompt], need: int = 12, per: int = 5) -> Script:
    """A model of the paper: it closes a segment itself and sums up in tags, or closes the last one and answers."""

    def script(prompt: Prompt, seed: int) -> str:
        prompts.append(prompt)
        prefill = prompt.prefill
        history, _, thought = prefill.partition("<think>\n") if "<think>\n" in prefill else ("", "", prefill)
        at = last(history)
        if "</think>" in thought:
            reached = last(thought) or at
            ends = f"It is {need}." if reached >= need else f"<summary> at {reached} </summary>"
            return ends.removeprefix("<summary>") if prefill.endswith("<summary>") else ends
        said = "".join(f"{n} " for n in range(at + 1, min(at + per, need) + 1))
        opening = "" if "<think>" in prefill else "<think>\n"
        return f"{opening}{said}</think>"

    return script


async def test_a_trained_model_sums_up_in_tags() -> None:
    prompts: list[Prompt] = []
    run = Run(Echo(trained(prompts)))
    solution = await InftyThink(trained=True).solve(QUESTION, run)
    assert (solution.answer, solution.evidence["rounds"]) == ("It is 12.", 3)
    assert "<history>\nat 5\n</history>\n<think>\n" in [prompt.prefill for prompt in prompts]
    assert not any("at 5" in prompt.prefill and "at 10" in prompt.prefill for prompt in prompts)
    assert "summary" not in solution.answer + solution.thinking


async def test_a_trained_model_that_does_not_close_its_segment_is_made_to_sum_up() -> None:
    prompts: list[Prompt] = []
    run = Run(Echo(trained(prompts, per=99)))
    solution = await InftyThink(segment=7, rounds=2, trained=True).solve(QUESTION, run)
    assert any(prompt.prefill.endswith("</think><summary>") for prompt in prompts)
    assert solution.answer == "It is 12."


async def test_pictures_leave_one_plain_round() -> None:
    problem = Problem("p", (Message("user", (Text("What is it?"), Image("data:image/png;base64,"))),))
    solution = await InftyThink(segment=1).solve(problem, Run(Echo("<think>a cat</think>A cat.")))
    assert (solution.answer, solution.evidence["rounds"]) == ("A cat.", 1)


def test_an_engine_that_continues_nothing_is_refused() -> None:
    with pytest.raises(Unsupported, match="PREFILL"):
        check(InftyThink(), {"main": Echo(caps=CAPS - {Cap.PREFILL})})


@pytest.mark.parametrize("options", [{"segment": 0}, {"summary": 0}, {"rounds": 0}])
def test_values_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        InftyThink(**options)

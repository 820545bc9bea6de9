from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ponder.core.engine import Cap, Chunk, Logprob, Sampling, Think
from ponder.core.errors import OptionError, Unsupported
from ponder.core.method import Solution, check
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.engines.along import Along, Probe, Thought
from ponder.engines.echo import CAPS, Echo
from ponder.methods.stop.deer import Deer
from ponder.methods.vote.sample import Sample
from ponder.text.prompts import TRIAL

QUESTION = Problem.of("What is 12 + 30?")
THOUGHT = "It is 41. Wait, let me see. It is 42. Wait, again 42. Alternatively 40 + 2. Done."


class Sure:
    """A model that thinks THOUGHT; its trial answers are 42, with the given probabilities of `{`, `4`, `2` and `}`."""

    name, think = "sure", Think("<think>", "</think>")
    caps = CAPS

    def __init__(self, *probabilities: tuple[float, ...]) -> None:
        self._probabilities = probabilities or ((0.99, 0.98, 0.80, 0.99),)
        self.trials: list[tuple[Prompt, Sampling]] = []

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Answer a trial, or go on as the echo engine does."""
        if prompt.prefill.endswith("\\boxed"):
            probabilities = self._probabilities[min(len(self.trials), len(self._probabilities) - 1)]
            self.trials.append((prompt, sampling))
            yield self._trial(probabilities)
        else:
            async with Echo(self._say).stream(prompt, sampling) as chunks:
                yield chunks

    def _say(self, prompt: Prompt, seed: int) -> str:
        if "</think>" in prompt.prefill:
            return "So 42."
        return f"<think>{THOUGHT}</think>So 43."[len(prompt.prefill) :]

    async def _trial(self, probabilities: tuple[float, ...]) -> AsyncIterator[Chunk]:
        said = ("{", "4", "2", "}") if len(probabilities) > 1 else ("{42}",)
        for text, p in zip(said, probabilities, strict=True):
            yield Chunk(text, logprobs=(Logprob(text, math.log(p)),))
        yield Chunk("", tokens=0, finish="stop")


async def solve(method: Deer, engine: Sure) -> tuple[Solution, Run]:
    run = Run(engine, sampling=Sampling(max_tokens=400))
    return await method.solve(QUESTION, run), run


@pytest.mark.parametrize(
    ("mean", "skip", "value"),
    [
        ("arithmetic", False, "0.9400"),
        ("geometric", False, "0.9363"),
        ("arithmetic", True, "0.9233"),
        ("geometric", True, "0.9190"),
    ],
)
async def test_the_confidence_is_the_mean_of_the_trials_tokens(mean: str, skip: bool, value: str) -> None:
    method = Deer(mean=mean, skip_first=skip)  # type: ignore[arg-type]
    solution, _ = await solve(method, Sure())
    assert solution.evidence["confidences"] == " | ".join([value] * 3)
    assert (solution.answer, solution.evidence["exit"]) == ("So 43.", "natural")


async def test_it_leaves_at_the_first_turn_that_is_sure() -> None:
    engine = Sure((0.9, 0.9, 0.5, 0.9), (0.99, 0.99, 0.98, 0.99))
    solution, _ = await solve(Deer(), engine)
    assert (solution.answer, solution.finish, solution.evidence["exit"]) == ("So 42.", "exit", "sure")
    assert solution.evidence["trials"] == 2
    # The turning word itself was generated, so it is shown, and is not continued from.
    assert solution.thinking == "It is 41. Wait, let me see. It is 42. Wait, "
    assert [prompt.prefill for prompt, _ in engine.trials] == [
        "<think>It is 41. " + TRIAL.en,
        "<think>It is 41. Wait, let me see. It is 42. " + TRIAL.en,
    ]
    assert all((asked.temperature, asked.max_tokens) == (0, 20) for _, asked in engine.trials)


async def test_a_trial_that_is_dropped_changes_nothing() -> None:
    plain = await Sample().solve(QUESTION, Run(Sure()))
    solution, _ = await solve(Deer(threshold=1.0), Sure((1.0, 1.0, 1.0, 1.0)))
    assert (solution.thinking, solution.answer) == (plain.thinking, plain.answer)
    assert solution.evidence["trials"] == 3


async def test_below_zero_any_turn_is_enough() -> None:
    solution, _ = await solve(Deer(threshold=-1.0), Sure((0.01, 0.01, 0.01, 0.01)))
    assert (solution.evidence["exit"], solution.evidence["trials"]) == ("sure", 1)


async def test_a_trial_of_one_token_is_its_probability() -> None:
    """The released code divides by zero here."""
    solution, _ = await solve(Deer(skip_first=True, threshold=0.9), Sure((0.96,)))
    assert (solution.evidence["confidences"], solution.evidence["exit"]) == ("0.9600", "sure")


async def test_several_trials_at_a_turn_lose_their_disagreement() -> None:
    engine = Sure(*((p,) for p in (0.97, 0.93, 0.99, 0.91)))
    solution, run = await solve(Deer(parallel=4, trials=1), engine)
    assert (solution.evidence["confidences"], solution.evidence["trials"]) == ("0.9200", 1)
    assert len({call.branch for call in run.trace.calls if call.role == "probe"}) == 4
    # Four greedy trials would be one.
    assert all(asked.temperature > 0 for _, asked in engine.trials)


async def test_after_so_many_trials_it_thinks_on() -> None:
    solution, _ = await solve(Deer(trials=2), Sure())
    assert (solution.evidence["trials"], solution.thinking) == (2, THOUGHT)


async def test_the_thought_has_a_share_of_the_reply() -> None:
    run = Run(Sure(), sampling=Sampling(max_tokens=24))
    solution = await Deer(share=0.25).solve(QUESTION, run)
    assert (solution.evidence["stopped_at"], solution.evidence["exit"]) == (6, "budget")
    assert solution.answer == "So 42."


async def test_turns_before_the_minimum_are_passed_over() -> None:
    engine = Sure((1.0, 1.0, 1.0, 1.0))
    solution, _ = await solve(Deer(after=8), engine)
    assert solution.thinking == "It is 41. Wait, let me see. It is 42. Wait, "
    assert len(engine.trials) == 1


async def test_a_trial_that_states_nothing_is_not_sure() -> None:
    def script(prompt: Prompt, seed: int) -> str:
        if prompt.prefill.endswith("\\boxed"):
            return "so so so " * 30
        return "So 42." if "</think>" in prompt.prefill else f"<think>{THOUGHT}</think>So 43."[len(prompt.prefill) :]

    solution = await Deer(threshold=0.1).solve(QUESTION, Run(Echo(script)))
    assert (solution.answer, solution.evidence["confidences"]) == ("So 43.", "0.0000 | 0.0000 | 0.0000")


async def test_paragraphs_are_turns_for_models_that_say_no_such_words() -> None:
    def script(prompt: Prompt, seed: int) -> str:
        if prompt.prefill.endswith("\\boxed"):
            return "{42}"
        return "So 42." if "</think>" in prompt.prefill else "<think>a b\n\nc d</think>So 43."[len(prompt.prefill) :]

    solution = await Deer(marks=("\n\n",), threshold=0.4).solve(QUESTION, Run(Echo(script)))
    assert (solution.answer, solution.thinking) == ("So 42.", "a b\n\n")


async def test_recorded_thoughts_answer_from_recorded_probes() -> None:
    probes = (Probe(0, "41", 0.6), Probe(6, "42", 0.97))
    reply = Thought.of_text(f"<think>{THOUGHT}</think>So 43.", 40, probes)
    solution = await Deer().solve(QUESTION, Run(Along([reply]), sampling=Sampling(max_tokens=400)))
    assert (solution.answer, solution.evidence["exit"]) == ("42", "sure")
    assert solution.evidence["confidences"] == "0.6000 | 0.9700"


@pytest.mark.parametrize("cap", [Cap.PREFILL, Cap.LOGPROBS])
def test_an_engine_that_lacks_either_is_refused(cap: Cap) -> None:
    with pytest.raises(Unsupported, match=cap.name):
        check(Deer(), {"main": Echo(caps=CAPS - {cap})})


@pytest.mark.parametrize(
    "options",
    [
        {"marks": ()},
        {"marks": ("",)},
        {"trials": 0},
        {"trial": 0},
        {"parallel": 0},
        {"alpha": -1.0},
        {"share": 0.0},
        {"after": -1},
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        Deer(**options)  # type: ignore[arg-type]

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.engine import Cap, Chunk, Sampling, Think
from ponder.core.errors import EngineError, OptionError
from ponder.core.method import Method, Solution
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run, derive_seed
from ponder.engines.echo import Echo, Fault
from ponder.methods.prompt.no_thinking import NoThinking
from ponder.methods.vote.self_consistency import SelfConsistency

QUESTION = Problem.of("q")


def echo(texts: list[str], faults: Mapping[int, Fault] | None = None) -> Echo:
    """Return an engine that says `texts[i]` in branch i."""
    by_seed = {derive_seed(0, (index,), 0, "branch"): text for index, text in enumerate(texts)}
    return Echo(lambda prompt, seed: by_seed[seed], think=Think("<think>", "</think>"), faults=faults or {})


def run_on(engine: Echo, deadline: float | None = None, budget: int | None = None) -> Run:
    """Return a run whose answers are the last digits of a text, equal in value."""

    def extract(text: str) -> str | None:
        found = re.findall(r"[\d.]+", text)
        return found[-1] if found else None

    return Run(engine, extract=extract, same=lambda a, b: float(a) == float(b), deadline=deadline, budget=budget)


async def vote(texts: list[str]) -> Solution:
    return await SelfConsistency(n=len(texts)).solve(QUESTION, run_on(echo(texts)))


async def test_the_answer_that_most_samples_state_wins() -> None:
    solution = await vote(["12", "15", "12", "15", "is 15"])
    assert solution.answer == "15"
    assert solution.evidence == {"votes": 3, "share": 0.6, "n": 5, "failed": 0}


async def test_a_tie_goes_to_the_answer_seen_first() -> None:
    assert (await vote(["7", "8", "8", "7"])).answer == "7"
    assert (await vote(["9", "8", "7"])).answer == "9"


async def test_equal_answers_in_different_spellings_vote_together() -> None:
    solution = await vote(["3", "2.0", "is 2", "2.00"])
    assert (solution.answer, solution.evidence["votes"]) == ("2.0", 3)


async def test_failures_never_win_unless_all_fail() -> None:
    solution = await vote(["no", "none", "nothing", "5"])
    assert (solution.answer, solution.evidence["votes"], solution.evidence["failed"]) == ("5", 1, 3)
    failed = await vote(["no", "none"])
    assert (failed.answer, failed.evidence) == ("no", {"votes": 0, "share": 0.0, "n": 2, "failed": 2})


async def test_the_solution_is_the_first_sample_of_the_winner_whole() -> None:
    run = run_on(echo(["<think>a </think>1", "<think>b </think>It is 2", "<think>c </think>2"]))
    solution = await SelfConsistency(n=3).solve(QUESTION, run)
    assert (solution.thinking, solution.answer) == ("b ", "It is 2")
    assert run.trace.shown == [("think", "b "), ("answer", "It is 2")]
    assert run.trace.tokens == 4 + 6 + 4


@given(st.lists(st.sampled_from(["1", "2", "3", "x"]), min_size=1, max_size=12))
async def test_it_is_the_plain_majority(texts: list[str]) -> None:
    solution = await vote(texts)
    stated = [text for text in texts if text != "x"]
    best = max(stated, key=lambda text: (stated.count(text), -stated.index(text)), default=texts[0])
    assert solution.answer == best
    assert solution.evidence["votes"] == stated.count(best)


@pytest.mark.parametrize("late", range(3))
async def test_ties_are_broken_by_branch_and_not_by_arrival(late: int) -> None:
    arrived: list[int] = []

    class Waits:
        def needs(self) -> Mapping[str, frozenset[Cap]]:
            return {"main": frozenset()}

        async def solve(self, problem: Problem, run: Run) -> Solution:
            (index,) = run._path
            for _ in range(5 * ((index + late) % 3)):
                await asyncio.sleep(0)
            arrived.append(index)
            return Solution(str(index))

    solution = await SelfConsistency(n=3, inner=Waits()).solve(QUESTION, run_on(Echo()))
    assert solution.answer == "0"
    assert arrived == sorted(range(3), key=lambda index: (index + late) % 3)


async def test_a_sample_that_fails_cancels_the_others_and_bills_them() -> None:
    engine = Echo("a " * 100, faults={1: Fault("error", at=3)})
    run = run_on(engine)
    with pytest.raises(EngineError, match="scripted failure"):
        await SelfConsistency(n=4).solve(QUESTION, run)
    assert engine.open_streams == 0
    assert sorted(call.finish for call in run.trace.calls) == ["error", "left", "left", "left"]
    assert run.trace.tokens == engine.generated < 20


async def test_a_limit_leaves_the_vote_of_what_was_said_and_says_so() -> None:
    engine = echo(["5", "5", "6"], faults={2: Fault("stall")})
    run = run_on(engine, deadline=time.monotonic() + 0.1)
    solution = await SelfConsistency(n=3).solve(QUESTION, run)
    assert (solution.answer, solution.finish, engine.open_streams) == ("5", "deadline", 0)
    run = run_on(echo(["5", "5", "so " * 50]), budget=9)
    solution = await SelfConsistency(n=3).solve(QUESTION, run)
    assert (solution.answer, solution.finish, run.trace.tokens) == ("5", "budget", 9)


async def test_each_sample_is_reported_as_it_ends() -> None:
    run = run_on(echo(["1", "x"]))
    await SelfConsistency(n=2).solve(QUESTION, run)
    assert run.trace.notes == ["sample 1 of 2: 1", "sample 2 of 2: no answer"]


async def test_any_method_may_give_the_samples() -> None:
    inner: Method = NoThinking()
    prompts: list[Prompt] = []
    engine = Echo(lambda prompt, seed: prompts.append(prompt) or "5")  # type: ignore[func-returns-value]
    solution = await SelfConsistency(n=3, inner=inner).solve(QUESTION, run_on(engine))
    assert all(prompt.prefill.endswith("</think>\n\n") for prompt in prompts)
    assert solution.evidence == {"how": "prefill", "votes": 3, "share": 1.0, "n": 3, "failed": 0}


async def test_votes_may_be_nested_and_every_sample_is_another_one() -> None:
    seeds: set[int] = set()
    engine = Echo(lambda prompt, seed: seeds.add(seed) or "5")  # type: ignore[func-returns-value]
    await SelfConsistency(n=3, inner=SelfConsistency(n=4)).solve(QUESTION, run_on(engine))
    assert len(seeds) == 12


def test_at_least_one_sample_is_needed() -> None:
    with pytest.raises(OptionError, match="SelfConsistency: n = 0 is out of range; it must be 1 to 10,000"):
        SelfConsistency(n=0)
    with pytest.raises(OptionError, match="out of range"):
        SelfConsistency(n=10**20)


@pytest.mark.parametrize(
    ("own", "n", "given", "drawn"),
    [(1.0, 3, None, 1.0), (0.0, 3, None, 0.7), (0.0, 1, None, 0.0), (1.0, 3, 0.0, 0.0), (0.0, 1, 0.3, 0.3)],
)
async def test_several_samples_are_never_greedy_unless_asked(
    own: float, n: int, given: float | None, drawn: float
) -> None:
    """One greedy sample stays greedy, so that `n=1` is plain sampling; greedy replies that vote would all be equal."""
    heats: list[float] = []

    class Thermometer(Echo):
        def stream(self, prompt: Prompt, sampling: Sampling) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
            heats.append(sampling.temperature)
            return super().stream(prompt, sampling)

    run = Run(Thermometer("5"), sampling=Sampling(temperature=own))
    await SelfConsistency(n=n, temperature=given).solve(QUESTION, run)
    assert heats == [drawn] * n
    assert run.sampling.temperature == own


def test_a_temperature_below_zero_is_refused() -> None:
    with pytest.raises(OptionError, match=r"temperature = -0.1 is out of range"):
        SelfConsistency(temperature=-0.1)


async def test_a_stop_string_in_the_thoughts_takes_no_vote_away() -> None:
    engine = echo(["<think>so 1</think>It is 7", "<think>so 2 so</think>It is 8", "<think>no</think>It is 8 so 9"])
    run = run_on(engine)
    run.sampling = Sampling(stop=("so",))
    solution = await SelfConsistency(n=3).solve(QUESTION, run)
    assert (solution.answer, solution.thinking) == ("It is 8", "so 2 so")
    assert (solution.evidence["votes"], solution.evidence["failed"]) == (2, 0)
    assert run.trace.tokens == engine.generated

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.votes import QUESTION, echo, run_on

from ponder.core.errors import OptionError
from ponder.core.method import Solution
from ponder.engines.echo import Echo, Fault
from ponder.methods.vote.early_stopping_self_consistency import EarlyStoppingSelfConsistency
from ponder.methods.vote.self_consistency import SelfConsistency
from ponder.text.stopping import expected_samples


async def vote(texts: Sequence[str], window: int = 2) -> tuple[Solution, int]:
    run = run_on(echo(list(texts)))
    method = EarlyStoppingSelfConsistency(n=len(texts), window=window)
    return await method.solve(QUESTION, run), len(run.trace.calls)


async def test_the_first_window_that_agrees_is_the_answer() -> None:
    solution, calls = await vote(["1", "2", "is 2", "2", "3", "3"])
    assert (solution.answer, calls) == ("is 2", 4)
    assert solution.evidence == {"votes": 2, "share": 0.5, "n": 4, "failed": 0, "exit": "agreed"}


async def test_the_window_decides_and_not_the_majority_of_all() -> None:
    solution, calls = await vote(["1", "1", "2", "1", "1", "3", "2", "2", "2", "9"], window=3)
    assert (solution.answer, calls) == ("2", 9)


async def test_without_a_window_that_agrees_all_vote() -> None:
    solution, calls = await vote(["1", "2", "3", "2", "1", "2"])
    assert (solution.answer, calls, "exit" in solution.evidence) == ("2", 6, False)
    assert (await vote(["1", "2", "2", "1", "1"]))[0].answer == "1", "a last window that is not full only votes"


async def test_a_window_with_a_sample_that_states_nothing_does_not_agree() -> None:
    solution, calls = await vote(["5", "none", "nothing", "no", "6", "6"])
    assert (solution.answer, calls) == ("6", 6)


@pytest.mark.parametrize(
    ("texts", "window", "patience", "n", "exit"),
    [
        (["x"] * 40, 5, 10, 10, "unanswered"),
        (["x"] * 40, 5, 12, 15, "unanswered"),
        (["x"] * 40, 40, 10, 40, None),
        (["x"] * 40, 5, 0, 40, None),
        # One answer among the first ten: it goes on until a window agrees, or to the end.
        ([*"xxxxx1xxxx", *["x"] * 30], 5, 10, 40, None),
        ([*"xxxxx1xxxx", *["2"] * 30], 5, 10, 15, "agreed"),
        ([*["x"] * 9, "1", *["x"] * 30], 1, 5, 5, "unanswered"),
    ],
)
async def test_samples_that_all_state_nothing_end_it_once_patience_is_out(
    texts: list[str], window: int, patience: int, n: int, exit: str | None
) -> None:
    run = run_on(echo(texts))
    method = EarlyStoppingSelfConsistency(n=40, window=window, patience=patience)
    solution = await method.solve(QUESTION, run)
    assert (solution.evidence["n"], len(run.trace.calls), solution.evidence.get("exit")) == (n, n, exit)
    assert solution.answer == ("2" if exit == "agreed" else "1" if "1" in texts and exit is None else "x")


@given(st.lists(st.sampled_from(["1", "2", "3", "x"]), min_size=1, max_size=9), st.integers(0, 3))
async def test_one_window_of_all_is_self_consistency(texts: list[str], more: int) -> None:
    one, _ = await vote(texts, window=len(texts) + more)
    plain = await SelfConsistency(n=len(texts)).solve(QUESTION, run_on(echo(texts)))
    assert one == plain


async def test_a_window_of_one_takes_one_sample() -> None:
    assert (await vote(["4", "5"], window=1))[1] == 1


@pytest.mark.parametrize(("shares", "expected"), [((0.9, 0.1), 8.4607), ((0.6, 0.3, 0.1), 30.40), ((1.0,), 5)])
async def test_as_many_samples_as_the_formula_says(shares: tuple[float, ...], expected: float) -> None:
    rng = random.Random(0)
    method = EarlyStoppingSelfConsistency()
    drawn = []
    for _ in range(150):
        answers = rng.choices(range(len(shares)), shares, k=40)
        run = run_on(echo([str(answer) for answer in answers]))
        drawn.append((await method.solve(QUESTION, run)).evidence["n"])
    mean = sum(map(float, drawn)) / len(drawn)
    spread = (sum((float(n) - mean) ** 2 for n in drawn) / len(drawn) / len(drawn)) ** 0.5
    assert expected_samples(shares, 5, 40) == pytest.approx(expected, abs=5e-3)
    assert mean == pytest.approx(expected, abs=3.5 * spread + 1e-2)


async def test_a_limit_ends_the_vote_with_what_was_said() -> None:
    engine = echo(["1", "2", "3", "2"], faults={3: Fault("stall")})
    run = run_on(engine, deadline=time.monotonic() + 0.1)
    solution = await EarlyStoppingSelfConsistency(n=8, window=2).solve(QUESTION, run)
    assert (solution.answer, solution.finish, solution.evidence["n"], engine.calls) == ("1", "deadline", 4, 4)
    poor = run_on(Echo(lambda prompt, seed: str(seed)), budget=3)
    cut = await EarlyStoppingSelfConsistency(n=40, window=2).solve(QUESTION, poor)
    assert cut.finish == "budget"
    assert 3 <= poor.trace.tokens <= 4, "both samples of a window may take the last token"


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(OptionError, match="window = 0 is out of range"):
        EarlyStoppingSelfConsistency(window=0)
    with pytest.raises(OptionError, match="patience = -1 is out of range"):
        EarlyStoppingSelfConsistency(patience=-1)

"""Who may win a vote, and what the chosen sample becomes."""

from __future__ import annotations

import pytest

from ponder.core.errors import OptionError
from ponder.core.method import Finish, Solution
from ponder.core.run import Call, Run
from ponder.engines.echo import Echo
from ponder.steer.draw import Draw
from ponder.steer.elect import able, check_samples, elected, limit, silent, votes


def sample(index: int, stated: str | None, finish: Finish = "stop") -> Draw:
    solution = Solution(stated or "", "hm ", finish, evidence={"how": "so"})
    return Draw(index, solution, stated, Call("think", "echo", (index,), 0))


def test_whole_samples_with_an_answer_come_first_then_cut_ones_then_nobody() -> None:
    whole, cut, silent = sample(0, "1"), sample(1, "2", "length"), sample(2, None)
    assert able([silent, cut, whole]) == [whole]
    assert able([silent, cut]) == [cut]
    assert able([silent]) == []


def test_the_limit_of_the_run_is_told_and_that_of_a_reply_is_not() -> None:
    assert limit([sample(0, "1"), sample(1, None, "length")]) is None
    assert limit([sample(0, "1"), sample(1, None, "budget")]) == "budget"
    assert limit([sample(0, None, "budget"), sample(1, None, "deadline")]) == "deadline"


def test_the_chosen_sample_is_shown_whole() -> None:
    run = Run(Echo())
    solution = elected(run, sample(0, "7"), votes([sample(0, "7"), sample(1, None)], [0]), "budget")
    assert run.trace.shown == [("think", "hm "), ("answer", "7")]
    assert (solution.answer, solution.finish) == ("7", "budget")
    assert solution.evidence == {"how": "so", "votes": 1, "share": 0.5, "n": 2, "failed": 1}
    assert elected(run, sample(0, "7", "exit"), {}).finish == "exit"


def test_options_out_of_range_are_named() -> None:
    check_samples(object(), 10_000, None)
    for n, temperature in ((0, None), (10_001, None), (3, -0.5)):
        with pytest.raises(OptionError, match="out of range"):
            check_samples(object(), n, temperature)


def test_samples_are_silent_once_so_many_state_nothing_at_all() -> None:
    nothing = [sample(index, None) for index in range(12)]
    assert [silent(nothing[:n], 3) for n in (0, 2, 3, 12)] == [False, False, True, True]
    assert not silent([*nothing, sample(12, "1")], 3)
    assert not silent(nothing, 0)

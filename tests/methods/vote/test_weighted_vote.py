from __future__ import annotations

import time

import pytest
from support.votes import QUESTION, Rates, echo, run_on

from ponder.core.errors import OptionError, PonderError
from ponder.core.method import Solution
from ponder.engines.echo import Echo, Fault
from ponder.methods.vote.self_consistency import SelfConsistency
from ponder.methods.vote.weighted_vote import WeightedVote

TEXTS = ["is 12", "15", "12", "is 15", "15 it is"]


class Places(Rates):
    """Scores the replies by their order."""

    async def score(self, problem, calls, run):  # type: ignore[no-untyped-def]
        from ponder.core.judge import Score

        self.asked.append([call.answer for call in calls])
        values = self.table["all"]
        assert isinstance(values, tuple)
        return [Score(value) for value in values[: len(calls)]]


async def vote(scores: tuple[float, ...], texts: list[str] = TEXTS, **options: object) -> Solution:
    method = WeightedVote(n=len(texts), scorer=Places({"all": scores}), **options)  # type: ignore[arg-type]
    return await method.solve(QUESTION, run_on(echo(texts)))


GOLDEN = (0.9, 0.3, 0.8, 0.4, 0.2)


async def test_two_good_votes_weigh_more_than_three_poor_ones() -> None:
    solution = await vote(GOLDEN, weight="score")
    assert solution.answer == "is 12"
    assert solution.evidence == {
        "votes": 2, "share": 0.4, "n": 5, "failed": 0, "weight": pytest.approx(1.7 / 2.6)
    }  # fmt: skip
    majority = await SelfConsistency(n=5).solve(QUESTION, run_on(echo(TEXTS)))
    assert majority.answer == "15"


@pytest.mark.parametrize("weight", ["rank", "softmax"])
async def test_other_weights_say_the_same_here(weight: str) -> None:
    assert (await vote(GOLDEN, weight=weight)).answer == "is 12"


@pytest.mark.parametrize("weight", ["rank", "softmax", "score"])
async def test_equal_scores_are_a_plain_majority(weight: str) -> None:
    solution = await vote((0.7,) * 5, weight=weight)
    assert (solution.answer, solution.evidence["weight"]) == ("15", pytest.approx(0.6))


async def test_ranks_see_the_order_alone() -> None:
    lifted = tuple(1000 * score - 5000 for score in GOLDEN)
    assert await vote(lifted) == await vote(GOLDEN)
    # 12 has the places 5 and 4 of 5, 15 has 2, 3 and 1.
    assert (await vote(GOLDEN)).evidence["weight"] == pytest.approx(9 / 15)
    assert (await vote(GOLDEN, power=0.0)).answer == "15"


async def test_the_borda_example_of_self_certainty() -> None:
    """Answers x y x x z: the best single one decides from power 2 on."""
    texts, confidences = ["1", "2", "1", "1", "3"], (0.2, 0.9, 0.5, 0.4, 0.6)
    found = {power: (await vote(confidences, texts, power=power)) for power in (0.0, 0.5, 1.2, 2.0)}
    assert {power: solution.answer for power, solution in found.items()} == {0: "1", 0.5: "1", 1.2: "1", 2: "2"}
    assert found[1.2].evidence["weight"] == pytest.approx(7.035 / (7.035 + 6.899 + 5.278), abs=5e-4)


async def test_a_sample_without_an_answer_has_no_vote_and_ranks_last() -> None:
    solution = await vote((0.1, 0.2), ["none", "1", "2"])
    assert (solution.answer, solution.evidence["failed"]) == ("2", 1)
    assert solution.evidence["weight"] == pytest.approx(3 / 5), "places 2 and 3 of 3"
    silent = await vote((), ["none", "nothing"])
    assert (silent.answer, silent.evidence["votes"], silent.evidence["weight"]) == ("none", 0, 0)


async def test_sums_of_negative_scores_are_refused() -> None:
    with pytest.raises(OptionError, match=r"weight = 'score' adds up scores from 0, and Places gave -0\.3 to 0\.9"):
        await vote((0.9, -0.3, 0.8, 0.4, 0.2), weight="score")
    with pytest.raises(OptionError, match="use weight = 'rank'"):
        await vote((0.9, float("inf"), 0.8, 0.4, 0.2), weight="score")
    assert (await vote((0.9, -0.3, float("-inf"), 0.4, 0.2), weight="softmax")).answer == "15"


async def test_what_could_not_be_scored_adds_nothing_to_a_sum() -> None:
    low = float("-inf")
    assert (await vote((low, low, low, 0.2, low), weight="score")).answer == "15"
    nothing = await vote((low, low, low, low, low), weight="score")
    assert (nothing.answer, nothing.evidence["weight"]) == ("is 12", 0)


async def test_where_all_agree_nothing_is_scored() -> None:
    rates = Rates({})
    solution = await WeightedVote(n=3, scorer=rates).solve(QUESTION, run_on(Echo("5")))
    assert (solution.answer, rates.asked, solution.evidence["weight"]) == ("5", [], 1)


async def test_a_scorer_that_fails_is_named() -> None:
    with pytest.raises(PonderError, match="the scorer Places gave 2 scores for 5 replies"):
        await vote((0.5, 0.5))
    with pytest.raises(PonderError, match="NaN for sample 2"):
        await vote((0.5, float("nan"), 0.5, 0.5, 0.5))


async def test_limits_leave_the_vote_of_what_was_said() -> None:
    engine = echo(["1", "2", "2", "3"], faults={3: Fault("stall")})
    scorer = Rates({"1": 0.9, "2": 0.2})
    method = WeightedVote(n=4, scorer=scorer, weight="score")
    solution = await method.solve(QUESTION, run_on(engine, deadline=time.monotonic() + 0.1))
    assert (solution.answer, solution.finish, engine.open_streams) == ("1", "deadline", 0)
    late = WeightedVote(n=3, scorer=Rates({}, waits=3600))
    found = await late.solve(QUESTION, run_on(echo(["1", "2", "2"]), deadline=time.monotonic() + 0.1))
    assert (found.answer, found.finish) == ("2", "deadline"), "without scores, the majority"


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(OptionError, match=r"WeightedVote: power = -1\.0 is out of range"):
        WeightedVote(power=-1.0)
    with pytest.raises(OptionError, match="n = 0"):
        WeightedVote(n=0)

"""The mean certainty of a reply's tokens."""

from __future__ import annotations

import math

import pytest

from ponder.core.engine import Cap, Logprob, Sampling
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Call, Run
from ponder.engines.echo import Echo
from ponder.scorers.self_certainty import MeanCertainty

QUESTION = Problem.of("Between 12 and 99.")


def call(*figures: float | None) -> Call:
    return Call("think", "x", (), 0, logprobs=tuple(Logprob("a", -1.0, (), value) for value in figures))


async def test_a_reply_scores_the_mean_of_the_tokens_that_have_one() -> None:
    replies = [call(0.42981), call(0.5, 1.0, 0.75), call(), call(None), call(None, 2.0)]
    scores = await MeanCertainty().score(QUESTION, replies, Run(Echo()))
    assert [score.value for score in scores] == [0.42981, 0.75, -math.inf, -math.inf, 2.0]


async def test_what_it_asks_for_is_what_it_reads() -> None:
    scorer, run = MeanCertainty(), Run(Echo(caps=frozenset(Cap)), sampling=Sampling(max_tokens=5))
    one = await run.generate(Prompt.of(QUESTION), **scorer.asks())
    (score,) = await scorer.score(QUESTION, [one], run)
    assert score.value == pytest.approx(sum(token.certainty or 0.0 for token in one.logprobs) / 5)
    assert all(token.top == () for token in one.logprobs)
    assert scorer.needs() == {"main": frozenset({Cap.FULL_LOGPROBS})}
    assert len(run.trace.calls) == 1

"""The mean log-probability of a reply's tokens."""

from __future__ import annotations

import math

import pytest

from ponder.core.engine import Cap, Logprob, Sampling
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Call, Run
from ponder.engines.echo import Echo
from ponder.scorers.mean_logprob import MeanLogprob

QUESTION = Problem.of("Between 12 and 99.")


def call(*logprobs: float) -> Call:
    return Call("think", "x", (), 0, logprobs=tuple(Logprob("a", value) for value in logprobs))


async def test_a_reply_scores_the_mean_whatever_its_length() -> None:
    replies = [call(-1.0), call(-0.5, -1.0, -0.75), call()]
    scores = await MeanLogprob().score(QUESTION, replies, Run(Echo()))
    assert [score.value for score in scores] == [-1.0, -0.75, -math.inf]


async def test_what_it_asks_for_is_what_it_reads() -> None:
    scorer, run = MeanLogprob(), Run(Echo(), sampling=Sampling(max_tokens=5))
    one = await run.generate(Prompt.of(QUESTION), **scorer.asks())
    (score,) = await scorer.score(QUESTION, [one], run)
    assert score.value == pytest.approx(sum(token.logprob for token in one.logprobs) / 5)
    assert scorer.needs() == {"main": frozenset({Cap.LOGPROBS})}
    assert len(run.trace.calls) == 1

"""The normalised probability of a mark, whatever tokens it is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest

from ponder.core.engine import Cap, Logprob
from ponder.core.errors import OptionError
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.engines.echo import Echo
from ponder.scorers.confidence_token import ConfidenceToken, confident


def token(text: str, **rivals: float) -> Logprob:
    return of(text, rivals or {text: 1.0})


def of(text: str, rivals: Mapping[str, float]) -> Logprob:
    return Logprob(text, math.log(rivals[text]), tuple((name, math.log(share)) for name, share in rivals.items()))


def test_the_worked_number_of_the_notes() -> None:
    """p(CN) = .12 and p(UN) = .28 make c = .30."""
    mark = of("<UN>", {"<UN>": 0.28, "<CN>": 0.12, "the": 0.6})
    assert confident([token("5"), mark]) == pytest.approx(0.30)


@pytest.mark.parametrize(
    "tokens",
    [
        [of("<", {"<": 1.0}), of("CN", {"CN": 0.12, "UN": 0.28, "x": 0.6}), token(">")],
        [of("5<", {"5<": 1.0}), of("C", {"C": 0.12, "U": 0.28, "": 0.1}), token("N>")],
        [of("5<C", {"5<C": 0.12, "5<U": 0.28, "5<D": 0.1, "6<C": 0.5}), token("N>")],
        [of("<CN>\n", {"<CN>\n": 0.1, "<CN>": 0.02, "<UN>": 0.28, "<": 0.3})],
    ],
)
def test_a_mark_may_be_any_number_of_tokens(tokens: Sequence[Logprob]) -> None:
    assert confident(tokens) == pytest.approx(0.30)


def test_words_of_the_vocabulary_may_be_marks() -> None:
    reply = [token("5"), token("\nSure?"), of(" yes", {" yes": 0.6, " no": 0.2, " nope": 0.1, " y": 0.1})]
    assert confident(reply, (" yes", " no")) == pytest.approx(0.7 / 1.0)


def test_the_last_mark_counts_and_none_is_none() -> None:
    first, last = of("<CN>", {"<CN>": 0.9, "<UN>": 0.1}), of("<UN>", {"<UN>": 0.8, "<CN>": 0.2})
    assert confident([first, token("so"), last]) == pytest.approx(0.2)
    assert confident([token("no"), token("mark")]) is None
    assert confident([]) is None
    assert confident([Logprob("<CN>", -0.1)]) == 1.0


async def test_each_reply_is_scored_without_a_call() -> None:
    run, scorer = Run(Echo()), ConfidenceToken()
    calls = [
        Call("think", "x", (i,), 0, answer=answer, logprobs=tuple(tokens))
        for i, (answer, tokens) in enumerate(
            [
                ("5<CN>\n", [of("<CN>", {"<CN>": 0.75, "<UN>": 0.25})]),
                ("5", [token("<CN> is what I thought of"), token("5")]),
                ("", []),
            ]
        )
    ]
    found = [score.value for score in await scorer.score(Problem.of("q"), calls, run)]
    assert found == [pytest.approx(0.75), -math.inf, -math.inf]
    assert run.trace.calls == []
    assert (scorer.needs(), scorer.asks()) == ({"main": frozenset({Cap.LOGPROBS})}, {"logprobs": 20})


@pytest.mark.parametrize(("first", "second"), [("", "<UN>"), ("<CN>", ""), ("a", "ab"), ("ab", "a"), ("a", "a")])
def test_marks_that_cannot_be_told_apart_are_refused(first: str, second: str) -> None:
    with pytest.raises(OptionError, match="text that does not begin the other"):
        ConfidenceToken(first, second)

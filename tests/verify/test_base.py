from __future__ import annotations

import pickle

import pytest

from ponder.core.judge import Reference, Verdict, Verifier
from ponder.verify import Base, Boxed, Choice, Exact, Math, Number, ReasoningGym, YesNo

ALL: list[Base] = [Number(), Math(), Choice(), YesNo(), Exact(), Exact("[a-z]+pus"), Boxed(), ReasoningGym("chain_sum")]


@pytest.mark.parametrize("verifier", ALL, ids=lambda verifier: type(verifier).__name__)
def test_every_verifier_is_a_value_that_can_travel(verifier: Base) -> None:
    contract: Verifier = verifier
    assert pickle.loads(pickle.dumps(contract)) == verifier
    assert hash(verifier) == hash(pickle.loads(pickle.dumps(verifier)))
    with pytest.raises((AttributeError, TypeError)):
        verifier.cheap = False  # type: ignore[misc]


@pytest.mark.parametrize("verifier", ALL, ids=lambda verifier: type(verifier).__name__)
@pytest.mark.parametrize("reply", ["", "   ", "<think>5", "\x00", "\\boxed{", "🙂" * 50, "5" * 10_000, "\n" * 1000])
def test_no_reply_breaks_one(verifier: Base, reply: str) -> None:
    extracted = verifier.extract(reply)
    assert extracted is None or extracted
    if extracted:
        assert verifier.same(extracted, extracted)


class Reversed(Base):
    def extract(self, answer: str) -> str | None:
        return answer[::-1] or None

    def same(self, a: str, b: str) -> bool:
        return a == b


def test_what_a_verifier_gets_from_the_base() -> None:
    verifier = Reversed()
    assert verifier("abc", Reference("abc")) == Verdict(True, "cba")
    assert verifier("abc", Reference("")) == Verdict(False, "cba")
    assert verifier("", Reference("abc")) == Verdict(False, None)
    assert verifier.check(Reference("")) == "'' holds no answer"
    assert verifier.check(Reference("a")) is None
    assert verifier.gold(Reference("ab")) == "ba"

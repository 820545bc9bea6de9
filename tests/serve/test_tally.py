from __future__ import annotations

import pytest

from ponder.core.trace import Call
from ponder.serve.observe import Seen
from ponder.serve.tally import Tallies, Tally


def test_calls_are_summed_by_role() -> None:
    tally, seen = Tally(), Seen("r", "/chat/completions")
    by_role = tally.add(seen, Call("think", "e", (), 1, think_tokens=5, answer_tokens=3, latent=2, prompt_tokens=4))
    assert by_role == {"think": 7, "answer": 3}
    tally.add(seen, Call("verify", "e", (), 1, answer_tokens=6, prompt_tokens=1, cached_tokens=1, exact=False))
    assert tally.tokens_by_role == {"think": 7, "answer": 3, "verify": 6}
    assert (tally.tokens, tally.calls, tally.prompt_tokens, tally.cached_tokens) == (16, 2, 5, 1)
    assert not tally.exact


def test_the_first_token_is_the_earliest_of_all_calls() -> None:
    tally, seen = Tally(), Seen("r", "/chat/completions")
    seen.started -= 8.0
    tally.add(seen, Call("answer", "e", (), 1))
    assert tally.first_token is None
    tally.add(seen, Call("answer", "e", (), 1, seconds=2.0, first_token_seconds=1.0))
    tally.add(seen, Call("answer", "e", (), 1, seconds=6.0, first_token_seconds=1.0))
    assert tally.first_token == pytest.approx(3.0, abs=0.5)


def test_requests_of_one_id_are_kept_apart_and_forgotten() -> None:
    tallies, one, other = Tallies(), Seen("same", "/a"), Seen("same", "/a")
    tallies.begin(one)
    tallies.begin(other)
    tallies.of(one).add(one, Call("answer", "e", (), 1, answer_tokens=5))
    assert tallies.of(other).tokens == 0
    assert tallies.end(one).tokens == 5
    assert tallies.end(one).tokens == 0

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from support.command import Command

from ponder.bench.pool import DRAW, EVEN, POOL, Pool, Shares, by_certainty, evenly, run_pool, vote
from ponder.bench.runner import Plan
from ponder.bench.store import Key, Record, Store
from ponder.core.engine import Sampling
from ponder.core.errors import OptionError
from ponder.engines.echo import Echo, Fault
from ponder.methods.vote.sample import Sample
from ponder.tasks import load_task


def drawn(answer: str | None, tokens: int = 10, seed: int = 0, correct: bool = False) -> Record:
    key = Key("t", DRAW, seed, "q")
    by_role = {"think": tokens - 1, "answer": 1}
    return Record(key, correct, answer, "stop", False, tokens, by_role, 5, 0, 0.5, None, True, "")


def shares(*answers: str) -> Shares:
    """Return what was drawn: a letter for each sample, a dash for none."""
    made = Shares.of(len(answers))
    for q, listed in enumerate(answers):
        for letter in listed:
            made.give(q, drawn(None if letter == "-" else letter))
    return made


def same(a: str, b: str) -> bool:
    return a == b


def test_every_question_gets_its_start_in_rounds() -> None:
    pool = Pool(10_000, start=3)
    assert by_certainty(shares("", "", ""), pool, same) == [0, 1, 2]
    assert by_certainty(shares("ab", "a", "a"), pool, same) == [1, 2]


def test_then_the_least_certain_come_first_and_the_certain_and_the_full_get_nothing() -> None:
    pool = Pool(10_000, start=5, certain=0.85, cap=6)
    # Certaindex 1, 0.6891, 0.4096, 0.5818, 0 and, with the cap reached, none.
    made = shares("aaaaa", "aaaab", "aaabc", "aaabb", "abcde", "abcdef")
    assert by_certainty(made, pool, same) == [4, 2, 3, 1]
    assert by_certainty(made, replace(pool, certain=0.6), same) == [4, 2, 3]
    assert by_certainty(shares("aaaaa", "bbbbb"), pool, same) == []
    assert by_certainty(shares("abcde", "abcde", "-----"), pool, same) == [0, 1, 2]


def test_a_round_is_as_long_as_the_pool_pays_for() -> None:
    made = shares("abcde", "abcde", "abcde")
    assert [len(by_certainty(made, Pool(tokens), same)) for tokens in (149, 150, 151, 169, 170, 1000)] == [
        0,
        0,
        1,
        1,
        2,
        3,
    ]
    assert evenly(made, 175) == [0, 1]
    assert evenly(shares("ab", "a", "a"), 1000) == [1, 2]
    assert evenly(shares("", ""), 5) == [0, 1]


def test_a_vote_is_billed_for_all_and_goes_to_the_first_of_the_most() -> None:
    samples = [drawn("a", 10, 0), drawn("b", 20, 1, True), drawn("b", 30, 2, True), drawn(None, 40, 3)]
    won = vote(samples, same)
    assert (won.extracted, won.correct, won.key.seed, won.tokens, won.prompt_tokens) == ("b", True, 1, 100, 20)
    assert won.by_role == {"think": 96, "answer": 4}
    assert vote([drawn(None, 10, 0), drawn(None, 10, 1)], same).key.seed == 0


def plan(engine: Echo, **fields: object) -> Plan:
    made = Plan(
        [load_task("arithmetic:level=2")],
        {DRAW: Sample()},
        {"main": engine},
        Sampling(max_tokens=64, temperature=0.7),
        limit=6,
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def taken(store: Store) -> dict[tuple[str, str], tuple[int, str | None]]:
    return {(r.key.method, r.key.question): (r.tokens, r.extracted) for r in store.records() if r.key.method != DRAW}


def test_a_run_that_stops_anywhere_comes_to_the_same_allocation(tmp_path: Path) -> None:
    pool = Pool(900, start=3)
    with Store(tmp_path / "whole" / "run.sqlite") as store:
        engine = Echo()
        asyncio.run(run_pool(plan(engine), pool, store))
        whole = taken(store)
        assert len(whole) == 12
        draws = [record for record in store.records() if record.key.method == DRAW]
        assert sum(record.tokens for record in draws) == engine.generated
        calls = engine.calls
        asyncio.run(run_pool(plan(engine), pool, store))
        assert (engine.calls, taken(store)) == (calls, whole)
    for way in (POOL, EVEN):
        spent = sum(tokens for (method, _), (tokens, _) in whole.items() if method == way)
        assert 900 <= spent < 900 + 64
    with Store(tmp_path / "torn" / "run.sqlite") as store:
        for number in (0, 4, 9):
            outcome = asyncio.run(
                run_pool(plan(Echo(faults={number: Fault("error")}), concurrency=1 + number), pool, store)
            )
            assert outcome.failed == 1
            assert taken(store) == {}
        asyncio.run(run_pool(plan(Echo(), concurrency=3), pool, store))
        assert taken(store) == whole


def test_pools_that_make_no_sense_are_refused(ponder: Command) -> None:
    for fields in (
        {"tokens": 0},
        {"tokens": 1, "start": 0},
        {"tokens": 1, "start": 9, "cap": 8},
        {"tokens": 1, "certain": 2.0},
    ):
        with pytest.raises(OptionError, match="is out of range"):
            Pool(**fields)  # type: ignore[arg-type]
    for option in ("--methods sample", "-o cot=true", "--seeds 2", "--max-tokens-total 9", "--baseline sample"):
        ran = ponder("bench", "arithmetic", "--model", "echo", "--token-pool", "100", *option.split())
        assert ran.code == 1
        assert f"--token-pool takes no {option.split()[0]}" in ran.err


@pytest.fixture
def ponder(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PONDER_CACHE", str(tmp_path / "cache"))
    return Command(monkeypatch, capsys)


def test_the_votes_of_a_pool_are_no_tokens_of_their_own(tmp_path: Path) -> None:
    """They repeat the bills of the samples that they are made of, so later limits must not count them again."""
    with Store(tmp_path / "run.sqlite") as store:
        engine = Echo()
        asyncio.run(run_pool(plan(engine), Pool(900, start=3), store))
        assert {r.key.method for r in store.records()} == {DRAW, POOL, EVEN}
        assert store.spent() == engine.generated
        draws = [record for record in store.records() if record.key.method == DRAW]
        assert store.prompts() == (sum(r.prompt_tokens for r in draws), sum(r.cached_tokens for r in draws))
        store.fail(Key("t", DRAW, 0, "q"), "broken", 7)
        assert store.spent() == engine.generated + 7


def test_the_command_shows_the_pool_beside_the_even_split(ponder: Command) -> None:
    ran = ponder("bench", "arithmetic:level=2", "--model", "echo", "--limit", "4", "--token-pool", "600", "--no-report")
    assert ran.code == 0
    assert "even_split" in ran.out
    assert "token_pool" in ran.out
    assert "sample(of a pool)" not in ran.out
    assert Path("runs/arithmetic-level=2-pool-echo/run.sqlite").is_file()

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ponder.bench.prices import Price
from ponder.bench.runner import PATIENCE, Outcome, Plan, calls_json, run_plan
from ponder.bench.store import Record, Store
from ponder.core.engine import Cap, Sampling, Think
from ponder.core.errors import DataError, EngineError, Unsupported
from ponder.core.judge import Item, Reference, Task, Verifier
from ponder.core.method import Method, Solution
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Call, Run, Trace
from ponder.core.trace import Place
from ponder.engines.echo import CAPS, Echo, Fault
from ponder.methods.vote.sample import Sample
from ponder.methods.vote.self_consistency import SelfConsistency
from ponder.tasks import load_task
from ponder.verify import Number


@dataclass(frozen=True)
class Questions:
    """Questions 0 to n-1; the answer of question i is i. `broken` raises in the place of that question."""

    n: int
    broken: int | None = None
    known: bool = True
    name: str = "questions"
    verifier: Verifier = field(default_factory=Number)

    def items(self, limit: int | None = None) -> Iterator[Item]:
        for i in range(min(self.n, self.n if limit is None else limit)):
            if i == self.broken:
                raise DataError(f"line {i + 1} is broken")
            yield Item(Problem.of(f"What is {i}?", id=f"q{i}"), Reference(str(i)) if self.known else None)


def plan(task: Task, engine: Echo, methods: Mapping[str, Method] | None = None, **over: object) -> Plan:
    settings: dict[str, object] = {"sampling": Sampling(max_tokens=64, temperature=0.0), "concurrency": 4, **over}
    return Plan([task], methods or {"sample": Sample()}, {"main": engine}, **settings)  # type: ignore[arg-type]


async def run(tmp_path: Path, wanted: Plan) -> tuple[Outcome, list[Record]]:
    with Store(tmp_path / "run.sqlite") as store:
        outcome = await run_plan(wanted, store)
        return outcome, list(store.records(traces=True))


def say(prompt: Prompt, seed: int) -> str:
    number = prompt.messages[-1].text.split()[2].rstrip("?")
    return f"<think>let me see</think>It is \\boxed{{{number}}}"


async def test_every_attempt_is_made_judged_and_billed(tmp_path: Path) -> None:
    engine = Echo(say)
    outcome, records = await run(tmp_path, plan(Questions(10), engine, seeds=2))
    assert (outcome.done, outcome.kept, outcome.failed, outcome.stopped) == (20, 0, 0, None)
    assert len(records) == 20
    assert all(record.correct and record.exact and not record.truncated for record in records)
    assert {record.extracted for record in records} == {str(i) for i in range(10)}
    assert sum(record.tokens for record in records) == outcome.tokens == engine.generated
    assert all(sum(record.by_role.values()) == record.tokens for record in records)
    trace = json.loads(records[0].trace)
    assert trace["solution"]["thinking"] == "let me see"
    assert [call["role"] for call in trace["calls"]] == ["think"]


def test_calls_that_stand_in_a_tree_say_where() -> None:
    calls = [Call("think", "echo", (), 0, "a"), Call("verify", "echo", (), 0), Call("think", "echo", (), 0)]
    tree = {0: Place(None, math.inf, "open", 2), 2: Place(0, 0.5, "chosen")}
    first, second, third = calls_json(Trace(calls, tree=tree))
    keys = ("after", "score", "fate", "visits")
    assert [first[key] for key in keys] == [None, "inf", "open", 2]
    assert [third[key] for key in keys] == [0, 0.5, "chosen", 0]
    assert not set(keys) & set(second)
    assert json.dumps([first, third], allow_nan=False)


async def test_a_second_run_makes_only_what_is_missing(tmp_path: Path) -> None:
    await run(tmp_path, plan(Questions(6), Echo(say), limit=4))
    engine = Echo(say)
    outcome, records = await run(tmp_path, plan(Questions(6), engine))
    assert (outcome.done, outcome.kept, engine.calls) == (2, 4, 2)
    assert [record.key.question for record in records] == [f"q{i}" for i in range(6)]


async def test_cancelling_keeps_what_is_finished_and_leaves_no_stream_open(tmp_path: Path) -> None:
    engine = Echo(say, delay=0.001)
    some = asyncio.Event()
    with Store(tmp_path / "run.sqlite") as store:
        wanted = plan(Questions(500), engine)
        task = asyncio.create_task(run_plan(wanted, store, on_done=lambda record, kept: some.set()))
        await some.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        kept = len(list(store.records()))
    assert engine.open_streams == 0
    outcome, records = await run(tmp_path, plan(Questions(500), Echo(say), limit=50))
    assert outcome.kept + outcome.done == len(records) == 50
    assert outcome.kept == min(kept, 50)


async def test_methods_see_the_same_questions_wherever_a_run_stops(tmp_path: Path) -> None:
    methods = {"sample": Sample(), "vote": SelfConsistency(n=2)}
    wanted = plan(Questions(50), Echo(say), methods, concurrency=1, max_tokens_total=100)
    outcome, records = await run(tmp_path, wanted)
    assert outcome.stopped is not None
    seen = {label: {r.key.question for r in records if r.key.method == label} for label in methods}
    assert len(seen["sample"] - seen["vote"]) <= 1
    assert not seen["vote"] - seen["sample"]


@pytest.mark.parametrize("limit", [1, 40, 99, 400])
async def test_a_token_limit_is_never_exceeded_by_more_than_two_for_each_stream(tmp_path: Path, limit: int) -> None:
    engine = Echo(say)
    outcome, records = await run(tmp_path, plan(Questions(1000), engine, max_tokens_total=limit))
    assert engine.generated <= limit + 2 * 4
    assert outcome.stopped is not None
    assert "limit" in outcome.stopped
    assert sum(record.tokens for record in records) <= limit
    assert not any(record.finish == "budget" for record in records), "a cut attempt is no result"


async def test_a_token_limit_counts_what_an_earlier_run_spent(tmp_path: Path) -> None:
    first = Echo(say)
    await run(tmp_path, plan(Questions(10), first))
    second = Echo(say)
    outcome, _ = await run(tmp_path, plan(Questions(1000), second, max_tokens_total=first.generated + 20))
    assert second.generated <= 20 + 2 * 4
    assert outcome.kept == 10


async def test_a_price_limit_holds(tmp_path: Path) -> None:
    price = Price(input=0.0, output=1e6)  # one unit of money for a token
    outcome, records = await run(tmp_path, plan(Questions(1000), Echo(say), price=price, max_cost=300.0))
    assert outcome.cost == sum(record.tokens for record in records) <= 300
    assert outcome.stopped is not None
    assert "300" in outcome.stopped


async def test_a_price_limit_counts_what_an_earlier_run_spent(tmp_path: Path) -> None:
    price = Price(input=1e6, output=1e6)
    first, before = await run(tmp_path, plan(Questions(10), Echo(say), price=price))
    spent = sum(record.tokens + record.prompt_tokens for record in before)
    assert first.cost == spent
    again, _ = await run(tmp_path, plan(Questions(1000), Echo(say), price=price, max_cost=spent + 60.0))
    assert again.kept == 10
    assert again.cost <= 60
    assert again.stopped is not None
    none, _ = await run(tmp_path, plan(Questions(1000), Echo(say), price=price, max_cost=spent + 0.0))
    assert (none.done, none.cost) == (0, 0)


async def test_failed_attempts_count_towards_a_price_limit(tmp_path: Path) -> None:
    engine = Echo(say, faults={i: Fault("cut", at=3) for i in range(0, 1000, 2)})
    price = Price(input=0.0, output=1e6)
    outcome, _ = await run(tmp_path, plan(Questions(1000), engine, price=price, max_cost=100.0, concurrency=1))
    assert outcome.failed > 1
    assert outcome.cost == engine.generated <= 100


async def test_a_failed_attempt_is_billed_kept_apart_and_made_again(tmp_path: Path) -> None:
    engine = Echo(say, faults={2: Fault("cut", at=3)})
    with Store(tmp_path / "run.sqlite") as store:
        outcome = await run_plan(plan(Questions(5), engine, concurrency=1), store)
        assert (outcome.done, outcome.failed) == (4, 1)
        assert store.failures() == 1
        assert store.spent() == outcome.tokens == engine.generated
        again = await run_plan(plan(Questions(5), Echo(say), concurrency=1), store)
        assert (again.done, again.kept, store.failures()) == (1, 4, 0)


async def test_a_model_that_is_gone_ends_the_run_with_the_reason(tmp_path: Path) -> None:
    engine = Echo(say, faults={i: Fault("error", status=500) for i in range(1000)})
    outcome, records = await run(tmp_path, plan(Questions(1000), engine))
    assert records == []
    assert outcome.stopped is not None
    assert "failed in a row" in outcome.stopped
    assert engine.calls <= PATIENCE + 4


async def test_a_wrong_key_ends_the_run_at_once(tmp_path: Path) -> None:
    engine = Echo(say, faults={i: Fault("error", status=401) for i in range(1000)})
    outcome, _ = await run(tmp_path, plan(Questions(1000), engine, concurrency=1))
    assert (engine.calls, outcome.failed) == (1, 1)


async def test_a_method_that_breaks_is_recorded_and_does_not_end_the_run(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Odd:
        def needs(self) -> Mapping[str, frozenset[Cap]]:
            return {"main": frozenset()}

        async def solve(self, problem: Problem, run: Run) -> Solution:
            if int(problem.id[1:]) % 2:
                raise ZeroDivisionError("odd")
            return Solution("\\boxed{0}")

    with Store(tmp_path / "run.sqlite") as store:
        outcome = await run_plan(plan(Questions(8), Echo(say), {"odd": Odd()}, concurrency=1), store)
    assert (outcome.done, outcome.failed) == (4, 4)
    assert outcome.last_error == "ZeroDivisionError: odd"


async def test_broken_data_lets_what_is_in_flight_finish(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        with pytest.raises(DataError, match="line 6 is broken"):
            await run_plan(plan(Questions(9, broken=5), Echo(say)), store)
        assert len(list(store.records())) == 5


def test_counting_reads_all_questions_before_the_first_token() -> None:
    engine = Echo(say)
    with pytest.raises(DataError, match="line 6 is broken"):
        plan(Questions(9, broken=5), engine).count()
    assert engine.calls == 0
    assert plan(Questions(9), engine, limit=4).count() == {"questions": 4}


async def test_a_question_without_a_reference_is_not_wrong(tmp_path: Path) -> None:
    _, records = await run(tmp_path, plan(Questions(3, known=False), Echo(say)))
    assert [record.correct for record in records] == [None] * 3


async def test_truncation_is_marked(tmp_path: Path) -> None:
    wanted = plan(Questions(3), Echo(say), sampling=Sampling(max_tokens=2, temperature=0.0))
    _, records = await run(tmp_path, wanted)
    assert all(record.truncated and record.finish == "length" and record.tokens == 2 for record in records)


async def test_a_deadline_cuts_an_attempt_that_hangs(tmp_path: Path) -> None:
    engine = Echo(say, faults={0: Fault("stall", at=2)})
    _, records = await run(tmp_path, plan(Questions(1), engine, seconds=0.05))
    assert [(record.finish, record.truncated, record.tokens) for record in records] == [("deadline", True, 2)]
    assert engine.open_streams == 0


async def test_what_an_engine_cannot_do_is_refused_before_the_first_token(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Needy(Sample):
        def needs(self) -> Mapping[str, frozenset[Cap]]:
            return {"main": frozenset({Cap.HIDDEN})}

    engine = Echo(say, think=Think(), caps=CAPS)
    with pytest.raises(Unsupported, match="HIDDEN"):
        await run(tmp_path, plan(Questions(3), engine, {"needy": Needy()}))
    assert engine.calls == 0


async def test_the_same_plan_gives_the_same_answers_whatever_the_concurrency(tmp_path: Path) -> None:
    task = load_task("arithmetic:level=2")
    sampling = Sampling(max_tokens=64, temperature=1.0)
    methods = {"sample": Sample(), "vote": SelfConsistency(n=3)}
    found = []
    for n in (1, 7):
        wanted = plan(task, Echo(), methods, concurrency=n, limit=12, sampling=sampling)
        _, records = await run(tmp_path / str(n), wanted)
        found.append([(r.key, r.extracted, r.correct, r.tokens) for r in records])
    assert found[0] == found[1]


async def test_engine_errors_name_the_engine(tmp_path: Path) -> None:
    engine = Echo(say, faults={0: Fault("error", status=400)})
    outcome, _ = await run(tmp_path, plan(Questions(1), engine))
    assert outcome.last_error == "echo: scripted failure"
    assert issubclass(EngineError, Exception)

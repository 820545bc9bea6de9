from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence

from ponder.core.engine import Cap
from ponder.core.judge import Item, Reference, Router, Score, Scorer, Task, Verdict, Verifier
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Call, Run
from ponder.engines.echo import Echo


class Shortest:
    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        return [Score(-float(call.tokens)) for call in calls]


class Coin:
    def needs(self) -> Mapping[str, frozenset[Cap]]:
        return {"cheap": frozenset()}

    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        call = await run.on("cheap").generate(prompt_of(problem), role="route", max_tokens=2)
        return {"weak": float(call.tokens == 2), "strong": 1.0}


class Exact:
    def extract(self, answer: str) -> str | None:
        return answer.strip() or None

    def same(self, a: str, b: str) -> bool:
        return a == b

    def __call__(self, answer: str, reference: Reference) -> Verdict:
        found = self.extract(answer)
        return Verdict(None if found is None else found == reference.text, found)


class Twins:
    name = "twins"
    verifier: Verifier = Exact()

    def items(self, limit: int | None = None) -> Iterator[Item]:
        for index in range(2)[:limit]:
            yield Item(Problem.of("same?", id=f"t{index}"), Reference("yes"), {"level": "1"})


def prompt_of(problem: Problem) -> Prompt:
    return Prompt.of(problem)


async def test_a_scorer_ranks_calls() -> None:
    run = Run(Echo("one two three"))
    calls = [await run.generate(prompt_of(Problem.of("q")), max_tokens=n) for n in (3, 1)]
    scorer: Scorer = Shortest()
    assert await scorer.score(Problem.of("q"), calls, run) == [Score(-3.0), Score(-1.0)]


async def test_what_a_router_asks_is_billed_as_routing() -> None:
    run = Run({"main": Echo("strong"), "cheap": Echo("a b c")})
    router: Router = Coin()
    assert await router.rate(Problem.of("q"), run) == {"weak": 1.0, "strong": 1.0}
    assert run.trace.tokens_by_role == {"route": 2}


def test_a_task_gives_questions_with_references_and_a_verifier() -> None:
    task: Task = Twins()
    items = list(task.items())
    assert [item.problem.id for item in items] == ["t0", "t1"]
    assert list(task.items(1)) == items[:1]
    assert items[0].reference is not None
    assert task.verifier(" yes ", items[0].reference) == Verdict(True, "yes")
    assert task.verifier(" ", items[0].reference).correct is None


def test_no_reference_can_be_reached_from_a_problem() -> None:
    item = next(iter(Twins().items()))
    assert "yes" not in repr(item.problem)


def test_values_can_be_sent_to_other_processes() -> None:
    item = Item(Problem.of("q"), Reference("1", "{}"), {"a": "b"})
    for value in (item, Score(0.5, (0.1, 0.9)), Verdict(True, "1", 0.5)):
        assert pickle.loads(pickle.dumps(value)) == value


def test_an_item_may_have_no_reference() -> None:
    assert Item(Problem.of("q"), None).reference is None

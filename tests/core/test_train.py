from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence

from ponder.core.judge import Reference
from ponder.core.problem import Message, Problem
from ponder.core.run import Run
from ponder.core.train import Attempt, DataBuilder, Example, Reward, Row, State, Value


class ShorterThanUsual:
    """Right answers earn their distance from the mean length of the right ones; truncated attempts are left out."""

    def __call__(self, problem: Problem, group: Sequence[Attempt], state: State) -> list[Value]:
        right = [attempt.tokens for attempt in group if attempt.correct]
        usual = state.values.get("usual", sum(right) / len(right))
        return [
            Value(None)
            if attempt.truncated
            else Value(float(bool(attempt.correct)) * (usual - attempt.tokens), {"usual": usual})
            for attempt in group
        ]


class Shortest:
    async def build(self, rows: AsyncIterable[Row], run: Run | None) -> AsyncIterator[Example]:
        async for row in rows:
            best = min((a for a in row.attempts if a.correct), key=lambda attempt: attempt.tokens)
            yield Example(row.problem.messages, best.text, meta={"tokens": str(best.tokens)})


GROUP = (
    Attempt("long", 30, True),
    Attempt("short", 10, True),
    Attempt("wrong", 5, False),
    Attempt("cut", 99, None, True),
)


def test_a_reward_sees_the_whole_group() -> None:
    reward: Reward = ShorterThanUsual()
    values = reward(Problem.of("q"), GROUP, State())
    assert [value.total for value in values] == [-10.0, 10.0, 0.0, None]
    assert values[0].parts == {"usual": 20.0}


def test_what_a_reward_carries_along_is_an_explicit_value() -> None:
    values = ShorterThanUsual()(Problem.of("q"), GROUP[:1], State(3, {"usual": 50.0}))
    assert values[0].total == 20.0


async def test_a_builder_turns_rows_into_examples() -> None:
    async def rows() -> AsyncIterator[Row]:
        yield Row(Problem.of("q"), Reference("1"), attempts=GROUP)

    builder: DataBuilder = Shortest()
    built = [example async for example in builder.build(rows(), None)]
    assert built == [Example((Message.of("user", "q"),), "short", meta={"tokens": "10"})]


def test_values_are_frozen_and_hashable() -> None:
    assert len({*GROUP, Attempt("long", 30, True)}) == 4
    assert hash(Value(1.0, {"a": 1.0})) == hash(Value(1.0, {"a": 2.0}))
    assert hash(State()) == hash(State(0, {"x": 1.0}))

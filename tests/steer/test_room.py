"""Memory that runs out makes a search slower, and not poorer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from support.trees import QUESTION, Weighs, count_a, letters, run_on, writer

from ponder.core.engine import Chunk, Sampling
from ponder.core.errors import EngineError, OutOfMemory
from ponder.core.method import Method
from ponder.core.problem import Prompt
from ponder.engines.echo import Echo
from ponder.methods.search.beam_search import BeamSearch
from ponder.methods.search.dpts import Dpts
from ponder.methods.search.mcts import Mcts
from ponder.methods.search.speculative_rejection import SpeculativeRejection
from ponder.steer.room import Room


class Small:
    """An engine whose memory holds `most` streams: one more fails, as those in a batch that is too large do."""

    def __init__(self, inner: Echo, most: int) -> None:
        self.inner, self.most, self.open, self.refused = inner, most, 0, 0
        self.name, self.caps, self.think = inner.name, inner.caps, inner.think

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        self.open += 1
        try:
            await asyncio.sleep(0)
            if self.open > self.most:
                self.refused += 1
                raise OutOfMemory("small: memory ran out")
            async with self.inner.stream(prompt, sampling) as chunks:
                yield chunks
        finally:
            self.open -= 1


SEARCHES: list[Method] = [
    BeamSearch(n=6, width=2, scorer=Weighs(count_a), delimiter="\n"),
    Mcts(simulations=8, width=4, parallel=4, scorer=Weighs(count_a), delimiter="\n"),
    Mcts(simulations=8, width=4, parallel=4, value="step", scorer=Weighs(count_a), delimiter="\n"),
    Dpts(parallel=2, width=3, enough=2, scorer=Weighs(count_a), delimiter="\n"),
    SpeculativeRejection(n=6, first=2, scorer=Weighs(count_a)),
]


@pytest.mark.parametrize("method", SEARCHES, ids=repr)
@pytest.mark.parametrize("most", [1, 2, 3])
async def test_a_tree_that_does_not_fit_goes_on_with_fewer_at_once_and_says_so(method: Method, most: int) -> None:
    engine, notes = Small(writer(letters(3)), most), list[str]()
    run = run_on(engine, on_note=notes.append)
    solution = await method.solve(QUESTION, run)
    assert (solution.answer[-1], solution.finish, engine.open) == ("7", "stop", 0)
    assert 1 <= int(solution.evidence["at_once"]) <= most
    assert any(note.startswith("memory ran out with ") for note in notes)
    assert engine.refused < 30, "what is known of the room is kept for the next round"
    assert run.trace.tokens == engine.inner.generated


async def test_where_all_fit_nothing_is_said() -> None:
    solution = await SEARCHES[0].solve(QUESTION, run_on(Small(writer(letters(3)), 6)))
    assert "at_once" not in solution.evidence


@pytest.mark.parametrize("method", SEARCHES, ids=repr)
async def test_where_not_even_one_fits_the_error_says_so(method: Method) -> None:
    engine = Small(writer(letters(3)), 0)
    with pytest.raises(OutOfMemory, match="memory ran out"):
        await method.solve(QUESTION, run_on(engine))
    assert engine.open == 0


async def test_results_keep_their_order_and_only_what_failed_begins_again() -> None:
    begun: list[int] = []
    flying = 0

    async def job(number: int) -> int:
        nonlocal flying
        begun.append(number)
        flying += 1
        try:
            await asyncio.sleep(0)
            if flying > 2:
                raise OutOfMemory("full")
            return number
        finally:
            flying -= 1

    room = Room(run_on(Echo()))
    assert await room.gather([partial(job, number) for number in range(5)]) == [0, 1, 2, 3, 4]
    assert room.evidence == {"at_once": 2}
    before = len(begun)
    assert await room.gather([partial(job, number) for number in range(4)]) == [0, 1, 2, 3]
    assert begun[before:] == [0, 1, 2, 3], "nothing fails twice"
    assert await room.gather(list[partial]()) == []  # type: ignore[type-arg]


async def test_other_errors_end_all() -> None:
    async def broken() -> int:
        raise EngineError("broken")

    with pytest.raises(EngineError, match="broken"):
        await Room(run_on(Echo())).gather([broken, broken])

"""Samples that part, are watched, and all but one left: by the worked numbers of 2503.01422's own form."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from ponder.core.engine import ALL_LAYERS, Cap, Chunk, Sampling, Think
from ponder.core.errors import OptionError, Unsupported
from ponder.core.method import Solution, check
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run, derive_seed
from ponder.engines.echo import Echo, Fault
from ponder.methods.vote.sample import Sample
from ponder.methods.vote.st_bon import StBoN

QUESTION = Problem.of("Between 12 and 99.")
ONE = ((1, 0), (0.8, 0.6), (0, 1))
TWO = ((1, 0), (0.8, 0.6), (0.1, 1))
THREE = ((1, 0), (0, 1), (-1, 0))
WORKED = ("5 7 1 2", "5 7 3 9", "5 8 1 4")


def branches(texts: Sequence[str], seed: int = 0) -> dict[int, int]:
    return {derive_seed(seed, (index,), 0, "branch"): index for index in range(len(texts))}


class Stated(Echo):
    """Says `texts[i]` in branch i; all its tokens have the states `states[i]`."""

    def __init__(self, texts: Sequence[str], states: Sequence[object] = (), **options: object) -> None:
        self.index = branches(texts)
        super().__init__(lambda _, seed: texts[self.index[seed]], caps=frozenset(Cap), think=Think(), **options)  # type: ignore[arg-type]
        self.states = states
        self.asked: list[Sampling] = []

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        self.asked.append(sampling)
        async with super().stream(prompt, sampling) as chunks:
            yield self._told(chunks, self.index[sampling.branch_seed or 0])

    async def _told(self, chunks: AsyncIterator[Chunk], index: int) -> AsyncIterator[Chunk]:
        async for chunk in chunks:
            if chunk.hidden is not None and self.states:
                values = [value for layer in self.states[index] for value in layer]  # type: ignore[attr-defined]
                raw = memoryview(struct.pack(f"{len(values)}f", *values))
                chunk = chunk._replace(hidden=raw.cast("f", (1, 3, 2)))  # type: ignore[call-overload]
            yield chunk


def tail(word: str, length: int) -> str:
    return " ".join([word] * length)


async def solve(engine: Echo, method: StBoN, **options: object) -> tuple[Solution, Run]:
    run = Run(engine, **options)  # type: ignore[arg-type]
    return await method.solve(QUESTION, run), run


async def test_the_worked_example() -> None:
    """Distinct prefixes 1, 2, 3 at lengths 1, 2, 3, so c = 3; sample 0 has the least distance at every token."""
    texts = [f"{start} {tail(word, 20)}" for start, word in zip(WORKED, "abc", strict=True)]
    engine = Stated(texts, [ONE, TWO, THREE])
    solution, run = await solve(engine, StBoN(n=3))
    assert solution.evidence == {"n": 3, "parted": 3, "window": 3, "votes": 3}
    assert solution.answer == texts[0]
    assert run.trace.tokens == 3 * (3 + 3) + (24 - 3 - 3)
    assert {sampling.hidden for sampling in engine.asked} == {ALL_LAYERS}
    assert sorted(call.finish for call in run.trace.calls) == ["left", "left", "stop"]
    assert engine.open_streams == 0


@pytest.mark.parametrize(("n", "parted", "length"), [(10, 30, 600), (4, 5, 60), (2, 1, 9)])
async def test_the_bill_is_the_papers(n: int, parted: int, length: int) -> None:
    """N (c + tau) + (L - c - tau): 1,140 for ten samples of 600 tokens that part at 30."""
    texts = [f"{tail('same', parted - 1)} {tail(str(i), length - parted + 1)}".strip() for i in range(n)]
    engine = Stated(texts)
    solution, run = await solve(engine, StBoN(n=n))
    assert (solution.evidence["parted"], solution.evidence["window"]) == (parted, parted)
    assert run.trace.tokens == n * 2 * parted + (length - 2 * parted)
    assert run.trace.tokens <= engine.generated <= run.trace.tokens + 2 * (n - 1)
    assert n != 10 or run.trace.tokens == 1140


@pytest.mark.parametrize(("window", "watched"), [(0.0, 1), (0.5, 2), (1.0, 4), (2.5, 10)])
async def test_the_window_is_a_multiple_of_the_part_before(window: float, watched: int) -> None:
    texts = [f"a a a {tail(word, 30)}" for word in "xyz"]
    solution, run = await solve(Stated(texts), StBoN(n=3, window=window))
    assert (solution.evidence["parted"], solution.evidence["window"]) == (4, watched)
    assert run.trace.tokens == 3 * (4 + watched) + (33 - 4 - watched)


async def test_the_odd_one_out_is_not_kept_wherever_it_stands() -> None:
    texts = [f"{word} {tail('on', 9)}" for word in "abcd"]
    solution, _ = await solve(Stated(texts, [THREE, ONE, TWO, ONE]), StBoN(n=4))
    assert solution.answer == texts[1]


async def test_equal_samples_are_cut_at_the_cap_and_the_first_goes_on() -> None:
    solution, run = await solve(Stated([tail("a", 50)] * 3), StBoN(n=3, cap=5))
    assert (solution.answer, solution.evidence["parted"]) == (tail("a", 50), 5)
    assert run.trace.tokens == 3 * 10 + 40


async def test_equal_samples_that_end_before_the_cap_give_an_answer() -> None:
    solution, run = await solve(Stated(["a b 42"] * 3), StBoN(n=3))
    assert (solution.answer, solution.finish) == ("a b 42", "stop")
    assert run.trace.tokens == 9


async def test_a_sample_that_ends_ends_the_waiting_and_may_win() -> None:
    texts = ["a 7", tail("a", 30), tail("a", 30)]
    solution, run = await solve(Stated(texts, [ONE, TWO, THREE]), StBoN(n=3))
    assert (solution.answer, solution.evidence["parted"]) == ("a 7", 3), "this engine tells of an end a token later"
    assert run.trace.tokens == 2 + 2 * 6
    early = await solve(Stated(["a", *[tail("a", 30)] * 2], [THREE, ONE, TWO]), StBoN(n=3))
    assert early[0].answer == tail("a", 30)


async def test_a_sample_that_says_nothing_cannot_win() -> None:
    solution, _ = await solve(Stated(["", "x " + tail("a", 9), "y " + tail("a", 9)]), StBoN(n=3))
    assert solution.answer.startswith("x ")


async def test_the_winner_is_shown_as_it_comes_once_it_is_known() -> None:
    engine = Echo(caps=frozenset(Cap))
    shown: list[tuple[int, str]] = []
    run = Run(engine, on_show=lambda text, channel: shown.append((engine.generated, text)))
    solution = await StBoN(n=3).solve(QUESTION, run)
    assert "".join(text for _, text in shown) == solution.thinking + solution.answer
    assert len({at for at, _ in shown}) > 3, "piece by piece, not at the end"


@pytest.mark.parametrize("heat", [0.0, 1.0])
async def test_one_sample_is_plain_sampling_to_the_token(heat: float) -> None:
    runs = [Run(Echo(caps=frozenset(Cap)), seed=5, sampling=Sampling(temperature=heat)) for _ in range(2)]
    one = await StBoN(n=1).solve(QUESTION, runs[0])
    plain = await Sample().solve(QUESTION, runs[1])
    assert (one.thinking, one.answer, one.finish) == (plain.thinking, plain.answer, plain.finish)
    assert [call.token_ids for call in runs[0].trace.calls] == [call.token_ids for call in runs[1].trace.calls]
    assert [call.seed for call in runs[0].trace.calls] == [call.seed for call in runs[1].trace.calls]
    assert runs[0].trace.shown == runs[1].trace.shown
    assert one.evidence == {"n": 1}


@pytest.mark.parametrize(("own", "given", "drawn"), [(0.0, None, 0.7), (0.4, None, 0.4), (0.0, 0.9, 0.9)])
async def test_several_samples_are_never_greedy_unless_asked(own: float, given: float | None, drawn: float) -> None:
    engine = Stated(["a b", "c d"])
    await solve(engine, StBoN(n=2, temperature=given), sampling=Sampling(temperature=own, top_k=20, top_p=0.95))
    assert {(call.temperature, call.top_k, call.top_p) for call in engine.asked} == {(drawn, 20, 0.95)}


@pytest.mark.parametrize("limit", range(8))
async def test_a_limit_on_tokens_cuts_and_leaves_an_answer(limit: int) -> None:
    texts = [f"a a {tail(word, 30)}" for word in "xyz"]
    solution, run = await solve(Stated(texts), StBoN(n=3), sampling=Sampling(max_tokens=limit))
    assert (solution.finish, len(solution.answer.split())) == ("length", limit)
    assert run.trace.tokens == min(3 * limit, 3 * 6 + max(0, limit - 6))


@pytest.mark.parametrize("budget", [0, 1, 7, 17, 19, 30])
async def test_a_budget_cuts_and_leaves_an_answer(budget: int) -> None:
    texts = [f"a a {tail(word, 30)}" for word in "xyz"]
    solution, run = await solve(Stated(texts), StBoN(n=3), budget=budget)
    assert solution.finish == "budget"
    assert run.trace.tokens <= budget + 2, "the others have a token in flight when the last one is paid"
    assert bool(solution.answer) == (budget > 0)


async def test_a_sample_that_breaks_ends_the_others() -> None:
    engine = Stated(["a " * 20] * 3, faults={1: Fault("cut", at=4)})
    with pytest.raises(Exception, match="broke off"):
        await solve(engine, StBoN(n=3))
    assert engine.open_streams == 0


def test_an_engine_without_hidden_states_is_refused() -> None:
    with pytest.raises(Unsupported, match="HIDDEN"):
        check(StBoN(), {"main": Echo()})


@pytest.mark.parametrize("options", [{"n": 0}, {"window": -0.1}, {"cap": 0}, {"temperature": -1.0}])
def test_values_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=r"StBoN: .* is out of range"):
        StBoN(**options)  # type: ignore[arg-type]

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.core.engine import Cap, Chunk, Logprob, Sampling, Think, Usage
from ponder.core.errors import EngineError, OptionError
from ponder.core.problem import Problem, Prompt, ToolCall
from ponder.core.run import Call, Purse, Run, derive_seed
from ponder.engines.echo import Echo, Fault, token_id, tokenize

ASK = Prompt.of(Problem.of("What is 12 + 30?"))


@dataclass
class Fixed:
    """Streams the chunks it was given; an exception among them is raised."""

    chunks: list[Chunk | BaseException]
    opening: BaseException | None = None
    name: str = "fixed"
    caps: frozenset[Cap] = frozenset()
    think: Think = field(default_factory=Think)
    asked: list[Sampling] = field(default_factory=list)

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        self.asked.append(sampling)
        if self.opening:
            raise self.opening

        async def chunks() -> AsyncIterator[Chunk]:
            for chunk in self.chunks:
                if isinstance(chunk, BaseException):
                    raise chunk
                yield chunk

        yield chunks()


# What a call records


async def test_a_call_holds_both_channels_and_the_verbatim_text() -> None:
    run = Run(Echo("<think>so then </think>It is 42"), seed=1)
    call = await run.generate(ASK)
    assert call.text == "<think>so then </think>It is 42"
    assert (call.thinking, call.answer) == ("so then ", "It is 42")
    assert (call.think_tokens, call.answer_tokens, call.finish) == (4, 3, "stop")
    assert call.prompt_tokens == 5
    assert (call.role, call.engine, call.branch) == ("think", "echo", ())
    assert call.first_token_seconds is not None
    assert 0 <= call.first_token_seconds <= call.seconds
    assert run.trace.calls == [call]


async def test_ids_spell_the_text_so_that_a_thought_goes_on_from_them() -> None:
    call = await Run(Echo("one two three")).generate(ASK)
    assert call.token_ids == tuple(map(token_id, ("one ", "two ", "three")))
    assert (ASK + call).prefill_ids == call.token_ids


@pytest.mark.parametrize("text", ["x < y", "a <", "1 <t 2", "so<think>b</think>c", "<"])
async def test_ids_that_do_not_spell_the_text_are_left_out(text: str) -> None:
    call = await Run(Echo(text)).generate(ASK)
    assert call.text == text
    assert call.token_ids in ((), tuple(map(token_id, tokenize(text))))


async def test_a_reply_cut_by_a_stop_string_has_no_ids() -> None:
    call = await Run(Echo("one two three")).generate(ASK, stop=("wo",))
    assert (call.text, call.matched_stop, call.token_ids) == ("one t", "wo", ())


async def test_ids_of_letters_that_come_in_pieces_are_all_kept() -> None:
    chunks: list[Chunk | BaseException] = [
        Chunk("", token_ids=(7,)),
        Chunk("é", token_ids=(8,)),
        Chunk("", tokens=1, token_ids=(2,), finish="stop"),
    ]
    call = await Run(Fixed(chunks)).generate(ASK)
    assert (call.text, call.token_ids, call.tokens) == ("é", (7, 8), 3)


async def test_a_letter_that_the_limit_cuts_keeps_its_ids() -> None:
    chunks: list[Chunk | BaseException] = [
        Chunk("a", token_ids=(7,)),
        Chunk("", tokens=2, token_ids=(8, 9), finish="length"),
    ]
    assert (await Run(Fixed(chunks)).generate(ASK)).token_ids == (7, 8, 9)


async def test_one_chunk_without_ids_leaves_the_whole_call_without() -> None:
    chunks: list[Chunk | BaseException] = [Chunk("a", token_ids=(7,)), Chunk("", tokens=1), Chunk("b", finish="stop")]
    assert (await Run(Fixed(chunks)).generate(ASK)).token_ids == ()


async def test_everything_that_chunks_carry_arrives() -> None:
    tool, row = ToolCall("1", "add", "{}"), memoryview(b"\0" * 4)
    chunks: list[Chunk | BaseException] = [
        Chunk("", "think", 0, latent=3, hidden=row),
        Chunk("a", logprobs=(Logprob("a", -0.5),)),
        Chunk("", tokens=0, tool_calls=(tool,), finish="tool_calls"),
    ]
    call = await Run(Fixed(chunks)).generate(ASK)
    assert (call.latent, call.tokens, call.hidden) == (3, 4, (row,))
    assert (call.logprobs, call.tool_calls, call.finish) == ((Logprob("a", -0.5),), (tool,), "tool_calls")


async def test_logprobs_come_one_for_each_token() -> None:
    call = await Run(Echo("one two three")).generate(ASK, logprobs=2)
    assert [probability.token for probability in call.logprobs] == ["one ", "two ", "three"]
    assert all(len(probability.top) == 2 for probability in call.logprobs)


async def test_inside_the_block_the_call_is_a_snapshot() -> None:
    async with Run(Echo("one two")).stream(ASK) as live:
        await anext(live)
        assert (live.call.text, live.call.finish) == ("one ", "left")
        await anext(live)
        assert live.call.text == "one two"


# What a call costs


async def test_leaving_bills_what_was_generated() -> None:
    echo = Echo("one two three four")
    run = Run(echo)
    async with run.stream(ASK) as live:
        async for chunk in live:
            if chunk.text == "two ":
                break
    assert (live.call.finish, live.call.tokens, echo.generated, echo.open_streams) == ("left", 2, 2, 0)


async def test_a_fault_bills_what_came_until_then() -> None:
    echo = Echo("one two three", faults={0: Fault("cut", at=2)})
    run = Run(echo)
    with pytest.raises(EngineError, match="broke off"):
        await run.generate(ASK)
    assert (run.trace.calls[0].finish, run.trace.tokens, echo.generated) == ("error", 2, 2)


async def test_a_reply_without_an_end_is_an_error() -> None:
    run = Run(Fixed([Chunk("a")]))
    with pytest.raises(EngineError, match="fixed: the reply broke off without an end") as caught:
        await run.generate(ASK)
    assert caught.value.retry
    assert (run.trace.calls[0].finish, run.trace.tokens) == ("error", 1)


async def test_cancelling_bills_what_was_generated() -> None:
    echo = Echo("one two three", faults={0: Fault("stall", at=2)})
    run = Run(echo)
    task = asyncio.ensure_future(run.generate(ASK))
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (run.trace.calls[0].finish, run.trace.tokens, echo.open_streams) == ("left", 2, 0)


async def test_a_model_that_cannot_be_reached_costs_nothing() -> None:
    run = Run(Fixed([], opening=EngineError("no route to the server")))
    with pytest.raises(EngineError, match="no route"):
        await run.generate(ASK)
    assert run.trace.calls == []


async def test_the_servers_own_count_replaces_that_of_the_chunks() -> None:
    chunks: list[Chunk | BaseException] = [
        Chunk("ab", "think", 2, exact=False, usage=Usage(prompt=9)),
        Chunk("cd", tokens=2, exact=False),
        Chunk("", tokens=0, finish="stop", usage=Usage(generated=8, cached=4)),
    ]
    run = Run(Fixed(chunks), budget=100)
    call = await run.generate(ASK)
    assert (call.think_tokens, call.answer_tokens, call.exact) == (4, 4, True)
    assert (call.prompt_tokens, call.cached_tokens) == (9, 4)
    assert run.budget == 92


async def test_a_server_that_splits_its_count_itself_is_believed() -> None:
    chunks: list[Chunk | BaseException] = [Chunk("a", finish="stop", usage=Usage(5, 10, 0, 7))]
    call = await Run(Fixed(chunks)).generate(ASK)
    assert (call.think_tokens, call.answer_tokens) == (7, 3)


async def test_a_server_that_counts_nothing_leaves_an_estimate() -> None:
    call = await Run(Fixed([Chunk("ab", tokens=2, exact=False), Chunk("", tokens=0, finish="stop")])).generate(ASK)
    assert (call.tokens, call.exact) == (2, False)


async def test_a_count_without_chunks_is_billed_as_the_answer() -> None:
    call = await Run(Fixed([Chunk("", tokens=0, finish="stop", usage=Usage(1, 3))])).generate(ASK)
    assert (call.think_tokens, call.answer_tokens) == (0, 3)


async def test_forced_tokens_are_part_of_the_reply_and_not_of_the_bill() -> None:
    chunks: list[Chunk | BaseException] = [
        Chunk("<think>", "think", 0, (7,), (Logprob("<think>", -1.0),), markup=True, forced=True, usage=Usage(9)),
        Chunk("so ", "think", 0, (8,), (Logprob("so ", -2.0),), forced=True),
        Chunk("hm", "think", 1, (9,), (Logprob("hm", -3.0),)),
        Chunk("", tokens=0, finish="length", usage=Usage(9, 1, 0)),
    ]
    run = Run(Fixed(chunks), budget=5)
    call = await run.generate(ASK, force=(7, 8), max_tokens=1)
    assert (call.forced, call.token_ids, call.text, call.thinking) == (2, (7, 8, 9), "<think>so hm", "so hm")
    assert (call.think_tokens, call.answer_tokens, call.tokens, run.budget) == (1, 0, 1, 4)
    assert [one.logprob for one in call.logprobs[: call.forced]] == [-1.0, -2.0]


async def test_forced_text_whose_ids_are_cut_leaves_a_call_without_ids() -> None:
    chunks: list[Chunk | BaseException] = [
        Chunk("a", "think", 0, forced=True), Chunk("b", tokens=0, forced=True), Chunk("c", token_ids=(9,)),
        Chunk("", tokens=0, finish="length"),
    ]  # fmt: skip
    call = await Run(Fixed(chunks)).generate(ASK, force=(7,))
    assert (call.forced, call.token_ids, call.tokens) == (1, (), 1)


async def test_scoring_alone_is_a_call_and_no_tokens_at_all_are_none() -> None:
    fixed = Fixed([Chunk("a", tokens=0, token_ids=(7,), forced=True), Chunk("", tokens=0, finish="length")])
    run = Run(fixed, budget=3)
    scored = await run.generate(ASK, force=(7,), max_tokens=0)
    assert (scored.finish, scored.forced, scored.token_ids, run.trace.tokens) == ("length", 1, (7,), 0)
    assert (await run.generate(ASK, max_tokens=0)).finish == "length"
    assert [sampling.force for sampling in fixed.asked] == [(7,)]


async def test_a_prompt_with_other_forced_tokens_is_another_prompt_to_its_branch() -> None:
    fixed = Fixed([Chunk("a", finish="stop")])
    run = Run(fixed)
    for force in ((), (7,), (7,), ()):
        await run.generate(ASK, force=force)
    seeds = [sampling.branch_seed for sampling in fixed.asked]
    assert seeds[0] == seeds[1] != seeds[2] == seeds[3]


# Limits


async def test_no_call_may_ask_for_more_than_the_run_allows() -> None:
    run = Run(Echo("one two three four"), sampling=Sampling(max_tokens=3))
    assert (await run.generate(ASK, max_tokens=99)).tokens == 3
    assert (await run.generate(ASK, max_tokens=2)).tokens == 2
    assert (await run.generate(ASK, max_tokens=0)).finish == "length"
    assert len(run.trace.calls) == 2


async def test_a_budget_holds_for_all_calls_together() -> None:
    echo = Echo("one two three four")
    run = Run(echo, budget=6)
    assert (await run.generate(ASK)).finish == "stop"
    assert run.budget == 2
    cut = await run.on("main").quiet(1).generate(ASK)
    assert (cut.text, cut.finish, run.budget) == ("one two ", "budget", 0)
    assert (await run.generate(ASK)).finish == "budget"
    assert (run.trace.tokens, echo.generated, echo.calls) == (6, 6, 2)


async def test_a_reply_that_needs_its_whole_budget_is_not_cut_and_knows_its_prompt() -> None:
    call = await Run(Echo("one two three"), budget=3).generate(ASK)
    assert (call.finish, call.prompt_tokens) == ("stop", 5)
    assert (await Run(Echo("one two three"), budget=2).generate(ASK)).prompt_tokens == 5


async def test_concurrent_calls_share_the_budget_as_it_runs_out() -> None:
    echo = Echo("a " * 50)
    run = Run(echo, budget=40)
    calls = await asyncio.gather(*(run.quiet(i).generate(ASK) for i in range(4)))
    assert {call.finish for call in calls} == {"budget"}
    assert 40 <= echo.generated == run.trace.tokens <= 40 + 2 * 4


async def test_several_runs_may_share_a_purse() -> None:
    purse = Purse(5)
    runs = [Run(Echo("one two three four"), budget=purse) for _ in range(2)]
    assert [(await run.generate(ASK)).finish for run in runs] == ["stop", "budget"]
    assert (purse.spent, runs[0].budget) == (5, 0)


async def test_a_deadline_ends_a_call_that_stalls() -> None:
    echo = Echo("one two three", faults={0: Fault("stall", at=1)})
    run = Run(echo, deadline=time.monotonic() + 0.02)
    call = await run.generate(ASK)
    assert (call.text, call.finish, run.trace.tokens, echo.open_streams) == ("one ", "deadline", 1, 0)


async def test_after_the_deadline_nothing_is_asked() -> None:
    echo = Echo("one")
    call = await Run(echo, deadline=time.monotonic() - 1).generate(ASK)
    assert (call.finish, call.tokens, echo.calls) == ("deadline", 0, 0)


async def test_a_deadline_that_is_far_away_changes_nothing() -> None:
    call = await Run(Echo("one two"), deadline=time.monotonic() + 1000).generate(ASK)
    assert (call.finish, call.text) == ("stop", "one two")


@pytest.mark.parametrize("deadline", [None, 1000.0])
async def test_a_time_limit_of_the_engine_is_no_deadline_of_the_run(deadline: float | None) -> None:
    limit = None if deadline is None else time.monotonic() + deadline
    with pytest.raises(EngineError, match="fixed: the model did not answer in time"):
        await Run(Fixed([Chunk("a"), TimeoutError()]), deadline=limit).generate(ASK)
    with pytest.raises(EngineError, match="fixed: the model did not answer in time"):
        await Run(Fixed([], opening=TimeoutError()), deadline=limit).generate(ASK)


# Views, seeds, and what is shown


async def test_a_view_on_another_engine_bills_the_same_run() -> None:
    run = Run({"main": Echo("one", name="weak"), "strong": Echo("one two", name="big")})
    assert (await run.generate(ASK)).engine == "weak"
    assert (await run.on("strong").generate(ASK)).engine == "big"
    assert run.trace.tokens == 3


async def test_an_engine_that_is_not_there_is_named() -> None:
    with pytest.raises(
        OptionError, match=r"no engine named 'strng' .* did you mean 'strong'\?; name one with --engine"
    ):
        await Run({"main": Echo(), "strong": Echo()}).on("strng").generate(ASK)


def test_quiet_views_show_nothing_and_stay_quiet() -> None:
    shown: list[tuple[str, str]] = []
    notes: list[str] = []
    run = Run(Echo(), on_show=lambda text, channel: shown.append((channel, text)), on_note=notes.append)
    run.show("so ", "think")
    run.show("")
    run.quiet(1).show("hidden")
    run.quiet(1).on("main").quiet(2).show("hidden")
    run.quiet(1).note("half way")
    run.show("42")
    assert shown == run.trace.shown == [("think", "so "), ("answer", "42")]
    assert notes == run.trace.notes == ["half way"]


async def test_seeds_depend_on_run_branch_and_call_alone() -> None:
    fixed = Fixed([Chunk("a", finish="stop")])
    for seed in (1, 2):
        run = Run(fixed, seed=seed)
        for view in (run, run, run.quiet(0), run.quiet(1), run.quiet(0).quiet(0)):
            await view.generate(ASK)
    seeds = [sampling.seed for sampling in fixed.asked]
    assert len(set(seeds)) == 10
    again = Fixed([Chunk("a", finish="stop")])
    await asyncio.gather(*(Run(again, seed=1).quiet(i).generate(ASK) for i in (1, 0)))
    assert [sampling.seed for sampling in again.asked] == [seeds[3], seeds[2]]
    assert all(seed is not None and 0 <= seed < 2**31 for seed in seeds)


def test_a_seed_is_a_function_of_its_parts() -> None:
    assert derive_seed(1, (2, 3), 4, "call") == derive_seed(1, (2, 3), 4, "call")
    others = {derive_seed(*parts) for parts in ((1, (23,), 4, "call"), (1, (2, 3), 4, "branch"), (12, (3,), 4, "call"))}
    assert derive_seed(1, (2, 3), 4, "call") not in others
    assert len(others) == 3


async def test_a_view_goes_on_counting_where_the_branch_stopped() -> None:
    fixed = Fixed([Chunk("a", finish="stop")])
    run = Run(fixed)
    await run.quiet(3).generate(ASK)
    await run.quiet(3).generate(ASK)
    assert fixed.asked[0].seed != fixed.asked[1].seed


async def test_asking_the_same_thing_twice_gives_two_samples() -> None:
    run = Run(Echo(), seed=3)
    texts = {(await run.generate(ASK)).text for _ in range(4)}
    assert len(texts) > 1
    assert len({(await Run(Echo(), seed=3).generate(ASK)).text for _ in range(4)}) == 1


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 9), max_size=12))
async def test_a_thought_cut_in_pieces_equals_the_uncut_one(seed: int, pieces: list[int]) -> None:
    whole = await Run(Echo(), seed=seed).quiet(1).generate(ASK)
    view, prompt, text = Run(Echo(), seed=seed).quiet(1), ASK, ""
    for size in [*pieces, 1000]:
        call = await view.generate(prompt, max_tokens=size)
        prompt, text = prompt + call, text + call.text
        if call.finish == "stop":
            break
    assert text == whole.text


async def test_a_seed_of_the_methods_own_is_kept() -> None:
    fixed = Fixed([Chunk("a", finish="stop")])
    await Run(fixed, sampling=Sampling(temperature=0.5)).generate(ASK, seed=7, branch_seed=8, top_k=3)
    assert (fixed.asked[0].seed, fixed.asked[0].branch_seed, fixed.asked[0].top_k) == (7, 8, 3)
    assert fixed.asked[0].temperature == 0.5


async def test_answers_are_read_and_compared_as_the_task_says() -> None:
    plain = Run(Echo())
    assert (plain.extract(" 42 \n"), plain.extract(" ")) == ("42", None)
    assert plain.same("42", " 42")
    assert not plain.same("42", "42.0")
    task = Run(Echo(), extract=lambda text: text[-1:] or None, same=lambda a, b: a.lower() == b.lower())
    assert task.quiet(1).extract("xA") == "A"
    assert task.on("main").same("a", "A")


@pytest.mark.parametrize(("moved", "think", "answer"), [(0, 2, 3), (2, 4, 1), (9, 5, 0)])
async def test_answer_tokens_can_be_billed_as_thinking_and_the_sum_stays(moved: int, think: int, answer: int) -> None:
    run = Run(Echo("<think></think>one two three"))
    async with run.stream(ASK) as live:
        async for _ in live:
            pass
        live.rebill(moved)
    assert (live.call.think_tokens, live.call.answer_tokens) == (think, answer)
    assert run.trace.tokens == 5


async def test_every_call_is_told_as_it_ends() -> None:
    told: list[Call] = []
    run = Run(Echo("one two three"), on_call=told.append)
    await run.generate(ASK)
    async with run.quiet(1).stream(ASK, "probe") as live:
        assert len(told) == 1
        await anext(live)
    assert told == run.trace.calls
    assert [(call.role, call.finish) for call in told] == [("think", "stop"), ("probe", "left")]


# The purse of a branch


async def test_a_branch_is_paid_from_its_own_purse_and_the_runs() -> None:
    run = Run(Echo(), budget=100)
    purse = Purse(5)
    branch = run.quiet(0, purse)
    call = await branch.generate(ASK)
    assert (call.tokens, call.finish, purse.spent) == (5, "budget", 5)
    assert (run.budget, branch.budget, run.quiet(1).budget) == (95, 0, 95)
    assert (await branch.quiet(7).generate(ASK)).finish == "budget", "what springs from it is paid by it"


async def test_the_runs_budget_binds_a_branch_with_more_in_its_purse() -> None:
    run = Run(Echo(), budget=4)
    assert run.quiet(0, Purse(50)).budget == 4
    assert (await run.quiet(0, Purse(50)).generate(ASK)).tokens == 4


async def test_to_lower_a_purse_ends_a_call_in_flight() -> None:
    purse = Purse()
    run = Run(Echo())
    async with run.quiet(0, purse).stream(ASK) as live:
        async for _ in live:
            if purse.spent == 3:
                purse.total = 3
    assert (live.call.tokens, live.call.finish) == (3, "budget")


async def test_a_view_knows_the_calls_of_its_branch() -> None:
    run = Run(Echo())
    await run.quiet(0).generate(ASK)
    await run.quiet(0).quiet(2).generate(ASK)
    await run.quiet(1).generate(ASK)
    assert [call.branch for call in run.quiet(0).calls] == [(0,), (0, 2)]
    assert run.calls == run.trace.calls

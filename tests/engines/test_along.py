import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.engine import Cap, Chunk, Sampling, Think
from ponder.core.errors import TapeMiss, Unsupported
from ponder.core.problem import Problem, Prompt, Thinking
from ponder.core.run import Call, Run
from ponder.engines.along import Along, Probe, Thought
from ponder.engines.echo import Echo, tokenize

TEXT = "<think>9 x 7 is 56? No, 54 + 9 is 63.</think>\\boxed{63}"
TOKENS = [*tokenize("<think>9 x 7 is 56? No, 54 + 9 is 63."), "</think>", "\\boxed{63}"]
PROBES = (Probe(3, "56", 0.72, 3), Probe(7, "56", 0.55, 3), Probe(10, "63", 0.95, 3))
ASK = Prompt.of(Problem.of("What is 9 x 7?"))


def exact() -> Thought:
    chunks = [Chunk(token, token_ids=(i,)) for i, token in enumerate(TOKENS)]
    return Thought.of_chunks([*chunks, Chunk("", tokens=0, finish="stop")], PROBES)


async def generate(engine: Along, prompt: Prompt, **over: int) -> Call:
    return await Run(engine).generate(prompt, max_tokens=over.pop("max_tokens", 1000), **over)  # type: ignore[arg-type]


async def test_the_whole_thought_token_by_token() -> None:
    call = await generate(Along([exact()]), ASK)
    assert call.text == TEXT
    assert call.thinking == "9 x 7 is 56? No, 54 + 9 is 63."
    assert call.answer == "\\boxed{63}"
    assert (call.tokens, call.exact, call.finish) == (len(TOKENS), True, "stop")
    assert call.token_ids == tuple(range(len(TOKENS)))
    assert call.think_tokens == len(TOKENS) - 1


@pytest.mark.parametrize("at", range(len(TOKENS) + 1))
async def test_it_goes_on_from_any_token(at: int) -> None:
    prefix = "".join(TOKENS[:at])
    call = await generate(Along([exact()]), ASK + prefix)
    assert prefix + call.text == TEXT
    assert call.tokens == len(TOKENS) - at
    assert call.exact


async def test_looking_every_few_tokens_costs_what_the_thought_costs() -> None:
    engine, prompt, spent = Along([exact()]), ASK, 0
    run = Run(engine)
    for _ in range(len(TOKENS)):
        call = await run.generate(prompt, max_tokens=3)
        spent += call.tokens
        prompt = prompt + call
        if call.finish == "stop":
            break
    assert prompt.prefill == TEXT
    assert spent == len(TOKENS)


async def test_half_a_token_was_paid_for_before() -> None:
    call = await generate(Along([exact()]), ASK + "<think>9 x 7 i")
    assert call.text.startswith("s 56?")
    assert call.tokens == len(TOKENS) - 5


@pytest.mark.parametrize(
    ("kept", "answer", "p"), [(3, "56", 0.72), (6, "56", 0.72), (7, "56", 0.55), (9, "56", 0.55), (12, "63", 0.95)]
)
async def test_a_probe_is_answered_from_the_grid(kept: int, answer: str, p: float) -> None:
    prompt = ASK + "".join(TOKENS[:kept]) + "</think> Final answer: "
    call = await generate(Along([exact()]), prompt, logprobs=1)
    assert (call.text, call.tokens, call.finish) == (answer, 3, "stop")
    assert call.logprobs[0].logprob == pytest.approx(math.log(p))
    assert call.answer == answer
    plain = await generate(Along([exact()]), prompt)
    assert plain.logprobs == ()


async def test_a_probe_inside_the_thought_belongs_to_the_thought() -> None:
    call = await generate(Along([exact()]), ASK + "".join(TOKENS[:8]) + "\n\nSo far I have ")
    assert (call.thinking, call.answer) == ("56", "")


async def test_a_probe_is_cut_at_the_limit() -> None:
    call = await generate(Along([exact()]), ASK + "".join(TOKENS[:4]) + " so ", max_tokens=1)
    assert (call.text, call.tokens, call.finish) == ("5", 1, "length")


async def test_before_the_first_probe_nothing_is_known() -> None:
    with pytest.raises(TapeMiss, match="no recorded probe lies at or before token 1; the first one stands at 3"):
        await generate(Along([exact()]), ASK + TOKENS[0] + " so ")
    with pytest.raises(TapeMiss, match="none was recorded; leave out what stops there"):
        await generate(Along([Thought.of_text(TEXT, 14)]), ASK + TEXT[:20] + " so ")


async def test_thoughts_are_opened_in_order_and_never_twice() -> None:
    engine = Along([Thought.of_text(text, 2) for text in ("first", "second")], name="problem 7")
    run = Run(engine)
    assert [(await run.generate(ASK)).text for _ in range(2)] == ["first", "second"]
    with pytest.raises(TapeMiss, match="problem 7: 2 replies were recorded, and one more is asked for"):
        await run.generate(ASK)


async def test_branches_that_begin_alike_go_on_with_their_own() -> None:
    engine = Along([Thought.of_text("same one", 8), Thought.of_text("same two", 8)])
    run = Run(engine)
    for branch, end in enumerate(("one", "two")):
        view = run.quiet(branch)
        first = await view.generate(ASK, max_tokens=5)
        assert first.text == "same "
        assert (await view.generate(ASK + first)).text == end


async def test_stop_strings_are_kept_and_what_stands_behind_them_goes_on() -> None:
    run = Run(Along([exact()]))
    first = await run.generate(ASK, stop=("No", "? "))
    assert (first.text, first.finish, first.matched_stop) == ("<think>9 x 7 is 56", "stop", "? ")
    assert first.tokens == 6
    rest = await run.generate(ASK + first + "? ", stop=("nowhere",))
    assert first.text + "? " + rest.text == TEXT
    assert first.tokens + rest.tokens == len(TOKENS)


async def test_a_known_sum_is_exact_to_the_end_and_an_estimate_before() -> None:
    whole = await generate(Along([Thought.of_text(TEXT, 30)]), ASK)
    assert (whole.text, whole.tokens, whole.exact) == (TEXT, 30, True)
    cut = await generate(Along([Thought.of_text(TEXT, 30)]), ASK, max_tokens=7)
    assert (cut.tokens, cut.exact, cut.finish) == (7, False, "length")
    # The mark is one token; the other six are six of the 28 that are spread over 40 characters.
    assert cut.text == "<think>" + TEXT[7 : 7 + 8]
    guess = await generate(Along([Thought.of_text(TEXT, 30, counted=False)]), ASK)
    assert (guess.tokens, guess.exact) == (30, False)


async def test_coarse_pieces_are_cut_at_the_limit_too() -> None:
    call = await generate(Along([Thought.of_text(TEXT, 30, grain=30)]), ASK, max_tokens=10)
    assert (call.tokens, call.finish, call.exact) == (10, "length", False)
    # Nine of the 21 tokens of the thought's 30 characters follow the mark.
    assert call.text == "<think>" + TEXT[7 : 7 + 13]


async def test_a_cut_thought_ends_as_one() -> None:
    call = await generate(Along([Thought.of_text("<think>so", 2, finish="length")]), ASK)
    assert (call.finish, call.thinking, call.answer) == ("length", "so", "")


async def test_a_reply_that_begins_inside_its_thought() -> None:
    call = await generate(Along([Thought.of_text("hm</think>4", 3, opened=True)]), ASK)
    assert (call.thinking, call.answer) == ("hm", "4")


async def test_other_words_were_not_recorded() -> None:
    problem = Problem.of("What is 9 x 7?")
    engine = Along([exact()], problem=problem)
    for prompt in (Prompt.of(problem, "Be brief."), Prompt.of(problem, thinking=Thinking.off())):
        with pytest.raises(TapeMiss, match="asks in words or with settings of its own"):
            await generate(engine, prompt)
    assert (await generate(engine, Prompt.of(problem))).text == TEXT


async def test_a_live_stream_becomes_a_thought() -> None:
    echo = Echo()
    async with echo.stream(ASK, Sampling()) as stream:
        chunks = [chunk async for chunk in stream]
    engine = Along([Thought.of_chunks(chunks)], name="again", think=echo.think)
    async with engine.stream(ASK, Sampling()) as stream:
        again = [chunk async for chunk in stream]
    assert [chunk._replace(usage=None) for chunk in again] == [chunk._replace(usage=None) for chunk in chunks]
    assert (engine.name, engine.think) == ("again", Think("<think>", "</think>"))
    assert Cap.PREFILL in engine.caps


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "a", "bc ", "思考"]), max_size=20).map("".join),
    st.integers(0, 20),
    st.integers(1, 5),
)
def test_text_and_tokens_add_up_wherever_a_thought_is_cut(text: str, tokens: int, step: int) -> None:
    async def walk() -> tuple[str, int]:
        run = Run(Along([Thought.of_text(text, tokens)]))
        prompt, spent = ASK, 0
        for _ in range(100):
            call = await run.generate(prompt, max_tokens=step)
            spent += call.tokens
            prompt = prompt + call
            if call.finish == "stop" or not prompt.prefill:
                break
        return prompt.prefill, spent

    said, spent = asyncio.run(walk())
    assert text.startswith(said)
    marks = text.count("<think>") + text.count("</think>")
    if tokens >= marks and len(text) - 8 * marks >= tokens:
        assert (said, spent) == (text, tokens)


@pytest.mark.parametrize("tokens", range(3, 43, 3))
async def test_think_marks_are_never_cut(tokens: int) -> None:
    run = Run(Along([Thought.of_text(TEXT, tokens)]))
    prompt, thinking, answer = ASK, "", ""
    for _ in range(tokens):
        call = await run.generate(prompt, max_tokens=1)
        prompt, thinking, answer = prompt + call, thinking + call.thinking, answer + call.answer
    assert thinking + "|" + answer == "9 x 7 is 56? No, 54 + 9 is 63.|\\boxed{63}"
    assert run.trace.tokens == tokens


@given(st.text("a思", max_size=9), st.integers(0, 40), st.integers(1, 9))
def test_pieces_hold_all_text_and_all_tokens(text: str, tokens: int, grain: int) -> None:
    for whole in (text, f"<think>{text}</think>{text}", f"<think></think>{text}", f"{text}</think>"):
        pieces = Thought.of_text(whole, tokens, grain=grain).pieces
        assert "".join(piece.text for piece in pieces) == whole
        assert sum(piece.tokens for piece in pieces) == tokens
        assert all(piece.text for piece in pieces) or not whole


async def test_a_character_of_many_tokens_is_got_past() -> None:
    run, prompt = Run(Along([Thought.of_text("思考", 6)])), ASK
    for _ in range(2):
        prompt = prompt + await run.generate(prompt, max_tokens=1)
    assert prompt.prefill == "思考"


async def test_a_recorded_thought_takes_no_forced_tokens() -> None:
    with pytest.raises(Unsupported, match="along: a recorded thought takes no forced tokens"):
        async with Along([exact()]).stream(ASK, Sampling(force=(1,))) as chunks:
            [chunk async for chunk in chunks]


async def test_a_recorded_thought_has_no_certainties() -> None:
    with pytest.raises(Unsupported, match="no log-probabilities of the whole vocabulary"):
        async with Along([exact()]).stream(ASK, Sampling(certainty=True)) as chunks:
            [chunk async for chunk in chunks]

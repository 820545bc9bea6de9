"""The reward model that votes with a token: two tokens by hand, both layouts, and models that are none."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ponder.core.engine import Cap, Chunk, Logprob, Sampling, Think, Usage
from ponder.core.errors import EngineError, OptionError, Unsupported
from ponder.core.method import check
from ponder.core.problem import Image, Message, Problem, Prompt, Text
from ponder.core.run import Call, Run
from ponder.engines.echo import Echo
from ponder.methods.search.beam_search import BeamSearch
from ponder.methods.vote.best_of_n import BestOfN
from ponder.scorers.prm import Prm
from ponder.steer.score import whole_score
from ponder.text.answers import number

QUESTION = Problem.of("What is 3 + 4?")
LINES = Prm(delimiter="\\n")


class Votes:
    """An engine that votes: for each prompt the logits of `+` and `-`, each text of a turn or a tag being a step."""

    name = "votes"
    caps = frozenset({Cap.PREFILL, Cap.LOGPROBS})
    think = Think()

    def __init__(self, *votes: tuple[tuple[str, float], ...]) -> None:
        self.votes, self.asked = votes, list[Prompt]()

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        self.asked.append(prompt)
        place = (
            sum(m.role == "user" for m in prompt.messages) if not prompt.prefill else prompt.prefill.count("ки")
        ) - 1
        shares = self.votes[min(place, len(self.votes) - 1)]

        async def chunks() -> AsyncIterator[Chunk]:
            assert sampling.max_tokens == 1
            (token, logprob), *_ = shares
            probs = (Logprob(token, logprob, shares[: sampling.logprobs]),) if sampling.logprobs else ()
            yield Chunk(token, logprobs=probs, finish="length", usage=Usage(9, 1, 0))

        yield chunks()


def vote(good: float) -> tuple[tuple[str, float], ...]:
    """The two tokens at these shares of 90 %, something else between."""
    return (" +", math.log(0.9 * good)), ("so", math.log(0.1)), ("-", math.log(0.9 * (1 - good)))


def reply(text: str) -> Call:
    return Call("answer", "m", (), 0, text, "", text)


async def scores(prm: Prm, engine: Votes, text: str) -> tuple[float, tuple[float, ...]]:
    run = Run({"main": Echo(think=Think()), "prm": engine})
    (score,) = await prm.score(QUESTION, [reply(text)], run)
    return score.value, score.steps


def test_the_share_of_two_tokens_is_the_sigmoid_of_their_difference() -> None:
    """The notes: the logit of 0.7 is 0.8473."""
    word = Logprob("+", -0.5, (("+", -0.5), ("-", -0.5 - 0.8473)))
    assert Prm().share(word, "m") == pytest.approx(0.7, abs=1e-5)
    assert Prm().share(Logprob("-", -0.1, (("-", -0.1),)), "m") == 0.0
    assert Prm().share(Logprob("+", -0.1), "m") == 1.0


def test_spellings_with_blanks_are_one_token() -> None:
    word = Logprob("+", math.log(0.2), (("+", math.log(0.2)), ("▁+", math.log(0.1)), (" -", math.log(0.1))))
    assert Prm().share(word, "m") == pytest.approx(0.75)


async def test_the_last_step_is_scored_with_one_call() -> None:
    engine = Votes(vote(0.9), vote(0.2))
    assert await scores(LINES, engine, "3+4=7\n7+1=9") == (pytest.approx(0.2), ())
    (prompt,) = engine.asked
    assert [(m.role, m.text) for m in prompt.messages] == [
        ("user", "What is 3 + 4? 3+4=7"),
        ("assistant", "+"),
        ("user", "7+1=9"),
    ]


async def test_every_step_is_scored_where_that_is_asked_for() -> None:
    engine = Votes(vote(0.9), vote(0.2), vote(0.6))
    value, steps = await scores(Prm(delimiter="\n", each=True), engine, "a\nb\n\nc\n")
    assert steps == pytest.approx((0.9, 0.2, 0.6))
    assert value == steps[-1]
    assert len(engine.asked) == 3


async def test_the_tokens_of_its_calls_are_billed_as_verdicts() -> None:
    run = Run({"main": Echo(), "prm": Votes(vote(0.9))})
    found = await Prm(delimiter="\n", each=True).score(QUESTION, [reply("a\nb"), reply("c")], run)
    assert [whole_score(score, "prod") for score in found] == pytest.approx([0.81, 0.9])
    assert run.trace.tokens_by_role == {"verify": 3}


async def test_tags_stand_behind_the_steps_of_one_reply() -> None:
    engine = Votes(vote(0.3))
    await scores(Prm(layout="tags", delimiter="\n"), engine, "Step 1: 3\nStep 2: 4")
    (prompt,) = engine.asked
    assert prompt.messages == QUESTION.messages
    assert prompt.prefill == "Step 1: 3 ки\nStep 2: 4 ки"
    other = Prm(layout="tags", delimiter="\n", tag="<extra_0>").prompt(QUESTION, ["a"])
    assert other.prefill == "a <extra_0>"


async def test_marks_of_the_thought_are_not_shown() -> None:
    run = Run({"main": Echo(), "prm": (engine := Votes(vote(0.9)))})
    await LINES.score(QUESTION, [Call("answer", "m", (), 0, "<think>\nso 7\n</think>\n\n7", "so 7\n", "7")], run)
    assert [m.text for m in engine.asked[0].messages] == ["What is 3 + 4? so 7", "+", "7"]


async def test_a_delimiter_that_never_comes_leaves_one_step() -> None:
    engine = Votes(vote(0.9))
    assert await scores(Prm(each=True), engine, "a\nb\nc") == (pytest.approx(0.9), (pytest.approx(0.9),))


async def test_a_reply_without_a_word_scores_minus_infinity_and_nobody_is_asked() -> None:
    engine = Votes(vote(0.9))
    assert await scores(LINES, engine, " \n") == (-math.inf, ())
    assert engine.asked == []


async def test_a_limit_leaves_no_vote() -> None:
    for run in (
        Run({"main": Echo(), "prm": Votes(vote(0.9))}, budget=0),
        Run({"main": Echo(), "prm": Votes(vote(0.9))}, deadline=time.monotonic() - 1),
    ):
        (score,) = await LINES.score(QUESTION, [reply("a")], run)
        assert score.value == -math.inf


async def test_a_model_that_votes_with_neither_token_is_told() -> None:
    engine = Votes((("The", -0.1), ("so", -3.0)))
    with pytest.raises(EngineError, match=r"'\+' and '-' have 0.0% of the probability .* 'The' comes first"):
        await scores(LINES, engine, "a")
    good = Prm(delimiter="\n", good="The", bad="so")
    assert (await scores(good, engine, "a"))[0] == pytest.approx(1 / (1 + math.exp(-2.9)))


async def test_votes_that_are_unlikely_are_no_votes() -> None:
    engine = Votes((("Wait", -0.02), ("+", -4.0), ("-", -5.0)))
    with pytest.raises(EngineError, match=r"have 2.5% of the probability behind a step, 'Wait' comes first"):
        await scores(LINES, engine, "a")


@pytest.mark.parametrize("broken", [math.nan, 0.5, math.inf])
async def test_what_is_no_log_probability_is_told(broken: float) -> None:
    engine = Votes((("+", broken), ("-", -1.0)))
    with pytest.raises(EngineError, match=r"the log-probability of '\+' is .*, and must be at most 0"):
        await scores(LINES, engine, "a")


async def test_a_server_that_sends_no_log_probabilities_is_told() -> None:
    class Silent(Votes):
        @asynccontextmanager
        async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
            async def chunks() -> AsyncIterator[Chunk]:
                yield Chunk("+", finish="length")

            yield chunks()

    with pytest.raises(EngineError, match="came without log-probabilities, which Prm reads"):
        await scores(LINES, Silent(), "a")


def test_pictures_stay_in_the_question() -> None:
    picture = Image("data:image/png;base64,AA")
    asked = Problem("q", (Message.of("system", "be brief"), Message("user", (Text("What?"), picture))))
    first = LINES.prompt(asked, ["a"]).messages
    assert first[0].text == "be brief"
    assert first[1].parts == (Text("What?"), picture, Text("a"))


@pytest.mark.parametrize(
    "fields", [{"delimiter": ""}, {"tag": " "}, {"good": ""}, {"bad": " "}, {"good": "+", "bad": " +"}]
)
def test_fields_that_cannot_be_are_refused(fields: dict[str, str]) -> None:
    with pytest.raises(OptionError, match="Prm"):
        Prm(**fields)  # type: ignore[arg-type]


def test_what_the_engine_lacks_is_said_before_the_first_token() -> None:
    lame = Echo(caps=frozenset())
    with pytest.raises(Unsupported, match="LOGPROBS"):
        check(BestOfN(scorer=Prm()), {"main": Echo(), "prm": lame})
    assert Prm().needs() == {"prm": frozenset({Cap.LOGPROBS})}
    assert Cap.PREFILL in Prm(layout="tags").needs()["prm"]


async def test_a_beam_search_asks_once_for_each_new_step() -> None:
    engine = Votes(vote(0.9), vote(0.8), vote(0.7))
    main = Echo("one \ntwo \n\\boxed{3}", think=Think())
    search = BeamSearch(n=2, width=2, scorer=LINES, delimiter="\n", temperature=0.7)
    solution = await search.solve(QUESTION, run := Run({"main": main, "prm": engine}, extract=number))
    assert "3" in solution.answer
    assert len(engine.asked) == run.trace.tokens_by_role["verify"]
    depth = int(solution.evidence["steps"])
    assert len(engine.asked) == 2 * depth

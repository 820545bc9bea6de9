from __future__ import annotations

import math

import pytest

from ponder.core.engine import Cap, Think
from ponder.core.errors import Unsupported
from ponder.core.method import check
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.engines.echo import CAPS, Echo
from ponder.methods.vote.best_of_n import BestOfN
from ponder.scorers.verbalised import Verbalised
from ponder.text.confidence import HOW_LIKELY

QUESTION = Problem.of("What is 2 + 3?", system="Be kind.")


def reply(answer: str) -> Call:
    return Call("think", "x", (0,), 0, text=answer, answer=answer)


@pytest.mark.parametrize(
    ("said", "value"),
    [("85", 0.85), ("I am 70% sure", 0.7), ("100.", 1.0), ("0", 0.0), ("12.5", 0.125), ("250", 0.5), ("very", 0.5)],
)
async def test_the_first_number_from_0_to_100_counts(said: str, value: float) -> None:
    run = Run(Echo(said, think=Think()))
    (found,) = await Verbalised().score(QUESTION, [reply("5")], run)
    assert found.value == value
    assert set(run.trace.tokens_by_role) == {"verify"}


async def test_each_reply_is_asked_about_in_its_conversation_and_empty_ones_are_not() -> None:
    prompts = []

    def script(prompt: object, seed: int) -> str:
        prompts.append(prompt)
        return "40"

    run = Run(Echo(script, think=Think()))
    found = await Verbalised().score(QUESTION, [reply("5"), reply("  "), reply("6")], run)
    assert [score.value for score in found] == [0.4, -math.inf, 0.4]
    assert [[message.role for message in prompt.messages] for prompt in prompts] == [
        ["system", "user", "assistant", "user"]
    ] * 2
    assert prompts[1].messages[2].text == "6"
    assert prompts[1].messages[3].text == HOW_LIKELY.en


async def test_another_engine_may_be_asked_and_a_limit_leaves_no_number() -> None:
    own, judge = Echo("5"), Echo("90", think=Think())
    (found,) = await Verbalised("judge").score(QUESTION, [reply("5")], Run({"main": own, "judge": judge}))
    assert (found.value, own.calls, Verbalised("judge").needs()) == (0.9, 0, {"judge": frozenset()})
    (late,) = await Verbalised().score(QUESTION, [reply("5")], Run(Echo("90", think=Think()), budget=0))
    assert late.value == -math.inf


async def test_a_model_that_cannot_be_kept_from_thinking_is_refused() -> None:
    echo = Echo(caps=frozenset({Cap.LOGPROBS}))
    with pytest.raises(Unsupported, match="Verbalised cannot keep echo from thinking before its verdict"):
        await Verbalised().score(QUESTION, [reply("5")], Run(echo))
    assert echo.generated == 0
    with pytest.raises(Unsupported, match="Verbalised cannot keep echo from thinking"):
        check(BestOfN(scorer=Verbalised()), {"main": echo})
    thinks = Echo("7", caps=CAPS)
    await Verbalised().score(QUESTION, [reply("5")], Run(thinks))
    assert thinks.calls == 1

"""The probability of a yes, from an engine whose probabilities are known."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from ponder.core.engine import Cap, Chunk, Logprob, Sampling, Think
from ponder.core.errors import Unsupported
from ponder.core.method import check
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Call, Run
from ponder.engines.echo import CAPS, Echo
from ponder.methods.vote.best_of_n import BestOfN
from ponder.methods.vote.self_consistency import SelfConsistency
from ponder.methods.vote.weighted_vote import WeightedVote
from ponder.scorers.verifier_prompt import VerifierPrompt, confidence

QUESTION = Problem.of("What is 2 + 3?", system="Be kind.")
MARKS = Think("<think>", "</think>")


def shares(**tokens: float) -> dict[str, float]:
    return {token.replace("_", " "): share for token, share in tokens.items()}


class Judge(Echo):
    """Says a word with the shares of its rivals, and remembers what it was asked."""

    def __init__(self, rivals: Mapping[str, float], say: str = "Yes", **options: object) -> None:
        super().__init__(say, **options)  # type: ignore[arg-type]
        self.rivals = tuple((token, math.log(share)) for token, share in rivals.items())
        self.prompts: list[Prompt] = []
        self.asked: list[Sampling] = []

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        self.prompts.append(prompt)
        self.asked.append(sampling)
        async with super().stream(prompt, sampling) as chunks:
            yield self._weighed(chunks)

    async def _weighed(self, chunks: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
        async for chunk in chunks:
            word, share = self.rivals[0]
            yield chunk._replace(
                logprobs=tuple(
                    Logprob(word if token.token.strip() else token.token, share, self.rivals)
                    for token in chunk.logprobs
                )
            )


def reply(answer: str, thinking: str = "") -> Call:
    return Call("think", "x", (0,), 0, text=answer, thinking=thinking, answer=answer)


def test_case_blanks_and_quotes_make_no_other_word() -> None:
    rivals = {"Yes": 0.3, " yes": 0.2, "YES.": 0.1, "No": 0.1, "\n\nno": 0.1, "Maybe": 0.2}
    top = tuple((token, math.log(share)) for token, share in rivals.items())
    assert confidence(Logprob("Yes", math.log(0.3), top)) == pytest.approx(0.6 / 0.8)


def test_the_chinese_words_count() -> None:
    top = (("是", math.log(0.6)), ("不是", math.log(0.15)), ("错", math.log(0.05)))
    assert confidence(Logprob("是", math.log(0.6), top)) == pytest.approx(0.75)


def test_only_one_word_or_none() -> None:
    assert confidence(Logprob("yes", -0.1, (("yes", -0.1), ("maybe", -3.0)))) == 1.0
    assert confidence(Logprob("no", -0.1)) == 0.0
    assert confidence(Logprob("Well", -0.1, (("Well", -0.1),))) == 0.5


async def test_every_reply_is_judged_once_and_the_bill_says_so() -> None:
    judge = Judge(shares(Yes=0.6, No=0.2), think=Think())
    run = Run(judge)
    scorer = VerifierPrompt()
    found = await scorer.score(QUESTION, [reply("It is 5."), reply("6"), reply(" ")], run)
    assert [score.value for score in found] == [pytest.approx(0.75), pytest.approx(0.75), -math.inf]
    assert run.trace.tokens_by_role == {"verify": 2}
    assert run.trace.tokens == judge.generated == 2
    assert [message.role for message in judge.prompts[0].messages] == ["system", "user", "assistant", "user"]
    assert judge.prompts[0].messages[2].text == "It is 5."
    assert judge.prompts[0].messages[3].text == "Is your answer right? Reply with yes or no alone."
    assert (judge.asked[0].temperature, judge.asked[0].logprobs) == (0.0, 20)
    assert (scorer.needs(), scorer.asks()) == ({"main": frozenset({Cap.LOGPROBS})}, {})


async def test_a_half_written_reply_is_judged_as_far_as_it_goes() -> None:
    judge = Judge(shares(Yes=0.6, No=0.2), think=Think())
    calls = [reply("", "2 + 3 is"), reply(" "), reply("5", "2 + 3 is 5. ")]
    found = await VerifierPrompt(so_far=True).score(QUESTION, calls, Run(judge))
    assert [score.value for score in found] == [pytest.approx(0.75), -math.inf, pytest.approx(0.75)]
    assert [prompt.messages[2].text for prompt in judge.prompts] == ["2 + 3 is", "2 + 3 is 5. 5"]
    assert judge.prompts[0].messages[3].text == "Is this reasoning right so far? Reply with yes or no alone."
    whole = await VerifierPrompt().score(QUESTION, calls, Run(judge))
    assert [score.value for score in whole] == [-math.inf, -math.inf, pytest.approx(0.75)]


async def test_another_engine_may_be_asked() -> None:
    own, judge = Echo("own"), Judge(shares(_yes=0.9, _no=0.1), think=Think())
    scorer = VerifierPrompt(engine="judge")
    (found,) = await scorer.score(QUESTION, [reply("5")], Run({"main": own, "judge": judge}))
    assert found.value == pytest.approx(0.9)
    assert (own.calls, scorer.needs()) == (0, {"judge": frozenset({Cap.LOGPROBS})})


@pytest.mark.parametrize(
    ("think", "caps", "prefill", "mode"),
    [
        (MARKS, CAPS, "<think>\n\n</think>\n\nFinal Answer:", None),
        (Think("<think>", "</think>", opened=True), CAPS, "\n</think>\n\nFinal Answer:", None),
        (Think(), CAPS, "Final Answer:", None),
        (MARKS, CAPS - {Cap.PREFILL}, "", "off"),
        (Think(), frozenset({Cap.LOGPROBS}), "", None),
    ],
)
async def test_a_model_is_kept_from_thinking_as_its_engine_can(
    think: Think, caps: frozenset[Cap], prefill: str, mode: str | None
) -> None:
    judge = Judge(shares(Yes=0.5, No=0.5), think=think, caps=caps)
    await VerifierPrompt().score(QUESTION, [reply("5")], Run(judge))
    (prompt,) = judge.prompts
    assert (prompt.prefill, prompt.thinking and prompt.thinking.mode) == (prefill, mode)


async def test_a_model_that_cannot_be_kept_from_it_is_refused() -> None:
    judge = Judge(shares(Yes=1.0), think=MARKS, caps=frozenset({Cap.LOGPROBS}))
    with pytest.raises(Unsupported, match="cannot keep echo from thinking"):
        await VerifierPrompt().score(QUESTION, [reply("5")], Run(judge))
    assert judge.generated == 0


def test_it_is_refused_before_the_first_sample() -> None:
    chat = Echo(think=MARKS, caps=frozenset({Cap.LOGPROBS}))
    scorer = VerifierPrompt()
    for method in (BestOfN(scorer=scorer), WeightedVote(scorer=scorer), SelfConsistency(inner=BestOfN(scorer=scorer))):
        with pytest.raises(Unsupported, match="VerifierPrompt cannot keep echo from thinking"):
            check(method, {"main": chat})
    judged = BestOfN(scorer=VerifierPrompt(engine="judge"))
    for engine in (Echo(think=Think(), caps=chat.caps), Echo(think=MARKS), Echo(caps=CAPS - {Cap.PREFILL})):
        check(BestOfN(scorer=scorer), {"main": engine})
        check(judged, {"main": chat, "judge": engine})
    check(BestOfN(n=1, scorer=scorer), {"main": chat})


async def test_blanks_and_empty_marks_before_the_word_are_passed_over() -> None:
    judge = Judge(
        shares(Yes=0.8, No=0.2), say="<think>\n\n</think>\n\nYes of course", think=MARKS, caps=CAPS - {Cap.PREFILL}
    )
    run = Run(judge)
    (found,) = await VerifierPrompt().score(QUESTION, [reply("5")], run)
    assert found.value == pytest.approx(0.8)
    assert run.trace.calls[0].finish == "left"


async def test_a_model_that_thinks_all_the_same_has_no_verdict() -> None:
    judge = Judge(shares(Yes=0.8), say="<think>well " + "hm " * 30, think=MARKS, caps=CAPS - {Cap.PREFILL})
    (found,) = await VerifierPrompt().score(QUESTION, [reply("5")], Run(judge))
    assert (found.value, judge.generated) == (0.5, 8)


async def test_a_spent_budget_leaves_no_verdict() -> None:
    judge = Judge(shares(Yes=0.8), think=Think())
    (found,) = await VerifierPrompt().score(QUESTION, [reply("5")], Run(judge, budget=0))
    assert (found.value, judge.calls) == (-math.inf, 0)

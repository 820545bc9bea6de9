"""Drawing and labelling: exact labels, completions counted by hand, what is left out of a cut reply."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ponder.core.engine import Cap, Think
from ponder.core.errors import DataError
from ponder.core.problem import Prompt
from ponder.engines.echo import Echo
from ponder.train.lab.thought import Overthinking
from ponder.train.prm.draw import Drawer, Drawing
from ponder.train.prm.questions import Question, load_questions
from ponder.train.prm.rows import Step
from ponder.verify import VerifierPool

THINK = Think("<think>", "</think>")


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[VerifierPool]:
    async with VerifierPool() as opened:
        yield opened


def question(spec: str = "lab:modular:links=3") -> Question:
    return load_questions([spec], 1, 1)[0]


def said(text: str) -> Echo:
    """An engine that writes `text`, and the rest of it behind a beginning of it."""
    return Echo(lambda prompt, seed: text.removeprefix(prompt.prefill), think=THINK)


async def test_the_lab_s_steps_are_labelled_exactly(pool: VerifierPool) -> None:
    asked = question()
    assert asked.puzzle is not None
    thought = Overthinking(1, 0).think(asked.puzzle, 0)
    drawer = Drawer(said(thought.reply(asked.puzzle.answer)), Drawing(max_tokens=500), pool)
    found = await drawer.reply(asked, 2)
    assert [step.kind for step in found.steps] == [
        *["useless"], *["right"] * 3, *["useless"] * 4, *["right"] * 2
    ]  # fmt: skip
    assert (found.key, found.sample, found.correct, found.spent) == (asked.key, 2, True, 0)
    assert found.text[: found.steps[-1].end] == thought.reply(asked.puzzle.answer)
    assert found.tokens > 5


async def test_a_step_has_the_mean_log_probability_of_its_tokens(pool: VerifierPool) -> None:
    found = await Drawer(said("one two \nthree \n\\boxed{99}"), Drawing(), pool).reply(question(), 0)
    assert len(found.steps) == 3
    assert all(step.logprob is not None and -1 < step.logprob < 0 for step in found.steps)


async def test_the_last_step_of_a_cut_reply_is_left_out(pool: VerifierPool) -> None:
    found = await Drawer(said("one \ntwo \nthree \nfour"), Drawing(max_tokens=3), pool).reply(question(), 0)
    assert found.correct is None
    assert [found.text[: step.end] for step in found.steps] == ["one", "one \ntwo"]


async def test_the_value_of_a_step_is_the_share_of_completions_that_end_right(pool: VerifierPool) -> None:
    """Behind the first step every second completion is right, behind the wrong one none is."""
    asked = question()
    assert asked.item.reference is not None
    right = asked.item.reference.text
    calls = iter(range(100))

    def script(prompt: Prompt, seed: int) -> str:
        if not prompt.prefill:
            return "good \nbad \n\\boxed{77}"
        good = "bad" not in prompt.prefill and next(calls) % 2 == 0
        return f" \n\\boxed{{{right if good else 77}}}"

    engine = Echo(script, think=THINK)
    for hard, first in ((False, 0.5), (True, 1.0)):
        drawing = Drawing(labels="rollouts", rollouts=4, hard=hard)
        found = await Drawer(engine, drawing, pool).reply(asked, 0)
        assert found.correct is False
        assert [step[:2] for step in found.steps] == [(4, first), (9, 0.0), (21, 0.0)]
        assert found.spent == engine.generated - found.tokens > 8
        engine.generated = 0


async def test_a_completion_that_is_cut_is_not_right(pool: VerifierPool) -> None:
    engine = Echo(lambda prompt, seed: "so \n\\boxed{1}" if not prompt.prefill else "on " * 50, think=THINK)
    found = await Drawer(engine, Drawing(labels="rollouts", rollouts=2, max_tokens=9), pool).reply(question(), 0)
    assert found.steps[0].value == 0.0


async def test_an_answer_that_was_begun_is_judged_whole(pool: VerifierPool) -> None:
    """The prefix holds the box, the completion a word: a verdict on the completion alone would know no answer."""
    asked = question()
    assert asked.item.reference is not None
    text = f"<think>so \n</think>\n\n\\boxed{{{asked.item.reference.text}}} \nindeed"
    drawer = Drawer(said(text), Drawing(labels="rollouts", rollouts=2, max_tokens=50), pool)
    assert [step.value for step in (await drawer.reply(asked, 0)).steps] == [1.0, 1.0, 1.0]


async def test_chains_of_the_lab_s_own_hold_right_and_wrong(pool: VerifierPool) -> None:
    drawer = Drawer(said("never asked"), Drawing(chains=4), pool)
    found = [await drawer.reply(question(), sample) for sample in (-1, -2, -3, -4)]
    assert [reply.correct for reply in found] == [True, None, True, None]
    assert all(step.value == 1 for reply in (found[0], found[2]) for step in reply.steps)
    assert [reply.steps[-1] for reply in (found[1], found[3])] == [
        Step(len(reply.text), 0.0, "wrong") for reply in (found[1], found[3])
    ]
    assert all(step.value == 1 for reply in (found[1], found[3]) for step in reply.steps[:-1])
    assert found[1].text != found[3].text
    assert {reply.tokens for reply in found} == {0}


@pytest.mark.parametrize(("sample", "said_"), [(0, "take --labels rollouts"), (-1, "leave out --chains")])
async def test_outside_the_lab_no_step_is_known(pool: VerifierPool, sample: int, said_: str) -> None:
    drawer = Drawer(Echo(caps=frozenset(Cap)), Drawing(), pool)
    with pytest.raises(DataError, match=said_):
        await drawer.reply(question("gsm8k"), sample)


async def test_a_reply_without_a_word_has_no_steps(pool: VerifierPool) -> None:
    for text in ("", "<think>\n</think>\n"):
        for labels in ("lab", "rollouts"):
            found = await Drawer(said(text), Drawing(labels=labels), pool).reply(question(), 0)  # type: ignore[arg-type]
            assert (found.correct, found.steps, found.spent) == (False, (), 0)


async def test_nothing_is_spent_on_the_step_that_a_limit_cut(pool: VerifierPool) -> None:
    engine = Echo(lambda prompt, seed: "on" if prompt.prefill else "one \ntwo \nthree \nfour", think=THINK)
    found = await Drawer(engine, Drawing(labels="rollouts", rollouts=5, max_tokens=3), pool).reply(question(), 0)
    assert [found.text[: step.end] for step in found.steps] == ["one", "one \ntwo"]
    assert found.spent == 2 * 5

"""FastMCTS as a builder: what is asked of the model, what becomes of its rollouts, and what they cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from random import Random

import pytest

from ponder.core.engine import Cap, Sampling, Think
from ponder.core.errors import OptionError, Unsupported
from ponder.core.judge import Reference
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.core.train import Example, Row
from ponder.engines.echo import Echo
from ponder.train.data.fast_mcts import Cut, FastMcts
from ponder.train.data.reserve import replies
from ponder.train.loops.messages import Conversation

ROW = Row(Problem.of("Between 12 and 99?", "q1"), Reference("7"))


async def judge(answer: str, reference: Reference) -> bool | None:
    last = answer.strip().splitlines()[-1:]
    return None if last == ["?"] else last == [reference.text]


def mcts(**options: object) -> FastMcts:
    return FastMcts(judge, **{"delimiter": "\n", **options})  # type: ignore[arg-type]


class Scripted:
    """An engine that writes these rollouts, one after the other, each behind what is prefilled; `asked` are prompts."""

    def __init__(self, *rollouts: str, **options: object) -> None:
        self.asked: list[Prompt] = []
        self._left = list(rollouts)
        self.echo = Echo(self._say, **options)  # type: ignore[arg-type]

    def _say(self, prompt: Prompt, seed: int) -> str:
        self.asked.append(prompt)
        return self._left.pop(0)


def lines(way: str) -> str:
    """A step for each letter, and a last one for the answer."""
    return "\n".join(way)


async def rows(*found: Row) -> AsyncIterator[Row]:
    for row in found:
        yield row


async def made(builder: FastMcts, run: Run, *found: Row) -> list[Example]:
    return [example async for example in builder.build(rows(*found), run)]


async def test_rollouts_branch_off_and_only_new_steps_are_paid() -> None:
    """The first is right: a way that ends branches at any proven node; each continues from its text and no other."""
    model = Scripted(lines("abcd7"), lines("xyz7"), lines("uv7"), lines("p7"))
    run = Run(model.echo)
    tree = await mcts(rollouts=4, low=0.0, high=1.0).grow(ROW, run)
    assert model.asked[0].prefill == ""
    written = [node.text for node in tree.ends]
    for prompt, text in zip(model.asked, written, strict=True):
        assert text.startswith(prompt.prefill)
        assert not prompt.prefill or prompt.prefill.endswith("\n"), "a branch begins at a step"
    assert tree.tokens == run.trace.tokens == model.echo.generated == 5 + 4 + 3 + 2
    assert sum(node.step.tokens for node in tree.root.below()) == tree.tokens, "no two were equal"
    assert tree.right == tree.ends
    assert len(set(written)) == 4


async def test_a_question_that_was_never_right_begins_anew_each_time() -> None:
    model = Scripted(*(lines(f"{letter}bc0") for letter in "wxyz"))
    tree = await mcts(rollouts=4).grow(ROW, Run(model.echo))
    assert [prompt.prefill for prompt in model.asked] == [""] * 4
    assert (tree.right, tree.root.score, tree.rollouts) == ([], 0.0, 4)


async def test_a_hard_question_stays_at_its_root_once_it_was_right() -> None:
    model = Scripted("a\n0", "b\n0", "c\n0", "d\n7", "e\n0", "f\n7")
    tree = await mcts(rollouts=6).grow(ROW, Run(model.echo))
    assert [prompt.prefill for prompt in model.asked] == [""] * 6, "1 of 4, 1 of 5: in (0, 0.25]"
    assert tree.root.score == 2 / 6


async def test_plain_is_rejection_sampling_with_equal_replies_once() -> None:
    model = Scripted("a\n7", "a\n7", "b\n7", "c\n1", caps=frozenset())
    run = Run(model.echo)
    tree = await mcts(rollouts=4, plain=True).grow(ROW, run)
    assert [prompt.prefill for prompt in model.asked] == [""] * 4
    assert [node.text for node in tree.right] == ["a\n7", "b\n7"]
    assert (tree.tokens, run.trace.tokens) == (8, 8), "a reply that comes again is paid again"


async def test_a_question_ends_after_so_many_tokens() -> None:
    model = Scripted(*["a\nb\n7"] * 9)
    tree = await mcts(rollouts=9, tokens=7, plain=True).grow(ROW, Run(model.echo))
    assert (tree.rollouts, tree.tokens) == (3, 9), "a rollout that has begun is written to its end"


async def test_a_reply_keeps_the_most_tokens_as_a_whole() -> None:
    model = Scripted(lines("abc7"), *["long " * 50 + "7"] * 5)
    tree = await mcts(rollouts=6, low=0.0, high=1.0).grow(ROW, Run(model.echo, sampling=Sampling(max_tokens=9)))
    assert max(node.tokens for node in tree.ends) <= 9
    assert [node.ends[0] for node in tree.ends] == ["right", *["cut"] * 5]
    assert await made(mcts(rollouts=1), Run(Scripted("long " * 50).echo, sampling=Sampling(max_tokens=9)), ROW) == []


async def test_the_thought_is_judged_by_the_answer_behind_it() -> None:
    marks = Think("<think>", "</think>")
    model = Scripted("<think>a\n7</think>0", "<think>a\n0</think>7", think=marks)
    tree = await mcts(rollouts=2, plain=True).grow(ROW, Run(model.echo))
    assert [node.ends for node in tree.ends] == [["wrong"], ["right"]]
    assert tree.right[0].text == "<think>a\n0</think>7", "marks included, as it is learnt"
    assert model.asked[0].messages == ROW.problem.messages


async def test_what_nobody_can_judge_is_neither_right_nor_a_bad_example() -> None:
    model = Scripted("a\n7", "a\n?")
    tree = await mcts(rollouts=2, plain=True).grow(ROW, Run(model.echo))
    assert [node.ends for node in tree.ends] == [["right"], ["unjudged"]]
    assert mcts().preferences(tree) == []


async def test_examples_are_right_replies_and_pairs_that_part_at_a_branch() -> None:
    model = Scripted("a\nb\n7", "a\nc\n0", "z\n7", think=Think())
    builder = mcts(rollouts=3, plain=True)
    found = await made(builder, Run(model.echo), ROW)
    assert [(example.completion, dict(example.meta)) for example in found] == [
        ("a\nb\n7", {"tokens": "3"}),
        ("z\n7", {"tokens": "2"}),
        ("z\n7", {"rejected": "a\nc\n0", "shared": "0"}),
        ("a\nb\n7", {"rejected": "a\nc\n0", "shared": "2"}),
    ]
    assert {example.messages for example in found} == {ROW.problem.messages}, "without the request to think in steps"
    assert "step by step" in model.asked[0].messages[-1].text
    model = Scripted("a\nb\n7", "a\nc\n0", "z\n7")
    few = await made(replace(builder, keep=1), Run(model.echo), ROW)
    assert [example.completion for example in few if "tokens" in example.meta] == ["a\nb\n7"]


async def test_seeds_are_each_questions_own_and_its_place_does_not_matter() -> None:
    other = replace(ROW, problem=Problem.of("And 13?", "q2"))

    async def texts(*found: Row, seed: int = 0) -> dict[str, list[str]]:
        trees = mcts(rollouts=5, delimiter="wait ", plain=False)
        run = Run(Echo(), seed=seed, sampling=Sampling(temperature=1.0))
        kept: dict[str, list[str]] = {}

        async def note(answer: str, reference: Reference) -> bool:
            kept.setdefault(reference.data, []).append(answer)
            return len(answer) % 2 == 0

        await made(replace(trees, judge=note), run, *found)
        return kept

    one, two = (replace(row, reference=Reference("7", row.problem.id)) for row in (ROW, other))
    both, turned, again = await texts(one, two), await texts(two, one), await texts(two)
    assert (both, both["q2"]) == (turned, again["q2"])
    assert both["q1"] != both["q2"]
    assert await texts(one, seed=1) != await texts(one)


async def test_examples_to_show_stand_before_the_question_and_are_not_learnt() -> None:
    pool = tuple(
        Conversation((("system", "s"), ("user", f"ask {letter}"), ("assistant", f"say {letter}"))) for letter in "abc"
    )
    row = replace(ROW, problem=Problem.of("Now you.", "q3", system="Be kind."))
    model = Scripted(*["7"] * 8)
    found = await made(mcts(rollouts=8, shots=2, pool=pool, plain=True), Run(model.echo), row)
    for prompt in model.asked:
        roles = [message.role for message in prompt.messages]
        assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
        assert prompt.messages[0].text == "Be kind."
        assert prompt.messages[1].text != prompt.messages[3].text
        assert prompt.messages[2].text == prompt.messages[1].text.replace("ask", "say")
    assert len({prompt.messages for prompt in model.asked}) > 2, "drawn anew for each rollout"
    assert found[0].messages == row.problem.messages


@pytest.mark.parametrize("limit", ["budget", "deadline"])
async def test_a_limit_of_the_run_leaves_no_half_a_tree(limit: str) -> None:
    model = Scripted(*["a\nb\n7"] * 4)
    run = Run(model.echo, budget=7) if limit == "budget" else Run(model.echo, deadline=0.0)
    with pytest.raises(Cut, match=limit):
        await mcts(rollouts=4, plain=True).grow(ROW, run)
    assert model.echo.open_streams == 0


def test_an_engine_that_cannot_go_on_is_refused_but_for_plain_sampling() -> None:
    bare = Echo(caps=frozenset())
    with pytest.raises(Unsupported, match=r"lacks PREFILL .* use an engine that has it, or .*--plain"):
        mcts().check(bare)
    mcts(plain=True).check(bare)
    mcts().check(Echo(caps=frozenset({Cap.PREFILL})))


async def test_a_builder_without_a_run_says_so() -> None:
    with pytest.raises(OptionError, match="rollouts need a model"):
        await anext(mcts().build(rows(ROW), None))


@pytest.mark.parametrize(
    ("options", "field"),
    [({"rollouts": 0}, "rollouts"), ({"tokens": 0}, "tokens"), ({"low": -0.1}, "low"), ({"high": 0.2}, "high"),
     ({"high": 1.1}, "high"), ({"c": -1.0}, "c"), ({"c": float("nan")}, "c"), ({"delimiter": ""}, "delimiter"),
     ({"shots": 1}, "shots"), ({"keep": 0}, "keep")],
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, object], field: str) -> None:
    with pytest.raises(OptionError, match=f"FastMcts: {field} = "):
        mcts(**options)


async def test_on_a_scripted_model_a_tree_finds_more_right_replies_than_sampling_at_equal_tokens() -> None:
    """Each of six steps is right with 0.8, and the answer with them: 0.26 of all replies. A branch keeps what was
    right, so that at most 600 tokens a question give more right replies, over 40 questions.
    """
    found: dict[bool, int] = {}
    for plain in (False, True):
        total = 0
        for number in range(40):
            row = Row(Problem.of("Hard?", f"h{number}"), Reference("gggggg"))
            run = Run(Echo(_walk(number)), seed=number, sampling=Sampling(temperature=1.0))
            tree = await FastMcts(_walked, 400, 600, plain=plain, delimiter="\n", cot=False).grow(row, run)
            assert 600 <= tree.tokens < 600 + 25
            total += len(replies(tree.root, "right"))
        found[plain] = total
    assert found[False] > 1.2 * found[True], found


def _walk(number: int) -> Callable[[Prompt, int], str]:
    def say(prompt: Prompt, seed: int) -> str:
        dice = Random(f"{number}/{seed}/{prompt.prefill}")
        left = 6 - prompt.prefill.count("\n")
        steps = [dice.choices("gb", (0.8, 0.2))[0] + f" {dice.randint(0, 999)} is" for _ in range(left)]
        return "\n".join([*steps, ""]) + "end"

    return say


async def _walked(answer: str, reference: Reference) -> bool | None:
    return "".join(line[0] for line in answer.splitlines()[:6]) == reference.text

from __future__ import annotations

import pytest

from ponder.core.engine import Cap, Sampling, Think
from ponder.core.errors import OptionError
from ponder.core.method import Solution, merge_needs
from ponder.core.problem import Image, Message, Problem, Prompt, Text, Thinking, Tool
from ponder.core.run import Run
from ponder.engines.echo import CAPS, Echo
from ponder.methods.prompt.no_thinking import NoThinking
from ponder.methods.prompt.token_budget import TokenBudget
from ponder.methods.stop.budget_forcing import BudgetForcing
from ponder.methods.vote.self_consistency import SelfConsistency

PLAIN, THINKS = Think(), Think("<think>", "</think>")
QUESTION = Problem.of("What is 12 + 30?")
ASKS = (
    "Task: Analyze the given question and estimate the minimum number of tokens required to generate a complete and "
    "accurate response. Please Give the response by strictly following this format: [[budget]],for example: Budget: "
    '[[12]].\n\nBelow is the question:\n\nQuestion: "What is 12 + 30?"'
)


async def ask(
    estimate: str,
    method: TokenBudget | None = None,
    problem: Problem = QUESTION,
    think: Think = PLAIN,
    caps: frozenset[Cap] = CAPS,
    sampling: Sampling | None = None,
) -> tuple[list[Prompt], Solution, Run]:
    """Return the prompts that reach the model in their order, the solution, and the run."""
    prompts: list[Prompt] = []

    def script(prompt: Prompt, seed: int) -> str:
        prompts.append(prompt)
        return estimate if len(prompts) == 1 else "It is 42"

    run = Run(Echo(script, think=think, caps=caps), sampling=sampling)
    solution = await (method or TokenBudget()).solve(problem, run)
    return prompts, solution, run


async def test_the_estimate_is_asked_for_and_put_into_the_prompt() -> None:
    (first, second), solution, run = await ask("Budget: [[77]]")
    assert [message.text for message in first.messages] == [ASKS]
    (only,) = second.messages
    assert only.text == "What is 12 + 30?\n\nLet's think step by step and use less than 77 tokens:\n"
    assert solution == Solution("It is 42", evidence={"unread": 0, "told": 77, "estimate": 77})
    assert run.trace.tokens_by_role == {"route": 2, "answer": 3}


@pytest.mark.parametrize("estimate", ["Budget: [[seventy]]", "about 77", "[[0]]", "", "[[-1]]"])
async def test_an_estimate_that_cannot_be_read_leaves_plain_reasoning_and_is_counted(estimate: str) -> None:
    (_, second), solution, _ = await ask(estimate)
    assert second.messages[-1].text == "What is 12 + 30?\n\nLet's think step by step:\n"
    assert solution.evidence == {"unread": 1}


async def test_the_fallback_takes_the_place_of_an_estimate_that_cannot_be_read() -> None:
    (_, second), solution, _ = await ask("I cannot say", TokenBudget(fallback=60))
    assert second.messages[-1].text.endswith("use less than 60 tokens:\n")
    assert solution.evidence == {"unread": 1, "told": 60}


async def test_no_more_is_told_than_the_reply_may_have() -> None:
    (_, second), solution, _ = await ask("[[9000]]", sampling=Sampling(max_tokens=200))
    assert second.messages[-1].text.endswith("use less than 200 tokens:\n")
    assert solution.evidence == {"unread": 0, "told": 200, "estimate": 9000}


async def test_the_fallback_neither_is_more_than_the_reply_may_have() -> None:
    (_, second), solution, _ = await ask("no idea", TokenBudget(fallback=5000), sampling=Sampling(max_tokens=50))
    assert second.messages[-1].text.endswith("use less than 50 tokens:\n")
    assert solution.evidence == {"unread": 1, "told": 50}


async def test_the_estimate_is_short_and_a_stop_of_the_client_does_not_cut_it() -> None:
    _, solution, run = await ask("so " * 50, TokenBudget(most=5), sampling=Sampling(stop=("[[",)))
    assert (run.trace.calls[0].tokens, run.trace.calls[0].role) == (5, "route")
    assert solution.evidence == {"unread": 1}
    assert (await ask("[[7]]", sampling=Sampling(stop=("[[",))))[1].evidence["estimate"] == 7


async def test_a_chinese_question_is_asked_in_chinese() -> None:
    (first, second), _, _ = await ask("预算：[[30]]", problem=Problem.of("2+3等于几"))
    assert first.messages[0].text.startswith("任务：分析给出的问题")
    assert first.messages[0].text.endswith("问题：“2+3等于几”")
    assert second.messages[0].text == "2+3等于几\n\n让我们一步一步思考，并使用少于30个词元：\n"


async def test_a_question_in_another_language_is_asked_in_english() -> None:
    (first, second), _, _ = await ask("[[30]]", problem=Problem.of("Combien font 2 et 3 ?"))
    assert first.messages[0].text.startswith("Task: Analyze")
    assert second.messages[0].text.startswith("Combien font 2 et 3 ?\n\nLet's think")


@pytest.mark.parametrize("question", ["", "  \n"])
async def test_about_nothing_nothing_is_estimated(question: str) -> None:
    prompts, solution, _ = await ask("It is 42", problem=Problem.of(question))
    assert len(prompts) == 1
    assert (solution.answer, solution.evidence) == ("It is 42", {"unread": 1})


async def test_the_users_system_message_stands_before_both_and_the_rest_before_the_answer_alone() -> None:
    system, hello = Message.of("system", "Be kind."), (Message.of("user", "Hi"), Message.of("assistant", "Hello"))
    picture = Message("user", (Text("How many?"), Image("data:,x")))
    problem = Problem("p", (system, *hello, picture), (Tool("t", "{}"),), extra='{"user": "me"}')
    (first, second), _, _ = await ask("[[30]]", problem=problem)
    assert [m.role for m in first.messages] == ["system", "user"]
    assert first.messages[0] == second.messages[0] == system
    assert (first.tools, first.extra, second.tools, second.extra) == ((), "", problem.tools, problem.extra)
    assert second.messages[:3] == (system, *hello)
    assert second.messages[3].parts[1] == Image("data:,x")


async def test_a_model_that_thinks_is_kept_from_it_while_it_estimates() -> None:
    (first, second), _, _ = await ask("[[30]]", think=THINKS)
    assert (first.prefill, second.prefill) == ("<think>\n\n</think>\n\n", "")
    (first, second), _, _ = await ask("[[30]]", think=THINKS, caps=frozenset({Cap.THINKING}))
    assert (first.thinking, first.prefill, second.thinking) == (Thinking.off(), "", None)
    _, solution, run = await ask("<think>hm hm </think>[[30]]", think=THINKS, caps=frozenset())
    assert (solution.evidence["told"], run.trace.calls[0].tokens) == (30, 5)


async def test_the_inner_method_answers() -> None:
    _, solution, _ = await ask("[[30]]", TokenBudget(inner=NoThinking()), think=THINKS)
    assert solution.evidence == {"how": "prefill", "unread": 0, "told": 30, "estimate": 30}


async def test_inside_a_vote_each_sample_estimates_anew() -> None:
    run = Run(Echo("[[5]]", think=PLAIN))
    await SelfConsistency(n=3, inner=TokenBudget()).solve(QUESTION, run)
    assert [call.role for call in run.trace.calls].count("route") == 3


async def test_a_budget_that_the_estimate_uses_up_leaves_no_answer() -> None:
    run = Run(Echo("[[5]] and so on", think=PLAIN), budget=3)
    solution = await TokenBudget().solve(QUESTION, run)
    assert (solution.answer, solution.finish, run.trace.tokens_by_role) == ("", "budget", {"route": 3})


def test_needs_are_those_of_the_inner_method_and_a_model() -> None:
    assert TokenBudget().needs() == {"main": frozenset()}
    inner = BudgetForcing()
    assert TokenBudget(inner=inner).needs() == merge_needs({"main": frozenset()}, inner.needs())


@pytest.mark.parametrize(("options", "says"), [({"fallback": 0}, "fallback = 0"), ({"most": 0}, "most = 0")])
def test_values_out_of_range_are_refused(options: dict[str, int], says: str) -> None:
    with pytest.raises(OptionError, match=f"TokenBudget: {says} is out of range; it must be at least 1"):
        TokenBudget(**options)

from __future__ import annotations

import pytest

from ponder.core.engine import Cap, Think
from ponder.core.errors import Unsupported
from ponder.core.method import Solution
from ponder.core.problem import Problem, Prompt, Thinking
from ponder.core.run import Run
from ponder.engines.echo import Echo, tokenize
from ponder.methods.prompt.no_thinking import NoThinking

THINKS = Think("<think>", "</think>")
CLOSED = "<think>\nOkay, I think I have finished thinking.\n</think>\n\n"


async def ask(
    *caps: Cap, think: Think = THINKS, text: str = "It is 42", question: str = "12 + 30?"
) -> tuple[Prompt, Solution, Run]:
    """Return the prompt that reaches the model, the solution, and the run."""
    prompts: list[Prompt] = []

    def script(prompt: Prompt, seed: int) -> str:
        prompts.append(prompt)
        return text

    run = Run(Echo(script, think=think, caps=frozenset(caps)))
    solution = await NoThinking().solve(Problem.of(question), run)
    return prompts[0], solution, run


async def test_a_thinking_model_is_handed_a_closed_thought() -> None:
    prompt, solution, run = await ask(Cap.PREFILL, Cap.THINKING)
    assert prompt.prefill == CLOSED
    assert prompt.prefill.count("</think>") == 1
    assert prompt.messages == Problem.of("12 + 30?").messages
    assert prompt.thinking is None
    assert solution == Solution("It is 42", evidence={"how": "prefill"})
    assert run.trace.tokens_by_role == {"answer": 3}


async def test_a_template_that_opens_the_thought_itself_gets_no_second_opening() -> None:
    prompt, solution, _ = await ask(Cap.PREFILL, think=Think("<think>\n", "\n</think>\n", opened=True))
    assert prompt.prefill == "Okay, I think I have finished thinking.\n</think>\n\n"
    assert (solution.thinking, solution.answer) == ("", "It is 42")


async def test_other_marks_are_used_as_they_are() -> None:
    prompt, _, _ = await ask(Cap.PREFILL, think=Think("<|begin|>", "<|end|>"))
    assert prompt.prefill == "<|begin|>\nOkay, I think I have finished thinking.\n<|end|>\n\n"


async def test_a_chinese_question_gets_a_chinese_thought() -> None:
    prompt, _, _ = await ask(Cap.PREFILL, question="2+3等于几")
    assert prompt.prefill == "<think>\n好的，我想我已经思考完了。\n</think>\n\n"


async def test_without_prefill_the_engines_switch_is_used() -> None:
    prompt, solution, _ = await ask(Cap.THINKING)
    assert (prompt.thinking, prompt.prefill) == (Thinking.off(), "")
    assert prompt.messages == Problem.of("12 + 30?").messages
    assert solution.evidence == {"how": "switch"}


@pytest.mark.parametrize(("caps", "thinking"), [((), None), ((Cap.THINKING,), Thinking.off())])
async def test_a_model_that_does_not_think_is_asked_for_the_answer_alone(
    caps: tuple[Cap, ...], thinking: Thinking | None
) -> None:
    prompt, solution, _ = await ask(*caps, think=Think())
    assert prompt.messages[0].text == "12 + 30?\n\nOnly give the final answer. Do not give any explanation."
    assert (prompt.prefill, prompt.thinking) == ("", thinking)
    assert (solution.answer, solution.evidence) == ("It is 42", {"how": "prompt"})


@pytest.mark.parametrize(("question", "start"), [("12 + 30?", "Final Answer:"), ("2+3等于几", "最终答案：")])
async def test_where_a_reply_can_be_begun_it_begins_with_the_answer(question: str, start: str) -> None:
    prompt, solution, run = await ask(Cap.PREFILL, think=Think(), text=" 42", question=question)
    assert prompt.prefill == start
    assert (solution.answer, solution.evidence) == (f"{start} 42", {"how": "answer"})
    assert run.trace.shown[0] == ("answer", start)
    assert "".join(text for _, text in run.trace.shown) == solution.answer
    assert run.trace.tokens_by_role == {"answer": 2}


async def test_a_model_that_cannot_be_kept_from_thinking_is_refused_before_the_first_token() -> None:
    echo = Echo(caps=frozenset({Cap.LOGPROBS}))
    with pytest.raises(Unsupported, match="NoThinking cannot keep echo from thinking"):
        await NoThinking().solve(Problem.of("12 + 30?"), Run(echo))
    assert (echo.calls, echo.generated) == (0, 0)


async def test_thinking_that_reopens_is_billed_and_returned_as_thinking() -> None:
    _, solution, run = await ask(Cap.PREFILL, text="Well <think>no wait </think>It is 42")
    assert (solution.thinking, solution.answer) == ("no wait ", "Well It is 42")
    assert run.trace.tokens_by_role == {"answer": 4, "think": 4}
    assert run.trace.tokens == 8


async def test_the_prefill_itself_is_not_billed_as_generated() -> None:
    _, _, run = await ask(Cap.PREFILL)
    assert run.trace.tokens == 3
    assert run.trace.prompt_tokens == 3 + len(tokenize(CLOSED))

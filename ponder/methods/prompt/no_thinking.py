"""NoThinking: hand the model a thought that is already closed, so that it writes the solution alone (2504.09858)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ponder.core.engine import Cap, Engine
from ponder.core.errors import Unsupported
from ponder.core.method import Solution
from ponder.core.problem import Problem, Prompt, Thinking
from ponder.core.run import Run
from ponder.text.prompts import ANSWER_ONLY, FINAL_ANSWER, THOUGHT_DONE


@dataclass(frozen=True)
class NoThinking:
    """Answer without a thought, by the surest way that the engine offers; `evidence["how"]` says which one it was."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing for certain: each kind of engine has its own way."""
        return {"main": frozenset()}

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Stream the solution. Raises `Unsupported` for a model whose thinking cannot be kept from it."""
        how, prompt = _prompt(problem, run.engine)
        shown = prompt.prefill if how == "answer" else ""
        run.show(shown)
        async with run.stream(prompt, "answer") as live:
            async for chunk in live:
                if not chunk.markup:
                    run.show(chunk.text, chunk.channel)
        solution = Solution.of(live.call, {"how": how})
        return replace(solution, answer=shown + solution.answer)


def _prompt(problem: Problem, engine: Engine) -> tuple[str, Prompt]:
    """Return the way that fits the engine, and the prompt."""
    think, caps, asked = engine.think, engine.caps, problem.question
    if think and Cap.PREFILL in caps:
        opening = "" if think.opened else f"{think.open.strip()}\n"
        return "prefill", Prompt.of(problem) + f"{opening}{THOUGHT_DONE.to(asked)}\n{think.close.strip()}\n\n"
    off = Thinking.off() if Cap.THINKING in caps else None
    if think and off is None:
        raise Unsupported(
            f"NoThinking cannot keep {engine.name} from thinking: it takes no half-written reply and has no switch; "
            f"reach the model through an engine that has PREFILL or THINKING"
        )
    if think:
        return "switch", Prompt.of(problem, thinking=off)
    prompt = Prompt.of(problem, ANSWER_ONLY.to(asked), off)
    # A small model reasons all the same when it is asked not to; begun with its answer, it cannot.
    return ("answer", prompt + FINAL_ANSWER.to(asked)) if Cap.PREFILL in caps else ("prompt", prompt)

"""NoThinking: hand the model a thought that is already closed, so that it writes the solution alone (2504.09858)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ponder.core.engine import Cap, Engine
from ponder.core.errors import Unsupported
from ponder.core.method import Solution
from ponder.core.problem import Problem, Prompt, Thinking
from ponder.core.run import Run
from ponder.text.prompts import ANSWER_ONLY, THOUGHT_DONE


@dataclass(frozen=True)
class NoThinking:
    """Answer without a thought, by the surest way that the engine offers; `evidence["how"]` says which one it was."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing for certain: each kind of engine has its own way."""
        return {"main": frozenset()}

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Stream the solution. Raises `Unsupported` for a model whose thinking cannot be kept from it."""
        how, prompt = _prompt(problem, run.engine)
        async with run.stream(prompt, "answer") as live:
            async for chunk in live:
                if not chunk.markup:
                    run.show(chunk.text, chunk.channel)
        return Solution.of(live.call, {"how": how})


def _prompt(problem: Problem, engine: Engine) -> tuple[str, Prompt]:
    """Return the way that fits the engine, and the prompt."""
    think, asked = engine.think, problem.question
    if think and Cap.PREFILL in engine.caps:
        opening = "" if think.opened else f"{think.open.strip()}\n"
        return "prefill", Prompt.of(problem) + f"{opening}{THOUGHT_DONE.to(asked)}\n{think.close.strip()}\n\n"
    if Cap.THINKING in engine.caps:
        return "switch", Prompt.of(problem, thinking=Thinking.off())
    if not think:
        return "prompt", Prompt.of(problem, ANSWER_ONLY.to(asked))
    raise Unsupported(
        f"NoThinking cannot keep {engine.name} from thinking: it takes no half-written reply and has no switch; "
        f"reach the model through an engine that has PREFILL or THINKING"
    )

"""What scorers of steps share: the reply as it was written, and what it was asked by."""

from __future__ import annotations

from ponder.core.engine import Engine, Think
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Call, Run
from ponder.text.prompts import STEP_BY_STEP


def asked(problem: Problem, engine: Engine) -> Prompt:
    """Return the question as `sample` and the searches ask it, so that caches know what a reply begins with."""
    return Prompt.of(problem, "" if engine.think else STEP_BY_STEP.to(problem.question))


def written(call: Call, think: Think) -> str:
    """Return a reply as it was written, think marks included.

    A reply that was joined from several calls has lost them: then they are put back as models write them.
    """
    if not (call.thinking and call.answer and think) or call.text != call.thinking + call.answer:
        return call.text
    opening = "" if think.opened else f"{think.open.strip()}\n"
    return f"{opening}{call.thinking.strip()}\n{think.close.strip()}\n\n{call.answer}"


def marks(think: Think) -> tuple[str, ...]:
    """Return the visible parts of a model's think marks."""
    return tuple(mark for mark in (think.open.strip(), think.close.strip()) if mark)


def view(run: Run, engine: str) -> Run:
    """Return the run on the engine that scores."""
    return run if engine == "main" else run.on(engine)

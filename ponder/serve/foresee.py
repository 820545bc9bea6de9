"""What a routing method would choose, found out without asking any model: the dry run of `/route`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from ponder.core.engine import Cap, Chunk, Sampling, Think
from ponder.core.errors import Unsupported
from ponder.core.method import Chooses, Method
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.methods.route.auto import Auto
from ponder.serve.fields import Json


class _Silent:
    """An engine that answers nothing, and notes that it was asked."""

    def __init__(self) -> None:
        self.name, self.caps, self.think = "dry run", frozenset(Cap), Think()
        self.asked = False

    def stream(self, prompt: Prompt, sampling: Sampling) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """Refuse."""
        self.asked = True
        raise Unsupported("a dry run asks no model")


async def foresee(method: Method, problem: Problem) -> Json:
    """Return the route of a question and what is said of it; `foreseen` is false where only a model could tell."""
    if isinstance(method, Auto):
        way = method.route(problem)
        return {"route": way.name, "route_score": None, "foreseen": True, "reason": way.reason}
    if not isinstance(method, Chooses):
        return {"route": None, "route_score": None, "foreseen": None, "reason": None}
    silent = _Silent()
    run = Run(dict.fromkeys(("main", *method.needs()), silent))
    try:
        name, evidence = await method.choose(problem, run)
    except Unsupported:
        if not silent.asked:
            raise
    if silent.asked:
        reason = "it depends on what a model says, and a dry run asks none"
        return {"route": None, "route_score": None, "foreseen": False, "reason": reason}
    return {
        "route": name,
        "route_score": evidence.get("score"),
        "foreseen": True,
        "reason": evidence.get("reason"),
    }

"""What a method is: a frozen dataclass whose fields are its whole configuration, with one `solve`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from ponder.core.config import parts
from ponder.core.engine import Cap, Engine, Logprob
from ponder.core.errors import Unsupported, nearest
from ponder.core.judge import Scorer
from ponder.core.problem import Problem, ToolCall
from ponder.core.run import Call, Run

Finish = Literal["stop", "length", "tool_calls", "exit", "deadline", "budget"]


@dataclass(frozen=True, slots=True)
class Solution:
    """What a method returns. `finish` is `exit` when the method itself ended the thought early, and `length`,
    `deadline` or `budget` when a limit cut the solution short: cut is not the same as wrong.
    """

    answer: str
    thinking: str = ""
    finish: Finish = "stop"
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[Logprob, ...] = ()
    evidence: Mapping[str, float | str] = field(default_factory=dict, hash=False)
    """Why the method decided as it did: votes, certainty, exit position."""

    @classmethod
    def of(cls, call: Call, evidence: Mapping[str, float | str] | None = None) -> Solution:
        """Return the solution that one plain call is."""
        ends: dict[str, Finish] = {
            "stop": "stop",
            "length": "length",
            "tool_calls": "tool_calls",
            "deadline": "deadline",
            "budget": "budget",
        }
        return cls(
            call.answer,
            call.thinking,
            ends.get(call.finish, "exit"),
            call.tool_calls,
            call.logprobs,
            evidence or {},
        )


@runtime_checkable
class Method(Protocol):
    """A way to answer a question. Implementations are frozen dataclasses: equal fields, equal method."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What each named engine must be able to do, inner methods and scorers included."""
        ...

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Answer one problem. Raises `EngineError` when a model fails."""
        ...


@runtime_checkable
class Chooses(Protocol):
    """A method that chooses a way before it answers, so that the choice can be told without an answer."""

    async def choose(self, problem: Problem, run: Run) -> tuple[str, Mapping[str, float | str]]:
        """Return the way for a problem, and what the solution says of the choice: `route`, the `score` that decided
        it, the `reason` in words, and `failed` where the router did. Calls of its own are billed with role `route`.
        """
        ...


def merge_needs(*needs: Mapping[str, frozenset[Cap]]) -> dict[str, frozenset[Cap]]:
    """Return the union of several `needs()`, for methods that hold others."""
    total: dict[str, frozenset[Cap]] = {}
    for part in needs:
        for name, caps in part.items():
            total[name] = total.get(name, frozenset()) | caps
    return total


@runtime_checkable
class Particular(Protocol):
    """A method, or a scorer that one holds, which needs one capability or another: `needs` can only ask for both."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What it needs in any case."""
        ...

    def refuse(self, engines: Mapping[str, Engine]) -> None:
        """Raise `Unsupported` if these engines, which have what `needs` says, will not do."""
        ...


def check(method: Method | Scorer, engines: Mapping[str, Engine]) -> None:
    """Raise `Unsupported` if an engine that a method or scorer needs is missing or cannot do what is needed."""
    who = type(method).__name__
    for name, caps in method.needs().items():
        if name not in engines:
            raise Unsupported(
                f"{who} needs an engine named {name!r}{nearest(name, engines)}; add --engine {name}=MODEL"
            )
        missing = caps - engines[name].caps
        if missing:
            listed = ", ".join(sorted(f"{cap.name} ({cap.value})" for cap in missing))
            raise Unsupported(
                f"{who} needs an engine with {listed}, and {engines[name].name} lacks it; "
                f"`ponder methods --model MODEL` shows what works on a model"
            )
    for _, part in parts(method):
        if isinstance(part, Particular) and _within(part.needs(), method.needs()):
            part.refuse(engines)


def _within(part: Mapping[str, frozenset[Cap]], whole: Mapping[str, frozenset[Cap]]) -> bool:
    """Whether a part is used: a method that has no use for it, as a vote of one sample, leaves its needs out."""
    return all(caps <= whole.get(name, frozenset()) for name, caps in part.items())

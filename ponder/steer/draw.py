"""Samples that are drawn side by side from a method, each with what a scorer wants to know of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ponder.core.engine import SamplingArgs
from ponder.core.method import Method, Solution
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.core.trace import Purse
from ponder.steer.places import plant

WARM = 0.7
"""Temperature of several samples of a greedy run: equal ones can neither vote nor be chosen among."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One sample: its number, its solution, the answer that it states, and the reply as one call."""

    index: int
    solution: Solution
    stated: str | None
    call: Call
    at: int | None = None
    """The number of that call in the trace, if it is one of those."""

    @property
    def whole(self) -> bool:
        """Whether no limit cut the sample short."""
        return self.solution.finish in ("stop", "exit", "tool_calls")


def heat(own: float, temperature: float | None, n: int) -> float:
    """Return the temperature of one of `n` samples: as given, else the run's own, unless several would be equal."""
    if temperature is not None:
        return temperature
    return own if own > 0 or n == 1 else WARM


async def draw(
    inner: Method,
    problem: Problem,
    run: Run,
    index: int,
    *,
    temperature: float | None = None,
    n: int = 2,
    asks: SamplingArgs | None = None,
    purse: Purse | None = None,
) -> Draw:
    """Let `inner` answer in the branch `index` of `run`, and note what came of it.

    `n` is how many samples there will be, `asks` what a scorer wants them to carry, `purse` what pays for this one.
    """
    branch = run.quiet(index, purse)
    warm = heat(branch.sampling.temperature, temperature, n)
    asked: SamplingArgs = {**_wider(branch.sampling.logprobs, asks or {}), "temperature": warm}
    branch.sampling = replace(branch.sampling, **asked)
    solution = await inner.solve(problem, branch)
    stated = run.extract(solution.answer)
    run.note(f"sample {index + 1} of {n}: {'no answer' if stated is None else stated}")
    call = _joined(solution, branch)
    return Draw(index, solution, stated, call, plant(run, call, fate="ended"))


def _wider(logprobs: int, asks: SamplingArgs) -> SamplingArgs:
    """Return what is asked for, and no fewer rivals than the run itself asks for."""
    return {**asks, "logprobs": max(logprobs, asks["logprobs"])} if "logprobs" in asks else asks


def _joined(solution: Solution, branch: Run) -> Call:
    """Return the sample as one call. Several calls in a row are joined: those that wrote the reply, in their order."""
    calls = _writers(solution, [call for call in branch.calls if call.role in ("think", "answer")])
    if len(calls) == 1:
        return calls[0]
    first = calls[0] if calls else Call("answer", branch.engine.name, (), 0)
    return replace(
        first,
        text=solution.thinking + solution.answer,
        thinking=solution.thinking,
        answer=solution.answer,
        think_tokens=sum(call.think_tokens for call in calls),
        answer_tokens=sum(call.answer_tokens for call in calls),
        latent=sum(call.latent for call in calls),
        token_ids=(),
        logprobs=tuple(token for call in calls for token in call.logprobs),
        hidden=tuple(block for call in calls for block in call.hidden),
    )


def _writers(solution: Solution, calls: list[Call]) -> list[Call]:
    """Return the calls that wrote a sample: the one that says all of it, or those of one branch, where it was chosen
    among several; else all.

    Calls of one branch follow each other; those of several end as the clock has it, so they are put in the order of
    their branches.
    """
    calls = sorted(calls, key=lambda call: call.branch)
    branches = [[one for one in calls if one.branch == path] for path in dict.fromkeys(call.branch for call in calls)]
    for found in (*([call] for call in calls), *branches):
        said = "".join(call.thinking for call in found), "".join(call.answer for call in found)
        if said == (solution.thinking, solution.answer):
            return found
    return calls

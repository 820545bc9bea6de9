"""What searches have in common: they rate branches, show what is sure of them, keep to a budget, and choose one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Literal

from ponder.core.engine import Chunk
from ponder.core.errors import require
from ponder.core.judge import Score, Scorer
from ponder.core.method import Finish, Solution
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.steer.branch import WHOLE, Branch, Cut, Follow, fitting
from ponder.steer.draw import Draw
from ponder.steer.elect import MOST
from ponder.steer.places import place_of
from ponder.steer.score import Steps, noted, scores, whole_score
from ponder.text.steps import plain as plain
from ponder.text.votes import classes

Choose = Literal["best", "majority"]
"""How a search answers: with the best-scored reply, or the best-scored of those that state the commonest answer."""


def check_steps(method: object, delimiter: str, step: int, depth: int) -> None:
    """Raise `OptionError` where a method asks for steps without an end, or without a token, or for none at all."""
    require(bool(delimiter), method, "delimiter", delimiter, "a text that ends a step")
    require(step >= 1, method, "step", step, "at least 1")
    require(depth >= 1, method, "depth", depth, "at least 1")


async def rate(
    scorer: Scorer, problem: Problem, branches: Sequence[Branch], run: Run, steps: Steps
) -> list[Branch] | None:
    """Return the branches with their scores; None where the run's deadline passes first.

    `run` is the view that the scorer makes calls of its own in. Raises `PonderError` if the scorer fails.
    """
    draws = [Draw(branch.slot, Solution.of(branch.call), None, branch.call, branch.at) for branch in branches]
    found = await scores(scorer, problem, draws, run)
    if found is None:
        return None
    rated = []
    for branch, draw, score in zip(branches, draws, found, strict=True):
        # What was said of the steps before is known: a scorer of the last one alone need not be asked again. A branch
        # that has a score has not grown since: its last step is scored anew, and no other one.
        before = branch.path if branch.score in (None, -inf) else branch.path[:-1]
        path = score.steps or (*before, score.value)
        value = noted(scorer, draw, whole_score(Score(score.value, path), steps), run)
        # Minus infinity is said where there is no word yet, which is no step that could be held against the next ones.
        rated.append(replace(branch, score=value, path=before if score.value == -inf else path))
    return rated


def ranked(branches: Sequence[Branch], run: Run | None = None) -> list[Branch]:
    """Return the branches, the best first; equal ones keep their order. With `run`, those that have come to an end
    without an answer are the last: however good they sound, nothing will come of them.
    """

    def standing(branch: Branch) -> tuple[bool, float]:
        lost = run is not None and branch.ended and not states(branch, run)
        return not lost, -inf if branch.score is None else branch.score

    return sorted(branches, key=standing, reverse=True)


def states(branch: Branch, run: Run) -> bool:
    """Whether a reply states an answer or calls a tool: one that has ended without either will never do so."""
    return bool(branch.call.tool_calls) or run.extract(branch.call.answer) is not None


def affordable(run: Run, branches: Sequence[Branch], slots: int, cut: Cut) -> int:
    """Return how many of `slots` branches may take a step, if one of them shall still be written to its end.

    A tree that spends its budget on many beginnings has no answer: so it grows narrow while it can still have one.
    """
    budget = run.budget
    if budget is None:
        return slots
    cut = fitting(cut, branches[0].prompt) if branches else cut
    shortest = min((branch.call.tokens for branch in branches), default=0)
    whole = max(1, run.sampling.max_tokens - shortest)
    step = whole if cut.tokens is None else min(cut.tokens, whole)
    return max(1, min(slots, 1 + (budget - whole) // step))


def spare(run: Run, prompt: Prompt, cut: Cut, answered: bool) -> int:
    """Return how many steps of a reply to `prompt` the budget pays for, beside one whole reply where none has come to
    its end yet; whole replies need no other beside them.
    """
    if run.budget is None:
        return MOST
    cut, whole = fitting(cut, prompt), max(1, run.sampling.max_tokens)
    step = whole if cut.tokens is None else min(cut.tokens, whole)
    return max(0, run.budget - (0 if answered or cut == WHOLE else whole)) // step


def within(run: Run, branches: Sequence[Branch], cut: Cut) -> list[Branch]:
    """Return the branches without the last of those that would go on, where the budget does not pay for all."""
    live = [branch for branch in branches if not branch.ended]
    dropped = {branch.slot for branch in live[affordable(run, live, len(live), cut) :]}
    return [branch for branch in branches if branch.ended or branch.slot not in dropped]


def limited(branches: Sequence[Branch]) -> Finish | None:
    """Return which limit of the run cut branches short, if one did."""
    ends = {branch.call.finish for branch in branches}
    return "deadline" if "deadline" in ends else "budget" if "budget" in ends else None


def best(branches: Sequence[Branch], run: Run, choose: Choose = "best") -> Branch:
    """Return the branch to answer with: a whole one that states an answer before one that was cut, that before one
    that states none, and an empty one last; then by score, and of equal ones the first.
    """
    stated = [run.extract(branch.call.answer) for branch in branches]

    def standing(index: int) -> tuple[bool, bool, bool, float]:
        branch, says = branches[index], stated[index] is not None or bool(branches[index].call.tool_calls)
        score = -inf if branch.score is None else branch.score
        return says, says and branch.whole, bool(branch.call.answer.strip()), score

    order = sorted(range(len(branches)), key=standing, reverse=True)
    if choose == "majority":
        voters = [index for index in order if standing(index)[:2] == standing(order[0])[:2]]
        groups = classes([stated[index] for index in voters], run.same)
        if groups:
            # Of equal groups the one with the best-scored reply: it comes first.
            order = [voters[place] for place in max(groups, key=len)]
    return branches[order[0]]


class Stage:
    """Shows what all candidates have in common: whichever of them is chosen, nothing of it is taken back."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._thinking = self._answer = 0

    def lead(self, only: Branch) -> Follow:
        """Show the only candidate that is left, and return what shows the rest of it as it comes.

        Where the client has stop strings, one may begin in this step and end in the next: then steps are shown whole.
        """
        self.commit([only])
        return _wait if self._run.sampling.stop else self._follow

    def _follow(self, chunk: Chunk) -> None:
        if chunk.markup:
            return
        self._run.show(chunk.text, chunk.channel)
        if chunk.channel == "think":
            self._thinking += len(chunk.text)
        else:
            self._answer += len(chunk.text)

    def commit(self, candidates: Sequence[Branch]) -> None:
        """Show how all candidates begin, but for what may be the beginning of a stop string."""
        thinking = _common([branch.call.thinking for branch in candidates])
        answer = _common([branch.call.answer for branch in candidates])
        whole = all(branch.call.thinking == thinking for branch in candidates)
        self._show(thinking if whole and answer else self._sure(thinking), self._sure(answer) if whole else "")

    def _sure(self, text: str) -> str:
        """Return text without an end that a stop string of the client's begins with."""
        stops = self._run.sampling.stop
        held = max((n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)
        return text[: len(text) - held]

    def close(self, chosen: Branch, evidence: Mapping[str, float | str], cut: Finish | None) -> Solution:
        """Show the rest of the chosen branch and return it as the solution; `cut` is the limit that ended all."""
        score: dict[str, float | str] = {} if chosen.score is None else {"score": chosen.score}
        solution = Solution.of(chosen.call, {**score, **evidence})
        place_of(self._run, chosen.at).fate = "chosen"
        self._show(solution.thinking, solution.answer)
        return replace(solution, finish=cut or solution.finish)

    def _show(self, thinking: str, answer: str) -> None:
        self._run.show(thinking[self._thinking :], "think")
        self._run.show(answer[self._answer :])
        self._thinking, self._answer = max(self._thinking, len(thinking)), max(self._answer, len(answer))


def _wait(chunk: Chunk) -> None:
    """Show nothing yet."""


def _common(texts: Sequence[str]) -> str:
    """Return how all texts begin."""
    first, last = min(texts), max(texts)
    return first[: next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]

"""Asking for a kind of thinking: by the server's own switch where it has one, else by marks written into the reply."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ponder.core.engine import Cap, Engine
from ponder.core.errors import Unsupported
from ponder.core.method import Solution
from ponder.core.problem import Problem, Prompt, Thinking
from ponder.core.run import Run
from ponder.steer.thought import FULL, NATURAL, PAUSED, Thought, can_close, can_end, shut
from ponder.text.loops import Loops
from ponder.text.prompts import THOUGHT_CUT


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a reply."""

    thinking: Thinking | None = None
    """The kind of thinking; None leaves it to the model."""
    bound: int | None = None
    """The most tokens that the thought may take, with a budget or beside an effort."""
    loops: bool = False
    """End a thought that repeats itself."""
    answers: bool = False
    """End an answer that repeats itself."""
    must: bool = True
    """Refuse the question where this thinking cannot be had; else it is left to the model, and `refused` says why."""
    sentence: bool = False
    """Let a thought that is cut end with a sentence that says so, as some models are trained to read it."""


class LoopWatch:
    """Ends what it is told with `loop` once it repeats itself; `repeated` is how many characters say nothing new."""

    def __init__(self) -> None:
        self._loops = Loops()
        self._seen = 0

    def __call__(self, text: str) -> str | None:
        """Take more text; return `loop` or None."""
        self._seen += len(text)
        return "loop" if self._loops.feed(text) else None

    @property
    def repeated(self) -> int:
        """The length of the repetition so far, 0 where there is none."""
        found = self._loops.found
        return self._seen - found.start if found else 0


async def ask(problem: Problem, run: Run, wish: Wish) -> Solution:
    """Answer `problem` as it is wished.

    The evidence says how the thought ended (`exit`), who keeps it to the wish (`enforced_by`), the tokens that were
    allowed (`budget`) and those of thinking inside the answer (`escaped`). Raises `Unsupported`, before the first
    token, where the model thinks and nothing can be done about it.
    """
    engine, prompt, thinking = run.engine, Prompt.of(problem), wish.thinking
    if thinking is None:
        return await _steer(_thought(run, prompt, wish), problem, wish, "none")
    refused: Unsupported | None = None
    if Cap.THINKING in engine.caps:
        thought = _thought(run, Prompt.of(problem, thinking=thinking), wish)
        try:
            return await _steer(thought, problem, wish, "server")
        except Unsupported as error:
            if thought.spent:
                raise
            # A server may learn from its first refusal that its model does not think at all.
            refused = error if Cap.THINKING in engine.caps or engine.think else None
    if can_close(engine, prompt):
        begun, way = _written(engine, problem, thinking)
        return await _steer(_thought(run, begun, wish), problem, wish, way)
    if refused is None and engine.think and thinking.mode != "on":
        refused = Unsupported(
            f"{engine.name} thinks, and nothing can bound it: it has no switch for thinking, and takes no half-written "
            f"reply to this question; reach the model through an engine that has THINKING or PREFILL, or leave out "
            f"tools and pictures"
        )
    if refused is not None and wish.must:
        raise refused
    solution = await _steer(_thought(run, prompt, wish), problem, replace(wish, bound=None), "none")
    return replace(solution, evidence={**solution.evidence, "refused": str(refused)}) if refused else solution


def can_bound(engine: Engine, problem: Problem) -> bool:
    """Say whether `ask` has a way to keep the model from thinking at length."""
    return can_end(engine, Prompt.of(problem)) or not engine.think


def _thought(run: Run, prompt: Prompt, wish: Wish) -> Thought:
    asked = prompt.thinking
    told = wish.bound if asked is not None and asked.mode in ("budget", "effort") else None
    return Thought(run, prompt, told, LoopWatch() if wish.answers else None)


def _written(engine: Engine, problem: Problem, thinking: Thinking) -> tuple[Prompt, str]:
    """Return a prompt whose reply is begun such that the model thinks as it is asked to, and the name of that way."""
    marks = engine.think
    if thinking.mode == "off":
        return Prompt.of(problem) + shut(marks), "prefill"
    prompt = Prompt.of(problem, thinking=Thinking.on() if Cap.THINKING in engine.caps else None)
    opening = "" if marks.opened or not marks.open else f"{marks.open.strip()}\n"
    # The mark may be several tokens, which are no part of a budget, and a budget is for a thought that takes place.
    return prompt + opening, "prefill" if opening or thinking.mode != "on" else "none"


async def _steer(thought: Thought, problem: Problem, wish: Wish, way: str) -> Solution:
    """Think, end the thought where it has to end, and answer."""
    watch = LoopWatch() if wish.loops else None
    reason = await thought.think(None if thought.told is not None else wish.bound, watch)
    by_hand = not (thought.closed or thought.over)
    if watch:
        thought.drop(watch.repeated)
    bridge = "\n\n" + THOUGHT_CUT.to(problem.question) if wish.sentence and reason != NATURAL else ""
    await thought.answer("budget" if reason == PAUSED else reason, bridge)
    if by_hand and thought.closable and reason in (PAUSED, FULL):
        way = "prefill"
    evidence: dict[str, float | str] = {"enforced_by": way}
    if wish.bound is not None:
        evidence["budget"] = wish.bound
    return thought.solution(evidence)

"""What any scorer says of steps: it is asked about a reply as far as it was written behind each of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

from ponder.core.engine import Engine
from ponder.core.errors import DataError, OptionError
from ponder.core.gather import gather
from ponder.core.judge import Scorer
from ponder.core.run import Call, Run
from ponder.text.think import split
from ponder.train.prm.head import Cost, Measured, measure, used
from ponder.train.prm.questions import Question
from ponder.train.prm.rows import Reply, Step

Progress = Callable[[int, int], None]


async def judge(
    scorer: Scorer,
    engines: Mapping[str, Engine],
    questions: Mapping[str, Question],
    replies: Sequence[Reply],
    outcome: bool,
    seed: int,
    progress: Progress,
) -> tuple[Measured, Cost]:
    """Measure a scorer on the steps of replies. Raises `OptionError` for one that reads how replies were sampled,
    and `DataError` where it gives a step no score, or one that is not in 0 to 1.
    """
    if scorer.asks():
        raise OptionError(
            f"{type(scorer).__name__} scores by what replies were sampled with, which files do not keep; judge with "
            f"prm, prm_head or verifier_prompt:so_far=true"
        )
    found: list[tuple[Reply, Step, int]] = []
    scores: list[float] = []
    calls = positions = 0
    began = time.monotonic()
    for done, reply in enumerate(replies, 1):
        run = Run(engines)
        steps = used(reply, outcome)
        if not steps:
            continue
        problem = questions[reply.key].item.problem
        begun = [_call(reply.text[: step.end], run) for _, step in steps]
        # The last one first: what it leaves in the cache serves the others.
        jobs = (scorer.score(problem, [call], run.quiet(place)) for place, call in enumerate(begun[:-1]))
        last = await scorer.score(problem, begun[-1:], run.quiet(len(begun)))
        given = [*(one[0] for one in await gather(jobs)), *last]
        if any(not math.isfinite(score.value) for score in given):
            raise DataError(f"{type(scorer).__name__} gives a step of {reply.key} no score; choose another scorer")
        beyond = next((score.value for score in given if not 0 <= score.value <= 1), None)
        if beyond is not None:
            raise DataError(
                f"{type(scorer).__name__} scores a step of {reply.key} {beyond:g}; what a step is worth is 0 to 1: "
                f"choose a scorer of that range"
            )
        found += [(reply, step, place) for place, step in steps]
        scores += [score.value for score in given]
        calls += len(run.trace.calls)
        positions += run.trace.prompt_tokens - run.trace.cached_tokens
        progress(done, len(replies))
    if not found:
        raise DataError("no step is left to measure with; raise --questions or --max-tokens")
    return measure(found, scores, seed), Cost(calls, positions, time.monotonic() - began)


def _call(text: str, run: Run) -> Call:
    """Return a reply so far as a scorer sees it in a search."""
    think = run.engine.think
    thinking, answer = split(text, think.open, think.close, think.opened) if think else ("", text)
    return Call("think", run.engine.name, (), 0, text, thinking, answer)

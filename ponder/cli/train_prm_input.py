"""What `ponder train prm` learns from: replies of a model with their steps labelled, and the states behind these."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ponder.cli.counted import counted
from ponder.cli.engines import EngineArgs
from ponder.cli.output import console
from ponder.core.engine import Cap, Engine
from ponder.core.errors import Unsupported
from ponder.core.gather import gather
from ponder.scorers.stepwise import marks
from ponder.train.prm.draw import Drawer, Drawing
from ponder.train.prm.head import Cost, Seen, look
from ponder.train.prm.questions import Question
from ponder.train.prm.rows import Kept, Reply
from ponder.verify import VerifierPool


@dataclass(frozen=True, slots=True)
class Found:
    """Labelled replies of `model`, whose think marks are `marks`; with the states behind their steps, if asked for."""

    model: str
    tasks: list[str]
    marks: tuple[str, ...]
    replies: list[Reply]
    seen: list[Seen]
    cost: Cost


@dataclass(frozen=True, slots=True)
class Looking:
    """Whose states are read: those of which layer, behind steps or behind whole replies."""

    layer: int
    outcome: bool


async def collect(
    questions: Sequence[Question],
    models: EngineArgs,
    drawing: Drawing,
    file: Path,
    looking: Looking | None,
    concurrency: int | None,
) -> Found:
    """Draw what the file does not hold yet, label it, keep it, and read states where a head wants them.

    Raises `Unsupported` for a model that cannot do what is asked of it.
    """
    async with models.open() as (engines, main):
        console(stderr=True).print(main.notice, style="dim", markup=False)
        engine = engines["main"]
        refuse(engine, drawing, looking is not None)
        gate = asyncio.Semaphore(concurrency or main.concurrency)
        replies = await _drawn(questions, engine, drawing, file, gate)
        seen, cost = list[Seen](), Cost(0, 0, 0.0)
        if looking is not None:
            with counted("states") as progress:
                known = {question.key: question for question in questions}
                seen, cost = await look(engine, known, replies, looking.layer, looking.outcome, progress)
        tasks = list(dict.fromkeys(question.task for question in questions))
        return Found(engine.name, tasks, marks(engine.think), replies, seen, cost)


def refuse(engine: Engine, drawing: Drawing, head: bool) -> None:
    """Raise `Unsupported` for a model that shows no states, or goes on with no half-written reply."""
    if head and not {Cap.HIDDEN, Cap.PREFILL} <= engine.caps:
        raise Unsupported(
            f"a head reads hidden states, and {engine.name} shows none; give the model as a transformers folder, "
            "which runs in this process, or take --form tokens"
        )
    if drawing.labels == "rollouts" and Cap.PREFILL not in engine.caps:
        raise Unsupported(
            f"{engine.name} goes on with no half-written reply, which --labels rollouts needs; take another model"
        )


async def _drawn(
    questions: Sequence[Question], engine: Engine, drawing: Drawing, file: Path, gate: asyncio.Semaphore
) -> list[Reply]:
    """Return all replies, those of the file among them, in the order of questions and samples."""
    wanted = [(one, sample) for one in questions for sample in range(-drawing.chains, drawing.samples)]
    kept = Kept(file, _facts(engine, drawing))
    try:
        with counted("replies") as progress:
            async with VerifierPool() as pool:
                drawer = Drawer(engine, drawing, pool)

                async def one(question: Question, sample: int) -> None:
                    async with gate:
                        kept.add(await drawer.reply(question, sample))
                        progress(len(kept.rows), len(wanted))

                await gather(one(*each) for each in wanted if (each[0].key, each[1]) not in kept.rows)
    finally:
        kept.close()
    return [kept.rows[question.key, sample] for question, sample in wanted]


def _facts(engine: Engine, drawing: Drawing) -> Mapping[str, object]:
    """Return what decides a reply and its labels; how many there are does not."""
    facts = {"model": engine.name, **asdict(drawing)}
    for name in ("samples", "chains", *(("rollouts", "hard") if drawing.labels == "lab" else ())):
        del facts[name]
    return facts

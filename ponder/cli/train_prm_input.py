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
from ponder.core.judge import Scorer
from ponder.core.method import check
from ponder.methods.vote.best_of_n import BestOfN
from ponder.scorers.stepwise import marks
from ponder.train.prm.draw import Drawer, Drawing, refuse_unknown
from ponder.train.prm.head import Cost, Measured, Seen, look, parted
from ponder.train.prm.judge import judge
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
    held: frozenset[str]
    seen: list[Seen]
    cost: Cost
    judged: tuple[Measured, Cost] | None


@dataclass(frozen=True, slots=True)
class Looking:
    """What replies are looked at for: behind steps or behind whole replies.

    The states of `layer`, where it is given, and what `scorer` says of the questions that are held out.
    """

    outcome: bool
    share: float
    layer: int | None = None
    scorer: Scorer | None = None


async def collect(
    questions: Sequence[Question],
    models: EngineArgs,
    drawing: Drawing,
    file: Path,
    looking: Looking,
    concurrency: int | None,
) -> Found:
    """Draw and label what the file does not hold yet, read states where a head wants them, and let a scorer judge.

    Raises `DataError` for labels that a task does not have, and `Unsupported` for a model that cannot do what is asked.
    """
    refuse_unknown(questions, drawing.labels, chains=drawing.chains > 0)
    async with models.open() as (engines, main):
        console(stderr=True).print(main.notice, style="dim", markup=False)
        engine = engines["main"]
        refuse(engine, drawing, looking.layer is not None)
        if looking.scorer is not None:
            check(BestOfN(scorer=looking.scorer), engines)
        gate = asyncio.Semaphore(concurrency or main.concurrency)
        replies = await _drawn(questions, engine, drawing, file, gate)
        held = parted((reply.key for reply in replies), looking.share, drawing.seed)
        known, seen, cost = {question.key: question for question in questions}, list[Seen](), Cost(0, 0, 0.0)
        if looking.layer is not None:
            with counted("states") as progress:
                seen, cost = await look(engine, known, replies, looking.layer, looking.outcome, progress)
        judged = None
        if looking.scorer is not None:
            fresh = [reply for reply in replies if reply.key in held and reply.sample >= 0]
            with counted("judged") as progress:
                judged = await judge(looking.scorer, engines, known, fresh, looking.outcome, drawing.seed, progress)
        tasks = list(dict.fromkeys(question.task for question in questions))
        return Found(engine.name, tasks, marks(engine.think), replies, held, seen, cost, judged)


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

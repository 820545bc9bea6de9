"""Draws replies of a model and labels their steps: exactly in the lab, elsewhere by completions (2312.08935)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ponder.core.engine import Engine, Logprob, Sampling
from ponder.core.errors import DataError
from ponder.core.gather import gather
from ponder.core.problem import Prompt
from ponder.core.run import Call, Run
from ponder.scorers.stepwise import asked, marks
from ponder.text.steps import step_ends
from ponder.text.think import split
from ponder.train.lab.labels import label_steps
from ponder.train.lab.thought import Overthinking
from ponder.train.prm.questions import Question
from ponder.train.prm.rows import Reply, Step
from ponder.verify import VerifierPool

Labels = Literal["lab", "rollouts"]


@dataclass(frozen=True, slots=True)
class Drawing:
    """How replies are drawn and labelled.

    `samples` replies are drawn of a question, and `chains` of the lab's own are made for it. `rollouts` is how many
    completions are drawn from each step; `hard` gives a step 1 if any of them is right, else its value is the share
    that is.
    """

    labels: Labels = "lab"
    samples: int = 4
    chains: int = 0
    temperature: float = 1.0
    max_tokens: int = 512
    delimiter: str = "\n"
    rollouts: int = 8
    hard: bool = False
    seed: int = 1


def refuse_unknown(questions: Sequence[Question], labels: Labels, chains: bool) -> None:
    """Raise `DataError` where exact labels, or chains of the lab's own, are asked of a task outside the lab."""
    for question in questions:
        if chains and question.puzzle is None:
            raise DataError(f"{question.task} is no task of the lab: no chains can be made for it; leave out --chains")
        if labels == "lab" and question.puzzle is None:
            raise DataError(
                f"{question.task} is no task of the lab, whose steps alone are known; take --labels rollouts"
            )


class Drawer:
    """Draws and labels replies of one model."""

    def __init__(self, engine: Engine, drawing: Drawing, pool: VerifierPool) -> None:
        self._engine, self._how, self._pool = engine, drawing, pool
        self._marks = marks(engine.think)

    async def reply(self, question: Question, sample: int) -> Reply:
        """Return one reply with its steps; of a cut one the last step is left out, which may be half of one."""
        refuse_unknown([question], self._how.labels, chains=sample < 0)
        if sample < 0:
            return self._made(question, sample)
        run = self._run(question).quiet(sample)
        call = await run.generate(asked(question.item.problem, self._engine), logprobs=1)
        verdict = await self._pool.judge(question.verifier, call.answer, question.item.reference)
        correct = verdict.correct if call.finish == "stop" else None
        ends = step_ends(call.text, self._how.delimiter, self._marks)
        if call.finish != "stop":
            ends = ends[:-1]
        if self._how.labels == "lab":
            steps = self._exact(question, call.text)[: len(ends)]
        else:
            steps = await self._rolled(question, call.text, ends, correct, run)
        sure = [step._replace(logprob=mean) for step, mean in zip(steps, _means(call, steps), strict=True)]
        spent = run.trace.tokens - call.tokens
        return Reply(question.key, sample, call.text, correct, call.tokens, spent, tuple(sure))

    def _run(self, question: Question) -> Run:
        how, verifier = self._how, question.verifier
        sampling = Sampling(max_tokens=how.max_tokens, temperature=how.temperature)
        return Run(self._engine, sampling=sampling, seed=how.seed, extract=verifier.extract, same=verifier.same)

    def _exact(self, question: Question, text: str) -> list[Step]:
        assert question.chain is not None
        found = label_steps(question.chain, text, self._engine.think)
        return [Step(label.end, float(label.sound), label.kind) for label in found]

    async def _rolled(
        self, question: Question, text: str, ends: Sequence[int], correct: bool | None, run: Run
    ) -> list[Step]:
        """Return the value of each step by its completions; that of the last step of a whole reply is its verdict."""
        judged = correct is not None and bool(ends)  # A reply without a word has no step.
        inner = ends[:-1] if judged else ends
        values = await gather(self._value(question, text[:end], run.quiet(end)) for end in inner)
        steps = [Step(end, value) for end, value in zip(inner, values, strict=True) if value is not None]
        return [*steps, Step(ends[-1], float(bool(correct)))] if judged else steps

    async def _value(self, question: Question, begun: str, run: Run) -> float | None:
        """Return how many completions are right: the share, or whether any is. None where none could be judged."""
        prompt = asked(question.item.problem, self._engine) + begun
        jobs = (self._right(question, begun, prompt, run.quiet(index)) for index in range(self._how.rollouts))
        known = [right for right in await gather(jobs) if right is not None]
        if not known:
            return None
        return float(any(known)) if self._how.hard else sum(known) / len(known)

    async def _right(self, question: Question, begun: str, prompt: Prompt, run: Run) -> bool | None:
        """Say whether a completion is right; one that a limit cuts has come to no answer, and is not."""
        call = await run.generate(prompt)
        if call.finish != "stop":
            return False
        think = self._engine.think
        answer = split(begun + call.text, think.open, think.close, think.opened)[1] if think else begun + call.text
        return (await self._pool.judge(question.verifier, answer, question.item.reference)).correct

    def _made(self, question: Question, sample: int) -> Reply:
        """Return a chain of the lab's own: in turn one that overdoes it, and one that ends in a slip somewhere."""
        puzzle = question.puzzle
        assert puzzle is not None
        number = -1 - sample
        if number % 2 == 0:
            text = Overthinking(2.0, 0.5).think(puzzle, number).reply(puzzle.answer)
        else:
            text = "<think>\n" + Overthinking(1.0, 0.5).derailed(puzzle, number)
        steps = tuple(self._exact(question, text))
        return Reply(question.key, sample, text, True if number % 2 == 0 else None, 0, 0, steps)


def _means(call: Call, steps: Sequence[Step]) -> list[float | None]:
    """Return the mean log-probability of each step's tokens; None where the tokens do not spell the reply."""
    if not "".join(token.token for token in call.logprobs).startswith(call.text):
        return [None] * len(steps)
    places: list[tuple[int, Logprob]] = []
    at = 0
    for token in call.logprobs:
        places.append((at, token))
        at += len(token.token)
    means: list[float | None] = []
    start = 0
    for step in steps:
        inside = [token.logprob for place, token in places if start <= place < step.end]
        means.append(sum(inside) / len(inside) if inside else None)
        start = step.end
    return means

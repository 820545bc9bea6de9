"""What recorded replies state and whether they are right: as their source says, or as our verifiers judge."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ponder.bench.recorded import RecordedProblem, RecordedSample
from ponder.core.errors import OptionError, nearest
from ponder.core.judge import Reference, Verifier
from ponder.text.think import split
from ponder.verify import Base, Boxed, Choice, Exact, Math, Number, VerifierPool, YesNo

Grading = Literal["recorded", "ponder"]

OPEN, CLOSE = "<think>", "</think>"
_TAGGED = re.compile(r"<answer>\s*(.*?)\s*(?:</answer>|\Z)", re.DOTALL)


VERIFIERS: Mapping[str, type[Base]] = {
    "math": Math,
    "number": Number,
    "choice": Choice,
    "yes_no": YesNo,
    "exact": Exact,
    "boxed": Boxed,
}


def name_of(verifier: Verifier) -> str:
    """Return the name of a verifier."""
    return next((name for name, cls in VERIFIERS.items() if type(verifier) is cls), type(verifier).__name__)


def verifier_of(name: str) -> Verifier:
    """Return the verifier of a name. Raises `OptionError` if there is none."""
    if name not in VERIFIERS:
        raise OptionError(f"there is no verifier {name!r}{nearest(name, VERIFIERS)}; there are {', '.join(VERIFIERS)}")
    return VERIFIERS[name]()


class Reply(NamedTuple):
    """One recorded sample, read: the text of its answer, the answer that it states, and whether that is right.

    `cut` says that the reply never came to its end, `inside` that its answer was read in a thought that is not closed.
    The tokens are split where the thought is closed.
    """

    sample: RecordedSample
    answer: str
    stated: str | None
    correct: bool | None
    by_source: bool
    cut: bool
    opened: bool
    inside: bool
    think_tokens: int
    answer_tokens: int


@dataclass(slots=True)
class GradedProblem:
    """A problem with its replies read. It also reads and compares answers for methods that vote."""

    problem: RecordedProblem
    replies: list[Reply]
    verifier: Verifier
    by_prediction: bool
    """Whether answers are the source's predictions, so that equal ones are equal texts."""
    _by_answer: dict[str, Reply] = field(init=False, default_factory=dict)
    _same: dict[tuple[str, str], bool] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for reply in self.replies:
            self._by_answer.setdefault(reply.answer, reply)

    def extract(self, answer: str) -> str | None:
        """Return the answer that a reply states: the recorded one if the reply is recorded."""
        reply = self._by_answer.get(answer)
        return reply.stated if reply is not None else self.verifier.extract(answer)

    def same(self, a: str, b: str) -> bool:
        """Say whether two stated answers are equal."""
        if a == b or self.by_prediction:
            return a == b
        known = self._same.get((a, b))
        if known is None:
            known = self._same[a, b] = self.verifier.same(a, b)
        return known

    async def judge(self, answer: str, pool: VerifierPool) -> bool | None:
        """Say whether what a method answered is right: as the reply that it is, or that states the same."""
        if self.problem.answer is None:
            return None
        reply = self._by_answer.get(answer)
        if reply is not None:
            return reply.correct
        stated = self.verifier.extract(answer)
        for reply in self.replies:
            if stated is not None and reply.stated is not None and self.same(stated, reply.stated):
                return reply.correct
        return (await pool.judge(self.verifier, answer, Reference(self.problem.answer))).correct


class Disagreement(NamedTuple):
    """A sample that the source and our verifier grade differently."""

    id: str
    sample: int
    recorded: bool
    ours: bool | None
    extracted: str | None
    gold: str


class Grader:
    """Reads and judges the samples of a file in one way.

    Without a verifier, `ponder` takes `Math`. So does `recorded` for what the source did not grade, unless its replies
    use boxes: then `Boxed`, as sources of such traces do, which reads a box inside an unfinished thought, too.
    """

    def __init__(self, grading: Grading, verifier: Verifier | None, pool: VerifierPool) -> None:
        self.grading = grading
        self.verifier: Verifier = verifier or Math()
        self._open = verifier is None and grading == "recorded"
        self._pool = pool
        self.by_source = self.by_ponder = self.unknown = 0

    def look(self, problems: Sequence[RecordedProblem]) -> None:
        """Choose the verifier by the first problems of a file, where none was given."""
        if self._open and any("\\boxed" in sample.text for problem in problems for sample in problem.samples):
            self.verifier = Boxed()

    async def grade(self, problem: RecordedProblem) -> GradedProblem:
        """Read and judge every sample of a problem."""
        predicted = self.grading == "recorded" and all(sample.predicted for sample in problem.samples)
        replies = [self._read(problem, sample) for sample in problem.samples]
        if problem.answer is not None:
            replies = await self._judged(problem, replies)
        self._count(replies)
        return GradedProblem(problem, replies, self.verifier, predicted)

    def _read(self, problem: RecordedProblem, sample: RecordedSample) -> Reply:
        thought, answer, cut, opened = split_reply(sample)
        recorded = self.grading == "recorded"
        if recorded and sample.predicted:
            stated = sample.prediction
        else:
            stated = self.verifier.extract(self._judged_text(sample, answer))
        inside = stated is not None and not answer.strip()
        by_source = recorded and sample.correct is not None and problem.answer is not None
        share = thought / len(sample.text) if sample.text else 0.0
        think_tokens = round(sample.tokens * share)
        return Reply(
            sample,
            stated if inside and stated is not None else answer,
            stated,
            sample.correct if by_source else None,
            by_source,
            cut,
            opened,
            inside,
            think_tokens,
            sample.tokens - think_tokens,
        )

    async def _judged(self, problem: RecordedProblem, replies: list[Reply]) -> list[Reply]:
        """Return the replies with verdicts of ours where the source gave none; equal answers are judged once."""
        open_ = {reply.stated: reply for reply in replies if not reply.by_source}
        if not open_:
            return replies
        gold = Reference(problem.answer or "")
        verdicts = dict(
            zip(open_, await asyncio.gather(*(self._verdict(reply, gold) for reply in open_.values())), strict=True)
        )
        return [reply if reply.by_source else reply._replace(correct=verdicts[reply.stated]) for reply in replies]

    async def _verdict(self, reply: Reply, gold: Reference) -> bool | None:
        if reply.stated is None:
            return False
        if self.grading == "recorded" and reply.sample.predicted:
            text = f"\\boxed{{{reply.stated}}}"
        else:
            text = self._judged_text(reply.sample, reply.answer)
        return (await self._pool.judge(self.verifier, text, gold)).correct

    def _judged_text(self, sample: RecordedSample, answer: str) -> str:
        """Return the part of a reply that the verifier reads: what stands in `<answer>` tags, where they are used."""
        if isinstance(self.verifier, Boxed):
            return sample.text
        tagged = _TAGGED.findall(answer) if "<answer>" in answer else []
        return str(tagged[-1]) if tagged else answer

    def _count(self, replies: list[Reply]) -> None:
        sourced = sum(reply.by_source for reply in replies)
        unknown = sum(reply.correct is None for reply in replies)
        self.by_source += sourced
        self.unknown += unknown
        self.by_ponder += len(replies) - sourced - unknown


def split_reply(sample: RecordedSample) -> tuple[int, str, bool, bool]:
    """Return how many characters of a reply are its thought, the text behind it, whether it was cut, and whether it
    begins inside the thought.
    """
    text = sample.text
    end, begins = text.find(CLOSE), text.find(OPEN)
    if end >= 0:
        opened = begins < 0 or begins > end
        if begins > 0 or text.find(OPEN, end) >= 0:
            _, answer = split(text, OPEN, CLOSE, opened)
        else:
            answer = text[end + len(CLOSE) :].lstrip()
        return len(text) - len(answer), answer, sample.closed_thinking is False, opened
    if begins >= 0:
        return len(text) - begins, text[:begins], sample.closed_thinking is not True, False
    if sample.closed_thinking is False:
        return len(text), "", True, True
    return 0, text, False, False

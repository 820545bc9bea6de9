"""Recorded thoughts with their probes in arrays, so that every rule that stops a thought can be tried at once."""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple, cast

from ponder.bench.graded import CLOSE, OPEN, GradedProblem, Reply
from ponder.bench.recorded import RecordedSample
from ponder.core.engine import Chunk
from ponder.core.errors import DataError, nearest
from ponder.engines.along import Thought
from ponder.text.certainty import HESITATION, says
from ponder.text.turns import TURNS
from ponder.verify import VerifierPool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Whole = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

_TURN = re.compile("|".join((r"(?<![A-Za-z])" if turn.isascii() else "") + re.escape(turn) for turn in TURNS))


class Asked(NamedTuple):
    """A probe: `kind` numbers the answers of its question, -1 for none; `right` is NaN where it cannot be told.

    `hesitant` says that it says so itself, `empty` that it says nothing.
    """

    at: int
    kind: int
    p: float
    tokens: int
    right: float
    hesitant: bool
    empty: bool = False


class Line(NamedTuple):
    """A recorded thought. Tokens are of the reply, from its beginning.

    `end` is where its thought ends, `inside` says that it was cut before that. `turns` are the places before and behind
    each word at which a thought turns.
    """

    question: str
    tokens: int
    end: int
    right: float
    cut: bool
    inside: bool
    exact: bool
    exit: int | None
    probes: tuple[Asked, ...]
    turns: tuple[tuple[int, int], ...]


class Thoughts:
    """All thoughts of a file, a row each; the columns of probes are filled up behind the last one of a row."""

    def __init__(self, lines: Sequence[Line]) -> None:
        import numpy as np

        self.lines = lines
        self.tokens: Whole = np.array([line.tokens for line in lines], dtype=np.int64)
        self.end: Whole = np.array([line.end for line in lines], dtype=np.int64)
        self.right: Floats = np.array([line.right for line in lines], dtype=np.float64)
        self.cut: Mask = np.array([line.cut for line in lines], dtype=np.bool_)
        self.inside: Mask = np.array([line.inside for line in lines], dtype=np.bool_)
        shape = (len(lines), max((len(line.probes) for line in lines), default=0))
        self.kind: Whole = np.full(shape, -1, dtype=np.int64)
        self.sure: Floats = np.zeros(shape)
        self.cost: Whole = np.zeros(shape, dtype=np.int64)
        self.answers: Floats = np.full(shape, np.nan)
        self.hesitant: Mask = np.zeros(shape, dtype=np.bool_)
        self.empty: Mask = np.zeros(shape, dtype=np.bool_)
        for row, line in enumerate(lines):
            here = slice(0, len(line.probes))
            self.kind[row, here] = [probe.kind for probe in line.probes]
            self.sure[row, here] = [probe.p for probe in line.probes]
            self.cost[row, here] = [probe.tokens for probe in line.probes]
            self.answers[row, here] = [probe.right for probe in line.probes]
            self.hesitant[row, here] = [probe.hesitant for probe in line.probes]
            self.empty[row, here] = [probe.empty for probe in line.probes]

    def __len__(self) -> int:
        return len(self.lines)

    def before(self, places: Whole) -> Whole:
        """Return, for places of shape (rows, any), the number of the last probe at or before each; -1 where none is."""
        import numpy as np

        found = np.empty(places.shape, dtype=np.int64)
        for row, line in enumerate(self.lines):
            found[row] = np.searchsorted([probe.at for probe in line.probes], places[row], side="right") - 1
        return found


def probes_of(sample: RecordedSample, name: str | None, where: str) -> list[Mapping[str, object]]:
    """Return the probes of a sample as they were recorded: the first text's, or those of the text `name`.

    Raises `DataError` where the file has no such text.
    """
    if name is None:
        return cast(list[Mapping[str, object]], sample.fields.get("probes") or [])
    by = sample.fields.get("probes_by")
    known = by if isinstance(by, dict) else {}
    if name not in known:
        listed = ", ".join(known) or "only those of one text"
        raise DataError(f"{where} has no probes {name!r}{nearest(name, known)}; it has {listed}")
    found = cast(list[Mapping[str, object]], known[name])
    for index, (a, b) in enumerate(pairwise(probe["at"] for probe in found), 1):
        if cast(int, a) >= cast(int, b):
            raise DataError(
                f"{where}: probe {index} of {name!r}: at = {b} must be greater than that of the probe before, {a}"
            )
    return found


def pieces_of(sample: RecordedSample) -> tuple[Chunk, ...]:
    """Return the text in its tokens: where they were recorded, else spread evenly, as `Along` has them."""
    sizes = sample.fields.get("pieces")
    if isinstance(sizes, list) and sum(sizes) == len(sample.text) and len(sizes) == sample.tokens:
        ends = [0, *accumulate(sizes)]
        return tuple(Chunk(sample.text[a:b]) for a, b in pairwise(ends))
    return Thought.of_text(sample.text, sample.tokens).pieces


class Kinds:
    """Numbers the answers of one question, equal ones alike, as its verifier reads and compares them; -1 is none."""

    def __init__(self, graded: GradedProblem) -> None:
        self._graded = graded
        self._stated: list[str] = []
        self._known: dict[str, int] = {"": -1}

    def __call__(self, answer: str) -> int:
        """Return the number of an answer as it stands in a box."""
        if answer not in self._known:
            self._known[answer] = self._number(self._graded.extract(f"\\boxed{{{answer}}}"))
        return self._known[answer]

    def _number(self, stated: str | None) -> int:
        if not stated:
            return -1
        for number, known in enumerate(self._stated):
            if known == stated or self._graded.same(known, stated):
                return number
        self._stated.append(stated)
        return len(self._stated) - 1


async def read_lines(graded: GradedProblem, name: str | None, pool: VerifierPool) -> list[Line]:
    """Return the replies of a graded problem; probes are judged as the source did, else by the verifier."""
    kinds = Kinds(graded)
    return [await _line(graded, reply, number, name, kinds, pool) for number, reply in enumerate(graded.replies)]


async def _line(
    graded: GradedProblem, reply: Reply, number: int, name: str | None, kinds: Kinds, pool: VerifierPool
) -> Line:
    sample, problem = reply.sample, graded.problem
    where = f"problem {problem.id!r}, sample {number}"
    raw = probes_of(sample, name, where)
    pieces = pieces_of(sample)
    ends, sums = list(accumulate(len(piece.text) for piece in pieces)), [0, *accumulate(p.tokens for p in pieces)]
    begin, closed = _thought(sample.text, reply)
    turns = [
        (sums[bisect_right(ends, match.start())], sums[bisect_left(ends, match.end()) + 1])
        for match in _TURN.finditer(sample.text, begin, closed)
    ]
    exit = sample.fields.get("exit")
    return Line(
        problem.id,
        sample.tokens,
        sums[bisect_right(ends, closed)],
        math.nan if reply.correct is None else float(reply.correct),
        reply.cut,
        reply.cut and closed == len(sample.text),
        sample.exact,
        exit if isinstance(exit, int) else None,
        tuple([await _asked(graded, probe, kinds, pool) for probe in raw]),
        tuple(turns),
    )


def _thought(text: str, reply: Reply) -> tuple[int, int]:
    """Return the characters at which a thought begins and ends; the whole reply, if nothing marks one."""
    close, begin = text.find(CLOSE), text.find(OPEN)
    return (begin + len(OPEN) if begin >= 0 else 0), (close if close >= 0 else len(text))


async def _asked(graded: GradedProblem, probe: Mapping[str, object], kinds: Kinds, pool: VerifierPool) -> Asked:
    answer, p, right = str(probe.get("answer") or ""), probe.get("p"), probe.get("correct")
    if not isinstance(right, bool):
        right = await graded.judge(f"\\boxed{{{answer}}}", pool) if answer else False
    unknown = right is None or graded.problem.answer is None
    # What an engine makes of p: it speaks in logarithms.
    sure = math.exp(math.log(p)) if isinstance(p, int | float) and p > 0 and answer else 0.0
    return Asked(
        cast(int, probe["at"]),
        kinds(answer),
        sure,
        cast(int, probe.get("tokens", 1)),
        math.nan if unknown else float(bool(right)),
        says(answer, HESITATION),
        not answer,
    )

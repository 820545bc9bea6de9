"""Training data of confidence marks: a model learns to end what it answered with how sure it may be (2410.13284)."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass

from ponder.core.errors import require
from ponder.core.run import Run, derive_seed
from ponder.core.train import Example, Row
from ponder.text.confidence import MARKS
from ponder.train.loops.messages import Conversation


@dataclass(frozen=True)
class ConfidenceMarks:
    """Of a right attempt the whole reply and the confident mark are learnt; of a wrong one the unconfident mark alone.

    A wrong reply is given and not learnt: a model must not learn wrong answers. Attempts that a limit cut, and such
    that nobody could judge, teach nothing and are left out.
    """

    confident: str = MARKS[0]
    unconfident: str = MARKS[1]
    keep: float = 1.0
    """The share of wrong attempts that is used, to balance the classes; which ones depends on the problem alone."""

    def __post_init__(self) -> None:
        require(0 <= self.keep <= 1, self, "keep", self.keep, "0 to 1")

    async def build(self, rows: AsyncIterable[Row], run: Run | None) -> AsyncIterator[Example]:
        """Yield an example for each attempt. `meta["given"]` is the part of the reply that is not learnt."""
        async for row in rows:
            for place, attempt in enumerate(row.attempts):
                if attempt.correct is None or attempt.truncated:
                    continue
                if attempt.correct:
                    yield Example(row.problem.messages, attempt.text + self.confident)
                elif derive_seed(0, (), place, f"wrong/{row.problem.id}") < self.keep * 2**31:
                    yield Example(row.problem.messages, self.unconfident, meta={"given": attempt.text})


def conversation(example: Example) -> Conversation:
    """Return an example as the trainer takes it: what is given of the reply stands before what is learnt."""
    said = tuple((message.role, message.text) for message in example.messages)
    return Conversation((*said, ("assistant", example.completion)), given=example.meta.get("given", ""))

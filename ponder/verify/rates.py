"""How often the verifiers are wrong: `python -m ponder.verify.rates PAIRS.jsonl` prints the table of the docs.

A pair is a reply, a reference and whether a person found the reply right: `{"verifier", "answer", "gold", "right"}`,
with `choices` or `data` where the verifier reads them.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ponder.core.errors import DataError
from ponder.core.judge import Reference, Verdict
from ponder.verify.base import Base
from ponder.verify.choice import Choice
from ponder.verify.exact import Exact
from ponder.verify.math import Math
from ponder.verify.number import Number
from ponder.verify.pool import VerifierPool
from ponder.verify.reasoning_gym import ReasoningGym
from ponder.verify.yes_no import YesNo

_KINDS: Mapping[str, Base] = {
    "number": Number(),
    "math": Math(),
    "choice": Choice(),
    "yes_no": YesNo(),
    "exact": Exact(),
    "exact, one concept": Exact("[a-z]+pus"),
    "reasoning_gym": ReasoningGym("leg_counting"),
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A reply that a person has judged."""

    kind: str
    answer: str
    reference: Reference
    right: bool


def read_pairs(path: Path) -> Iterator[Pair]:
    """Yield the pairs of a file. Raises `DataError` for a line that is none."""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            row = cast(Mapping[str, object], json.loads(line))
            data = {"choices": row["choices"]} if "choices" in row else row.get("data")
            reference = Reference(str(row["gold"]), "" if data is None else json.dumps(data, ensure_ascii=False))
            pair = Pair(str(row["verifier"]), str(row["answer"]), reference, bool(row["right"]))
            _KINDS[pair.kind]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}, line {number} is no pair of a reply and a reference ({error!r})") from None
        yield pair


async def judge(pairs: list[Pair]) -> list[Verdict]:
    """Return a verdict for each pair."""
    async with VerifierPool() as pool:
        return [await pool.judge(_KINDS[pair.kind], pair.answer, pair.reference) for pair in pairs]


def table(pairs: list[Pair], verdicts: list[Verdict]) -> str:
    """Return the rates as a Markdown table, followed by every pair that was judged wrongly."""
    lines = [
        "| verifier | right | of them judged wrong | rate | wrong | of them judged right | rate |",
        "|---|---|---|---|---|---|---|",
    ]
    judged = list(zip(pairs, verdicts, strict=True))
    for kind in (*_KINDS, "all"):
        own = [(pair, verdict) for pair, verdict in judged if kind in (pair.kind, "all")]
        right = [verdict.correct for pair, verdict in own if pair.right]
        wrong = [verdict.correct for pair, verdict in own if not pair.right]
        missed, taken = sum(correct is not True for correct in right), sum(correct is True for correct in wrong)
        cells = (len(right), missed, _percent(missed, len(right)), len(wrong), taken, _percent(taken, len(wrong)))
        lines.append(f"| {kind} | {' | '.join(map(str, cells))} |")
    lines += ["", "Judged wrongly:", ""]
    for pair, verdict in judged:
        if (verdict.correct is True) != pair.right:
            reply = json.dumps(pair.answer, ensure_ascii=False)
            lines.append(f"- {pair.kind}, reference `{pair.reference.text}`, read as `{verdict.extracted}`: `{reply}`")
    return "\n".join(lines)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def main() -> None:
    """Print the table for the file that the command line names."""
    pairs = list(read_pairs(Path(sys.argv[1])))
    sys.stdout.write(table(pairs, asyncio.run(judge(pairs))) + "\n")


if __name__ == "__main__":
    main()

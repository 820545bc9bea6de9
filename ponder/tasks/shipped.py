"""Read the data files that come with the package, and put questions together as models see them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import cast

from ponder.core.errors import DataError
from ponder.core.judge import Item, Reference
from ponder.core.problem import Problem
from ponder.verify.base import Base

Record = Mapping[str, object]

FORMATS: Mapping[str, Mapping[str, str]] = {
    "number": {"en": "Put the final answer in \\boxed{}.", "zh": "请把最终答案写在 \\boxed{} 里。"},
    "math": {"en": "Put the final answer in \\boxed{}.", "zh": "请把最终答案写在 \\boxed{} 里。"},
    "exact": {"en": "Put the final answer in \\boxed{}.", "zh": "请把最终答案写在 \\boxed{} 里。"},
    "choice": {
        "en": "Put the letter of the right choice in \\boxed{}.",
        "zh": "请把正确选项的字母写在 \\boxed{} 里。",
    },
    "yes_no": {"en": "Put yes or no in \\boxed{}.", "zh": "请把“是”或“否”写在 \\boxed{} 里。"},
}
"""The line that ends each question, by verifier and language: one for all methods, and never a text to copy."""


def rows(file: str) -> Iterator[Record]:
    """Yield the records of a shipped JSONL file one by one."""
    path = files("ponder.tasks") / "data" / file
    try:
        with path.open("rb") as raw, gzip.open(raw, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield cast(Record, json.loads(line))
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"the task file {file} inside the package is damaged ({error}); reinstall ponder") from error


def item(
    id: str,
    question: str,
    format_line: str,
    reference: Reference | None,
    verifier: Base,
    meta: Mapping[str, str] | None = None,
) -> Item:
    """Return a question with its format line. Raises `DataError` for a reference that the verifier cannot read."""
    problem = reference and verifier.check(reference)
    if problem:
        raise DataError(f"{id}: the reference answer {problem}; correct the task's data")
    asked = f"{question}\n\n{format_line}"
    return Item(Problem.of(asked, id), reference, {"question": question, **(meta or {})})


def lettered(question: str, choices: list[str]) -> str:
    """Return the question with its choices as lines `A) ...`."""
    return "\n".join([question, *(f"{chr(ord('A') + index)}) {choice}" for index, choice in enumerate(choices))])

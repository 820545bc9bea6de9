"""Any dataset that the `datasets` package can load, by its name on the hub or by a local path; read as a stream."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePath
from typing import NoReturn, cast

from ponder.core.errors import DataError, OptionError, nearest
from ponder.core.judge import Item
from ponder.tasks.own import VERIFIERS, check_options, choose, questions
from ponder.tasks.record import Broken, Row, read_row
from ponder.verify.base import Base

Record = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class HubDataset:
    """The questions of one split; `question`, `answer`, `choices` and `id` say which columns hold them.

    No column for choices and ids unless named. Everything else is as in a file of JSON lines.
    """

    dataset: str
    config: str = ""
    split: str = "test"
    question: str = "question"
    answer: str = "answer"
    choices: str = ""
    id: str = ""
    verifier_name: str = ""
    format: str = "on"
    kind: str = field(init=False)

    def __post_init__(self) -> None:
        """Read up to the first answered record to choose the verifier."""
        check_options(self.verifier_name, self.format)
        with closing(self._rows()) as rows:
            object.__setattr__(self, "kind", choose(rows, self.verifier_name, self.dataset))

    @property
    def name(self) -> str:
        """The dataset, with the options that differ from the defaults."""
        given = {
            "config": (self.config, ""),
            "split": (self.split, "test"),
            "question": (self.question, "question"),
            "answer": (self.answer, "answer"),
            "choices": (self.choices, ""),
            "id": (self.id, ""),
            "verifier": (self.verifier_name, ""),
            "format": (self.format, "on"),
        }
        changed = [f"{key}={value}" for key, (value, default) in given.items() if value != default]
        return ",".join([f"datasets:{self.dataset}", *changed])

    @property
    def verifier(self) -> Base:
        """Judges every record."""
        return VERIFIERS[self.kind]

    def items(self, limit: int | None = None) -> Iterator[Item]:
        """Yield the questions in the order of the split. Raises `DataError` that names the dataset and the record."""
        stem = f"{PurePath(self.dataset).name}-{self.split}"
        rows, formatted = islice(self._rows(), limit), self.format == "on"
        return questions(rows, self.kind, stem, self._fail, mixed=False, formatted=formatted)

    def _rows(self) -> Generator[tuple[int, Row], None, None]:
        for number, record in enumerate(_load(self.dataset, self.config, self.split)):
            columns = {"question": self.question, "answer": self.answer, "choices": self.choices, "id": self.id}
            for column in filter(None, columns.values()):
                if column not in record:
                    listed = ", ".join(record)
                    what = f"there is no column {column!r}{nearest(column, record)}; the columns: {listed}"
                    self._fail(number, f"{what}; name yours as in question=COLUMN,answer=COLUMN")
            try:
                yield number, read_row({key: record[column] for key, column in columns.items() if column})
            except Broken as error:
                self._fail(number, str(error))

    def _fail(self, number: int, what: str) -> NoReturn:
        raise DataError(f"{self.dataset} ({self.split}), record {number}: {what}")


def _load(dataset: str, config: str, split: str) -> Generator[Record, None, None]:
    """Yield records as they come. Raises `OptionError` without the package, and `DataError` for what it cannot load."""
    try:
        from datasets import load_dataset
    except ModuleNotFoundError as error:
        if error.name != "datasets":
            raise
        raise OptionError("the task datasets needs a package of its own; run: pip install 'ponder[datasets]'") from None
    try:
        yield from cast(Iterable[Record], load_dataset(dataset, config or None, split=split, streaming=True))
    except (OSError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise DataError(
            f"the dataset {dataset!r} cannot be loaded: {first}; check its name, config and split"
        ) from None

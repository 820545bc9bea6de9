"""Recorded reasoning: one problem a line with the replies that a model gave to it, read line by line."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple, cast

from ponder.core.errors import DataError

MAX_LINE = 256 * 2**20
"""Bytes. A longer line is no problem with its replies but a mistake, or a file that would fill the memory."""


class RecordedProbe(NamedTuple):
    """An answer asked on the side: after `at` tokens of the reply, with probability `p`, at a cost of `tokens`."""

    at: int
    answer: str
    p: float | None
    tokens: int


class RecordedSample(NamedTuple):
    """One recorded reply, thinking included. `tokens` are characters / 4 where `exact` is false.

    `prediction` is the answer that the source read in the reply; `predicted` says that the source tells it at all: a
    prediction of null is a reply in which it found none. `correct` is the source's own grading, or None.
    """

    text: str
    tokens: int
    exact: bool
    predicted: bool
    prediction: str | None
    correct: bool | None
    reward: float | None
    closed_thinking: bool | None
    probes: tuple[RecordedProbe, ...]
    fields: Mapping[str, object]
    """Everything that the source says about it."""


@dataclass(frozen=True, slots=True)
class RecordedProblem:
    """One line. `question` and `answer` are None where the source leaves them out."""

    id: str
    question: str | None
    answer: str | None
    samples: tuple[RecordedSample, ...]
    tokenizer: str | None
    fields: Mapping[str, object]
    """Everything that the source says about it."""


def read_traces(path: Path, limit: int | None = None, reward: str | None = None) -> Iterator[RecordedProblem]:
    """Yield the problems of a `.jsonl` or gzipped file. Raises `DataError` that names the file and the line.

    `reward` is the one of each sample's `scores` that counts as its reward; by default its field `reward` does.
    """
    seen: set[str] = set()
    tokenizer: str | None = None
    for number, line in _lines(path):
        where = f"{path}, line {number}"
        data = _parse(line, where)
        if not seen and "samples" not in data and isinstance(data.get("tokenizer"), str):
            tokenizer = str(data["tokenizer"])
            continue
        problem = _problem(data, tokenizer, where, reward)
        if problem.id in seen:
            raise DataError(f"{where}: the id {problem.id!r} stands on an earlier line, too; give each problem its own")
        seen.add(problem.id)
        yield problem
        if limit is not None and len(seen) >= limit:
            return
    if not seen:
        raise DataError(f"{path} holds no problem; a trace file has one on each line")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, with their numbers from 1."""
    number = 0
    try:
        with _open(path) as file:
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise DataError(
                        f"{path}, line {number} is longer than {MAX_LINE // 2**20} MiB; one problem stands on a line"
                    )
                if line.strip():
                    yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is broken after line {number} ({error}); get the file again") from None
    except OSError as error:
        raise DataError(f"the traces {path} cannot be read: {error.strerror or error}; check the path") from None


def _open(path: Path) -> IO[bytes]:
    file = path.open("rb")
    magic = file.read(2)
    file.seek(0)
    if magic == b"\x1f\x8b":
        # Leaving the block of the unpacking reader must close the file below it, too.
        file.close()
        return cast(IO[bytes], gzip.open(path))
    return file


def _parse(line: bytes, where: str) -> dict[str, object]:
    try:
        data: object = json.loads(line)
    except UnicodeDecodeError:
        raise DataError(f"{where} is not UTF-8 text; convert the file") from None
    except (ValueError, RecursionError) as error:  # ValueError: also a number of more than 4,300 digits
        raise DataError(f"{where} is not JSON ({error}); each line is one object with id, answer and samples") from None
    if not isinstance(data, dict):
        raise DataError(f"{where} is not an object; each line is one object with id, answer and samples")
    return data


def _problem(data: dict[str, object], tokenizer: str | None, where: str, reward: str | None) -> RecordedProblem:
    for name in ("id", "samples"):
        if name not in data:
            raise DataError(f"{where} has no field {name!r}; a problem has id, question, answer and samples")
    id_, listed = data["id"], data["samples"]
    if isinstance(id_, bool) or not isinstance(id_, str | int) or id_ == "":
        raise DataError(f"{where}: id = {id_!r} must be a text or a whole number")
    if not isinstance(listed, list) or not listed:
        raise DataError(f"{where}: samples must be a list with at least one reply")
    samples: list[RecordedSample] = []
    try:
        question, answer = _text(data, "question"), _text(data, "answer")
        where = f"{where}, sample"
        for sample in listed:
            samples.append(_sample(sample, reward))
    except _Wrong as error:
        place = f"{where} {len(samples)}" if where.endswith("sample") else where
        raise DataError(f"{place}: {error}") from None
    own = data.get("tokenizer", tokenizer)
    return RecordedProblem(str(id_), question, answer, tuple(samples), own if isinstance(own, str) else None, data)


class _Wrong(Exception):
    """What is wrong with a problem or a sample, without its place: that is only worked out for those that are."""


def _sample(data: object, reward: str | None) -> RecordedSample:
    if not isinstance(data, dict):
        raise _Wrong("a sample must be an object with the field text")
    text = data.get("text")
    if not isinstance(text, str):
        raise _Wrong("there is no field 'text' that is a text; it is the whole reply, thinking included")
    tokens = None if data.get("tokens") is None else _count(data, "tokens")
    return RecordedSample(
        text,
        math.ceil(len(text) / 4) if tokens is None else tokens,
        tokens is not None,
        "prediction" in data,
        _text(data, "prediction"),
        _correct(data),
        _number(data, "reward") if reward is None else _score(data, reward),
        _bool(data, "closed_thinking"),
        () if data.get("probes") is None else _probes(data["probes"]),
        data,
    )


def _correct(data: Mapping[str, object]) -> bool | None:
    """Return the source's grading: `correct`, else a full `score`."""
    correct = _bool(data, "correct")
    if correct is not None:
        return correct
    score = _number(data, "score")
    if score is None:
        return None
    if not 0 <= score <= 1:
        raise _Wrong(f"score = {score!r} must be in 0 to 1, where 1 is right")
    return score == 1


def _score(data: Mapping[str, object], name: str) -> float:
    """Return one of the scores; minus infinity for one that was not to be had, as of an empty reply."""
    scores = data.get("scores")
    if not isinstance(scores, dict) or name not in scores:
        known = ", ".join(map(str, scores)) if isinstance(scores, dict) else "none"
        raise _Wrong(f"there is no score {name!r}; scores are: {known}")
    value = _number(scores, name)
    return -math.inf if value is None else value


def _probes(data: object) -> tuple[RecordedProbe, ...]:
    if not isinstance(data, list):
        raise _Wrong("probes must be a list")
    probes: list[RecordedProbe] = []
    for index, probe in enumerate(data):
        if not isinstance(probe, dict) or "at" not in probe or "answer" not in probe:
            raise _Wrong(f"probe {index} must be an object with at and answer")
        try:
            at, p = _count(probe, "at"), _number(probe, "p")
            tokens = _count(probe, "tokens") if "tokens" in probe else 1
            answer = _text(probe, "answer") or ""
        except _Wrong as error:
            raise _Wrong(f"probe {index}: {error}") from None
        if p is not None and not 0 <= p <= 1:
            raise _Wrong(f"probe {index}: p = {p!r} must be in 0 to 1")
        if probes and at <= probes[-1].at:
            raise _Wrong(f"probe {index}: at = {at} must be greater than that of the probe before, {probes[-1].at}")
        probes.append(RecordedProbe(at, answer, p, tokens))
    return tuple(probes)


def _text(data: Mapping[str, object], name: str) -> str | None:
    value = data.get(name)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise _Wrong(f"{name} = {value!r} must be a text, a number or null")


def _bool(data: Mapping[str, object], name: str) -> bool | None:
    value = data.get(name)
    if value is None or isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
    raise _Wrong(f"{name} = {value!r} must be true or false")


def _number(data: Mapping[str, object], name: str) -> float | None:
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and -1e300 <= value <= 1e300:
        return float(value)
    raise _Wrong(f"{name} = {value!r} must be a number")


def _count(data: Mapping[str, object], name: str) -> int:
    value = data[name]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31:
        return value
    raise _Wrong(f"{name} = {value!r} must be a whole number from 0")

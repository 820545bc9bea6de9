"""What can go wrong, said in one sentence that names the thing and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class PonderError(Exception):
    """An error that a user can act on: `str(error)` is one sentence, the remedy included."""


class OptionError(PonderError):
    """A method, a name or an option that does not exist, or a value outside its range."""


class Unsupported(PonderError):
    """A method asks for something that the engine cannot do; raised before the first token."""


class EngineError(PonderError):
    """A model could not be reached or broke off.

    `status` is the HTTP status where there was one; `retry` says whether the same call may succeed later, and
    `retry_after` how many seconds the server asked to be left alone.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry = retry
        self.retry_after = retry_after


class OutOfMemory(EngineError):
    """The memory of a model in this process does not hold what was asked of it at once; fewer at once may fit."""


class TapeMiss(EngineError):
    """A replay was asked for a call that was never recorded."""


class DataError(PonderError):
    """A file of questions, traces, models or results is missing, broken or not what it says it is."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the known name closest to `name`, or an empty string."""
    matches = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def require(condition: bool, owner: object, field: str, value: object, range_: str) -> None:
    """Raise `OptionError` unless `condition` holds; for the `__post_init__` of methods."""
    if not condition:
        raise OptionError(f"{type(owner).__name__}: {field} = {value!r} is out of range; it must be {range_}")

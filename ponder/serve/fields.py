"""One JSON object as it is read: every field by its type, null as absent, and at the end what nobody has read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Set
from math import isfinite
from typing import NoReturn

from ponder.core.errors import nearest
from ponder.serve.fail import ApiError

Json = dict[str, object]

_KINDS: dict[type, str] = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array"}
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
MAX_TOKENS = (1 << 31) - 1
"""No number of tokens is larger."""


def read_json(raw: bytes, depth: int = 64) -> object:
    """Return the value that the bytes of a request hold.

    Raises `ApiError` for what is no JSON, and for what only some parsers take: NaN and Infinity, one name twice in an
    object, half a surrogate pair, and values nested more than `depth` deep.
    """
    try:
        value: object = _DECODER.decode(raw.removeprefix(b"\xef\xbb\xbf").decode())
        if _SURROGATE.search(raw):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError:
        _broken("it is not valid UTF-8")
    except RecursionError:
        _broken(f"it is nested more than {depth} deep")
    except (json.JSONDecodeError, _Refused) as error:
        _broken(str(error))
    except ValueError:
        _broken("a number has too many digits")
    _shallow(value, depth)
    return value


class _Refused(ValueError):
    """A value that JSON or this gateway does not have; the text says why."""


def _broken(why: str) -> NoReturn:
    raise ApiError.bad(None, f"the body is no JSON that can be read: {why}", "invalid_json") from None


def _no_constant(name: str) -> object:
    raise _Refused(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise _Refused("a number is too large")
    return number


def _unique(pairs: list[tuple[str, object]]) -> Json:
    found = dict(pairs)
    if len(found) < len(pairs):
        places = {name: place for place, (name, _) in enumerate(pairs)}
        twice = next(name for place, (name, _) in enumerate(pairs) if places[name] != place)
        raise _Refused(f"the name {shown(twice)} stands twice in one object")
    return found


_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique)


def _shallow(value: object, depth: int) -> None:
    """Refuse deep nesting level by level, so that what refuses it needs no deep stack itself."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(depth):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    _broken(f"it is nested more than {depth} deep")


def shown(text: str) -> str:
    """Return a word of the client's for a message: short, quoted, ASCII."""
    return ascii(text if len(text) <= 40 else text[:39] + "...")


def note(ignored: list[str], name: str) -> None:
    """Add a field's path to those that are ignored, once; so many and so long that they fit into a header."""
    if len(ignored) < 16 and name[:60] not in ignored:
        ignored.append(name[:60])


def kind_of(value: object) -> str:
    """Return what a JSON value is, in words. The value itself may be a prompt, and messages are logged."""
    return "null" if value is None else _KINDS.get(type(value), "an object")


class Fields:
    """Reads one object. `where` is its place in the body (`messages[0]`), empty for the body itself.

    A field that is null counts as absent. Every reader raises `ApiError` 400 with the field's path as `param`.
    """

    __slots__ = ("_taken", "_value", "_where")

    def __init__(self, value: object, where: str = "") -> None:
        if not isinstance(value, dict):
            raise ApiError.bad(
                where or None, f"{where or 'the body'} must be an object, not {kind_of(value)}", "invalid_type"
            )
        self._value: Json = value
        self._where = where
        self._taken: set[str] = set()

    def path(self, name: str) -> str:
        """Return a field's place in the body."""
        return f"{self._where}.{name}" if self._where else name

    def wrong(self, name: str, must: str, code: str = "invalid_value") -> ApiError:
        """Return the error that says what a field must be."""
        return ApiError.bad(self.path(name), f"{self.path(name)} must be {must}", code)

    def take(self, name: str) -> object:
        """Return a field as it is; None where it is absent or null."""
        self._taken.add(name)
        return self._value.get(name)

    def has(self, name: str) -> bool:
        """Say whether a field is there, null or not."""
        return name in self._value

    def lacks(self, names: Set[str]) -> bool:
        """Say whether none of some fields is there: most requests say little, and this is how they are read quickly."""
        return names.isdisjoint(self._value)

    def text(self, name: str, *, empty: bool = True) -> str | None:
        """Return a string."""
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise self.wrong(name, f"a string, not {kind_of(value)}", "invalid_type")
        if value == "" and not empty:
            raise self.wrong(name, "a string that is not empty")
        return value

    def flag(self, name: str) -> bool | None:
        """Return true or false; 0 and 1 and words are neither."""
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, f"true or false, not {kind_of(value)}", "invalid_type")
        return value

    def number(self, name: str, low: float, high: float) -> float | None:
        """Return a finite number in [low, high]."""
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(name, f"a number, not {kind_of(value)}", "invalid_type")
        if not low <= value <= high:
            raise self.wrong(name, f"in {low:g} to {high:g}")
        return float(value)

    def integer(self, name: str, low: int, high: int = MAX_TOKENS) -> int | None:
        """Return a whole number in [low, high]; 3.0 is one, as JSON has only one kind of number."""
        value = self.take(name)
        if value is None:
            return None
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not isinstance(value, int | float) or not whole:
            what = "a fraction" if isinstance(value, float) else kind_of(value)
            raise self.wrong(name, f"a whole number, not {what}", "invalid_type")
        if not low <= value <= high:
            raise self.wrong(name, f"a whole number in {low} to {high}")
        return int(value)

    def choice(self, name: str, known: Iterable[str]) -> str | None:
        """Return one of some words."""
        value = self.text(name)
        listed = list(known)
        if value is not None and value not in listed:
            near = nearest(value[:40], listed)
            raise self.wrong(name, f"one of {', '.join(listed)}, not {shown(value)}{near}")
        return value

    def inner(self, name: str) -> Fields | None:
        """Return an object to read on in."""
        value = self.take(name)
        return None if value is None else Fields(value, self.path(name))

    def array(self, name: str, most: int | None = None) -> list[object] | None:
        """Return an array of at most so many things."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.wrong(name, f"an array, not {kind_of(value)}", "invalid_type")
        if most is not None and len(value) > most:
            raise self.wrong(name, f"an array of at most {most}, not {len(value)}")
        return value

    def objects(self, name: str) -> list[Fields]:
        """Return an array of objects."""
        return [Fields(item, f"{self.path(name)}[{i}]") for i, item in enumerate(self.array(name) or ())]

    def needs(self, name: str) -> str:
        """Return a string that must be there and not be empty."""
        value = self.text(name, empty=False)
        if value is None:
            raise self.wrong(name, "given", "missing_required_parameter")
        return value

    def put(self, name: str, value: Json) -> None:
        """Leave what is left of a nested object as this field, or nothing of it."""
        if value:
            self._value = {**self._value, name: value}
            self._taken.discard(name)

    def leave(self, *names: str) -> None:
        """Count fields that were read as unread: they were only checked."""
        self._taken.difference_update(names)

    def whole(self) -> Json:
        """Return the object, read or not; nested objects as `put` left them."""
        return self._value

    def every(self) -> Json:
        """Take the whole object as it is."""
        self._taken.update(self._value)
        return self._value

    def rest(self) -> Json:
        """Return the fields that nobody has read, nulls left out."""
        return {name: value for name, value in self._value.items() if name not in self._taken and value is not None}

    def close(self, known: Iterable[str]) -> None:
        """Refuse fields that nobody has read, naming the known one that is nearest."""
        for name in self._value:
            if name not in self._taken:
                near = nearest(name[:40], known)
                message = f"{self._where} has no field {shown(name)}{near}; it has {', '.join(known)}"
                raise ApiError.bad(self.path(name[:40]), message, "unknown_parameter")

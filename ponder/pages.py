"""What a method's page and its source say about it: for `ponder methods`, and for the table in the documentation."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, cast

from ponder.core.config import options_of
from ponder.core.engine import Cap
from ponder.core.errors import DataError, nearest
from ponder.core.method import Method

PAPER = re.compile(r"\b\d{4}\.\d{4,5}\b")
CITATION = re.compile(r"\s*\([^()]*\b\d{4}\.\d{4,5}\b[^()]*\)")
SENTENCE = re.compile(r"(?<=[.!?])\s")
PACKAGE = "ponder.methods."


@dataclass(frozen=True, slots=True)
class Description:
    """One row of the method table."""

    name: str
    room: str
    """`prompt`, `route`, `stop`, `vote`, `search`, or `plugin`."""
    summary: str
    """The idea in one sentence: the first of the module's docstring, without the papers."""
    paper: str | None
    """The arXiv ids that the module's docstring names, with commas in between."""
    needs: Mapping[str, frozenset[Cap]] | None
    """By engine name; `None` where that depends on the methods put inside."""
    options: Mapping[str, tuple[str, str]]
    """Name to (type, default)."""


def describe(name: str, cls: type[Method]) -> Description:
    """Return what the source of a method says about it."""
    module = cls.__module__
    inside = module.startswith(PACKAGE)
    text = " ".join((sys.modules[module].__doc__ or cls.__doc__ or "").split())
    return Description(
        name,
        module.removeprefix(PACKAGE).partition(".")[0] if inside else "plugin",
        SENTENCE.split(CITATION.sub("", text), maxsplit=1)[0],
        ", ".join(dict.fromkeys(PAPER.findall(text))) or None,
        None if _required(cls) else cls().needs(),
        options_of(cls),
    )


def _required(cls: type[Method]) -> bool:
    """Whether a method cannot be built without an option."""
    specs = fields(cast(Any, cls))
    return any(spec.default is MISSING and spec.default_factory is MISSING for spec in specs)


def folder() -> Traversable:
    """Return where the pages are: inside an installed package, or in `docs/` of a checkout."""
    shipped = files("ponder") / "_docs" / "methods"
    return shipped if shipped.is_dir() else Path(__file__).resolve().parent.parent / "docs" / "methods"


def page(name: str) -> str:
    """Return the page of a method, as Markdown. Raises `DataError` if there is none."""
    pages = {entry.name.removesuffix(".md"): entry for entry in _entries() if entry.name.endswith(".md")}
    pages.pop("index", None)
    if name not in pages:
        raise DataError(
            f"there is no page about {name!r}{nearest(name, pages)}; a plugin's own documentation may have one"
        )
    return pages[name].read_text(encoding="utf-8")


def _entries() -> list[Traversable]:
    where = folder()
    return list(where.iterdir()) if where.is_dir() else []

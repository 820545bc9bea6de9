"""`ponder model`: list, get, find and remove the models of the catalogues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from ponder.cli.output import console, print_json
from ponder.engines.catalogue import AdapterEntry, Entry, FileEntry, FolderEntry, load_models
from ponder.engines.model_store import ModelStore, Progress
from ponder.engines.shipped import shipped_size

P = ParamSpec("P")
R = TypeVar("R")

_CATALOGUE = click.option(
    "--catalogue",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A further catalogue (TOML); may be given several times.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")


def _common(command: Callable[P, R]) -> Callable[P, R]:
    return _CATALOGUE(_JSON(command))


@click.group()
def model() -> None:
    """List, get, find and remove models. Downloads are kept in the user's cache folder, or in $PONDER_CACHE."""


@model.command(name="list")
@_common
def list_(catalogue: tuple[Path, ...], as_json: bool) -> None:
    """List the models that can be had; without --model, the first that is installed is taken.

    Some come with ponder: whole models need no download, and adapters only the model that they run on.
    """
    store = ModelStore()
    entries = list(load_models(catalogue))
    if as_json:
        print_json([_json(store, entry) for entry in entries])
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("name", "size", "installed", "licence", "what it is"):
        table.add_column(head, justify="right" if head == "size" else "left", no_wrap=head != "what it is")
    for entry in entries:
        table.add_row(entry.name, _size(_bytes(entry)), _state(store, entry), entry.licence, entry.summary)
    console().print(table)


@model.command()
@click.argument("name")
@_common
def get(name: str, catalogue: tuple[Path, ...], as_json: bool) -> None:
    """Download a model, check its SHA-256 and install it; go on where an earlier try ended.

    For an adapter this is the model that it runs on. What comes with ponder is only checked.
    """
    entry = load_models(catalogue).find(name)
    store = ModelStore()
    with _bar(entry) as progress:
        path = store.get(entry, progress)
    if as_json:
        print_json(_json(store, entry))
        return
    click.echo(f"{entry.name} is installed ({_size(_bytes(entry))}, {entry.licence}): {path}")
    if isinstance(entry, AdapterEntry):
        click.echo(f"it runs on {entry.base.name} ({_size(entry.base.size)}): {store.file(entry.base)}")


@model.command()
@click.argument("name")
@_common
def path(name: str, catalogue: tuple[Path, ...], as_json: bool) -> None:
    """Print the file of an installed model, or the folder of one that comes with ponder, after its hash was checked."""
    entry = load_models(catalogue).find(name)
    store = ModelStore()
    found = store.path(entry)
    if as_json:
        print_json(_json(store, entry))
    else:
        click.echo(found)


@model.command()
@click.argument("name")
@_common
def remove(name: str, catalogue: tuple[Path, ...], as_json: bool) -> None:
    """Remove an installed model, and what is left of a download that broke off."""
    entry = load_models(catalogue).find(name)
    removed = ModelStore().remove(entry)
    if as_json:
        print_json({"name": entry.name, "removed": removed})
    else:
        click.echo(f"{entry.name} {'is removed' if removed else 'was not installed'}")


def _json(store: ModelStore, entry: Entry) -> dict[str, object]:
    installed = store.installed(entry)
    return {
        "name": entry.name,
        "summary": entry.summary,
        "licence": entry.licence,
        "size": _bytes(entry),
        "sha256": entry.sha256 if isinstance(entry, FileEntry) else None,
        "files": dict(entry.files) if isinstance(entry, FolderEntry) else None,
        "base": entry.base.name if isinstance(entry, AdapterEntry) else None,
        "rank": entry.rank,
        "weak": entry.weak,
        "installed": installed,
        "path": str(entry.folder if isinstance(entry, FolderEntry) else store.file(entry)) if installed else None,
    }


def _bytes(entry: Entry) -> int:
    """Return what the entry itself takes, without an adapter's base."""
    return shipped_size(entry) if isinstance(entry, FolderEntry) else entry.size


def _state(store: ModelStore, entry: Entry) -> str:
    if store.installed(entry):
        return "yes"
    return f"needs {entry.base.name}" if isinstance(entry, AdapterEntry) else "no"


def _size(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size:,} B"


@contextmanager
def _bar(entry: Entry) -> Iterator[Progress]:
    """Show progress on standard error where that is a terminal."""
    where = console(stderr=True)
    file = entry.base if isinstance(entry, AdapterEntry) else entry
    if not where.is_terminal or not isinstance(file, FileEntry):
        yield lambda done: None
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(file.name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=where) as bar:
        task = bar.add_task(file.name, total=file.size)
        yield lambda done: bar.update(task, completed=done)

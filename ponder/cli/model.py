"""`ponder model`: list, get, find and remove the models of the catalogues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from ponder.cli.output import console, print_json
from ponder.engines.catalogue import Entry, load_models
from ponder.engines.model_store import ModelStore, Progress

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
    """List, get, find and remove models. They are kept in the user's cache folder, or in $PONDER_CACHE."""


@model.command(name="list")
@_common
def list_(catalogue: tuple[Path, ...], as_json: bool) -> None:
    """List the models that can be had, the best first."""
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
        installed = "yes" if store.installed(entry) else "no"
        table.add_row(entry.name, _size(entry.size), installed, entry.licence, entry.summary)
    console().print(table)


@model.command()
@click.argument("name")
@_common
def get(name: str, catalogue: tuple[Path, ...], as_json: bool) -> None:
    """Download a model, check its SHA-256 and install it; go on where an earlier try ended."""
    entry = load_models(catalogue).find(name)
    store = ModelStore()
    with _bar(entry) as progress:
        path = store.get(entry, progress)
    if as_json:
        print_json(_json(store, entry))
    else:
        click.echo(f"{entry.name} is installed ({_size(entry.size)}, {entry.licence}): {path}")


@model.command()
@click.argument("name")
@_common
def path(name: str, catalogue: tuple[Path, ...], as_json: bool) -> None:
    """Print the file of an installed model, after its hash was checked."""
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
        "size": entry.size,
        "sha256": entry.sha256,
        "rank": entry.rank,
        "weak": entry.weak,
        "installed": installed,
        "path": str(store.file(entry)) if installed else None,
    }


def _size(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size:,} B"


@contextmanager
def _bar(entry: Entry) -> Iterator[Progress]:
    """Show progress on standard error where that is a terminal."""
    where = console(stderr=True)
    if not where.is_terminal:
        yield lambda done: None
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(entry.name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=where) as bar:
        task = bar.add_task(entry.name, total=entry.size)
        yield lambda done: bar.update(task, completed=done)

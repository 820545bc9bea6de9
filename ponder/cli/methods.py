"""`ponder methods`: the table, a page, or what works on a model."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Unpack

import click

from ponder.cli.engines import EngineArgs, EngineKwargs, engine_args, engine_options
from ponder.cli.options import json_option, plugin_option
from ponder.cli.output import console, print_json
from ponder.core.engine import Engine
from ponder.core.errors import Unsupported
from ponder.core.method import check
from ponder.methods import Catalogue, catalogue
from ponder.pages import Description, describe, page


@click.command()
@click.argument("name", required=False)
@engine_options
@plugin_option
@json_option
def methods(name: str | None, plugin: tuple[Path, ...], as_json: bool, **engine: Unpack[EngineKwargs]) -> None:
    """List the methods; with NAME, print its page; with --model, say what works on that model."""
    table = catalogue(plugin)
    names = [name] if name else table.names()
    works = asyncio.run(_works(engine_args(**engine), table, names)) if engine["model"] else None
    rows = [describe(one, table.find(one)) for one in names]
    if as_json:
        print_json([_json(row, works) for row in rows])
    elif name and works is None:
        _print_page(rows[0], table)
    else:
        _print_table(rows, works)


def _json(row: Description, works: dict[str, str | None] | None) -> dict[str, object]:
    needs = None if row.needs is None else {name: sorted(cap.name for cap in caps) for name, caps in row.needs.items()}
    options = {name: {"type": kind, "default": default} for name, (kind, default) in row.options.items()}
    value: dict[str, object] = {
        "name": row.name,
        "room": row.room,
        "summary": row.summary,
        "paper": row.paper,
        "needs": needs,
        "options": options,
        "page": f"docs/methods/{row.name}.md" if row.room != "plugin" else None,
    }
    return value if works is None else {**value, "works": works[row.name] is None, "why_not": works[row.name]}


def _print_page(row: Description, table: Catalogue) -> None:
    from rich.markdown import Markdown

    out = console()
    if row.room == "plugin":
        out.print(f"{row.name}: {inspect.getdoc(table.find(row.name)) or ''}", markup=False)
    else:
        out.print(Markdown(page(row.name)))
    if row.options:
        out.print("\nOptions (-o KEY=VALUE):", style="bold")
        for key, (kind, default) in row.options.items():
            out.print(f"  {key}: {kind} = {default}", markup=False)


def _print_table(rows: list[Description], works: dict[str, str | None] | None) -> None:
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("method", "room", "what it does", "needs", "paper", *(["works"] if works else [])):
        grid.add_column(head, no_wrap=head in ("method", "room", "paper"))
    for row in rows:
        caps = sorted({cap.name for caps in (row.needs or {}).values() for cap in caps})
        needs = "what its parts need" if row.needs is None else ", ".join(caps) or "–"
        state = [] if works is None else ["yes" if works[row.name] is None else f"no: {works[row.name]}"]
        grid.add_row(row.name, row.room, row.summary, needs, row.paper or "–", *state)
    console().print(grid)


async def _works(models: EngineArgs, table: Catalogue, names: list[str]) -> dict[str, str | None]:
    """Return, by method, None where it works on the model, or why it does not."""
    async with models.open() as (engines, _):
        return {name: _refusal(table, name, engines) for name in names}


def _refusal(table: Catalogue, name: str, engines: dict[str, Engine]) -> str | None:
    try:
        check(table.build(name), engines)
    except Unsupported as error:
        return str(error)
    return None

"""Write the pages of docs/ that come from the code; with `--check`, fail where one of them is stale."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from ponder.cli import cli
from ponder.methods import METHODS, catalogue
from ponder.pages import Description, describe

DOCS = Path(__file__).resolve().parent.parent / "docs"
NOTE = "<!-- Written by scripts/docs.py (make generate); edit the code instead. -->\n"
WIDTH = 100


def commands(group: click.Group, parent: click.Context) -> Iterator[tuple[str, str]]:
    """Yield (full name, help text) of every command below `group`, depth first."""
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        if command is None:
            raise SystemExit(f"ponder lists the command {name}, but has none of that name")
        context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH)
        yield context.command_path, command.get_help(context)
        if isinstance(command, click.Group):
            yield from commands(command, context)


def cli_page() -> str:
    """Return docs/cli.md: what `--help` prints, for every command."""
    root = click.Context(cli, info_name="ponder", terminal_width=WIDTH, max_content_width=WIDTH)
    parts = [
        NOTE,
        "# Commands\n",
        "Errors are one sentence on standard error, and the exit code is not 0. With `--json` a command prints one\n"
        "JSON value and nothing else; [JSON output](json.md) has the schemas.\n",
        f"```text\n{cli.get_help(root)}\n```\n",
    ]
    parts += [f"## {name}\n\n```text\n{text}\n```\n" for name, text in commands(cli, root)]
    return "\n".join(parts)


def _row(method: Description) -> str:
    papers = ", ".join(f"[{id}](https://arxiv.org/abs/{id})" for id in (method.paper or "").split(", ") if id) or "–"
    if method.needs is None:
        needs = "what its parts need"
    else:
        caps = sorted({cap.name for caps in method.needs.values() for cap in caps})
        needs = ", ".join([*(name for name in method.needs if name != "main"), *caps]) or "–"
    options = ", ".join(f"`{name}`" for name in method.options) or "–"
    return (
        f"| [`{method.name}`]({method.name}.md) | {method.room} | {method.summary} | {papers} | {needs} | {options} |"
    )


def methods_page() -> str:
    """Return docs/methods/index.md: the table of all methods, and the list that makes them chapters."""
    known = catalogue()
    rows = sorted((describe(name, known.find(name)) for name in METHODS), key=lambda row: (row.room, row.name))
    return "\n".join(
        [
            NOTE,
            "# Methods\n",
            "`ponder methods` prints this table, `ponder methods NAME` a page, and `ponder methods --model M` what\n"
            "works on a model.\n",
            "| method | room | idea | paper | needs | options |",
            "|---|---|---|---|---|---|",
            *map(_row, rows),
            "",
            "```{toctree}\n:hidden:\n",
            *(row.name for row in rows),
            "```\n",
        ]
    )


def main(check: bool) -> None:
    """Write what has changed, or name it and fail."""
    stale: list[str] = []
    for name, text in (("cli.md", cli_page()), ("methods/index.md", methods_page())):
        path = DOCS / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(f"docs/{name}")
            if not check:
                path.write_text(text, encoding="utf-8")
    if stale and check:
        raise SystemExit(f"{', '.join(stale)} no longer match the code; run `make generate` and commit what it writes")
    print(f"generated pages: {', '.join(stale) + ' written' if stale else 'up to date'}")


if __name__ == "__main__":
    main(check="--check" in sys.argv[1:])

"""`ponder tape`: what a recorded run holds, and how it is deleted."""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from ponder.cli.options import json_option
from ponder.cli.output import console, print_json
from ponder.core.errors import OptionError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@click.group()
def tape() -> None:
    """Inspect and purge recorded runs. A tape holds prompts and replies; it never holds keys."""


@tape.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def info(file: Path, as_json: bool) -> None:
    """Say what FILE holds: the engine, calls, tokens, from when to when."""
    from ponder.engines import tape_store

    found = tape_store.info(file)
    if as_json:
        print_json(asdict(found))
        return
    out = console()
    out.print(f"{found.path}: a tape of {found.engine or 'no engine yet'} (version {found.version})", soft_wrap=True)
    ends = f"{found.finished:,} finished, {found.left:,} left early, {found.errors:,} failed"
    out.print(f"{found.calls:,} calls: {ends}; {found.tokens:,} tokens; {found.size:,} bytes")
    if found.first is not None and found.last is not None:
        out.print(f"recorded from {_day(found.first)} to {_day(found.last)}")


@tape.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--older-than", metavar="AGE", help="Only calls recorded longer ago than this: 30d, 12h, 2w ...")
@click.option("--all", "everything", is_flag=True, help="All calls.")
@json_option
def purge(file: Path, older_than: str | None, everything: bool, as_json: bool) -> None:
    """Delete calls from FILE for good: they are overwritten, and the file shrinks."""
    from ponder.engines import tape_store

    if everything == (older_than is not None):
        raise OptionError("say which calls to delete: either --older-than 30d or --all")
    before = None if older_than is None else time.time() - parse_age(older_than)
    gone = tape_store.purge(file, before)
    left = tape_store.info(file).calls
    if as_json:
        print_json({"path": str(file), "purged": gone, "left": left})
    else:
        console().print(f"{gone:,} calls purged from {file}, {left:,} left", soft_wrap=True)


def parse_age(text: str) -> float:
    """Return the seconds of a time such as `30d`, `12h` or `2w`. Raises `OptionError` for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip())
    if match is None:
        raise OptionError(f"{text!r} is no age; write a number and s, m, h, d or w, such as 30d")
    return float(match[1]) * _UNITS[match[2]]


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")

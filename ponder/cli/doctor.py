"""`ponder doctor`: what a server really does, learnt by asking it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ponder.cli.options import json_option
from ponder.cli.output import console, print_json
from ponder.cli.ranges import Finite
from ponder.core.errors import OptionError
from ponder.engines.doctor_report import CHEAP, COSTLY, Fact, Report, ReportStore, age

if TYPE_CHECKING:
    from ponder.engines.open import EngineOptions

_DAY = 86400.0
_MEANINGS = {
    "server": "which server it is",
    "context": "tokens of prompt and reply together",
    "marks": "how the model marks its thinking",
    "off": "what turns thinking off",
    "budget_field": "what bounds thinking",
    "streams": "sends pieces as they are written",
    "speed": "tokens a second",
    "thinks": "thinks unless told otherwise",
    "usage": "counts what it generated",
    "reasoning_count": "counts thinking apart",
    "max_tokens": "keeps the limit of a reply",
    "stop_strings": "stops at a stop string",
    "logprobs": "gives log-probabilities",
    "n": "gives several replies to one call",
    "prefill": "continues a half-written reply",
    "hang_up": "stops when its client leaves",
    "seeds": "same seed, same text",
    "prefix_cache": "reads a repeated prompt from a cache",
    "budget": "keeps a thinking budget",
    "escapes": "thinks on in the answer once a thought is closed",
}


@click.command()
@click.argument("server", metavar="URL[#NAME]")
@click.option("--all", "everything", is_flag=True, help=f"Ask the costly questions, too: {', '.join(COSTLY)}.")
@click.option("--only", multiple=True, metavar="FACT", help="Ask about this alone; may be given several times.")
@click.option("--fresh", is_flag=True, help="Ask again, even where a report of the last day is kept.")
@click.option("--key-env", metavar="VARIABLE", help="The environment variable that holds the server's key.")
@click.option("--dialect", metavar="NAME", help="How the server speaks: vllm, sglang, anthropic ... Default: asked.")
@click.option("--chat-template", type=click.Path(path_type=Path), metavar="FILE", help="The model's chat template.")
@click.option("--timeout", type=Finite(0, min_open=True), metavar="SECONDS", help="How long it may be silent.")
@json_option
def doctor(
    server: str,
    everything: bool,
    only: tuple[str, ...],
    fresh: bool,
    key_env: str | None,
    dialect: str | None,
    chat_template: Path | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Say what a server really does: whether it streams, stops, counts, and keeps a thinking budget.

    The usual questions cost some 200 tokens, those of --all some 1,500. Reports are kept for a day.

    Example: ponder doctor http://127.0.0.1:8000#qwen3 --all
    """
    from ponder.engines.open import EngineOptions

    if not server.startswith(("http://", "https://")):
        raise OptionError(f"{server!r} is no server address; it must look like http://127.0.0.1:8000#NAME")
    options = EngineOptions(key_env=key_env, dialect=dialect, chat_template=chat_template, timeout=timeout, retries=2)
    wanted = only or ((*CHEAP, *COSTLY) if everything else CHEAP)
    with _spinner(as_json) as asking:
        report = asyncio.run(_report(server, options, wanted, fresh, asking))
    if as_json:
        print_json(report.as_json())
    else:
        _print(report)


async def _report(
    spec: str, options: EngineOptions, wanted: tuple[str, ...], fresh: bool, asking: Callable[[str], None]
) -> Report:
    """Return a report of the last day that has all that is wanted, or examine the server and keep what it shows."""
    from ponder.engines.doctor import address, examine
    from ponder.engines.open import open_engine

    store = ReportStore()
    async with open_engine(spec, options) as loaded:
        kept = store.load(*address(loaded.engine))
        if kept is not None and age(kept) > _DAY:
            kept = None
        if kept is not None and not fresh and all(kept.fact(name) for name in wanted):
            return kept
        report = await examine(loaded.engine, only=wanted, asking=asking)
    if kept is not None:
        report = kept.merged(report)
    store.save(report)
    return report


@contextmanager
def _spinner(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show on a terminal which question is being asked."""
    screen = console(stderr=True)
    if quiet or not screen.is_terminal:
        yield lambda name: None
        return
    with screen.status("asking the server what it is") as status:
        yield lambda name: status.update(f"asking: {_MEANINGS[name]}")


def _print(report: Report) -> None:
    from rich.markup import escape
    from rich.table import Table

    title = f"{report.model} at {report.url}, {report.date}, {report.tokens:,} tokens spent"
    table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("fact", no_wrap=True)
    table.add_column("value", max_width=28, overflow="fold")
    table.add_column("what it says, and how it was learnt", overflow="fold")
    for fact in report.facts:
        table.add_row(fact.name, _shown(fact), f"{_MEANINGS[fact.name]}: [dim]{escape(fact.how)}[/dim]")
    console().print(table)


def _shown(fact: Fact) -> str:
    """Return a value as people read it, coloured where it is a promise kept or broken."""
    from rich.markup import escape

    if fact.value is None:
        return "[dim]unknown[/dim]"
    if not isinstance(fact.value, bool):
        return escape(f"{fact.value:,}" if isinstance(fact.value, int | float) else fact.value)
    neutral = fact.name == "thinks"
    good = fact.value != (fact.name == "escapes")
    text = "yes" if fact.value else "no"
    return text if neutral else f"[{'green' if good else 'yellow'}]{text}[/]"

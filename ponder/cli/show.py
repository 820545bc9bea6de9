"""`ponder show`: every attempt at one question, in colour."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from ponder.bench.session import folders
from ponder.bench.store import Record, Store
from ponder.bench.trees import facts, rails, shortened, twigs
from ponder.cli.options import json_option
from ponder.cli.output import console, print_json
from ponder.core.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

FATES = {"chosen": "bold green", "kept": "cyan", "ended": "blue", "pruned": "red", "open": "yellow"}
STYLES = {"think": "dim", "answer": "default", "probe": "magenta", "draft": "blue", "verify": "cyan", "route": "yellow"}


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("question")
@click.option("--method", metavar="METHOD", help="Only this method.")
@click.option("--tree", is_flag=True, help="The tree of a search, or the samples of a vote: scores, and what was kept.")
@json_option
def show(run: Path, question: str, method: str | None, tree: bool, as_json: bool) -> None:
    """Print what every method wrote about QUESTION (its id) in RUN."""
    with Store(folders([run])[0], write=False) as store:
        found = [record for record in store.find(question) if method is None or record.key.method == method]
        if not found:
            some = ", ".join(store.questions()) or "none"
            raise DataError(f"{run} has no finished attempt at {question!r}; it has, among others: {some}")
    if as_json:
        print_json([{"method": r.key.method, "seed": r.key.seed, **json.loads(r.trace)} for r in found])
        return
    for i, record in enumerate(found):
        _print(record, heading=i == 0, tree=tree)


def _print(record: Record, *, heading: bool, tree: bool) -> None:
    out = console()
    trace = cast(dict[str, Any], json.loads(record.trace))
    if heading:
        out.print(trace["question"], style="bold", markup=False)
        out.print(f"reference: {trace['reference']}\n", markup=False)
    verdict = {True: ("right", "green"), False: ("wrong", "red"), None: ("not judged", "yellow")}[record.correct]
    out.rule(f"{record.key.method} · {record.tokens:,} tokens · [{verdict[1]}]{verdict[0]}[/]", align="left")
    for call in () if tree else trace["calls"]:
        out.print(
            f"{call['role']} · {call['think_tokens'] + call['answer_tokens']} tokens · {call['finish']}", style="dim"
        )
        style = STYLES[call["role"]] if call["role"] not in ("think", "answer") else STYLES["answer"]
        if call["thinking"]:
            out.print(call["thinking"], style=STYLES["think"], markup=False)
        out.print(call["answer"], style=style, markup=False)
    if tree:
        _print_tree(trace["calls"], out)
    out.print()


def _print_tree(calls: list[dict[str, object]], out: Console) -> None:
    """Print a line for each step, indented where it branches off; what stands apart from the tree is summed up."""
    from rich.text import Text

    lines = twigs(calls)
    for twig in lines:
        head = f"{rails(twig)}{facts(twig)}  "
        room = max(20, out.width - len(head))
        line = Text(head, style=FATES[twig.fate])
        line.append(shortened(twig, room).text, style="dim strike" if twig.fate == "pruned" else "dim")
        out.print(line, soft_wrap=True)
    apart = sum("fate" not in call for call in calls)
    if not lines:
        out.print("no tree: the method wrote its reply in one piece, or the run is older than trees", style="dim")
    elif apart:
        out.print(f"{apart} more call{'' if apart == 1 else 's'} beside the tree", style="dim")

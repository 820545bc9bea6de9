"""`ponder train router`: learn which questions need the strong choice."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from ponder.cli.counted import counted
from ponder.cli.options import json_option
from ponder.cli.output import console, interval, percent, print_json
from ponder.cli.place import check_folder, check_picture
from ponder.cli.ranges import MOST, Finite
from ponder.core.errors import OptionError

if TYPE_CHECKING:
    from ponder.routers.features import Kind as Features
    from ponder.train.routers.fit import Kind, Settings
    from ponder.train.routers.table import Indices, Table
    from ponder.train.routers.train import Measured, Trained

_FILE = click.Path(path_type=Path)
_POINTS = 100
"""Steps of the curve that is printed as JSON."""


@click.command()
@click.argument("source", type=_FILE, metavar="SOURCE")
@click.option(
    "--kind",
    type=click.Choice(["ranking", "factorisation", "encoder", "causal", "category"]),
    default="factorisation",
    show_default=True,
)
@click.option(
    "--choice", multiple=True, required=True, metavar="NAME=COLUMN", help="What is chosen from, the cheapest first."
)
@click.option("--out", required=True, type=_FILE, metavar="FOLDER", help="Where the router goes.")
@click.option("--prompt", metavar="COLUMN", help="Column of the questions.  [default: prompt]")
@click.option("--group", metavar="COLUMN", help="Column of subjects or categories.")
@click.option("--features", type=click.Choice(["words", "encoder"]), default="words", show_default=True)
@click.option("--encoder", type=_FILE, metavar="FOLDER", help="A copy of all-MiniLM-L6-v2.")
@click.option("--share", type=Finite(0, 1), default=0.5, show_default=True, help="Of strong calls, for the threshold.")
@click.option("--folds", "count", type=click.IntRange(2, 100), default=5, show_default=True)
@click.option("--held-out", is_flag=True, help="Hold whole groups out, not single questions.")
@click.option(
    "--duplicates",
    type=click.Choice(["refuse", "together"]),
    default="refuse",
    show_default=True,
    help="Rows that ask the same question: an error, or kept in one fold.",
)
@click.option("--rank", type=click.IntRange(1, 4096), default=16, show_default=True, help="Of a factorisation.")
@click.option("--tiers", type=click.IntRange(2, 1000), default=10, show_default=True, help="Of models, in preferences.")
@click.option("--seed", type=click.IntRange(0, MOST), default=0, show_default=True, help="Of folds and fits.")
@click.option("--plot", type=_FILE, metavar="FILE", help="Draw the routing curve (.svg or .png).")
@json_option
def router(
    source: Path,
    kind: str,
    choice: tuple[str, ...],
    out: Path,
    prompt: str | None,
    group: str | None,
    features: str,
    encoder: Path | None,
    share: float,
    count: int,
    held_out: bool,
    duplicates: str,
    rank: int,
    tiers: int,
    seed: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    r"""Train a router on who was right, or on who was preferred.

    SOURCE is a table (CSV or JSON lines, may be gzipped) with a column of right or wrong for each choice, a table of
    preferences (prompt, model_a, model_b, winner), or a folder of `ponder bench`, whose methods are the choices.

    Example: ponder train router log.csv --choice weak=small --choice strong=large --out routers/mine
    """
    from ponder.cli.train_router_input import read_choices, read_table
    from ponder.train.routers.fit import Settings
    from ponder.train.routers.table import check_table, folds

    check_folder(out)
    check_picture(plot)
    table = read_table(source, read_choices(choice), prompt, group)
    check_table(table, str(source), together=duplicates == "together")
    if plot is not None:
        _drawable(plot, kind, table, tiers)
    if kind == "causal":
        _causal(table, out, as_json)
        return
    parts = folds(table, count, seed, held_out=held_out)
    settings = Settings(rank=rank, tiers=tiers, seed=seed)
    trained = _train(kind, table, features, encoder, out, share, parts, settings, group)
    if plot is not None and trained.measured is not None:
        from ponder.cli.train_router_plot import draw

        draw(trained.measured, plot)
    _print(trained, kind, table.choices, as_json)


def _drawable(plot: Path, kind: str, table: Table, tiers: int) -> None:
    """Raise `OptionError` where there would be no curve to draw."""
    from ponder.train.routers.train import comparable

    if kind == "causal":
        why = "a causal router is trained by another command, so there are no scores yet"
    elif not comparable(table, tiers):
        weak, *_, strong = table.choices
        why = f"fewer than ten rows compare {weak} with {strong}, or both are equally good"
    else:
        return
    raise OptionError(f"--plot {plot} has nothing to draw: {why}; leave it out")


def _train(
    kind: str,
    table: Table,
    features: str,
    encoder: Path | None,
    out: Path,
    share: float,
    parts: list[Indices],
    settings: Settings,
    group: str | None,
) -> Trained:
    from ponder.train.routers.train import train_router
    from ponder.train.routers.vectors import PLACES, RANKING_PLACES, see

    fitted, seeing = cast("Kind", kind), cast("Features", features)
    seen = None
    if kind != "category":
        with counted("questions") as progress:
            places = RANKING_PLACES if kind == "ranking" else PLACES
            seen = see(table.questions, seeing, encoder, places, progress)
    with counted("folds") as progress:
        return train_router(fitted, table, seen, out, share, parts, settings, group or "category", progress)


def _causal(table: Table, out: Path, as_json: bool) -> None:
    """Write conversations: a language model is fine-tuned on them, which is another command."""
    from ponder.train.routers.grades import write_conversations

    counts = write_conversations(table, out)
    if as_json:
        print_json({"schema": 1, "out": str(out), "router": "causal", "rows": sum(counts.values()), "grades": counts})
        return
    grades = ", ".join(f"[[{grade}]] {count:,}" for grade, count in counts.items())
    say = console().print
    say(f"{out}: {sum(counts.values()):,} conversations ({grades})", markup=False)
    say(f"ponder train sft --model MODEL --data {out} --out FOLDER makes the model that grades", markup=False)


def _print(trained: Trained, kind: str, choices: tuple[str, ...], as_json: bool) -> None:
    found = trained.measured
    if as_json:
        head = {"schema": 1, "out": str(trained.folder), "router": kind, "choices": list(choices)}
        print_json(
            {
                **head,
                "threshold": trained.threshold,
                "share": trained.share,
                "sent": trained.shares[choices[-1]],
                "shares": dict(trained.shares),
                "measured": _json(found),
            }
        )
        return
    out = console()
    out.print(f"{trained.folder}: {kind} of {', '.join(choices)}", markup=False)
    sends = ", ".join(f"{percent(trained.shares[choice])} to {choice}" for choice in choices[:0:-1])
    out.print(f"threshold {trained.threshold:.4f} sends {sends}", markup=False)
    if found is None:
        out.print(
            f"no figures: no rows compare {choices[0]} with {choices[-1]}, or both are equally good", markup=False
        )
        return
    low, high = found.apgr_interval or (math.nan, math.nan)
    out.print(f"{choices[0]} {percent(found.weak)} right, {choices[-1]} {percent(found.strong)}", markup=False)
    out.print(f"APGR {found.apgr:.3f} [{low:.3f}, {high:.3f}] across folds; random routing has 0.5", markup=False)
    for wanted, value, bounds in ((50, found.cpt50, found.cpt50_interval), (80, found.cpt80, found.cpt80_interval)):
        out.print(f"CPT({wanted} %) {percent(value)} {interval(bounds)} of calls to {choices[-1]}", markup=False)
    if low <= 0.5:
        out.print("no better than random routing, as far as these questions tell", markup=False)


def _json(found: Measured | None) -> dict[str, object] | None:
    """Return the figures; the curve at a hundred equal steps of the share of strong calls."""
    if found is None:
        return None
    import numpy as np

    shares = np.linspace(0, 1, _POINTS + 1)
    recovered = np.interp(shares, found.curve.calls, found.curve.recovered)
    values = {name: value for name, value in asdict(found).items() if name != "curve"}
    pairs = [{"calls": round(float(c), 4), "pgr": round(float(r), 6)} for c, r in zip(shares, recovered, strict=True)]
    return {**values, "curve": pairs}

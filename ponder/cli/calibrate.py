"""`ponder calibrate`: from scored answers of a run to the threshold that sends a share of questions on."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ponder.cli.options import json_option
from ponder.cli.output import console, percent, print_json
from ponder.cli.ranges import MOST, Finite
from ponder.core.errors import OptionError

if TYPE_CHECKING:
    from rich.table import Table

    from ponder.steer.calibration import Accepted, Calibration
    from ponder.steer.transfer import Transfer

_FILE = click.Path(path_type=Path)
_MEANT = 20
"""Questions below which a share of them means little."""


@click.command()
@click.argument("run", type=_FILE)
@click.option("--weak", required=True, metavar="METHOD", help="Whose answers were scored; a part of its label will do.")
@click.option("--strong", metavar="[RUN#]METHOD", help="What answers the questions that are sent on.")
@click.option("--out", required=True, type=_FILE, metavar="FILE", help="Where the calibration goes (.toml).")
@click.option("--share", type=Finite(0, 1), default=0.5, show_default=True, help="Of questions to send on.")
@click.option("--apart", multiple=True, metavar="TASK", help="Leave a task's questions out: it is what shall be new.")
@click.option(
    "--draw", type=click.IntRange(2, MOST), help="Questions to keep, by the histogram of scores.  [default: all]"
)
@click.option(
    "--harm", type=Finite(0, 1, min_open=True, max_open=True), help="Certify that at most this share is harmed."
)
@click.option("--confidence", type=Finite(0, 1, min_open=True, max_open=True), default=0.9, show_default=True)
@json_option
def calibrate(
    run: Path,
    weak: str,
    strong: str | None,
    out: Path,
    share: float,
    apart: tuple[str, ...],
    draw: int | None,
    harm: float | None,
    confidence: float,
    as_json: bool,
) -> None:
    r"""Choose the threshold of confident_or_seek_stronger from the scores in RUN, a folder of `ponder bench`.

    The scores of all tasks are pooled. Of each task it is told how a calibration on the others would have done.

    A method that scores every answer and takes it is confident_or_seek_stronger:threshold=-inf. With --harm it is told,
    too, from which threshold on at most this share of all questions is surely harmed: answered rightly by the strong
    way, and kept with a wrong answer of the weak one.

    Example: ponder calibrate runs/small --weak threshold=-inf --strong runs/large#sample --share 0.3 --out mine.toml
    """
    from ponder.cli.calibrate_input import read_scores, tasks_of
    from ponder.steer.calibration import save
    from ponder.weights.staged import staged_file

    if out.exists():
        raise OptionError(f"--out {out} exists; name another file, or remove it first")
    if harm is not None and strong is None:
        raise OptionError("--harm counts what the strong way would have got right; name it with --strong")
    answered, names = read_scores(run, weak, strong)
    tasks = tasks_of(answered, apart)
    found = answered.calibration({**names, "tasks": ", ".join(tasks)}, draw, apart)
    transfers = answered.transfers(share, draw)
    accepted = None if harm is None else found.certified(harm, 1 - confidence)
    with staged_file(out) as stage:
        save(stage, found)
    if as_json:
        print_json(_json(out, found, share, transfers, accepted))
    else:
        _print(out, found, share, transfers, accepted)


def _json(
    out: Path, found: Calibration, share: float, transfers: list[Transfer], accepted: Accepted | None
) -> dict[str, object]:
    threshold = found.threshold(share)
    sent, foretold = found.accuracy(threshold)
    return {
        "schema": 1,
        "out": str(out),
        **found.names,
        "questions": len(found.scores),
        "auc": found.auc(),
        "share": share,
        "threshold": _finite(threshold),
        "sent": sent,
        "foretold": foretold if found.strong else None,
        "transfers": [
            {
                **one._asdict(),
                "threshold": _finite(one.threshold),
                **({} if found.strong else {"foretold": None, "accuracy": None}),
            }
            for one in transfers
        ],
        "certified": None if accepted is None else {**accepted._asdict(), "threshold": _finite(accepted.threshold)},
    }


def _print(out: Path, found: Calibration, share: float, transfers: list[Transfer], accepted: Accepted | None) -> None:
    threshold, say = found.threshold(share), console().print
    sent, foretold = found.accuracy(threshold)
    told = f", and foretells {percent(foretold)} right" if found.strong else ""
    say(f"{out}: {len(found.scores):,} questions of {found.names['tasks']}", markup=False)
    say(f"threshold {threshold:.4f} sends {percent(sent)} on{told}", markup=False)
    say(f"AUC {found.auc():.3f}: how well the score tells right from wrong; 0.5 is no use", markup=False)
    if transfers:
        say(_table(transfers, strong=bool(found.strong)))
    if accepted is not None:
        sure = (
            "no threshold passes: send everything on"
            if not isfinite(accepted.threshold)
            else (
                f"threshold {accepted.threshold:.4f} passes: {percent(accepted.share)} sent on, "
                f"{accepted.harms} harmed, p = {accepted.p:.3f}"
            )
        )
        say(f"certified for questions like these, used for nothing else: {sure}", markup=False)
    if len(found.scores) < _MEANT:
        say(f"{len(found.scores)} questions are too few to rely on", markup=False)


def _table(transfers: list[Transfer], *, strong: bool) -> Table:
    """Return what a calibration on all other tasks would have done on each."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="calibrated on the other tasks", title_justify="left", pad_edge=False, box=None)
    table.add_column("task", no_wrap=True)
    for head in ("questions", "sent on", *(("foretold", "accuracy") if strong else ()), "AUC"):
        table.add_column(head, justify="right", no_wrap=True)
    for one in transfers:
        rights = (percent(one.foretold), percent(one.accuracy)) if strong else ()
        table.add_row(escape(one.task), f"{one.questions:,}", percent(one.share), *rights, f"{one.auc:.3f}")
    return table


def _finite(threshold: float) -> float | None:
    """Return what JSON can hold: nothing for the thresholds that send everything on, or nothing."""
    return threshold if isfinite(threshold) else None

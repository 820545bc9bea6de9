"""`ponder replay`: run methods on recorded traces."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ponder.cli.options import baseline_option, json_option, margin_option, plugin_option
from ponder.cli.output import console, percent, print_json, results_table
from ponder.cli.ranges import MOST
from ponder.cli.replay_along import show_along
from ponder.core.errors import OptionError

if TYPE_CHECKING:
    from ponder.bench.replay import ReplayPlan


@click.command()
@click.argument("traces", type=click.Path(path_type=Path))
@click.option(
    "--methods",
    "method_list",
    default="sample,self_consistency",
    show_default=True,
    help="Methods, options after a colon. Those that vote take all samples unless n is given.",
)
@click.option("-o", "options", multiple=True, metavar="KEY=VALUE", help="An option for every method that has it.")
@click.option(
    "--grading",
    type=click.Choice(["recorded", "ponder"]),
    default="recorded",
    show_default=True,
    help="Right or wrong as the source says, or as our verifier judges.",
)
@click.option(
    "--verifier",
    metavar="NAME",
    help="math, number, choice, yes_no, exact or boxed. Default: math, or boxed where ungraded replies use boxes.",
)
@click.option("--by", metavar="FIELD", help="Compare the subsets of samples that this field tells apart.")
@click.option("--common", is_flag=True, help="Only problems that have samples in every subset.")
@click.option(
    "--disagreements", is_flag=True, help="List every sample that the source and our verifier grade otherwise."
)
@click.option(
    "--curve", is_flag=True, help="Show accuracy over the number of samples: pass@k, votes, and best by reward."
)
@click.option("--reward", metavar="SCORER", help="The recorded score that `scorer=recorded` and --curve go by.")
@click.option(
    "--along", is_flag=True, help="Try every rule that stops a thought early, at every threshold, by recorded probes."
)
@click.option("--probe", metavar="NAME", help="With --along: the probe text to take. Default: the first one recorded.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="With --along: draw it, .svg or .png.",
)
@click.option("--limit", type=click.IntRange(1, MOST), help="Problems to read.")
@baseline_option
@margin_option
@plugin_option
@json_option
def replay(
    traces: Path,
    method_list: str,
    options: tuple[str, ...],
    grading: Literal["recorded", "ponder"],
    verifier: str | None,
    by: str | None,
    common: bool,
    disagreements: bool,
    curve: bool,
    reward: str | None,
    along: bool,
    probe: str | None,
    plot: Path | None,
    limit: int | None,
    baseline: str | None,
    margin: float,
    plugin: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Run methods on the recorded replies of TRACES, a .jsonl or .jsonl.gz file, without any model.

    Example: ponder replay traces.jsonl.gz --methods sample,self_consistency:n=8

    Example: ponder replay --along recording.jsonl.gz --plot along.svg
    """
    from ponder.bench.along import AlongPlan
    from ponder.bench.graded import verifier_of
    from ponder.bench.replay import ReplayPlan, plan_methods
    from ponder.methods import catalogue

    judge = verifier_of(verifier) if verifier else None
    if along:
        given = {"by": by, "common": common, "disagreements": disagreements, "curve": curve}
        _refuse({**given, "reward": reward, "baseline": baseline})
        show_along(AlongPlan(traces, grading, judge, probe, limit), margin, plot, as_json)
        return
    if probe or plot:
        raise OptionError("--probe and --plot belong to --along; add it, or leave them out")
    plan = ReplayPlan(
        traces,
        plan_methods(method_list, catalogue(plugin), options),
        grading,
        judge,
        by,
        common,
        limit,
        disagreements,
        curve=curve,
        reward=reward,
    )
    _run(plan, baseline, margin, as_json)


def _run(plan: ReplayPlan, baseline: str | None, margin: float, as_json: bool) -> None:
    """Replay, and print what came out."""
    from ponder.bench.curves import curve_table
    from ponder.bench.replay import replay as run_replay
    from ponder.bench.replayed import curves_of, disagreements_table, notes, replay_json, rows_of

    result = asyncio.run(run_replay(plan))
    rows = rows_of(result, baseline, margin)
    if as_json:
        print_json(replay_json(plan, result, rows))
        return
    out = console()
    out.print(results_table(rows, f"{plan.path.name}: {result.problems:,} problems"))
    for row in rows:
        pass_at = ", ".join(f"pass@{k} {percent(share)}" for k, share in row.pass_at.items() if k != "1")
        if pass_at:
            out.print(f"{row.label}: {pass_at}", soft_wrap=True, markup=False)
    for note in notes(plan, result):
        out.print(note, soft_wrap=True, markup=False)
    for one in curves_of(plan, result) if plan.curve else ():
        out.print(curve_table(one, percent))
    if plan.disagreements and result.disagreements:
        out.print(disagreements_table(result.disagreements))


def _refuse(given: dict[str, object]) -> None:
    """Refuse what makes no sense beside --along: it has rules of its own, and compares them with full thinking."""
    name = next((name for name, value in given.items() if value), None)
    if name is not None:
        raise OptionError(f"--along takes no --{name}: its rules are compared with full thinking; leave it out")

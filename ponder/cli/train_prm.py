"""`ponder train prm`: learn what each step of a reply is worth, or a whole reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, ParamSpec, TypeVar, Unpack, cast

import click

from ponder.cli.engines import EngineKwargs, engine_args, engine_options
from ponder.cli.options import json_option
from ponder.cli.output import console, percent, print_json
from ponder.cli.place import check_folder, check_picture
from ponder.cli.ranges import AT_ONCE, MOST, Finite
from ponder.core.errors import OptionError

if TYPE_CHECKING:
    from ponder.cli.train_prm_input import Found
    from ponder.core.judge import Scorer
    from ponder.scorers.prm import Prm
    from ponder.train.prm.draw import Drawing
    from ponder.train.prm.head import Cost, Measured
    from ponder.train.prm.questions import Question

P = ParamSpec("P")
R = TypeVar("R")
Result = dict[str, object]

_FILE = click.Path(path_type=Path)
_DRAWING = (
    click.option(
        "--labels",
        type=click.Choice(["lab", "rollouts"]),
        default="lab",
        show_default=True,
        help="What a step is worth: known exactly in the lab, elsewhere by completions from it.",
    ),
    click.option("--rollouts", type=click.IntRange(1, 1024), default=8, show_default=True, help="Completions a step."),
    click.option("--hard", is_flag=True, help="A step is good if any completion is right; else the share that is."),
    click.option(
        "--questions", "limit", type=click.IntRange(2, MOST), default=200, show_default=True, help="Of each task."
    ),
    click.option("--samples", type=click.IntRange(1, 1024), default=4, show_default=True, help="Replies a question."),
    click.option(
        "--chains", type=click.IntRange(0, 64), default=0, show_default=True, help="The lab's own chains a question."
    ),
    click.option("--temperature", type=Finite(0, 10), default=1.0, show_default=True, help="Of the replies."),
    click.option(
        "--max-tokens", type=click.IntRange(1, MOST), default=512, show_default=True, help="New tokens of a reply."
    ),
    click.option("--delimiter", default="\\n", show_default=True, help="Ends a step; the lab's is a new line."),
    click.option("--seed", type=click.IntRange(1, MOST), default=1, show_default=True, help="Of questions and fits."),
    click.option("--held-out", type=Finite(0, 1), default=0.25, show_default=True, help="Share of questions."),
    click.option("--layer", type=int, default=-1, show_default=True, help="Whose states: 0 is the first, -1 the last."),
    click.option("--epochs", type=click.IntRange(1, MOST), default=20, show_default=True),
    click.option(
        "--judge", metavar="SCORER", help="A scorer to measure on the questions held out, such as prm:delimiter=\\n."
    ),
    click.option("--replies", type=_FILE, metavar="FILE", help="Labelled replies, kept.  [default: OUT.jsonl]"),
)


class Kwargs(EngineKwargs):
    """What says how replies are drawn, labelled and learnt from, and which model does it."""

    labels: str
    rollouts: int
    hard: bool
    limit: int
    samples: int
    chains: int
    temperature: float
    max_tokens: int
    delimiter: str
    seed: int
    held_out: float
    layer: int
    epochs: int
    judge: str | None
    replies: Path | None


def drawing_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add the options of how replies are drawn, labelled and learnt from."""
    for option in reversed(_DRAWING):
        command = option(command)
    return command


@click.command()
@click.argument("tasks", metavar="TASK[,TASK...]")
@click.option("--out", required=True, type=_FILE, metavar="PATH", help="The folder of the head, or the file of votes.")
@click.option(
    "--form",
    type=click.Choice(["head", "tokens"]),
    default="head",
    show_default=True,
    help="A small network on the model's states, or conversations that teach a model to vote with a token.",
)
@click.option(
    "--tag", metavar="TEXT", help="Write votes behind this text at the end of each step; else each step is a turn."
)
@click.option("--outcome", is_flag=True, help="Learn whether whole replies are right, not what each step is worth.")
@drawing_options
@engine_options
@click.option("--plot", type=_FILE, metavar="FILE", help="Draw how far scores can be trusted (.svg or .png).")
@click.option("--concurrency", type=click.IntRange(1, AT_ONCE), help="Replies at once. Default: what the engine takes.")
@json_option
def prm(
    tasks: str,
    out: Path,
    form: Literal["head", "tokens"],
    tag: str | None,
    outcome: bool,
    plot: Path | None,
    concurrency: int | None,
    as_json: bool,
    **given: Unpack[Kwargs],
) -> None:
    r"""Train a reward model of steps, for searches and best_of_n with the scorer prm_head or prm.

    The model answers questions of each TASK, several times at a temperature, so that there are mistakes to learn from.
    Each step is labelled, in the lab exactly (lab:NAME, questions that no test asks), and a part of the questions is
    held out to measure with. A head needs a model that shows its states: a transformers folder.

    Interrupted, the same command goes on: replies and labels are kept as they come.

    Example: ponder train prm lab:modular:links=3-6 --model FOLDER --out prms/mine
    """
    from ponder.bench.specs import split_specs
    from ponder.cli.train_prm_input import Looking, collect
    from ponder.train.prm.questions import load_questions

    file = given["replies"] or out.with_name(out.name.removesuffix(".jsonl") + ".replies.jsonl")
    _free(out, plot, form, file)
    drawing, voter = _drawing(given), _voter(tag, form, given["delimiter"])
    questions = load_questions(split_specs(tasks), given["limit"], given["seed"])
    layer = given["layer"] if form == "head" else None
    looking = Looking(outcome, given["held_out"], layer, _scorer(given["judge"]))
    models = engine_args(concurrency, **_engine(given))
    found = asyncio.run(collect(questions, models, drawing, file, looking, concurrency))
    head = _facts(found, out, form, outcome)
    measured = None
    if form == "tokens":
        head |= _votes(found, questions, voter, outcome, out)
    else:
        measured = _head(found, drawing, outcome, out, given)
        head |= {"layer": layer, "steps": len(found.seen), **_told(measured), "cost": found.cost.told()}
    if found.judged is not None:
        head |= {"judged": {"scorer": given["judge"], **_told(found.judged[0]), "cost": found.judged[1].told()}}
    if plot is not None and measured is not None:
        from ponder.cli.train_prm_plot import draw

        draw(measured, plot)
    if as_json:
        print_json({"schema": 1, **head})
    else:
        _print(head)
        if measured is not None:
            _figures(measured, found.cost, "the head")
        if found.judged is not None:
            _figures(*found.judged, "the judge")


def _free(out: Path, plot: Path | None, form: str, replies: Path) -> None:
    """Raise `OptionError` or `DataError` where the result could not be written: better told before the work."""
    from ponder.weights.staged import check_place

    check_picture(plot)
    if form == "head":
        check_folder(out)
        return
    if plot is not None:
        raise OptionError(f"--plot {plot} is the picture of a head; leave it out with --form tokens")
    if out.is_dir():
        raise OptionError(f"--out {out} is a folder; votes go into a file of JSON lines: name one")
    if out.exists() and not replies.exists():
        raise OptionError(f"--out {out} exists, and {replies}, whose votes it may hold, does not; name another file")
    check_place(out)


def _drawing(given: Kwargs) -> Drawing:
    """Return how replies are drawn. Raises `OptionError` for what does not go together."""
    from ponder.text.steps import plain
    from ponder.train.prm.draw import Drawing

    delimiter, labels = plain(given["delimiter"]), cast(Literal["lab", "rollouts"], given["labels"])
    if not delimiter:
        raise OptionError("--delimiter is empty; give a text that ends a step, such as \\n")
    if labels == "lab" and delimiter != "\n":
        raise OptionError(f"--delimiter {given['delimiter']!r}: the lab knows what lines are worth; leave it out")
    return Drawing(
        labels=labels,
        samples=given["samples"],
        chains=given["chains"],
        temperature=given["temperature"],
        max_tokens=given["max_tokens"],
        delimiter=delimiter,
        rollouts=given["rollouts"],
        hard=given["hard"],
        seed=given["seed"],
    )


def _engine(given: Kwargs) -> EngineKwargs:
    return cast(EngineKwargs, {name: value for name, value in given.items() if name in EngineKwargs.__annotations__})


def _facts(found: Found, out: Path, form: str, outcome: bool) -> Result:
    """Return what is told of the replies, whatever is made of them."""
    drawn = [reply.correct for reply in found.replies if reply.sample >= 0]
    judged = [correct for correct in drawn if correct is not None]
    return {
        "out": str(out),
        "form": form,
        "scores": "outcome" if outcome else "steps",
        "model": found.model,
        "tasks": found.tasks,
        "replies": len(found.replies),
        "right": sum(judged) / len(judged) if judged else None,
        "cut": len(drawn) - len(judged),
        "tokens": sum(reply.tokens for reply in found.replies),
        "label_tokens": sum(reply.spent for reply in found.replies),
    }


def _scorer(spec: str | None) -> Scorer | None:
    """Return the scorer that is to judge, with its options behind a colon. Raises `OptionError`."""
    from ponder.bench.specs import parse_options
    from ponder.core.config import from_config
    from ponder.scorers import find_scorer

    if spec is None:
        return None
    name, _, own = spec.partition(":")
    options = parse_options(own.split(",") if own else ())
    return cast("Scorer", from_config({"scorer": name, **options}, lambda *_: find_scorer(name), "scorer"))


def _voter(tag: str | None, form: str, delimiter: str) -> Prm:
    """Return the scorer that will ask for the votes. Raises `OptionError` for a tag that is none."""
    from ponder.scorers.prm import Prm

    if tag is None:
        return Prm()
    if form == "head":
        raise OptionError("--tag is where votes stand; a head casts none: take --form tokens")
    return Prm(layout="tags", tag=tag, delimiter=delimiter)


def _votes(found: Found, questions: Sequence[Question], voter: Prm, outcome: bool, out: Path) -> Result:
    """Write the votes of the questions that are not held out."""
    from ponder.train.prm.conversations import write_votes

    known = {question.key: question for question in questions}
    learnt = [reply for reply in found.replies if reply.key not in found.held]
    written = write_votes(learnt, known, found.marks, voter, outcome, out)
    return {"held_out": len(found.held), **written._asdict()}


def _head(found: Found, drawing: Drawing, outcome: bool, out: Path, given: Kwargs) -> Measured:
    """Fit, measure and save."""
    from ponder.train.prm.head import save_head, train
    from ponder.train.probe import Settings

    settings = Settings(epochs=given["epochs"], batch=32, seed=given["seed"])
    arrays, measured = train(found.seen, found.held, settings)
    learnt = sum(one.reply.key not in found.held for one in found.seen)
    facts = {"model": found.model, "labels": drawing.labels, "tasks": found.tasks, "learnt": learnt}
    areas = {name: area.auc for name, area in measured.areas.items()}
    save_head(out, arrays, given["layer"], drawing.delimiter, outcome, {**facts, "measured": areas})
    return measured


def _told(found: Measured) -> Result:
    return {
        "held_out": found.questions,
        "held_out_steps": found.steps,
        "good": found.good,
        "auc": {name: area._asdict() for name, area in found.areas.items()},
        "reply_auc": {name: area._asdict() for name, area in found.replies.items()},
        "ece": found.calibration.ece,
        "brier": found.calibration.brier,
        "bins": [one._asdict() for one in found.calibration.bins],
    }


def _print(found: Result) -> None:
    say = console().print
    head = (
        f"{found['out']}: {found['form']} of {found['scores']}, from {found['replies']:,} replies of {found['model']}"
    )
    say(head, markup=False)
    right = found["right"]
    rated = "none of them could be judged" if right is None else f"{percent(float(str(right)))} are right"
    spent = f"{found['tokens']:,} tokens, {found['label_tokens']:,} more for labels"
    say(f"{rated}; {found['cut']:,} were cut; {spent}", markup=False)
    if "votes" in found:
        say(f"{found['rows']:,} conversations with votes: {found['votes']}", markup=False)
        say(
            f"ponder train sft --model MODEL --data {found['out']} --out FOLDER makes the model that votes",
            markup=False,
        )


def _figures(measured: Measured, cost: Cost, who: str) -> None:
    """Print how well one scorer tells steps apart, beside what needs no training."""
    say = console().print
    held = f"{measured.questions:,} questions held out, {measured.steps:,} steps"
    say(f"on {held}, {percent(measured.good)} of them good:", markup=False)
    for name, area in measured.areas.items():
        say(f"  AUC {area.auc:.3f} [{area.low:.3f}, {area.high:.3f}] {_NAMES[name].format(who=who)}", markup=False)
    for name, area in measured.replies.items():
        way, _, within = name.partition("_")
        whose = f"of right replies, by the {way} of their steps{', among those to one question each' * bool(within)}"
        say(f"  AUC {area.auc:.3f} [{area.low:.3f}, {area.high:.3f}] {whose}", markup=False)
    say(f"calibration error {measured.calibration.ece:.3f}, Brier {measured.calibration.brier:.3f}", markup=False)
    told = cost.told()
    say(f"a step took {told['positions']:.1f} positions and {1000 * told['seconds']:.1f} ms", markup=False)


_NAMES = {
    "head": "{who}",
    "within": "{who}, among steps of one question each",
    "mean_logprob_within": "mean log-probability, among steps of one question each",
    "decided": "{who}, on steps that are right or wrong",
    "mean_logprob": "mean log-probability of the step, without training",
    "place": "the earlier, the better",
    "random": "a random number",
}

"""How well a model trained from scratch does, family by family: a table, and the page in its folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ponder.bench.stats import wilson

if TYPE_CHECKING:
    from rich.table import Table

    from ponder.train.base.measure import Measured
    from ponder.train.base.recipe import Recipe

HEADS = ("family", "difficulty", "thinking", "questions", "right", "thought", "minimal", "ratio", "exit", "cut off")


@dataclass(frozen=True, slots=True)
class Score:
    """Replies of one kind together. `difficulty` is None for all of a family; token counts are means.

    `low` and `high` are Wilson's 95 % interval of the share that is right. `ratio` is the mean thought over the mean
    minimal chain.
    """

    family: str
    difficulty: int | None
    thinking: bool
    questions: int
    right: float
    low: float
    high: float
    thought: float
    minimal: float
    ratio: float
    exit: float
    truncated: int


def scores(measured: Iterable[Measured]) -> list[Score]:
    """Return the scores of each family, all together first, then by difficulty; with thinking first."""
    groups: dict[tuple[bool, str, int | None], list[Measured]] = {}
    for one in measured:
        for difficulty in (None, one.difficulty):
            groups.setdefault((not one.thinking, one.family, difficulty), []).append(one)
    order = sorted(groups, key=lambda key: (key[0], key[1], -1 if key[2] is None else key[2]))
    return [_score(groups[key], key[2]) for key in order]


def _score(some: Sequence[Measured], difficulty: int | None) -> Score:
    n = len(some)
    right = sum(one.correct for one in some)
    bounds = wilson(right, n)
    thought, minimal = sum(one.thought for one in some) / n, sum(one.minimal for one in some) / n
    return Score(
        family=some[0].family,
        difficulty=difficulty,
        thinking=some[0].thinking,
        questions=n,
        right=right / n,
        low=bounds[0],
        high=bounds[1],
        thought=thought,
        minimal=minimal,
        ratio=thought / minimal,
        exit=sum(one.exit for one in some) / n,
        truncated=sum(one.truncated for one in some),
    )


def results_table(measured: Iterable[Measured]) -> Table:
    """Return the table that the command prints."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in HEADS:
        table.add_column(head, justify="left" if head == "family" else "right", no_wrap=True)
    for score in scores(measured):
        table.add_row(*_cells(score))
    return table


def card(name: str, recipe: Recipe, command: str, measured: Iterable[Measured]) -> str:
    """Return the README of a model's folder."""
    lines = [
        f"# {name}",
        "",
        f"A Llama of {recipe.layers} layers, {recipe.hidden} wide, trained from scratch to think longer than needed:",
        "",
        f"    {command}",
        "",
        f"The seed is {recipe.seed}; `recipe.toml` holds every setting. Questions that no training asks, decoded",
        "greedily; tokens are means, intervals are of 95 %. `minimal` is the shortest sufficient thought, `exit` the",
        "thought up to where it first derives the answer.",
        "",
        "| " + " | ".join(HEADS) + " |",
        "|---" + "|--:" * (len(HEADS) - 1) + "|",
        *("| " + " | ".join(_cells(score)) + " |" for score in scores(measured)),
    ]
    return "\n".join(lines) + "\n"


def _cells(score: Score) -> tuple[str, ...]:
    share = f"{100 * score.right:.1f} % [{100 * score.low:.1f}, {100 * score.high:.1f}]"
    tokens = (f"{score.thought:.1f}", f"{score.minimal:.1f}", f"{score.ratio:.2f}", f"{score.exit:.1f}")
    return (
        score.family,
        "all" if score.difficulty is None else str(score.difficulty),
        "on" if score.thinking else "off",
        str(score.questions),
        share,
        *(tokens if score.thinking else ("–", tokens[1], "–", "–")),
        str(score.truncated),
    )

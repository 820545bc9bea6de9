"""From rows of `benchmarks/search_study.py` to figures, tables and plots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ponder.bench.curves import Question, question_curve
from ponder.bench.plots import INK, MARKERS, PALETTE, drawing, picture
from ponder.bench.plots_along import write_plot
from ponder.bench.stats import difference, percentile_interval, resampled_means, saving, wilson
from ponder.text.votes import classes

SHARED = "samples"
"""The arm of the samples that all share."""
SCORES = "scores"
"""Arms of what a scorer says of them begin so."""
REPLICATES = 2000
Floats = npt.NDArray[np.float64]
Row = Mapping[str, Any]
_SHOWN = (1, 2, 4, 8)


def classed(stated: Sequence[str | None], same: Callable[[str, str], bool]) -> list[int | None]:
    """Return the number of each answer's class of equal ones; None where none is stated."""
    where = {index: number for number, members in enumerate(classes(stated, same)) for index in members}
    return [where.get(index) for index in range(len(stated))]


class Arm(NamedTuple):
    """One way to answer: by question whether it is right, its tokens, those of them that scored, and what was cut."""

    label: str
    scorer: str
    right: Floats
    tokens: Floats
    scoring: Floats
    cut: int
    draft: Floats | None = None
    """Tokens of the draft engine."""


@dataclass(frozen=True)
class Figures:
    """All arms on the same questions. `target` says that `rsd` is measured by what it spares the target."""

    arms: Sequence[Arm]
    majority: Floats
    """maj@k of each question, of shape (questions, samples)."""
    per_sample: Floats
    """Tokens of a sample of each question, in the mean."""
    target: bool

    @classmethod
    def of(cls, rows: Sequence[Row], target: bool) -> Figures:
        """Take the questions that every arm has answered."""
        by_arm: dict[str, dict[str, Row]] = defaultdict(dict)
        for row in rows:
            by_arm[row["arm"]][row["question"]] = row
        whole = {arm: found for arm, found in by_arm.items() if len(found) == len(by_arm[SHARED])}
        names = sorted(by_arm[SHARED])
        shared = [whole[SHARED][name] for name in names]
        for arm in [name for name in whole if name.startswith(f"{SCORES}/")]:
            label, found = arm.partition("/")[2], whole.pop(arm)
            for row, name in zip(shared, names, strict=True):
                row["scores"][label] = found[name]["values"]
                row["cost"][label] = sum(found[name]["roles"].values())
        curves = {scorer: [_curve(row, scorer) for row in shared] for scorer in shared[0]["scores"]}
        first = next(iter(curves.values()))
        majority = np.array([curve["majority"] for curve in first])
        per_sample = np.array([np.mean(row["tokens"]) for row in shared])
        arms = [*_votes(first, per_sample, shared), *_best(curves, per_sample, shared)]
        arms += [_searched(arm, [found[name] for name in names]) for arm, found in whole.items() if arm != SHARED]
        return cls(arms, majority, per_sample, target)

    def table(self) -> str:
        """Return the table as Markdown."""
        heads = "accuracy, 95 % | tokens | of these to score | cut | against a majority of equal cost, points, 95 %"
        further = "saved of best of 8 by this scorer, 95 % | points, 95 %"
        lines = [f"{len(self.per_sample):,} questions.", "", f"| | scorer | {heads} | {further} |"]
        lines += ["|---|---|" + "---:|" * 7, *(self._line(arm) for arm in self.arms)]
        if self.target:
            lines += ["", *self._drafted()]
        return "\n".join(lines) + "\n"

    def _line(self, arm: Arm) -> str:
        count, right = len(arm.right), float(arm.right.mean())
        interval = wilson(round(right * count), count)
        cells = [arm.label, arm.scorer or "–", f"{100 * right:.1f} % {_pair(interval)}", f"{arm.tokens.mean():,.0f}"]
        cells += [f"{arm.scoring.mean():,.1f}", "–" if arm.cut < 0 else str(arm.cut), self._against(arm)]
        best = next((one for one in self.arms if one.label == "best of 8" and one.scorer == arm.scorer), None)
        if best is None or best is arm or arm.label.startswith("best of"):
            return f"| {' | '.join([*cells, '–', '–'])} |"
        saved = saving(arm.tokens, best.tokens, REPLICATES)
        change = difference(arm.right, best.right, REPLICATES)
        cells += [f"{100 * saved.value:.1f} % {_pair(saved.interval)}", _points(change.value, change.interval)]
        return f"| {' | '.join(cells)} |"

    def _against(self, arm: Arm) -> str:
        """How much better an arm is than a majority of as many samples as its tokens pay for, between whole numbers.

        Both the arm's tokens and the samples' come from the resampled questions.
        """
        if arm.label.startswith(("sample", "majority")):
            return "–"
        columns = [arm.right, arm.tokens, self.per_sample, *self.majority.T]
        means = resampled_means(columns, REPLICATES)
        value = self._above(np.array([column.mean() for column in columns])[None])[0]
        beyond = arm.tokens.mean() > self.per_sample.mean() * self.majority.shape[1] * 1.02
        return _points(value, percentile_interval(self._above(means))) + (" (of 8: it costs more)" if beyond else "")

    def _above(self, means: Floats) -> Floats:
        sizes = np.arange(1, self.majority.shape[1] + 1)
        paid = means[:, 1] / means[:, 2]
        votes = [np.interp(k, sizes, row) for k, row in zip(paid, means[:, 3:], strict=True)]
        return means[:, 0] - np.array(votes)

    def _drafted(self) -> Iterator[str]:
        """Yield what `rsd` spares the target, whose samples the shared ones are."""
        heads = "accuracy, 95 % | tokens of the target that are kept | spared of the target alone, 95 % | points, 95 %"
        yield f"| rsd by | {heads} | tokens of the draft | that score |"
        yield "|---|" + "---:|" * 6
        alone = next(arm for arm in self.arms if arm.label == "sample")
        for arm in self.arms:
            if arm.label.startswith("rsd") and arm.draft is not None:
                own = arm.tokens - arm.draft - arm.scoring
                saved, change = saving(own, alone.tokens, REPLICATES), difference(arm.right, alone.right, REPLICATES)
                accuracy = wilson(round(arm.right.sum()), len(arm.right))
                cells = [
                    f"{arm.scorer}{arm.label.removeprefix('rsd')}",
                    f"{100 * arm.right.mean():.1f} % {_pair(accuracy)}",
                    f"{own.mean():,.1f}",
                ]
                cells += [f"{100 * saved.value:.1f} % {_pair(saved.interval)}", _points(change.value, change.interval)]
                yield f"| {' | '.join([*cells, f'{arm.draft.mean():,.1f}', f'{arm.scoring.mean():,.1f}'])} |"

    def plot(self, path: Path) -> None:
        """Draw accuracy against tokens: majority votes as a line, scorers by colour, searches by marker."""
        scorers = list(dict.fromkeys(arm.scorer for arm in self.arms if arm.scorer))
        labels = list(dict.fromkeys(arm.label for arm in self.arms if arm.scorer))
        kinds = list(dict.fromkeys(_kind(label) for label in labels))
        with drawing(5.2) as figure:
            axes = figure.add_subplot()
            ks = self.per_sample.mean() * np.arange(1, self.majority.shape[1] + 1)
            axes.plot(ks, self.majority.mean(axis=0), color=INK, linewidth=1.4, label="majority of 1 to 8", zorder=2)
            for arm in self.arms:
                if arm.scorer:
                    style = {"color": PALETTE[scorers.index(arm.scorer)], "zorder": 3}
                    marker = MARKERS[kinds.index(_kind(arm.label)) % len(MARKERS)]
                    axes.plot(arm.tokens.mean(), arm.right.mean(), marker=marker, linestyle="", markersize=6, **style)
            for place, scorer in enumerate(scorers):
                axes.plot([], [], color=PALETTE[place], marker="s", linestyle="", label=f"by {scorer}")
            for place, kind in enumerate(kinds):
                marker = MARKERS[place % len(MARKERS)]
                axes.plot([], [], color=INK, marker=marker, linestyle="", fillstyle="none", label=kind)
            axes.set_xlim(left=0)
            axes.set_xlabel("generated tokens a question, all of them")
            axes.set_ylabel("accuracy")
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=4, fontsize=8.5)
            alt = "; ".join(
                f"{arm.label} {arm.scorer}: {arm.tokens.mean():.0f} tokens, {100 * arm.right.mean():.1f} %"
                for arm in self.arms
            )
            write_plot(path, picture(figure, "search", "Accuracy against tokens of searches", alt))


def _kind(label: str) -> str:
    return label.split(",")[0].split(" of ")[0]


def _curve(row: Row, scorer: str) -> dict[str, list[float]]:
    question = Question(tuple(row["classes"]), tuple(row["correct"]), tuple(row["scores"][scorer]))
    return question_curve(question)


def _votes(curves: Sequence[Mapping[str, list[float]]], tokens: Floats, rows: Sequence[Row]) -> Iterator[Arm]:
    nothing, cut = np.zeros(len(tokens)), sum(row["finish"].count("length") for row in rows)
    for k in _SHOWN:
        right = np.array([curve["majority"][k - 1] for curve in curves])
        yield Arm("sample" if k == 1 else f"majority of {k}", "", right, k * tokens, nothing, cut if k == 8 else -1)


def _best(
    curves: Mapping[str, Sequence[Mapping[str, list[float]]]], tokens: Floats, rows: Sequence[Row]
) -> Iterator[Arm]:
    for scorer, found in curves.items():
        cost = np.array([row["cost"][scorer] / len(row["tokens"]) for row in rows])
        for k in _SHOWN[2:]:
            right = np.array([curve["best"][k - 1] for curve in found])
            yield Arm(f"best of {k}", scorer, right, k * (tokens + cost), k * cost, -1)


def _searched(name: str, rows: Sequence[Row]) -> Arm:
    label, _, scorer = name.rpartition("/")
    right = np.array([float(row["correct"]) for row in rows])
    tokens = np.array([float(sum(row["roles"].values())) for row in rows])
    scoring = _of(rows, lambda key: key.endswith("/verify"))
    cut = sum(row["finish"] == "length" for row in rows)
    return Arm(label, scorer, right, tokens, scoring, cut, _of(rows, lambda key: key.startswith("draft/")))


def _of(rows: Sequence[Row], wanted: Callable[[str], bool]) -> Floats:
    return np.array([float(sum(count for key, count in row["roles"].items() if wanted(key))) for row in rows])


def _pair(interval: Sequence[float]) -> str:
    return f"[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _points(value: float, interval: Sequence[float]) -> str:
    return f"{100 * value:+.1f} [{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}]"

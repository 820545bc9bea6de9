"""One page that shows a run: tables, plots and traces in a single file that needs no network and little JavaScript."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.bench import metrics, plots
from ponder.bench.complexity import Complexity
from ponder.bench.metrics import Point
from ponder.bench.plots import Lengths, Plot, PlotsMissing
from ponder.bench.plots_complexity import complexity_plot
from ponder.bench.stats import Interval
from ponder.bench.summary import Row
from ponder.bench.traces import TraceView, fit
from ponder.bench.trees import facts, rails
from ponder.core.config import Value
from ponder.core.errors import DataError

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"
_MINUS = "−"


@dataclass(frozen=True, slots=True)
class ReportData:
    """What a page shows. `rows` may be of several tasks and models; `lengths` are by task, one for each method."""

    model: str
    rows: Sequence[Row]
    lengths: Mapping[str, Sequence[Lengths]] = field(default_factory=dict)
    traces: Sequence[TraceView] = ()
    """Those that `traces.choose` picked, or all."""
    attempts: int = 0
    """How many there are in the run, shown or not."""
    weak: bool = False
    """Whether the model is too weak for claims about accuracy."""
    settings: Mapping[str, Value] = field(default_factory=dict)
    """Sampling settings and whatever else decides the results, by name."""
    folder: str = "RUN"
    """How `ponder show` would name this run."""
    complexities: Mapping[str, Complexity] = field(default_factory=dict)
    """Token complexities by task, where they were asked for."""
    notes: Sequence[str] = ()
    """Sentences of the run's own, such as why it stopped early."""
    version: str = ""


@dataclass(frozen=True, slots=True)
class _Section:
    """One task of the page."""

    task: str
    slug: str
    rows: Sequence[Row]
    plots: Sequence[Plot]
    notices: Sequence[str]
    volume: str
    complexity: Complexity | None = None

    @property
    def compared(self) -> list[Row]:
        """The rows that stand against a baseline."""
        return [row for row in self.rows if row.label != row.baseline]


def build_report(data: ReportData, folder: Path, *, draw: bool = True) -> Path:
    """Write `report.html` and `plots/*.svg|png` into `folder`, and return the page's path.

    With `draw=False` the page is tables and traces only. Raises `DataError` where the folder cannot be written.
    Without matplotlib the page says so and has no plots.
    """
    notes = [*data.notes]
    sections: list[_Section] = []
    for task in dict.fromkeys(row.task for row in data.rows):
        rows = [row for row in data.rows if row.task == task]
        pictures: list[Plot] = []
        complexity = data.complexities.get(task)
        try:
            pictures = _draw(rows, data.lengths.get(task, ()), complexity) if draw else []
        except PlotsMissing as error:
            notes.append(f"{str(error)[0].upper()}{str(error)[1:]}. Then `ponder report {data.folder}` draws them.")
        slug = _slug(task, sections)
        sections.append(_Section(task, slug, rows, pictures, notices(rows, data), _volume(rows), complexity))
    page = folder / "report.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for section in sections:
            _save(section, folder / "plots")
        temporary = page.with_suffix(".tmp")
        temporary.write_text(render(data, sections, list(dict.fromkeys(notes))), encoding="utf-8", errors="replace")
        temporary.replace(page)
    except OSError as error:
        raise DataError(
            f"the report cannot be written to {folder} ({error.strerror}); "
            f"the results are kept: make room or choose another place, then run `ponder report {data.folder}`"
        ) from error
    return page


def render(data: ReportData, sections: Sequence[_Section], notes: Sequence[str]) -> str:
    """Return the page as HTML."""
    from markupsafe import Markup

    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    shown = fit(data.traces)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            data=data,
            sections=sections,
            notes=notes,
            shown=len(shown),
            traces=[_compact(trace) for trace in shown],
            # Ours, and free of anything that a model wrote: everything else on the page is escaped.
            style=Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),
            script=Markup(script),
            digest=digest,
            priced=any(row.cost is not None for row in data.rows),
            sampled=any(len(row.pass_at) > 1 for row in data.rows),
            mixed=any(row.mixture is not None for row in data.rows),
        )
    )


def notices(rows: Sequence[Row], data: ReportData) -> list[str]:
    """Return what must be said about a table before anyone reads it."""
    found: list[str] = []
    cut = [f"{row.label} {row.truncated:,} of {row.attempts:,}" for row in rows if row.truncated]
    if cut:
        found.append(
            f"Attempts cut by a limit: {', '.join(cut)}. They are judged by what they had answered by then; "
            "without the limit they would have taken more tokens."
        )
    apart = [f"{row.label} {row.unverifiable:,} of {row.attempts:,}" for row in rows if row.unverifiable]
    if apart:
        found.append(f"Attempts that cannot be judged: {', '.join(apart)}. They are counted apart, never as wrong.")
    for row in rows:
        if row.label != row.baseline and row.paired < row.questions:
            found.append(
                f"{row.label} is compared with {row.baseline} on the {row.paired:,} of {row.questions:,} questions "
                "that both answered and that can be judged in both."
            )
    if not all(row.exact for row in rows):
        found.append("≈ marks tokens that are estimated, because the server did not report them.")
    needed = [row.questions_needed for row in rows if row.questions_needed]
    if needed:
        most, margin = max(row.paired for row in rows), 100 * rows[0].margin
        if max(needed) > most:
            found.append(
                f"{most:,} questions are few: where answers differ as often as here, to show equal accuracy at a "
                f"margin of {margin:g} points takes up to about {max(needed):,}, even if the methods are truly equal."
            )
    return found


def _draw(rows: Sequence[Row], lengths: Sequence[Lengths], complexity: Complexity | None) -> list[Plot]:
    pictures = (
        plots.tradeoff(rows),
        plots.lengths(lengths) if lengths else None,
        plots.roles(rows),
        plots.truncation(rows),
        complexity_plot(complexity) if complexity else None,
    )
    return [picture for picture in pictures if picture is not None]


def _save(section: _Section, folder: Path) -> None:
    for plot in section.plots:
        folder.mkdir(exist_ok=True)
        name = f"{section.slug}-{plot.name}"
        (folder / f"{name}.svg").write_text(plot.svg, encoding="utf-8")
        (folder / f"{name}.png").write_bytes(plot.png)


def _slug(task: str, taken: Sequence[_Section]) -> str:
    """A name for files: letters, digits and dashes, different for each task."""
    plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in task).strip("-").lower()[:60] or "task"
    return plain if all(section.slug != plain for section in taken) else f"{plain}-{len(taken) + 1}"


def _volume(rows: Sequence[Row]) -> str:
    """Say how much of the plane the frontier covers, with its reference; empty where there is no accuracy."""
    points = [Point(row.tokens, row.accuracy) for row in rows if row.accuracy is not None]
    most = max((point.tokens for point in points), default=0.0) * 1.1
    if most <= 0:
        return ""
    share = metrics.hypervolume(points, most) / most
    text = f"Hypervolume of the frontier up to {most:,.0f} tokens: {share:.3f}"
    base = next((row for row in rows if row.label == row.baseline and row.accuracy is not None), None)
    if base is not None:
        alone = metrics.hypervolume([Point(base.tokens, base.accuracy or 0.0)], most) / most
        text += f" ({base.label} alone: {alone:.3f})"
    return text + "."


def _compact(trace: TraceView) -> dict[str, object]:
    """A trace as the viewer takes it."""
    return {
        **{key: value for key, value in asdict(trace).items() if key not in ("segments", "tree")},
        "tree": [[twig.fate, rails(twig) + facts(twig), twig.text] for twig in trace.tree],
        "segments": [[s.kind, s.text, s.tokens, s.finish] for s in trace.segments],
    }


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent,
        points=points_text,
        span=span,
        number=number,
        pvalue=p_value,
        seconds=seconds,
        money=money,
        inline=_inline,
        headline=headline,
        not_worse=not_worse,
        verdict=verdict,
        position=position,
    )
    return environment


def _inline(plot: Plot, slug: str) -> str:
    from markupsafe import Markup

    return Markup(plots.themed(plot.svg, slug))


def percent(value: float | None, signed: bool = False) -> str:
    """Return a share as per cent with one decimal; a dash for None."""
    return "–" if value is None else points_text(value, signed) + " %"


def points_text(value: float | None, signed: bool = True) -> str:
    """Return a share in points, with a sign if asked for, and a real minus."""
    if value is None:
        return "–"
    text = f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", _MINUS)


def span(interval: Interval | None, scale: float = 100, digits: int = 1, signed: bool = False) -> str:
    """Return an interval as `[low, high]`; empty for None."""
    if interval is None:
        return ""
    ends = [f"{scale * end:{'+' if signed else ''},.{digits}f}".replace("-", _MINUS) for end in interval]
    return f"[{ends[0]}, {ends[1]}]"


def number(value: float | None, digits: int = 0) -> str:
    """Return a number with thousands set apart; a dash for None."""
    return "–" if value is None else f"{value:,.{digits}f}".replace("-", _MINUS)


def p_value(value: float | None) -> str:
    """Return a p-value to two digits."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.2g}" if value < 0.095 else f"{value:.2f}"


def headline(row: Row) -> tuple[str, str]:
    """Return a saving as (figure, words): per cent fewer tokens, or more, or times as many."""
    saving = row.saving or 0.0
    if saving <= -1:
        return f"{1 - saving:,.1f} ×", f"the tokens of {row.baseline}"
    return percent(abs(saving)), f"{'fewer' if saving >= 0 else 'more'} tokens than {row.baseline}"


def seconds(value: float | None) -> str:
    """Return a time with the precision that matters."""
    return "–" if value is None else f"{value:.2f} s" if value < 10 else f"{value:,.0f} s"


def money(row: Row) -> str:
    """Return the price of a thousand questions."""
    if row.cost is None:
        return "–"
    price = 1000 * row.cost
    return f"{price:,.2f} {row.currency}" if price >= 1 or not price else f"{price:#.3g} {row.currency}"


def verdict(row: Row) -> tuple[str, str]:
    """Return (class, words) for what the accuracy did: proven worse, not worse at the margin, or unproven."""
    change = row.accuracy_change_interval
    if change is None or row.non_inferior is None:
        return "unknown", "accuracy cannot be told"
    if change.low > 0:
        return "good", "more accurate"
    if row.non_inferior:
        return "good", f"not worse by {100 * row.margin:g} points"
    if change.high < 0:
        return "bad", "less accurate"
    return "open", "equal accuracy open"


def not_worse(row: Row) -> tuple[str, int | None]:
    """Return the answer to "not worse by the margin?", and how many questions it takes where it stays open."""
    change = row.accuracy_change_interval
    if row.non_inferior is None or change is None:
        return "–", None
    if row.non_inferior:
        return "yes", None
    return ("no", None) if change.high < -row.margin else ("not shown", row.questions_needed)


def position(value: float, rows: Sequence[Row]) -> float:
    """Return where a change of accuracy stands on an axis that all rows share, in per cent of its width."""
    bounds = [abs(end) for row in rows for end in row.accuracy_change_interval or ()]
    reach = max([*bounds, *(1.5 * row.margin for row in rows), 0.01])
    return round(50 + 49 * max(-1.0, min(1.0, value / reach)), 2)

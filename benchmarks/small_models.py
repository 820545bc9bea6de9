"""The study of the shipped models: accuracy and tokens by difficulty, beside the shortest sufficient thoughts.

Runs `ponder bench` for each model into a folder (resumable: start the same command again), greedily on the questions of
seed 0, none of which was trained on, and notes what each reply took in `measured.jsonl`. With `--write` the study's
page and its plots are written from nothing but that; `--check` compares the page and runs nothing. Running needs the
extras `local` and `torch`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from ponder.bench.session import FILE
from ponder.bench.stats import Interval, bootstrap, wilson
from ponder.bench.store import Record, Store
from ponder.train.base.recipe import FAMILIES
from ponder.train.lab.oracle import exit_of
from ponder.train.lab.puzzle import Family, Puzzle
from ponder.train.lab.rows import fresh
from ponder.train.lab.table import load_family
from ponder.train.lab.thought import minimal

ROOT = Path(__file__).resolve().parent.parent
STUDY = ROOT / "docs" / "studies" / "small_models"
ARITHMETIC = "arithmetic:level=1-5,language=mix"
NOTES, AGREEMENT = "measured.jsonl", "agreement.json"
OPEN, CLOSE = "<think>\n", "\n</think>\n\n"
Tokenize = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Subject:
    """A model of the study: its catalogue name, the tokenizer's home and the families that it is asked."""

    name: str
    tokenizer: str
    families: tuple[str, ...]
    questions: int
    tokens: int


SUBJECTS = (
    Subject("tiny-reasoner", "tiny-reasoner", FAMILIES, 200, 1024),
    Subject("tiny-reasoner-small", "tiny-reasoner-small", FAMILIES, 200, 1024),
    Subject("smol-thinker", "smollm2-135m-instruct", (ARITHMETIC,), 200, 768),
    Subject("smol-thinker-short", "smollm2-135m-instruct", (ARITHMETIC,), 200, 768),
)


TWICE, TWICE_QUESTIONS = "tiny-reasoner", 100
"""The model that both engines answer with, and how many questions of each family they are compared on."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One reply: all its tokens, those of the shortest sufficient reply, and those of its own cut at the oracle's exit.

    `exit` is the whole reply where no line derives the answer.
    """

    family: str
    difficulty: int
    correct: bool
    truncated: bool
    tokens: int
    minimal: int
    exit: int
    derived: bool


def task_of(family: str) -> str:
    """Return the benchmark that asks a family's questions."""
    name = load_family(family).name
    return name if name.startswith("arithmetic") else f"lab:{name}"


def run(subject: Subject, model: str, questions: int, out: Path, options: Sequence[str]) -> None:
    """Run or resume one model; end the program as `ponder bench` ended if that failed."""
    command = [
        *(sys.executable, "-m", "ponder", "bench", ",".join(map(task_of, subject.families)), "--methods", "sample"),
        *("--model", model, "--limit", str(questions), "--max-tokens", str(subject.tokens)),
        *("--out", str(out), "--no-report", *options),
    ]
    if code := subprocess.run(command, check=False).returncode:
        sys.exit(code)


def compare_engines(subject: Subject, folder: Path, options: Sequence[str]) -> None:
    """Ask the transformers engine what llama.cpp was asked, and note on how many questions they agree."""
    from ponder.engines.shipped import model_folder

    out = folder / f"{subject.name}-transformers"
    run(subject, str(model_folder(subject.name)), TWICE_QUESTIONS, out, options)
    with Store(out / FILE, write=False) as one, Store(folder / subject.name / FILE, write=False) as other:
        found = {(record.key.task, record.key.question): record for record in other.records(traces=True)}
        pairs = [(record, found[record.key.task, record.key.question]) for record in one.records(traces=True)]
    texts = [[json.loads(record.trace)["solution"] for record in pair] for pair in pairs]
    noted = {
        "questions": len(pairs),
        "answers": sum(mine.extracted == theirs.extracted for mine, theirs in pairs),
        "texts": sum(
            mine["thinking"] + mine["answer"] == theirs["thinking"] + theirs["answer"] for mine, theirs in texts
        ),
    }
    (folder / AGREEMENT).write_text(json.dumps(noted) + "\n", encoding="utf-8")


def agreement(folder: Path) -> str:
    """Return the sentence on how far the engines agree."""
    noted = json.loads((folder / AGREEMENT).read_text(encoding="utf-8"))
    low, high = wilson(noted["answers"], noted["questions"])
    share = 100 * noted["answers"] / noted["questions"]
    return (
        f"llama.cpp and transformers give `{TWICE}` the same answer on {noted['answers']} of {noted['questions']} "
        f"questions ({share:.1f} % [{100 * low:.1f}, {100 * high:.1f}]), "
        f"and the same reply to the letter on {noted['texts']}.\n"
    )


def measure(subject: Subject, folder: Path) -> Iterator[Measured]:
    """Yield what each reply of a run took."""
    count = tokenizer(subject.tokenizer)
    with Store(folder / subject.name / FILE, write=False) as store:
        for family in subject.families:
            puzzles = {one.item.problem.id: one for one in asked(load_family(family), subject.questions)}
            for record in store.records(traces=True, task=task_of(family)):
                puzzle = puzzles[record.key.question]
                yield measured(family.partition(":")[0], puzzle, record, count)


def asked(family: Family, questions: int) -> Iterator[Puzzle]:
    """Return the puzzles whose questions a benchmark asks: `arithmetic` may ask one twice, the lab's tasks do not."""
    arithmetic = family.name.startswith("arithmetic")
    return iter(family.puzzles(questions)) if arithmetic else islice(fresh(family), questions)


def measured(family: str, puzzle: Puzzle, record: Record, count: Tokenize) -> Measured:
    """Return what one reply took. Each count holds the thought, the answer and the token that ends the turn."""
    thinking = json.loads(record.trace)["solution"]["thinking"]
    end = exit_of(thinking, puzzle)
    answer = f"{CLOSE}\\boxed{{{puzzle.answer}}}"
    return Measured(
        family,
        puzzle.difficulty,
        bool(record.correct),
        record.truncated,
        record.tokens,
        count(minimal(puzzle).reply(puzzle.answer)) + 1,
        record.tokens if end is None else min(record.tokens, count(f"{OPEN}{thinking[:end].lstrip()}{answer}") + 1),
        end is not None,
    )


def note(found: Iterator[Measured], path: Path) -> None:
    """Write what replies took, one JSON object a line."""
    path.write_text("".join(json.dumps(asdict(one)) + "\n" for one in found), encoding="utf-8")


def noted(path: Path) -> list[Measured]:
    """Read what was noted."""
    return [Measured(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def tokenizer(name: str) -> Tokenize:
    """Return what counts the tokens of a text for a model of the catalogue."""
    from transformers import AutoTokenizer

    from ponder.engines.catalogue import load_models
    from ponder.engines.model_store import ModelStore

    path = ModelStore().path(load_models().find(name))
    if path.is_dir():
        loaded = AutoTokenizer.from_pretrained(path, local_files_only=True)
    else:
        loaded = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
    return lambda text: len(loaded(text, add_special_tokens=False)["input_ids"])


def table(found: Sequence[Measured]) -> str:
    """Return the table of one model: a line for each family and difficulty, and one for each family."""
    heads = "n | accuracy, 95 % | tokens, 95 % | minimal | oracle exit, 95 % | tokens / minimal | cut"
    lines = [f"| questions | difficulty | {heads} |", "|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
    families: dict[str, list[Measured]] = defaultdict(list)
    for one in found:
        families[one.family].append(one)
    for family, ones in families.items():
        levels: dict[int, list[Measured]] = defaultdict(list)
        for one in ones:
            levels[one.difficulty].append(one)
        lines += [_line(family, str(level), levels[level]) for level in sorted(levels)]
        lines.append(_line(f"**{family}**", "all", ones))
    return "\n".join(lines) + "\n"


def _line(family: str, level: str, ones: Sequence[Measured]) -> str:
    right = sum(one.correct for one in ones)
    low, high = wilson(right, len(ones))
    accuracy = f"{100 * right / len(ones):.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
    shortest = statistics.mean(one.minimal for one in ones)
    ratio = statistics.mean(one.tokens for one in ones) / shortest
    tokens, exits = (_mean([value(one) for one in ones]) for value in (lambda one: one.tokens, lambda one: one.exit))
    cells = [family, level, str(len(ones)), accuracy, tokens, f"{shortest:.1f}", exits, f"{ratio:.2f}"]
    return f"| {' | '.join(cells)} | {sum(one.truncated for one in ones)} |"


def _mean(values: Sequence[int]) -> str:
    interval = mean_interval(values)
    return f"{statistics.mean(values):.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def mean_interval(values: Sequence[int]) -> Interval:
    """Return the bootstrap interval of a mean."""
    import numpy as np

    numbers = np.asarray(values, dtype=np.float64)
    return bootstrap(lambda index: float(numbers[index].mean()), len(values), replicates=2000).interval


def curve(found: Sequence[Measured], value: Callable[[Measured], int]) -> tuple[list[int], list[list[int]]]:
    """Return the difficulties and the values at each."""
    levels = sorted({one.difficulty for one in found})
    return levels, [[value(one) for one in found if one.difficulty == level] for level in levels]


def plot(before: Sequence[Measured], after: Sequence[Measured], path: Path) -> None:
    """Draw length against difficulty before and after the short adapter, beside the shortest sufficient replies."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ponder.bench.plots import GRID, INK, MUTED, PALETTE

    lines = (
        ("smol-thinker", before, lambda one: one.tokens, PALETTE[1], "o", "-"),
        ("smol-thinker, oracle exit", before, lambda one: one.exit, PALETTE[1], "o", ":"),
        ("smol-thinker-short", after, lambda one: one.tokens, PALETTE[0], "s", "-"),
        ("shortest sufficient", after, lambda one: one.minimal, MUTED, "", "--"),
    )
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ponder", "text.color": INK}):
        figure = Figure(figsize=(7.4, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for label, found, value, colour, marker, style in lines:
            levels, values = curve(found, value)
            means = [statistics.mean(ones) for ones in values]
            axes.plot(levels, means, color=colour, marker=marker, linestyle=style, label=label)
            if style == "-":
                ends = [mean_interval(ones) for ones in values]
                axes.fill_between(levels, [e.low for e in ends], [e.high for e in ends], color=colour, alpha=0.18, lw=0)
        axes.set_xlabel("level of the question")
        axes.set_ylabel("tokens of the reply, mean with 95 % interval")
        axes.set_xticks(levels)
        axes.set_ylim(bottom=0)
        axes.grid(color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Creator": None})
        figure.savefig(path.with_suffix(".png"), dpi=160, metadata={"Software": None})


def between(page: str, mark: str, text: str) -> str:
    """Return the page with `text` between its marks."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->\n"
    head, _, rest = page.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}{text}{end}{tail}"


def main() -> int:
    """Run the study, write its page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "small-models", help="the runs' folder")
    parser.add_argument("--only", action="append", choices=[one.name for one in SUBJECTS], help="one model only")
    parser.add_argument("--write", action="store_true", help=f"run into {STUDY.relative_to(ROOT)} and write the page")
    parser.add_argument("--check", action="store_true", help="fail if the page does not show the committed runs")
    args, options = parser.parse_known_args()
    subjects = [one for one in SUBJECTS if not args.only or one.name in args.only]
    folder = STUDY if args.write or args.check else args.out
    for subject in subjects:
        if args.check:
            continue
        run(subject, subject.name, subject.questions, folder / subject.name, options)
        note(measure(subject, folder), folder / subject.name / NOTES)
        if subject.name == TWICE:
            compare_engines(subject, folder, options)
    found = {subject.name: noted(folder / subject.name / NOTES) for subject in subjects}
    if {"smol-thinker", "smol-thinker-short"} <= set(found) and not args.check:
        plot(found["smol-thinker"], found["smol-thinker-short"], folder / "plots" / "length-difficulty")
    if not (args.write or args.check):
        for name, ones in found.items():
            print(f"\n{name}\n\n{table(ones)}")
        return 0
    page = STUDY.with_suffix(".md")
    text = old = page.read_text(encoding="utf-8")
    for name, ones in found.items():
        text = between(text, name, table(ones))
    if TWICE in found:
        text = between(text, "engines", agreement(folder))
    if args.write:
        page.write_text(text, encoding="utf-8")
    elif text != old:
        print(f"{page.relative_to(ROOT)} does not show the runs in {STUDY.relative_to(ROOT)}")
    return 1 if args.check and text != old else 0


if __name__ == "__main__":
    sys.exit(main())

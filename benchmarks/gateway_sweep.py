"""The study of thinking budgets through the gateway: the length that is kept, accuracy, escapes, and empty answers.

    python benchmarks/gateway_sweep.py [--only tiny-reasoner] [--write | --check] [--out FOLDER]

Starts `ponder serve` over each model and asks it the same questions as a client would, greedily: with eight thinking
budgets, with the same limits as a plain `max_tokens`, and without any. Each reply is a line in a file, so a run that
was stopped goes on where it was; a file that was made with other weights is refused. With `--write` the file is kept in
`docs/studies/gateway_budgets` and the page and its plot are written from nothing but that; `--check` compares the page
and runs nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import signal
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

import aiohttp
from serving.process import free_port, started, wait_until_up
from small_models import ARITHMETIC, asked, between, mean_interval

from ponder.bench.stats import Interval, paired_score_interval, wilson
from ponder.train.base.recipe import FAMILIES
from ponder.train.lab.puzzle import Family, Puzzle
from ponder.train.lab.table import load_family

ROOT = Path(__file__).resolve().parent.parent
STUDY = ROOT / "docs" / "studies" / "gateway_budgets"
BUDGETS = (8, 16, 32, 64, 96, 128, 192, 256)
OFF = 0
"""The budget that turns thinking off: one end of the line that a budget must beat, the other is no limit."""
ROOM = 16
"""Tokens that a plain `max_tokens` gets beyond the budget, for the marks and the answer."""
Way = Literal["budget", "max_tokens", "none"]


@dataclass(frozen=True, slots=True)
class Subject:
    """A model of the study: what it is asked, and how long its longest reply may be."""

    name: str
    families: tuple[str, ...]
    questions: int
    tokens: int

    def puzzles(self) -> Iterator[tuple[Family, Puzzle]]:
        """Yield the questions, as many of each family: those that the study of the models asks first."""
        for spec in self.families:
            family, share = load_family(spec), self.questions // len(self.families)
            for puzzle in islice(asked(family, share), share):
                yield family, puzzle


SUBJECTS = (
    Subject("tiny-reasoner", FAMILIES, 200, 768),
    Subject("smol-thinker", (ARITHMETIC,), 10, 768),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one question under one limit: the gateway's own account of it, and whether it was right.

    `thought` is what was thought before the thought was closed, in tokens; `escaped` are those of thinking that were
    found in the answer and cut; `tokens` is the whole bill.
    """

    way: Way
    limit: int
    question: str
    correct: bool
    empty: bool
    finish: str
    thought: int
    escaped: int
    tokens: int
    exit: str
    enforced_by: str

    @property
    def key(self) -> tuple[Way, int, str]:
        """What it answers."""
        return self.way, self.limit, self.question


@dataclass
class Kept:
    """The replies of one model in a file; its first line says whose they are."""

    path: Path
    head: dict[str, object]
    replies: dict[tuple[Way, int, str], Reply] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Kept:
        """Read a file. A line that was cut short by a crash is left out, and what it held is asked again."""
        first, *rest = path.read_text(encoding="utf-8").splitlines()
        kept = cls(path, json.loads(first))
        for line in rest:
            try:
                reply = Reply(**json.loads(line))
            except (ValueError, TypeError):
                continue
            kept.replies[reply.key] = reply
        return kept

    @classmethod
    def open(cls, path: Path, head: dict[str, object]) -> Kept:
        """Go on with a file, or begin one. Ends the program where the file is of other weights or questions."""
        kept = cls.read(path) if path.exists() else cls(path, head)
        if kept.head != head:
            sys.exit(f"{path} holds {kept.head}, and this run is {head}; remove the file to begin anew")
        path.parent.mkdir(parents=True, exist_ok=True)
        kept.write()
        return kept

    def add(self, reply: Reply) -> None:
        """Keep a reply."""
        self.replies[reply.key] = reply
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(asdict(reply)) + "\n")

    def write(self) -> None:
        """Write all, in an order that does not depend on who answered first."""
        lines = [self.head, *(asdict(self.replies[key]) for key in sorted(self.replies))]
        draft = self.path.with_suffix(".part")
        draft.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        os.replace(draft, self.path)

    def under(self, way: Way, limit: int) -> list[Reply]:
        """Return the replies of one limit, in the order of the questions."""
        return [self.replies[key] for key in sorted(self.replies) if key[:2] == (way, limit)]


def weights(name: str) -> str:
    """Return the hash of the weights that answer: those of a shipped model, or of its adapter."""
    from ponder.engines.shipped import model_folder

    folder = model_folder(name)
    file = next(path for path in (folder / "adapter.gguf", folder / "model.gguf") if path.exists())
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


@contextmanager
def gateway(subject: Subject, folder: Path, slots: int) -> Iterator[str]:
    """Run `ponder serve` over a model on one thread; yield the address of its chats."""
    folder.mkdir(parents=True, exist_ok=True)
    file, port = folder / f"{subject.name}.toml", free_port()
    file.write_text(
        f'[server]\nport = {port}\n[engine.main]\nmodel = "{subject.name}"\nthreads = 1\nslots = {slots}\n'
        f'context = 2048\n[model."{subject.name}"]\n'
    )
    command = [sys.executable, "-m", "ponder", "serve", str(file.resolve())]
    cores = os.sched_getaffinity(0)
    with started(command, folder.resolve() / f"{subject.name}.log", cores, dict(os.environ)) as running:
        wait_until_up(running, port, "/health/readiness", 120)
        yield f"http://127.0.0.1:{port}/v1/chat/completions"


def body(subject: Subject, way: Way, limit: int, question: str) -> dict[str, object]:
    """Return a request: the budget in vLLM's words to the model as it is served, the plain limit to a plain call."""
    plain = way != "budget"
    asked: dict[str, object] = {
        "model": f"{subject.name}:plain" if plain else subject.name,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": limit + ROOM if way == "max_tokens" else subject.tokens,
    }
    return asked if plain else {**asked, "thinking_token_budget": limit}


def reply_of(way: Way, limit: int, family: Family, puzzle: Puzzle, said: Mapping[str, dict[str, object]]) -> Reply:
    """Judge what came back."""
    choice = dict(said["choices"][0])  # type: ignore[index, call-overload]
    applied, usage, reference = said["ponder"], said["usage"], puzzle.item.reference
    answer = choice["message"]["content"] or ""
    details, evidence = usage["completion_tokens_details"], applied["evidence"]
    escaped = int(evidence.get("escaped", 0))  # type: ignore[attr-defined]
    return Reply(
        way,
        limit,
        puzzle.item.problem.id,
        reference is not None and family.verifier(answer, reference).correct is True,
        not answer.strip(),
        str(choice["finish_reason"]),
        int(details["reasoning_tokens"]) - escaped,  # type: ignore[index]
        escaped,
        int(str(usage["completion_tokens"])),
        str(applied["exit"] or ""),
        str(applied["enforced_by"] or ""),
    )


async def ask_all(subject: Subject, kept: Kept, url: str, streams: int) -> None:
    """Ask what was not asked yet, so many at once."""
    limits: list[tuple[Way, int]] = [("none", 0), ("budget", OFF)]
    limits += [(way, limit) for limit in BUDGETS for way in ("budget", "max_tokens")]
    every = [(*limit, family, puzzle) for limit in limits for family, puzzle in subject.puzzles()]
    left = [one for one in every if (*one[:2], one[3].item.problem.id) not in kept.replies]
    whole, queue = len(left), iter(left)

    async def client(session: aiohttp.ClientSession) -> None:
        for way, limit, family, puzzle in queue:
            question = puzzle.item.problem.messages[0].text
            async with session.post(url, json=body(subject, way, limit, question)) as answer:
                said = await answer.json()
                if answer.status != 200:
                    raise SystemExit(f"the gateway answered {answer.status}: {said}")
            kept.add(reply_of(way, limit, family, puzzle, said))
            if len(kept.replies) % 100 == 0:
                print(f"{subject.name}: {len(kept.replies)} replies, {whole} were to ask", file=sys.stderr, flush=True)

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session, asyncio.TaskGroup() as all:
        for _ in range(streams):
            all.create_task(client(session))


def run(subject: Subject, folder: Path, streams: int) -> None:
    """Run or resume one model."""
    head: dict[str, object] = {"model": subject.name, "weights": weights(subject.name), "room": ROOM}
    head |= {"questions": subject.questions, "families": list(subject.families)}
    kept = Kept.open(folder / f"{subject.name}.jsonl", head)
    with gateway(subject, ROOT / "runs" / "gateway-sweep", streams) as url:
        asyncio.run(ask_all(subject, kept, url, streams))
    kept.write()


def share(count: int, n: int, interval: Interval | None = None) -> str:
    """Return a share of questions in per cent, with its interval."""
    low, high = interval or wilson(count, n)
    return f"{100 * count / n:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def mean(values: Sequence[int]) -> str:
    """Return a mean with its interval."""
    low, high = mean_interval(values)
    return f"{statistics.mean(values):.1f} [{low:.1f}, {high:.1f}]"


def right(replies: Sequence[Reply]) -> int:
    """Return how many are right."""
    return sum(one.correct for one in replies)


def kept_table(kept: Kept) -> str:
    """Return what the gateway did with each budget."""
    lines = [
        "| budget | thought, mean | longest thought | over budget | thoughts closed | replies with escapes, tokens "
        "| empty answers |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for budget in BUDGETS:
        ones = kept.under("budget", budget)
        thoughts = [one.thought for one in ones]
        escapes = [one.escaped for one in ones if one.escaped]
        closed = sum(one.exit == "budget" for one in ones)
        over = sum(thought > budget for thought in thoughts)
        cells = [budget, f"{statistics.mean(thoughts):.1f}", max(thoughts), over, f"{closed} of {len(ones)}"]
        cells += [f"{len(escapes)}, {sum(escapes)}", sum(one.empty for one in ones)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def compared_table(kept: Kept) -> str:
    """Return accuracy and tokens of the budgets beside those of a plain limit, and of no limit at all."""
    lines = [
        "| budget | accuracy, 95 % | tokens, 95 % | mixture | `max_tokens` | accuracy, 95 % | tokens, 95 % "
        "| empty answers | budget less `max_tokens`, points |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        alone("off", kept.under("budget", OFF)),
    ]
    for budget in BUDGETS:
        mine, plain = kept.under("budget", budget), kept.under("max_tokens", budget)
        cells = [str(budget), share(right(mine), len(mine)), mean([one.tokens for one in mine])]
        cells += [f"{mixture(kept, statistics.mean(one.tokens for one in mine)):.1f} %", str(budget + ROOM)]
        cells += [share(right(plain), len(plain)), mean([one.tokens for one in plain])]
        cells += [str(sum(one.empty for one in plain)), gain(mine, plain)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, alone("none", kept.under("none", 0))]) + "\n"


def alone(name: str, ones: Sequence[Reply]) -> str:
    """Return the row of a limit that has no plain counterpart."""
    cells = [name, share(right(ones), len(ones)), mean([one.tokens for one in ones]), *[""] * 6]
    return f"| {' | '.join(cells)} |"


def mixture(kept: Kept, tokens: float) -> float:
    """Return the accuracy, in per cent, of thinking on so many questions and not at all on the others, drawn blindly,
    that a reply takes `tokens` in the mean.
    """
    ends = [kept.under("budget", OFF), kept.under("none", 0)]
    (low, few), (high, many) = ((100 * right(e) / len(e), statistics.mean(one.tokens for one in e)) for e in ends)
    return low + (high - low) * min(1.0, max(0.0, (tokens - few) / (many - few)))


def gain(new: Sequence[Reply], base: Sequence[Reply]) -> str:
    """Return the difference of accuracies on the same questions in points, with Newcombe's interval for pairs."""
    pairs = [(one.correct, other.correct) for one, other in zip(new, base, strict=True)]
    counts = [pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]
    low, high = paired_score_interval(*counts)
    return f"{100 * (counts[1] - counts[2]) / len(pairs):+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def plot(found: Mapping[str, Kept], path: Path) -> None:
    """Draw accuracy against the tokens of a reply, a panel for each model."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ponder.bench.plots import GRID, INK, MUTED, PALETTE

    lines: tuple[tuple[str, Way, str, str], ...] = (
        ("thinking budget", "budget", PALETTE[0], "o"),
        ("plain max_tokens", "max_tokens", PALETTE[1], "s"),
    )
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ponder", "text.color": INK}):
        figure = Figure(figsize=(3.7 * len(found) + 0.8, 4.4), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, (name, kept) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
            for label, way, colour, marker in lines:
                groups = [kept.under(way, budget) for budget in BUDGETS]
                tokens = [statistics.mean(one.tokens for one in ones) for ones in groups]
                accuracy = [100 * right(ones) / len(ones) for ones in groups]
                bounds = [wilson(right(ones), len(ones)) for ones in groups]
                axes.plot(tokens, accuracy, color=colour, marker=marker, label=label)
                low, high = [100 * end.low for end in bounds], [100 * end.high for end in bounds]
                axes.fill_between(tokens, low, high, color=colour, alpha=0.18, lw=0)
            ends = [kept.under("budget", OFF), kept.under("none", 0)]
            line = [statistics.mean(one.tokens for one in ones) for ones in ends]
            rights = [100 * right(ones) / len(ones) for ones in ends]
            axes.plot(line, rights, color=MUTED, linestyle="--", linewidth=1, label="off and no limit, mixed blindly")
            axes.set_title(name)
            axes.set_xlabel("tokens of a reply, mean")
            axes.set_ylabel("right answers, %")
            axes.set_xlim(left=0)
            axes.set_ylim(0, 102)
            axes.grid(color=GRID, linewidth=0.7)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        figure.legend(*axes.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=len(found))
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Creator": None})
        figure.savefig(path.with_suffix(".png"), dpi=160, metadata={"Software": None})


def shown(kept: Kept) -> str:
    """Return what the page says of one model."""
    n, whole = kept.head["questions"], f"weights `{kept.head['weights']}`"
    return f"{n} questions a row, {whole}.\n\n{kept_table(kept)}\n{compared_table(kept)}"


def main() -> int:
    """Run the study, write its page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "gateway-sweep", help="the folder of the files")
    parser.add_argument("--only", action="append", choices=[one.name for one in SUBJECTS], help="ask one model only")
    parser.add_argument("--streams", type=int, default=4, help="questions at once")
    parser.add_argument("--write", action="store_true", help=f"run into {STUDY.relative_to(ROOT)} and write the page")
    parser.add_argument("--check", action="store_true", help="fail if the page does not show the committed files")
    args = parser.parse_args()
    # A run that is told to stop ends its gateway, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = STUDY if args.write or args.check else args.out
    for subject in SUBJECTS:
        if not args.check and subject.name in (args.only or [one.name for one in SUBJECTS]):
            run(subject, folder, args.streams)
    files = {subject.name: folder / f"{subject.name}.jsonl" for subject in SUBJECTS}
    found = {name: Kept.read(path) for name, path in files.items() if path.exists()}
    if not (args.write or args.check):
        for name, kept in found.items():
            print(f"\n{name}: {shown(kept)}")
        return 0
    page = STUDY.with_suffix(".md")
    text = old = page.read_text(encoding="utf-8")
    for name, kept in found.items():
        text = between(text, name, shown(kept))
    if args.write:
        plot(found, STUDY / "plots" / "accuracy-tokens")
        page.write_text(text, encoding="utf-8")
    elif text != old:
        print(f"{page.relative_to(ROOT)} does not show the files in {STUDY.relative_to(ROOT)}")
    return 1 if args.check and text != old else 0


if __name__ == "__main__":
    sys.exit(main())

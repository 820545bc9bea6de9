"""Every search with every scorer, against all tokens that were generated, and a majority vote of the same cost beside.

    python benchmarks/search_study.py tiny [--write]
    python benchmarks/search_study.py qwen --model URL#NAME [--write]
    python benchmarks/search_study.py --check

`tiny` asks the shipped tiny reasoner 1,000 questions of the lab on engines/torch, with the smaller one as the draft of
`rsd`; `qwen` asks Qwen2.5-Coder-0.5B 100 questions of GSM8K. Eight samples a question are scored by every scorer (those
of `qwen` are in the study of votes): majority votes and best-of-n of any size are estimated on them. Each attempt is
kept as it comes, so that the same command goes on where it stopped. `--write` keeps all rows in `docs/studies/search`
and writes the page's tables and plots from nothing but them; `--check` compares the page and runs no model.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from searching import arms, figures
from small_models import between

from ponder.core.engine import Engine, Sampling
from ponder.core.gather import gather
from ponder.core.judge import Item, Scorer, Task
from ponder.core.method import Method, Solution, check
from ponder.core.run import Run
from ponder.engines.open import EngineOptions, open_engine
from ponder.engines.shipped import model_folder
from ponder.engines.torch.engine import TorchEngine
from ponder.methods.vote.sample import Sample
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.scorers.prm import Prm
from ponder.scorers.prm_head import PrmHead
from ponder.scorers.random_control import RandomControl
from ponder.scorers.verifier_prompt import VerifierPrompt
from ponder.steer.draw import Draw
from ponder.steer.score import scored
from ponder.tasks.table import load_task

ROOT = Path(__file__).resolve().parent.parent
STUDY = ROOT / "docs" / "studies" / "search"
PAGE = ROOT / "docs" / "studies" / "search.md"
VOTES = ROOT / "docs" / "studies" / "stopping" / "votes" / "gsm8k.jsonl.gz"
RECORDED = {"mean_logprob": "mean_logprob", "verifier": "verifier_prompt", "random": "random_control"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """A model with its questions; `budget` bounds the tokens generated for all of it."""

    name: str
    tasks: tuple[str, ...]
    questions: int
    most: int
    delimiter: str
    first: int
    scorers: tuple[str, ...]
    searched: tuple[str, ...]
    """The scorers that searches are run with; the shared samples are scored by all."""
    skip: tuple[str, ...] = ()
    temperature: float = 0.7
    threshold: float = 0.5
    at_once: int = 24
    budget: int | None = None


TINY = Subject(
    "tiny",
    ("lab:algebra:steps=3", "lab:addition:digits=3", "lab:directional:actions=10", "lab:modular:links=5"),
    250,
    320,
    "\n",
    32,
    ("trained", "head", "rollouts", "oracle", "random", "mean_logprob"),
    ("trained", "oracle", "random", "rollouts"),
    ("beam_search, 8 x 2", "dvts, 4 x 2", "mcts, 16 steps"),
)
QWEN = Subject(
    "qwen",
    ("gsm8k",),
    100,
    400,
    "\n\n",
    128,
    ("mean_logprob", "verifier", "oracle", "random"),
    ("mean_logprob", "verifier", "random"),
    ("rsd", "beam_search, 8 x 2", "dvts, 4 x 2", "mcts, 16 steps"),
    at_once=12,
    budget=1_000_000,
)
SUBJECTS = {one.name: one for one in (TINY, QWEN)}


@dataclass
class Kept:
    """Rows by (arm, question), in a file that grows; `tokens` are all that were generated for them."""

    path: Path
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    tokens: int = 0
    file: TextIO | None = None

    @classmethod
    def open(cls, path: Path) -> Kept:
        """Read what is there; a line that was cut by a kill is dropped."""
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = cls(path)
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            whole = [line for line in lines if line.endswith("\n")]
            path.write_text("".join(whole), encoding="utf-8")
            for row in map(json.loads, whole):
                kept._take(row)
        kept.file = path.open("a", encoding="utf-8")
        return kept

    def put(self, row: Row) -> None:
        """Keep a row."""
        assert self.file is not None
        self.file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self.file.flush()
        self._take(row)

    def _take(self, row: Row) -> None:
        self.rows[row["arm"], row["question"]] = row
        self.tokens += sum(row["roles"].values())


@dataclass(frozen=True)
class Bench:
    """What is open: engines by name, scorers by name, and the questions with their tasks."""

    subject: Subject
    engines: Mapping[str, Engine]
    scorers: Mapping[str, Scorer]
    questions: Sequence[tuple[Task, Item]]

    def run(self, task: Task, item: Item) -> Run:
        """Return a run; a question's seed is its own, the same for all arms."""
        subject, verifier = self.subject, task.verifier
        sampling = Sampling(max_tokens=subject.most, temperature=subject.temperature)
        seed = [one.problem.id for _, one in self.questions].index(item.problem.id)
        return Run(self.engines, sampling=sampling, seed=seed, extract=verifier.extract, same=verifier.same)


def roles_of(run: Run) -> dict[str, int]:
    """Return the tokens generated by engine and role."""
    found: dict[str, int] = {}
    for call in run.trace.calls:
        name = f"{call.engine}/{call.role}"
        found[name] = found.get(name, 0) + call.tokens
    return found


def judged(task: Task, item: Item, solution: Solution) -> bool:
    """Say whether a solution is right."""
    assert item.reference is not None
    return bool(task.verifier(solution.answer, item.reference).correct)


async def attempt(bench: Bench, arm: str, method: Method, task: Task, item: Item) -> Row:
    """Solve one question."""
    run = bench.run(task, item)
    clock = time.perf_counter()
    solution = await method.solve(item.problem, run)
    return {
        "arm": arm,
        "question": f"{task.name}/{item.problem.id}",
        "correct": judged(task, item, solution),
        "roles": roles_of(run),
        "finish": solution.finish,
        "seconds": round(time.perf_counter() - clock, 3),
    }


async def samples(bench: Bench, task: Task, item: Item) -> Row:
    """Draw the shared samples of one question, and let every scorer score them."""
    run = bench.run(task, item)
    asks = MeanLogprob().asks()

    async def one(index: int) -> Draw:
        view = run.quiet(index)
        view.sampling = replace(view.sampling, **asks)
        solution = await Sample().solve(item.problem, view)
        (call,) = view.calls
        return Draw(index, solution, run.extract(solution.answer), call)

    draws = await gather(one(index) for index in range(arms.SAMPLES))
    drawn, scores, cost = roles_of(run), dict[str, list[float]](), dict[str, int]()
    for place, (name, scorer) in enumerate(bench.scorers.items()):
        before = run.trace.tokens
        whole = replace(scorer, each=True) if isinstance(scorer, Prm | PrmHead) else scorer
        values = await scored(whole, item.problem, draws, run.quiet(arms.SAMPLES + place), arms.steps_of(scorer))
        assert values is not None
        scores[name] = [max(value, -1e9) for value in values]
        cost[name] = run.trace.tokens - before
    return {
        "arm": figures.SHARED,
        "question": f"{task.name}/{item.problem.id}",
        "answers": [draw.stated for draw in draws],
        "classes": figures.classed([draw.stated for draw in draws], task.verifier.same),
        "correct": [judged(task, item, draw.solution) for draw in draws],
        "tokens": [draw.call.tokens for draw in draws],
        "finish": [draw.solution.finish for draw in draws],
        "scores": scores,
        "cost": cost,
        "roles": {**drawn, "scorers": sum(cost.values())},
    }


def recorded(bench: Bench) -> Iterator[Row]:
    """Yield the shared samples of `qwen`: the study of votes has drawn and scored them, with the same settings."""
    verifier = bench.questions[0][0].verifier
    known = {item.problem.id: f"{task.name}/{item.problem.id}" for task, item in bench.questions}
    with gzip.open(VOTES, "rt", encoding="utf-8") as file:
        head = json.loads(next(file))["recording"]
        drawn = head["sampling"]["temperature"], head["sampling"]["max_tokens"], head["samples"]
        assert drawn == (bench.subject.temperature, bench.subject.most, arms.SAMPLES)
        for row in map(json.loads, file):
            samples = row["samples"]
            if row["id"] not in known:
                continue
            stated = [sample["prediction"] for sample in samples]
            scores = {name: [one["scores"][key] for one in samples] for name, key in RECORDED.items()}
            right = [bool(sample["correct"]) for sample in samples]
            yield {
                "arm": figures.SHARED,
                "question": known[row["id"]],
                "answers": stated,
                "classes": figures.classed(stated, verifier.same),
                "correct": right,
                "tokens": [sample["tokens"] for sample in samples],
                "finish": [sample["finish"] for sample in samples],
                "scores": {**scores, "oracle": [float(one) for one in right]},
                "cost": {**dict.fromkeys(scores, 0), "oracle": 0, "verifier": row["tokens_by_role"].get("verify", 0)},
                "roles": {},
            }


async def fill(bench: Bench, kept: Kept, only: tuple[str, ...]) -> None:
    """Run what is not there yet, arm by arm, of searches whose names begin as one of `only`."""
    subject = bench.subject
    if subject is QWEN:
        for row in recorded(bench):
            if (row["arm"], row["question"]) not in kept.rows:
                kept.put(row)
    made = arms.searches(subject.delimiter, subject.first, subject.threshold)
    jobs: list[tuple[str, Method | None]] = [(figures.SHARED, None)]
    jobs += [
        (f"{name}/{label}", make(bench.scorers[label], arms.steps_of(bench.scorers[label])))
        for label in subject.searched
        for name, make in made.items()
        if name not in subject.skip and name.startswith(only)
    ]
    for arm, method in jobs:
        if method is not None:
            check(method, bench.engines)
        await _arm(bench, kept, arm, method)
        if subject.budget is not None and kept.tokens >= subject.budget:
            print(f"{subject.budget:,} tokens are spent: what is left of {arm} and behind it was not run", flush=True)
            return


async def _arm(bench: Bench, kept: Kept, arm: str, method: Method | None) -> None:
    gate, subject = asyncio.Semaphore(bench.subject.at_once), bench.subject
    clock, before = time.perf_counter(), kept.tokens

    async def one(task: Task, item: Item) -> None:
        async with gate:
            if (arm, f"{task.name}/{item.problem.id}") in kept.rows:
                return
            if subject.budget is not None and kept.tokens >= subject.budget:
                return
            row = samples(bench, task, item) if method is None else attempt(bench, arm, method, task, item)
            kept.put(await row)

    await gather(one(task, item) for task, item in bench.questions)
    print(f"{arm}: {kept.tokens - before:,} tokens, {time.perf_counter() - clock:.0f} s", flush=True)


@asynccontextmanager
async def opened(subject: Subject, options: argparse.Namespace) -> AsyncIterator[Bench]:
    """Open the models and what scores."""
    loaded = {name: load_task(name) for name in subject.tasks}
    items = {name: list(task.items(subject.questions)) for name, task in loaded.items()}
    questions = [(loaded[name], item) for name, found in items.items() for item in found[: options.questions]]
    known = arms.oracle(items, loaded)
    async with AsyncExitStack() as stack:
        engines: dict[str, Engine] = {}
        if subject is TINY:
            folders = {"main": model_folder("tiny-reasoner"), "draft": model_folder("tiny-reasoner-small")}
            for name, folder in {**folders, "prm": options.trained}.items():
                engine = TorchEngine(folder, name=name, dtype="float32", threads=options.threads, slots=128)
                engines[name] = await stack.enter_async_context(engine)
        else:
            marks = EngineOptions(think_open="", think_close="", retries=1)
            engines["main"] = (await stack.enter_async_context(open_engine(options.model, marks))).engine
        every: dict[str, Scorer] = {
            "trained": Prm(delimiter=subject.delimiter),
            "head": PrmHead(str(options.head)),
            "rollouts": PrmHead(str(options.rollouts)),
            "verifier": VerifierPrompt(so_far=True),
            "oracle": known,
            "random": RandomControl(),
            "mean_logprob": MeanLogprob(),
        }
        yield Bench(subject, engines, {name: every[name] for name in subject.scorers}, questions)


async def measure(subject: Subject, options: argparse.Namespace) -> Kept:
    """Fill the file of a subject."""
    kept = Kept.open(options.out / f"{subject.name}.jsonl")
    async with opened(subject, options) as bench:
        await fill(bench, kept, tuple(options.only or ("",)))
    return kept


def write(subject: Subject, kept: Kept) -> None:
    """Keep the rows beside the page, sorted, so that the same rows make the same file."""
    STUDY.mkdir(exist_ok=True)
    lines = [json.dumps(kept.rows[key], ensure_ascii=False, sort_keys=True) for key in sorted(kept.rows)]
    packed = gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0)
    (STUDY / f"{subject.name}.jsonl.gz").write_bytes(packed)


def page() -> str:
    """Return the page with its tables made from the committed rows; writes the plots."""
    text = PAGE.read_text(encoding="utf-8")
    for subject in SUBJECTS.values():
        path = STUDY / f"{subject.name}.jsonl.gz"
        if path.exists():
            rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
            study = figures.Figures.of(rows, target=subject is TINY)
            (STUDY / "plots").mkdir(exist_ok=True)
            study.plot(STUDY / "plots" / f"{subject.name}.svg")
            text = between(text, subject.name, study.table())
    return text


def main() -> int:
    """Run, write, or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", nargs="?", choices=[*SUBJECTS])
    parser.add_argument("--model", help="of `qwen`: a server as URL#NAME, or a name or file for the embedded engine")
    parser.add_argument("--trained", type=Path, default=ROOT / "runs" / "search" / "voter", help="a model that votes")
    parser.add_argument("--head", type=Path, default=ROOT / "runs" / "search" / "trained", help="a head of steps")
    parser.add_argument("--rollouts", type=Path, default=ROOT / "runs" / "search" / "rollouts")
    parser.add_argument("--questions", type=int, help="of each task; by default all")
    parser.add_argument("--only", action="append", metavar="SEARCH", help="only searches whose names begin so")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "search")
    parser.add_argument("--write", action="store_true", help="keep the rows in docs/studies/search and write the page")
    parser.add_argument("--check", action="store_true", help="fail if the page does not show the committed rows")
    options = parser.parse_args()
    if options.check:
        if page() != PAGE.read_text(encoding="utf-8"):
            sys.exit(f"{PAGE.relative_to(ROOT)} does not show the committed rows; run with --write")
        return 0
    if options.subject:
        subject = SUBJECTS[options.subject]
        if subject is QWEN and not options.model:
            parser.error("qwen needs --model")
        kept = asyncio.run(measure(subject, options))
        if options.write:
            write(subject, kept)
    if options.write:
        PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

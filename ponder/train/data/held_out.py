"""Questions that benchmarks ask: what is made with right answers is never made from them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ponder.core.errors import OptionError
from ponder.core.judge import Item, Task
from ponder.core.train import Row
from ponder.tasks import load_task
from ponder.tasks.arithmetic import Arithmetic
from ponder.tasks.gym import Gym
from ponder.tasks.lab import Lab
from ponder.train.lab.rows import held_out
from ponder.train.lab.table import load_family

SHIPPED = ("gsm8k", "math500", "svamp", "aqua", "strategyqa", "prosqa")
"""Tasks that are the test set of a benchmark."""
GENERATED = ("lab", "arithmetic", "reasoning_gym")
"""Tasks that make questions from a seed, 0 unless told otherwise."""
_TEST = re.compile(r"(?:^|,)split=(test\w*)")


def training_task(spec: str, seed: int) -> Task:
    """Return the task that `spec` names, made from a seed that no test is made from, as data to train on.

    Raises `OptionError` for test sets, by their name or as the split of a data set, and for seed 0, which is for tests.
    """
    name, _, rest = spec.partition(":")
    if name in SHIPPED:
        raise OptionError(
            f"{name} is the test set of a benchmark, and a model that learns its answers is measured by nothing; take "
            f"questions to train on, such as datasets:NAME,split=train or jsonl:FILE"
        )
    if name == "datasets" and (split := _TEST.search(rest)):
        raise OptionError(f"{spec}: {split[1]} is what models are tested with; take split=train")
    if name in GENERATED and seed == 0:
        raise OptionError(f"{spec}: seed 0 makes the questions that tests ask; train on another --task-seed")
    if name == "lab":
        return Lab(load_family(rest, seed))
    task = load_task(spec, seed=seed)
    if isinstance(task, Arithmetic | Gym) and task.seed == 0:
        raise OptionError(f"{spec}: seed 0 makes the questions that tests ask; leave the option out, or take another")
    return task


def asked_by_tests() -> frozenset[str]:
    """Return the questions of all test sets that come with the package, as `plain` writes them."""
    shipped = (_question(item) for name in SHIPPED for item in load_task(name).items(None))
    return frozenset(plain(text) for text in (*shipped, *map(_bare, held_out())))


def training_rows(task: Task, limit: int | None, tests: frozenset[str]) -> Iterator[Row | None]:
    """Yield the questions of a task that have an answer; None in place of one that a test asks."""
    for item in task.items(limit):
        asked = {plain(_question(item)), plain(_bare(item.problem.question))}
        if item.reference is not None:
            yield None if asked & tests else Row(item.problem, item.reference)


def plain(question: str) -> str:
    """Return a question without capitals and with single blanks, by which two are told to be the same."""
    return " ".join(question.lower().split())


def _question(item: Item) -> str:
    """Return what is asked, without the line about the form of the answer where the task tells them apart."""
    return item.meta.get("question", item.problem.question)


def _bare(asked: str) -> str:
    """Return a question without its last paragraph, if that is about the form of the answer."""
    question, _, last = asked.rpartition("\n\n")
    return question if question and "\\boxed" in last else asked

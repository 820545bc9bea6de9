"""The one table of tasks, and how a name with options becomes one of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

from ponder.core.config import Value, from_config
from ponder.core.errors import OptionError, nearest
from ponder.core.judge import Task
from ponder.tasks.aqua import AQuA
from ponder.tasks.arithmetic import Arithmetic
from ponder.tasks.gsm8k import GSM8K
from ponder.tasks.gym import Gym
from ponder.tasks.hub import HubDataset
from ponder.tasks.jsonl import JSONL
from ponder.tasks.lab import load as load_lab
from ponder.tasks.math500 import MATH500
from ponder.tasks.prosqa import ProsQA
from ponder.tasks.spec import options
from ponder.tasks.strategyqa import StrategyQA
from ponder.tasks.svamp import SVAMP

Load = Callable[[str, int], Task]


class Entry(NamedTuple):
    """A line of the table: what help pages say, and how the text behind the name and a seed become the task."""

    summary: str
    load: Load


def _plain(name: str, cls: type[object]) -> Load:
    """Return the loader of a task whose options are the fields of a class."""

    def load(rest: str, seed: int) -> Task:
        config: dict[str, Value] = {"method": name, **options(rest, name)}
        if cls is Arithmetic:
            config.setdefault("seed", seed)
        return cast(Task, from_config(config, lambda *_: cls))

    return load


def _gym(rest: str, seed: int) -> Task:
    dataset, _, behind = rest.partition(",")
    if not dataset or "=" in dataset:
        raise OptionError("reasoning_gym needs the name of a set first, as in reasoning_gym:chain_sum,size=50")
    found = options(behind, f"reasoning_gym:{dataset}")
    size, own = found.pop("size", "500"), found.pop("seed", str(seed))
    if not size.isascii() or not size.isdigit() or int(size) < 1:
        raise OptionError(f"reasoning_gym: size = {size!r} must be a whole number from 1")
    if not re.fullmatch(r"-?\d+", own):
        raise OptionError(f"reasoning_gym: seed = {own!r} must be a whole number")
    return Gym(dataset, int(own), int(size), tuple(sorted(found.items())))


def _jsonl(rest: str, seed: int) -> Task:
    path, found = rest, dict[str, str]()
    while match := re.fullmatch(r"(.*),(verifier|format)=(\w+)", path):
        path, found[match[2]] = match[1], match[3]
    if not path:
        raise OptionError("jsonl needs a file, as in jsonl:questions.jsonl or jsonl:questions.jsonl.gz,verifier=math")
    return JSONL(path, found.get("verifier", ""), found.get("format", "on"))


def _hub(rest: str, seed: int) -> Task:
    dataset, _, behind = rest.partition(",")
    if not dataset or "=" in dataset:
        raise OptionError("datasets needs a name or a path first, as in datasets:openai/gsm8k,config=main,split=test")
    found = options(behind, f"datasets:{dataset}")
    known = ("config", "split", "question", "answer", "choices", "id", "verifier", "format")
    for key in found:
        if key not in known:
            raise OptionError(f"datasets has no option {key!r}{nearest(key, known)}; its options: {', '.join(known)}")
    verifier = found.pop("verifier", "")
    return HubDataset(dataset, verifier_name=verifier, **found)


TASKS: Mapping[str, Entry] = {
    "gsm8k": Entry("grade-school word problems; 1,319 questions, numbers", _plain("gsm8k", GSM8K)),
    "math500": Entry("competition mathematics; 500 questions, formulas", _plain("math500", MATH500)),
    "svamp": Entry("word problems with misleading variations; 1,000 questions, numbers", _plain("svamp", SVAMP)),
    "aqua": Entry("algebra word problems; 254 questions, five choices", _plain("aqua", AQuA)),
    "strategyqa": Entry("questions with implicit steps; 229 questions, yes or no", _plain("strategyqa", StrategyQA)),
    "prosqa": Entry("deduction over a graph of made-up concepts; 500 questions, words", _plain("prosqa", ProsQA)),
    "arithmetic": Entry(
        "made from a seed, without end: level=1 to 10 or a range, language=en, zh or mix",
        _plain("arithmetic", Arithmetic),
    ),
    "lab": Entry("made up, the shortest chain of thought known: lab:addition:digits=1-3", load_lab),
    "reasoning_gym": Entry("puzzles by the name of their set: reasoning_gym:chain_sum,size=50", _gym),
    "jsonl": Entry("your own questions: jsonl:FILE, one JSON object a line, gzip or not", _jsonl),
    "datasets": Entry("what the datasets package can load: datasets:NAME,config=C,split=S,answer=COLUMN", _hub),
}
"""Every task by name."""


def task_names() -> list[str]:
    """Return the names that `load_task` knows."""
    return list(TASKS)


def load_task(spec: str, seed: int = 0) -> Task:
    """Return the task that `spec` names, as in `gsm8k` or `arithmetic:level=3,language=zh`.

    `seed` is for the tasks that make their questions. Raises `OptionError` for a name or an option that does not
    exist, and `DataError` for a file that cannot be read.
    """
    name, _, rest = spec.partition(":")
    if name not in TASKS:
        raise OptionError(f"there is no task {name!r}{nearest(name, TASKS)}; the tasks: {', '.join(TASKS)}")
    return TASKS[name].load(rest, seed)

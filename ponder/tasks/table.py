"""The one table of tasks, and how a name with options becomes one of them."""

from __future__ import annotations

from collections.abc import Mapping

from ponder.core.config import Value, from_config
from ponder.core.errors import OptionError, nearest
from ponder.core.judge import Task
from ponder.tasks.arithmetic import Arithmetic
from ponder.tasks.gsm8k import GSM8K
from ponder.tasks.svamp import SVAMP

TASKS: Mapping[str, str] = {
    "gsm8k": "grade-school word problems, 1,319 questions, whole numbers",
    "svamp": "one-step word problems with misleading variations, 1,000 questions, numbers",
    "arithmetic": "made from a seed without end; options level=1-10 or a range, language=en|zh|mix",
}
"""Every task, in one line each."""

_CLASSES: Mapping[str, type[GSM8K | SVAMP | Arithmetic]] = {
    "gsm8k": GSM8K,
    "svamp": SVAMP,
    "arithmetic": Arithmetic,
}


def task_names() -> list[str]:
    """Return the names that `load_task` knows."""
    return list(TASKS)


def load_task(spec: str, seed: int = 0) -> Task:
    """Return the task that `spec` names, as in `gsm8k` or `arithmetic:level=3,language=zh`.

    `seed` is for the tasks that make their questions. Raises `OptionError` for a name or an option that does not exist.
    """
    name, _, rest = spec.partition(":")
    if name not in TASKS:
        raise OptionError(f"there is no task {name!r}{nearest(name, TASKS)}; the tasks: {', '.join(TASKS)}")
    config: dict[str, Value] = {"method": name}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise OptionError(f"{part!r} in the task {spec!r} is no option; write {name}:OPTION=VALUE")
        config[key.strip()] = value.strip()
    if name == "arithmetic":
        config.setdefault("seed", seed)
    task = from_config(config, _CLASSES.__getitem__)
    assert isinstance(task, GSM8K | SVAMP | Arithmetic)
    return task

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ponder.core.errors import DataError, OptionError
from ponder.core.judge import Task
from ponder.tasks import TASKS, load_task, task_names


def test_the_table_names_every_task_in_one_line() -> None:
    assert task_names() == list(TASKS)
    assert set(TASKS) == {
        *(
            "gsm8k",
            "math500",
            "svamp",
            "aqua",
            "strategyqa",
            "prosqa",
            "arithmetic",
            "lab",
            "reasoning_gym",
            "jsonl",
            "datasets",
        ),
    }
    for entry in TASKS.values():
        assert 10 < len(entry.summary) <= 90
        assert "\n" not in entry.summary


@pytest.mark.parametrize(
    "spec",
    [
        "gsm8k",
        "math500",
        "aqua",
        "arithmetic",
        "arithmetic:level=3",
        "arithmetic:level=1-5,language=zh",
        "arithmetic:language=mix",
        "lab:addition",
        "lab:modular:links=2-3,modulus=5,operations=+-",
        "lab:arithmetic:level=1-5,language=zh",
    ],
)
def test_names_lead_back_to_the_same_task(spec: str) -> None:
    task: Task = load_task(spec)
    again = load_task(task.name)
    assert again == task
    assert list(again.items(3)) == list(task.items(3))


def test_the_default_level_is_not_part_of_the_name() -> None:
    assert load_task("arithmetic:level=1-5,language=en").name == "arithmetic"
    assert load_task("arithmetic: level=3 , language=zh").name == "arithmetic:level=3,language=zh"


def test_the_seed_reaches_tasks_that_make_their_questions() -> None:
    assert next(load_task("arithmetic", seed=7).items()).problem.id == "arithmetic-s7-l1-en-0"
    assert next(load_task("arithmetic:seed=9", seed=7).items()).problem.id == "arithmetic-s9-l1-en-0"
    assert load_task("gsm8k", seed=7) == load_task("gsm8k")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gsm8", "there is no task 'gsm8'; did you mean 'gsm8k'?"),
        ("", "there is no task ''; the tasks: gsm8k,"),
        ("arithmetics:level=3", "did you mean 'arithmetic'?"),
        ("gsm8k:level=3", "gsm8k has no option 'level'"),
        ("gsm8k:hard", "'hard' is no option of the task gsm8k"),
        ("arithmetic:levl=3", "did you mean 'level'?"),
        ("arithmetic:level=12", "level = '12' is out of range"),
        ("arithmetic:seed=x", "seed = 'x' must be of type int"),
        ("lab", "lab needs the name of a family first"),
        ("lab:adition", "there is no family 'adition'; did you mean 'addition'?"),
        ("jsonl", "jsonl needs a file"),
        ("jsonl:", "jsonl needs a file"),
    ],
)
def test_what_does_not_exist_is_said(spec: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        load_task(spec)
    assert message in str(caught.value)


def test_a_missing_file_is_said() -> None:
    with pytest.raises(DataError, match=r"nowhere\.jsonl cannot be read: No such file"):
        load_task("jsonl:nowhere.jsonl")


def test_loading_tasks_imports_nothing_heavy() -> None:
    program = (
        "import sys; from ponder.tasks import load_task\n"
        "names = 'gsm8k', 'math500', 'aqua', 'strategyqa', 'prosqa', 'svamp', 'arithmetic'\n"
        "for name in names: list(load_task(name).items(2))\n"
        "heavy = {'sympy', 'math_verify', 'reasoning_gym', 'numpy', 'torch', 'aiohttp'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_the_page_lists_every_task_and_its_size() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text("utf-8")
    listed = re.findall(r"^\| `(\w+)` \| ([\d,]*)", page, re.MULTILINE)[: len(TASKS)]
    assert [name for name, _ in listed] == list(TASKS)
    for name, size in listed:
        if size:
            assert sum(1 for _ in load_task(name).items()) == int(size.replace(",", ""))

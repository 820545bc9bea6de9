"""Many trees: what the journal keeps, limits, failures, and the files that are made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from ponder.core.engine import Sampling
from ponder.core.errors import DataError, Unsupported
from ponder.core.judge import Reference
from ponder.core.problem import Image, Message, Problem, Text
from ponder.core.run import Run
from ponder.core.train import Row
from ponder.engines.echo import Echo, Fault
from ponder.train.data.fast_mcts import FastMcts, Judge
from ponder.train.data.grow import Grown, Plan, grow, judging, tree_line, write
from ponder.train.data.journal import Journal
from ponder.train.loops.messages import read_messages
from ponder.verify import VerifierPool
from ponder.verify.number import Number

ROWS = [Row(Problem.of(f"Question {n}?", f"q{n}"), Reference(str(n))) for n in range(6)]


def scripted(**options: object) -> Echo:
    """Return an engine that is right in about half of its replies to each question, after two steps."""

    def say(prompt: object, seed: int) -> str:
        text = cast(str, prompt.messages[-1].text)  # type: ignore[attr-defined]
        number = text.partition("Question ")[2][0]
        first = "" if "\n" in prompt.prefill else f"step {seed % 3}\n"  # type: ignore[attr-defined]
        return f"{first}\\boxed{{{number if seed // 3 % 2 else 99}}}"

    return Echo(say, **options)  # type: ignore[arg-type]


def build(judge: Judge, **options: object) -> FastMcts:
    return FastMcts(judge, **{"rollouts": 8, "delimiter": "\n", "cot": False, **options})  # type: ignore[arg-type]


def plan(tmp_path: Path, **options: object) -> Plan:
    given = {"rows": ROWS, "verifier": Number(), "builder": build, "sampling": Sampling(temperature=1.0),
             "journal": tmp_path / "j.jsonl", "made": {"made_by": "a test"}}  # fmt: skip
    return Plan(**{**given, **options})  # type: ignore[arg-type]


def lines(path: Path) -> list[Mapping[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def test_every_question_has_a_line_that_adds_up(tmp_path: Path) -> None:
    engine, seen = scripted(), list[tuple[int, int]]()
    asked = plan(tmp_path)
    found = await grow(asked, engine, lambda done, total: seen.append((done, total)))
    header, *trees = lines(asked.journal)
    assert {line["id"] for line in trees} == {row.problem.id for row in ROWS}
    assert (header["model"], header["rollouts"], header["temperature"]) == (engine.name, 8, 1.0)
    assert "judge" not in header
    assert (found.questions, found.done, found.kept, found.failed, found.stopped) == (6, 6, 0, 0, None)
    assert found.tokens == found.spent == engine.generated == sum(int(str(line["tokens"])) for line in trees)
    assert found.rollouts == 48
    for name in ("right", "pairs", "verified_tokens"):
        assert vars_of(found)[name] == sum(int(str(line[name])) for line in trees) > 0
    assert found.solved == sum(line["right"] != 0 for line in trees)
    assert seen[-1] == (6, 6)


def vars_of(found: Grown) -> dict[str, object]:
    return {name: getattr(found, name) for name in Grown.__slots__}  # type: ignore[attr-defined]


async def test_what_is_done_is_not_done_again_and_concurrency_changes_nothing(tmp_path: Path) -> None:
    asked = plan(tmp_path)
    first = await grow(replace(asked, rows=ROWS[:2], concurrency=1), scripted())
    engine = scripted()
    rest = await grow(asked, engine)
    assert (rest.kept, rest.done, rest.tokens, rest.spent) == (2, 6, first.tokens + engine.generated, engine.generated)
    idle = scripted()
    again = await grow(asked, idle)
    assert (again.kept, again.spent, idle.generated, again.right) == (6, 0, 0, rest.right)
    fewer = await grow(replace(asked, rows=ROWS[:2]), scripted())
    assert (fewer.questions, fewer.done, fewer.tokens) == (2, 2, first.tokens), "the journal holds more than these"
    other = plan(tmp_path, journal=tmp_path / "other.jsonl", concurrency=1)
    await grow(other, scripted())
    order = [row.problem.id for row in ROWS]
    for which in ("paths", "preferences"):
        write(asked.journal, which, tmp_path / "a", order)
        write(other.journal, which, tmp_path / "b", order)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != b""


async def test_files_are_what_trainers_read(tmp_path: Path) -> None:
    asked = plan(tmp_path)
    await grow(asked, scripted())
    order = [row.problem.id for row in ROWS]
    count = write(asked.journal, "paths", tmp_path / "paths.jsonl", order)
    stage = read_messages(tmp_path / "paths.jsonl")
    assert len(stage.rows) == count > 0
    for row in stage.rows:
        number = row.messages[0][1].split()[1][0]
        assert row.messages[-1] == ("assistant", row.messages[-1][1])
        assert row.messages[-1][1].endswith(f"\\boxed{{{number}}}"), "right replies alone"
    assert write(asked.journal, "preferences", tmp_path / "pairs.jsonl", order) > 0
    for pair in lines(tmp_path / "pairs.jsonl"):
        (right,), (wrong,) = (cast(list[dict[str, str]], pair[key]) for key in ("chosen", "rejected"))
        shared = int(str(pair["shared"]))
        assert right["content"][:shared] == wrong["content"][:shared]
        assert right["content"][shared:] != wrong["content"][shared:]
        assert "99" in wrong["content"]
        assert "99" not in right["content"]


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
async def test_pairs_are_what_trl_takes_for_conversations(tmp_path: Path) -> None:
    from trl.data_utils import is_conversational, maybe_extract_prompt

    asked = plan(tmp_path)
    await grow(asked, scripted())
    write(asked.journal, "preferences", tmp_path / "pairs.jsonl", [row.problem.id for row in ROWS])
    for pair in lines(tmp_path / "pairs.jsonl"):
        assert is_conversational(pair)
        assert maybe_extract_prompt(dict(pair)) == pair, "nothing is left to be told apart"


async def test_the_limit_of_all_questions_leaves_whole_trees_and_goes_on(tmp_path: Path) -> None:
    asked = plan(tmp_path, concurrency=2, max_tokens_total=60)
    found = await grow(asked, scripted())
    assert found.stopped == "the limit of 60 generated tokens is reached"
    assert found.spent <= 60
    assert 0 < found.done < 6
    assert all(line["rollouts"] == 8 for line in lines(asked.journal)[1:])
    rest = await grow(replace(asked, max_tokens_total=None), scripted())
    assert (rest.done, rest.stopped, rest.kept) == (6, None, found.done)


async def test_a_time_limit_says_so(tmp_path: Path) -> None:
    found = await grow(plan(tmp_path, seconds=1e-9), scripted())
    assert (found.stopped, found.done) == ("the 1e-09 seconds are over", 0)


async def test_a_question_that_fails_is_tried_again(tmp_path: Path) -> None:
    asked = plan(tmp_path, concurrency=1)
    found = await grow(asked, scripted(faults={3: Fault("error", at=0)}))
    assert (found.done, found.failed, found.stopped) == (5, 1, None)
    assert "scripted failure" in str(found.last_error)
    assert (await grow(asked, scripted())).done == 6


async def test_a_model_that_is_gone_ends_it(tmp_path: Path) -> None:
    rows = [replace(row, problem=replace(row.problem, id=f"{row.problem.id}/{n}")) for row in ROWS for n in range(4)]
    engine = scripted(faults={call: Fault("error", at=0) for call in range(99)})
    found = await grow(plan(tmp_path, rows=rows, concurrency=1), engine)
    assert found.failed == 10
    assert "10 questions failed in a row, the last one with:" in str(found.stopped)


async def test_an_engine_that_cannot_branch_is_refused_before_a_file_is_made(tmp_path: Path) -> None:
    asked = plan(tmp_path)
    with pytest.raises(Unsupported, match="lacks PREFILL"):
        await grow(asked, scripted(caps=frozenset()))
    assert not asked.journal.exists()
    plain = await grow(replace(asked, builder=partial(build, plain=True)), scripted(caps=frozenset()))
    assert plain.done == 6
    with pytest.raises(DataError, match="was made with plain = True, not False"):
        await grow(asked, scripted())


async def test_pictures_are_no_text_to_learn() -> None:
    async def right(answer: str, reference: Reference) -> bool:
        return True

    message = Message("user", (Text("Question 1?"), Image("data:image/png;base64,")))
    row = Row(Problem("q", (message,)), Reference("1"))
    builder = build(right, plain=True)
    tree = await builder.grow(row, Run(scripted()))
    with pytest.raises(DataError, match="a question with a picture"):
        tree_line(builder, tree)


async def test_the_pool_judges() -> None:
    async with VerifierPool() as pool:
        judge = judging(Number(), pool)
        assert await judge("\\boxed{7}", Reference("7")) is True
        assert await judge("\\boxed{8}", Reference("7")) is False


def test_an_empty_journal_makes_empty_files(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {"made_by": "a test"}):
        pass
    assert write(tmp_path / "j", "paths", tmp_path / "out", ["q1"]) == 0
    assert (tmp_path / "out").read_text() == ""

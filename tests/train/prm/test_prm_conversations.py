from __future__ import annotations

import json
from pathlib import Path

import pytest

from ponder.core.errors import DataError
from ponder.scorers.prm import Prm
from ponder.train.loops.messages import read_messages
from ponder.train.prm.conversations import write_votes
from ponder.train.prm.questions import load_questions
from ponder.train.prm.rows import Reply, Step

MARKS = ("<think>", "</think>")
QUESTION = load_questions(["lab:modular:links=2"], 1, 1)[0]
TEXT = "<think>\nfirst\nsecond\n</think>\n\nthird"
STEPS = (Step(13, 1.0), Step(20, 0.4), Step(len(TEXT), 0.5))


def reply(correct: bool | None = False) -> Reply:
    return Reply(QUESTION.key, 0, TEXT, correct, 9, 0, STEPS)


def written(out: Path) -> list[list[dict[str, str]]]:
    return [json.loads(line)["messages"] for line in out.read_text("utf-8").splitlines()]


def test_each_step_is_voted_on_as_the_scorer_asks(tmp_path: Path) -> None:
    out, prm = tmp_path / "votes.jsonl", Prm()
    counts = write_votes([reply()], {QUESTION.key: QUESTION}, MARKS, prm, False, out)
    assert counts == {"+": 2, "-": 1}
    rows = written(out)
    assert [row[-1] for row in rows] == [{"role": "assistant", "content": vote} for vote in "+-+"]
    steps = ["first", "second", "third"]
    for count, row in enumerate(rows, 1):
        asked = prm.prompt(QUESTION.item.problem, steps[:count]).messages
        assert row[:-1] == [{"role": message.role, "content": message.text} for message in asked]


def test_the_trainer_reads_them(tmp_path: Path) -> None:
    out = tmp_path / "votes.jsonl"
    write_votes([reply()], {QUESTION.key: QUESTION}, MARKS, Prm(), False, out)
    assert [row.messages[-1] for row in read_messages(out).rows] == [("assistant", vote) for vote in "+-+"]


def test_an_outcome_is_one_vote_on_the_whole_reply(tmp_path: Path) -> None:
    out = tmp_path / "votes.jsonl"
    rows = [reply(True), reply(False), reply(None)]
    assert write_votes(rows, {QUESTION.key: QUESTION}, MARKS, Prm(good="yes", bad="no"), True, out) == {
        "yes": 1,
        "no": 1,
    }
    first, second = written(out)
    assert first[:-1] == second[:-1]
    assert [turn["content"] for turn in first[1:]] == ["yes", "second", "yes", "third", "yes"]


def test_votes_that_are_all_the_same_are_refused_and_leave_no_file(tmp_path: Path) -> None:
    out = tmp_path / "votes.jsonl"
    with pytest.raises(DataError, match="all 1 votes are the same"):
        write_votes([reply(True)], {QUESTION.key: QUESTION}, MARKS, Prm(), True, out)
    with pytest.raises(DataError, match="all 0 votes are the same"):
        write_votes([], {}, MARKS, Prm(), False, out)
    assert not out.exists()

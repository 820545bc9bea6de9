from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ponder.core.errors import DataError
from ponder.engines.shipped import model_folder
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


def written(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def test_each_step_is_voted_on_as_the_scorer_asks(tmp_path: Path) -> None:
    out, prm = tmp_path / "votes.jsonl", Prm()
    assert write_votes([reply()], {QUESTION.key: QUESTION}, MARKS, prm, False, out) == (1, {"+": 2, "-": 1})
    (row,) = written(out)
    assert row["votes"] == ["+", "-", "+"]
    for count in (1, 2, 3):
        asked = prm.prompt(QUESTION.item.problem, ["first", "second", "third"][:count]).messages
        assert row["messages"][: 2 * count - 1] == [{"role": one.role, "content": one.text} for one in asked]


def test_behind_tags_the_reply_stays_whole(tmp_path: Path) -> None:
    out, prm = tmp_path / "votes.jsonl", Prm(layout="tags", tag=";", delimiter="\\n")
    write_votes([reply()], {QUESTION.key: QUESTION}, MARKS, prm, False, out)
    (row,) = written(out)
    assert row["votes"] == ["+", "-", "+"]
    assert row["tag"] == ";"
    assert row["messages"][-1] == {"role": "assistant", "content": "first ;\nsecond ;\nthird ;"}
    with pytest.raises(DataError, match="the tag 'i' stands in a reply"):
        write_votes([reply()], {QUESTION.key: QUESTION}, MARKS, replace(prm, tag="i"), False, out)


@pytest.mark.torch
@pytest.mark.parametrize("tag", [None, ";"])
def test_the_trainer_learns_them_where_the_scorer_will_read(tmp_path: Path, tag: str | None) -> None:
    pytest.importorskip("trl")
    from ponder.engines.torch.load import load
    from ponder.train.loops.encode import encode

    out = tmp_path / "votes.jsonl"
    prm = Prm() if tag is None else Prm(layout="tags", tag=tag, delimiter="\n")
    write_votes([reply()], {QUESTION.key: QUESTION}, MARKS, prm, False, out)
    loaded = load(model_folder("tiny-reasoner-small"), "float32")
    (row,) = encode(loaded.tokenizer, read_messages(out).rows)  # type: ignore[arg-type]
    for count, (place, _) in enumerate(row.votes, 1):
        prompt = prm.prompt(QUESTION.item.problem, ["first", "second", "third"][:count])
        assert list(row.ids[:place]) == loaded.renderer("tiny", None).render(prompt).ids


def test_an_outcome_is_one_vote_on_the_whole_reply(tmp_path: Path) -> None:
    out = tmp_path / "votes.jsonl"
    rows = [reply(True), reply(False), reply(None)]
    found = write_votes(rows, {QUESTION.key: QUESTION}, MARKS, Prm(good="yes", bad="no"), True, out)
    assert found == (2, {"yes": 1, "no": 1})
    first, second = written(out)
    assert first["messages"] == second["messages"]
    assert [first["votes"], second["votes"]] == [[None, None, "yes"], [None, None, "no"]]
    assert [turn["content"] for turn in first["messages"][1:]] == ["yes", "second", "yes", "third", "yes"]


def test_votes_that_are_all_the_same_are_refused_and_leave_no_file(tmp_path: Path) -> None:
    out = tmp_path / "votes.jsonl"
    with pytest.raises(DataError, match="all 1 votes are the same"):
        write_votes([reply(True)], {QUESTION.key: QUESTION}, MARKS, Prm(), True, out)
    with pytest.raises(DataError, match="all 0 votes are the same"):
        write_votes([], {}, MARKS, Prm(), False, out)
    assert not out.exists()

import asyncio
import json
from pathlib import Path

from ponder.bench.replay import ReplayPlan, plan_methods, replay
from ponder.bench.replayed import disagreements_table, notes, replay_json, rows_of
from ponder.methods import catalogue

KEYS = {
    "method", "options", "model", "task", "seed", "questions", "accuracy", "accuracy_interval", "tokens",
    "tokens_interval", "tokens_by_role", "prompt_tokens", "cost", "latency", "truncated", "unverifiable", "baseline",
    "saving", "saving_interval", "accuracy_change", "accuracy_change_interval", "pass_at",
}  # fmt: skip


def plan(path: Path, by: str | None = None) -> ReplayPlan:
    samples = [
        {"text": "<think>a</think>\\boxed{1}", "limit": 1, "correct": False, "prediction": "1"},
        {"text": "<think>a", "limit": 2, "correct": False, "prediction": None},
    ]
    problems = [
        {"id": "a", "answer": "1", "samples": samples, "tokenizer": "qwen2"},
        {"id": "b", "answer": None, "samples": [{"text": "x", "limit": 1}]},
        {"id": "c", "answer": "2", "samples": [{"text": "it is 2", "limit": 2}]},
    ]
    path.write_text("\n".join(map(json.dumps, problems)))
    return ReplayPlan(path, plan_methods("sample,self_consistency", catalogue()), by=by, disagreements=True)


def test_the_object_that_is_printed_as_json(tmp_path: Path) -> None:
    asked = plan(tmp_path / "some.traces.jsonl")
    result = asyncio.run(replay(asked))
    shown = json.loads(json.dumps(replay_json(asked, result, rows_of(result))))
    assert set(shown) == {"run", "rows", "disagreements"}
    assert all(set(row) >= KEYS for row in shown["rows"])
    assert [row["method"] for row in shown["rows"]] == ["sample", "self_consistency"]
    assert shown["rows"][0]["task"] == "some.traces"
    assert "by" not in shown["rows"][0]
    run = shown["run"]
    assert (run["schema"], run["grading"], run["verifier"]) == (1, "recorded", "boxed")
    assert (run["problems"], run["without_answer"], run["left_out"]) == (3, 1, 0)
    assert run["graded"] == {"recorded": 2, "ponder": 1, "unknown": 1}
    assert run["tokenizers"] == ["qwen2"]
    assert run["subsets"] == [{"problems": 3, "samples": 4, "closed_thinking": 0.75}]
    assert shown["disagreements"] == [
        {"id": "a", "sample": 0, "recorded": False, "ours": True, "extracted": "1", "gold": "1"}
    ]


def test_rows_of_subsets_say_which(tmp_path: Path) -> None:
    asked = plan(tmp_path / "t.jsonl", by="limit")
    result = asyncio.run(replay(asked))
    shown = replay_json(asked, result, rows_of(result))
    rows = shown["rows"]
    assert isinstance(rows, list)
    assert [(row["method"], row["by"]) for row in rows] == [
        ("sample", {"limit": 1}),
        ("self_consistency", {"limit": 1}),
        ("sample", {"limit": 2}),
        ("self_consistency", {"limit": 2}),
    ]
    assert {row["baseline"] for row in rows} == {"sample, limit=1"}


def test_what_needs_saying_is_said(tmp_path: Path) -> None:
    asked = plan(tmp_path / "t.jsonl")
    said = list(notes(asked, asyncio.run(replay(asked))))
    assert said == [
        "4 samples of 3 problems; 75.0 % reached their end.",
        "1 samples that the source did not grade were judged by the verifier 'boxed'.",
        "1 problems have no reference answer: they are counted apart, never as wrong.",
        "1 samples are graded otherwise by their source than by our verifier.",
    ]


def test_the_table_of_disagreements(tmp_path: Path) -> None:
    result = asyncio.run(replay(plan(tmp_path / "t.jsonl")))
    table = disagreements_table(result.disagreements)
    assert [column.header for column in table.columns] == ["id", "sample", "recorded", "ours", "extracted", "gold"]
    assert table.row_count == 1

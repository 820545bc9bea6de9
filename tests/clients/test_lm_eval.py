"""lm-eval: twenty questions of GSM8K from a local file, through the gateway, every one answered and scored."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import sys
from pathlib import Path

from conftest import Gateway
from page import GATEWAY, MODEL, command
from serving import ROOT, run

QUESTIONS = ROOT / "tests/clients/gsm8k.jsonl"


def test_the_questions_are_those_that_ponder_ships() -> None:
    with gzip.open(ROOT / "ponder/tasks/data/gsm8k_test.jsonl.gz", "rt", encoding="utf-8") as shipped:
        theirs = [(row["question"], row["answer"]) for row in map(json.loads, list(shipped)[:20])]
    assert [(row["question"], row["answer"]) for row in map(json.loads, QUESTIONS.open(encoding="utf-8"))] == theirs


def test_twenty_questions(gateway: Gateway, model: str, tmp_path: Path) -> None:
    asked = command("lm-eval").replace(GATEWAY, gateway.url).replace(f"model={MODEL}", f"model={model}")
    key, program, *arguments = shlex.split(asked)
    assert (key, program) == ("OPENAI_API_KEY=none", "lm_eval")
    arguments += ["--output_path", str(tmp_path), "--log_samples"]
    done = run([sys.executable, "-m", program, *arguments], OPENAI_API_KEY=gateway.key, HF_HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr[-3000:]
    (results,), (log,) = tmp_path.glob("*/results_*.json"), tmp_path.glob("*/samples_*.jsonl")
    score = json.loads(results.read_text("utf-8"))["results"]["gsm8k_local"]["exact_match,last-number"]
    samples = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    replies = {sample["doc"]["question"]: sample["resps"][0][0] for sample in samples}
    assert len(replies) == 20
    assert all(reply.strip() for reply in replies.values()), "no answer is empty"
    answers = {sample["doc"]["question"]: sample["target"] for sample in samples}
    right = sum(last_number(reply) == answers[question] for question, reply in replies.items())
    assert score == right / 20
    if model == "echo":
        assert any("\\boxed{" in reply for reply in replies.values())


def last_number(reply: str) -> str:
    found = re.findall(r"-?\d[\d,]*", reply)
    return found[-1].replace(",", "") if found else ""

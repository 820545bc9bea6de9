"""Recorded rewards as scores of a replay."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from ponder.bench.replay import ReplayPlan, plan_methods, replay
from ponder.bench.replayed import rows_of
from ponder.bench.rewards import Recorded, ReplayCatalogue, rewards_of
from ponder.bench.summary import Row
from ponder.core.errors import DataError, EngineError
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.methods import catalogue
from ponder.methods.vote.best_of_n import BestOfN

FULL = Path(os.environ.get("PONDER_TRACES") or Path(__file__).parents[3] / "shared" / "data")
QWEN = FULL / "traces" / "qwen2.5_math_x8_reward.jsonl.gz"


def traces(path: Path, rewards: list[float | None], texts: list[str] | None = None) -> Path:
    texts = texts or ["\\boxed{1}", "I say \\boxed{2}", "so \\boxed{1}"]
    samples = [{"text": text, "reward": reward} for text, reward in zip(texts, rewards, strict=True)]
    path.write_text(json.dumps({"id": "a", "question": "?", "answer": "1", "samples": samples}))
    return path


def row(path: Path, method: str) -> Row:
    plan = ReplayPlan(path, plan_methods(method, catalogue()))
    (found,) = rows_of(asyncio.run(replay(plan)))
    return found


def test_the_best_reward_decides(tmp_path: Path) -> None:
    assert row(traces(tmp_path / "t", [0.1, 0.9, 0.5]), "best_of_n:scorer=recorded").accuracy == 0
    assert row(traces(tmp_path / "t", [0.1, -0.9, 0.5]), "best_of_n:scorer=recorded").accuracy == 1
    vote = row(traces(tmp_path / "t", [0.5, 0.9, 0.5]), "weighted_vote:scorer=recorded,weight=score")
    assert (vote.accuracy, vote.label) == (1, "weighted_vote(scorer=recorded, weight=score)")


def test_a_reply_cut_inside_its_thought_has_its_reward_too(tmp_path: Path) -> None:
    texts = ["<think>I say \\boxed{1}", "<think>or</think>\\boxed{2}"]
    assert row(traces(tmp_path / "t", [2.0, 1.0], texts), "best_of_n:scorer=recorded").accuracy == 0, "cut never wins"
    assert row(traces(tmp_path / "t", [2.0, 1.0], [texts[0]] * 2), "best_of_n:scorer=recorded").accuracy == 1


def test_a_race_saves_what_the_losers_had_not_said(tmp_path: Path) -> None:
    texts = [f"{'so ' * 400}\\boxed{{2}}", f"{'so ' * 100}\\boxed{{1}}", f"{'so ' * 200}\\boxed{{2}}"]
    path = traces(tmp_path / "t", [5.0, 4.0, 3.0], texts)
    whole = row(path, "best_of_n:scorer=recorded")
    raced = row(path, "best_of_n:scorer=recorded,stop_at=3.5")
    assert (whole.accuracy, raced.accuracy) == (0, 1)
    least = (len(texts[1]) + 3) // 4
    assert 3 * least <= raced.tokens <= 3 * least + 6 < whole.tokens


def test_replies_without_rewards_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'a' has replies without a recorded reward"):
        row(traces(tmp_path / "t", [0.1, None, 0.5]), "best_of_n:scorer=recorded")
    with pytest.raises(EngineError, match="without log-probabilities, which MeanLogprob scores by"):
        row(traces(tmp_path / "t", [0.1, 0.2, 0.5]), "best_of_n")


def test_the_scorer_is_a_value_that_only_replays_know() -> None:
    known = ReplayCatalogue(catalogue().sources)
    method = BestOfN(n=3, scorer=Recorded())
    assert known.to_config(method) == {"method": "best_of_n", "n": 3, "scorer": {"scorer": "recorded"}}
    assert known.from_config(known.to_config(method)) == method
    assert known.name_of(BestOfN) == "best_of_n"
    assert (Recorded().needs(), Recorded().asks()) == ({"main": frozenset()}, {})
    assert rewards_of([], []) == {}


async def test_a_problem_without_rewards_has_none() -> None:
    run = Run(Echo("5"))
    assert await Recorded().score(Problem.of("q"), [], run) == []
    with pytest.raises(DataError, match="choose another scorer"):
        await BestOfN(n=2, scorer=Recorded()).solve(Problem.of("q"), run)


@pytest.mark.skipif(not QWEN.is_file(), reason="needs the full recorded sets: PONDER_TRACES=FOLDER")
def test_the_best_of_eight_by_a_real_reward_model() -> None:
    assert row(QWEN, "best_of_n:scorer=recorded").accuracy == pytest.approx(0.94)

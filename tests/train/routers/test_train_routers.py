"""Training a router: honest scores across folds, the file, the threshold, and nothing half-written."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from support.arena import arena, outcomes
from support.bert import tiny_bert

from ponder.core.errors import DataError
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.routers.factorisation import Factorisation
from ponder.routers.ranking import Ranking
from ponder.routers.state import load_state
from ponder.train.routers.curve import curve
from ponder.train.routers.fit import Kind, Settings
from ponder.train.routers.read import outcomes as read_outcomes
from ponder.train.routers.read import read_rows
from ponder.train.routers.table import Table, folds
from ponder.train.routers.train import compared, cross_scores, measure, ranks, score, train_router
from ponder.train.routers.vectors import Seen, see

DATA = Path(__file__).parents[2] / "data" / "routers"
PLACES = 128


def seen_of(table: Table) -> Seen:
    return see(table.questions, "words", None, PLACES, lambda done, total: None)


def train(kind: Kind, table: Table, out: Path, share: float = 0.5, count: int = 3) -> object:
    seen = None if kind == "category" else seen_of(table)
    return train_router(kind, table, seen, out, share, folds(table, count, 0), Settings(rank=2))


@pytest.mark.parametrize("kind", ["ranking", "factorisation", "encoder", "category"])
@pytest.mark.parametrize("share", [0.2, 0.7])
def test_outcomes_become_a_router_that_beats_chance(tmp_path: Path, kind: Kind, share: float) -> None:
    table = outcomes(400)
    done = train_router(
        kind, table, None if kind == "category" else seen_of(table), tmp_path / "r", share, folds(table, 3, 0),
        Settings(rank=2),
    )  # fmt: skip
    assert done.measured is not None
    assert done.measured.apgr_interval is not None
    assert done.measured.apgr_interval[0] > 0.55
    facts = tomllib.loads((tmp_path / "r" / "router.toml").read_text())
    assert facts["threshold"] == {"value": done.threshold, "share": share, "questions": 400}
    assert facts["measured"]["apgr"] == pytest.approx(done.measured.apgr)
    assert load_state(tmp_path / "r", kind).choices == ("weak", "strong")


@pytest.mark.parametrize("kind", ["ranking", "factorisation", "encoder"])
def test_preferences_of_an_arena_become_a_router_that_beats_chance(tmp_path: Path, kind: Kind) -> None:
    table = arena(3000, models=6)
    done = train_router(
        kind, table, seen_of(table), tmp_path / "r", 0.5, folds(table, 3, 0), Settings(rank=2)
    )  # fmt: skip
    assert done.measured is not None
    assert done.measured.questions == len(compared(table, 10)[0]) > 100
    assert done.measured.strong > 0.65
    assert done.measured.apgr > 0.55


async def test_the_threshold_sends_the_wanted_share_to_the_strong_choice(tmp_path: Path) -> None:
    table = outcomes(500)
    done = train_router(
        "ranking", table, seen_of(table), tmp_path / "r", 0.3, folds(table, 5, 0), Settings()
    )  # fmt: skip
    router, run = Ranking(str(tmp_path / "r")), Run(Echo())
    fresh = outcomes(300, seed=9)
    found = [score(await router.rate(Problem.of(text), run), table.choices) for text in fresh.questions]
    assert 0.2 < np.mean(np.array(found) >= done.threshold) < 0.4


async def test_what_serves_is_what_was_trained(tmp_path: Path) -> None:
    """Scores across folds come from the code that serves: a router trained on the same rows gives the same ones."""
    table, parts = outcomes(120), folds(outcomes(120), 2, 0)
    crossed = cross_scores("factorisation", table, seen_of(table), parts, Settings(rank=2))
    half = table.rows(parts[1])
    train_router(
        "factorisation", half, seen_of(half), tmp_path / "r", 0.5, folds(half, 2, 0), Settings(rank=2)
    )  # fmt: skip
    router, run = Factorisation(str(tmp_path / "r")), Run(Echo())
    for row in parts[0][:5]:
        ratings = await router.rate(Problem.of(table.questions[row]), run)
        assert score(ratings, table.choices) == pytest.approx(crossed[row], abs=1e-4)


def test_no_score_comes_from_a_router_that_saw_the_question() -> None:
    """Outcomes without any pattern: whoever remembered them would look good, and honest scores do not."""
    dice = np.random.default_rng(0)
    texts = tuple(f"question {number}" for number in range(300))
    success = (dice.random((300, 2)) < [0.5, 0.8]).astype(float)
    table = Table(("weak", "strong"), texts, success=success)
    parts = folds(table, 5, 0)
    scores = cross_scores("ranking", table, seen_of(table), parts, Settings())
    found = measure(ranks(scores, parts), success[:, 0], success[:, 1])
    assert found.apgr_interval is not None
    assert found.apgr_interval[0] < 0.5


def test_ranks_put_every_fold_on_one_scale() -> None:
    scores = np.array([0.1, 0.9, 0.5, 7.0, 7.0, 9.0])
    parts = [np.array([0, 1, 2]), np.array([3, 4, 5])]
    assert ranks(scores, parts) == pytest.approx([1 / 6, 5 / 6, 0.5, 1 / 3, 1 / 3, 5 / 6])


def test_routers_that_say_the_same_of_every_question_are_chance() -> None:
    """Trained on the other folds, each says their mean: compared across folds that would look worse than chance."""
    table = outcomes(200)
    assert table.success is not None
    weak, strong = table.success.T
    parts = folds(table, 5, 0)
    scores = np.zeros(200)
    for part in parts:
        others = np.setdiff1d(np.arange(200), part)
        scores[part] = (strong - weak)[others].mean()
    assert curve(scores, weak, strong).apgr < 0.5
    assert curve(ranks(scores, parts), weak, strong).apgr == pytest.approx(0.5)


def test_without_rows_that_compare_the_choices_there_are_no_figures(tmp_path: Path) -> None:
    table = arena(1500)
    assert table.battles is not None
    rows = np.setdiff1d(np.arange(1500), compared(table, 10)[0])
    done = train_router(
        "ranking", table.rows(rows), seen_of(table.rows(rows)), tmp_path / "r", 0.5, folds(table.rows(rows), 3, 0),
        Settings(),
    )  # fmt: skip
    assert done.measured is None
    assert "measured" not in load_state(tmp_path / "r", "ranking").facts


def test_nothing_is_written_where_training_fails(tmp_path: Path) -> None:
    table = outcomes(60, models=3)
    with pytest.raises(DataError, match="take factorisation"):
        train("encoder", table, tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_a_table_without_texts_is_told(tmp_path: Path) -> None:
    table = Table(("a", "b"), (), success=np.eye(2)[[0, 1] * 6])
    with pytest.raises(DataError, match="has none; name their column with --prompt"):
        train_router("ranking", table, None, tmp_path / "r", 0.5, folds(table, 3, 0), Settings())
    with pytest.raises(DataError, match="holds no question texts"):
        see((), "words", None, PLACES, lambda done, total: None)


def test_the_encoders_features_need_its_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="name it with --encoder"):
        see(("q",), "encoder", None, PLACES, lambda done, total: None)
    told: list[tuple[int, int]] = []
    found = see(("a", "b", "a"), "encoder", tiny_bert(tmp_path / "bert"), PLACES, lambda *done: told.append(done))
    assert (found.raw[0] == found.raw[2]).all()
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert found.fitted(np.arange(2))[0] == {}


def test_words_are_weighed_by_the_rows_that_are_learnt_from() -> None:
    seen = see(("the fox", "the dog", "the cow"), "words", None, PLACES, lambda done, total: None)
    first, second = (seen.fitted(np.array(rows))[0]["idf"] for rows in ([0, 1], [0, 1, 2]))
    assert (first != second).any()


def test_recorded_answers_can_be_learnt_from(tmp_path: Path) -> None:
    """The first 200 questions of RouteLLM's GSM8K table (Apache-2.0, its licence beside them)."""
    rows = read_rows(DATA / "gsm8k_200.csv.gz")
    table = read_outcomes(rows, {"weak": "mixtral", "strong": "gpt4"}, "gsm8k", prompt="prompt")
    done = train_router(
        "encoder", table, seen_of(table), tmp_path / "r", 0.5, folds(table, 5, 0), Settings()
    )  # fmt: skip
    assert done.measured is not None
    assert (done.measured.questions, done.measured.weak < done.measured.strong) == (200, True)
    assert done.measured.apgr_interval is not None
    assert done.measured.apgr_interval[0] < done.measured.apgr < done.measured.apgr_interval[1]


def test_preferences_are_judged_by_all_models_of_the_choices_tiers() -> None:
    table = arena(2000, models=12)
    assert table.battles is not None
    rows, weak, strong = compared(table, 3)
    assert len(rows) > len(compared(table, 10)[0]) > 0
    assert (weak + strong).tolist() == [1.0] * len(rows)
    assert strong.mean() > 0.6

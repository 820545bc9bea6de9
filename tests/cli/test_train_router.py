"""`ponder train router`: from tables, arenas and runs to a folder; and errors that leave nothing behind."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.arena import arena, outcomes

from ponder.cli import cli
from ponder.core.errors import PonderError
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.methods import catalogue
from ponder.train.routers.read import read_rows

CHOICES = ("--choice", "weak=small", "--choice", "strong=large")


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    table = outcomes(120)
    assert table.success is not None
    rows = zip(table.questions, table.groups, table.success.tolist(), strict=True)
    return write(tmp_path / "log.csv", [{"prompt": q, "topic": g, "small": w, "large": s} for q, g, (w, s) in rows])


def run(*arguments: object) -> str:
    done = CliRunner().invoke(cli, ["train", "router", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def measured(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.mark.parametrize("kind", ["ranking", "factorisation", "encoder"])
async def test_a_table_of_outcomes_becomes_a_router_that_a_method_uses(log: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "routers" / "mine"
    found = measured(run(log, "--kind", kind, *CHOICES, "--out", out, "--folds", 2, "--share", 0.3, "--json"))
    assert (found["schema"], found["router"], found["choices"]) == (1, kind, ["weak", "strong"])
    assert found["measured"]["questions"] == 120
    assert found["measured"]["curve"][0] == {"calls": 0.0, "pgr": 0.0}
    assert found["measured"]["curve"][-1] == {"calls": 1.0, "pgr": 1.0}
    assert tomllib.loads((out / "router.toml").read_text())["threshold"]["value"] == found["threshold"]
    config = {"method": "routellm", "threshold": found["threshold"], "router": {"router": kind, "path": str(out)}}
    method = catalogue().from_config(config)
    engines = {"main": Echo("small"), "strong": Echo("large")}
    easy, hard = [
        (await method.solve(Problem.of(f"Please {word} the item 1."), Run(engines))).evidence
        for word in ("add", "prove")
    ]
    assert float(hard["score"]) > float(easy["score"])
    assert {hard["route"], easy["route"]} <= {"weak", "strong"}


def test_what_people_read(log: Path, tmp_path: Path) -> None:
    text = run(log, "--kind", "encoder", *CHOICES, "--out", tmp_path / "r", "--plot", tmp_path / "curve.svg")
    assert "threshold" in text
    assert "sends 50.0 % to strong" in text
    assert "random routing has 0.5" in text
    assert "CPT(50 %)" in text
    assert "random routing" in (tmp_path / "curve.svg").read_text()


def test_a_category_router_needs_no_texts(log: Path, tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "prompt"} for row in read_rows(log)]
    bare = write(tmp_path / "bare.csv", rows)  # type: ignore[arg-type]
    found = measured(run(bare, "--kind", "category", *CHOICES, "--group", "topic", "--out", tmp_path / "r", "--json"))
    assert found["measured"]["apgr"] > 0.6
    assert tomllib.loads((tmp_path / "r" / "router.toml").read_text())["field"] == "topic"


def test_questions_of_equal_score_are_sent_together_and_the_share_says_so(log: Path, tmp_path: Path) -> None:
    """A category router has one score for each category: its threshold cannot send just any share."""
    rest = ("--kind", "category", *CHOICES, "--group", "topic", "--folds", 2, "--share", 0.1)
    found = measured(run(log, *rest, "--out", tmp_path / "r", "--json"))
    assert found["share"] == 0.1
    assert 0.15 < found["sent"] < 0.8
    assert f"sends {100 * found['sent']:.1f} % to strong" in run(log, *rest, "--out", tmp_path / "s")


def test_an_arena_becomes_a_router(tmp_path: Path) -> None:
    table = arena(800, models=6)
    battles = table.battles
    assert battles is not None
    words = {1.0: "model_a", 0.0: "model_b", 0.5: "tie"}
    rows = [
        {"prompt": text, "model_a": battles.models[a], "model_b": battles.models[b], "winner": words[float(won)]}
        for text, a, b, won in zip(table.questions, battles.first, battles.second, battles.won, strict=True)
    ]
    file = write(tmp_path / "arena.csv", rows)
    choices = ("--choice", "weak=m00", "--choice", "strong=m05")
    found = measured(run(file, *choices, "--kind", "encoder", "--folds", 2, "--out", tmp_path / "r", "--json"))
    assert found["measured"]["strong"] > 0.6
    assert found["measured"]["weak"] == pytest.approx(1 - found["measured"]["strong"])


def test_conversations_for_a_causal_classifier(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "grades.jsonl"
    found = measured(run(log, "--kind", "causal", *CHOICES, "--out", out, "--json"))
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert found["rows"] == len(lines) == 120
    assert set(found["grades"]) == {"1", "4", "5"}
    user, assistant = lines[0]["messages"]
    assert user["content"].startswith("Please ")
    assert assistant["content"] in ("[[1]]", "[[4]]", "[[5]]")
    assert "ponder train sft" in run(log, "--kind", "causal", *CHOICES, "--out", tmp_path / "more.jsonl")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs of one's own: the same questions, answered by two scripted models."""
    arguments = ["bench", "arithmetic", "--methods", "sample,no_thinking", "--model", "echo", "--limit", "30", "--json"]
    for name in ("small", "large"):
        done = CliRunner().invoke(cli, [*arguments, "--out", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
    return tmp_path


def test_runs_of_ones_own_are_read(runs: Path) -> None:
    from ponder.cli.train_router_input import read_runs

    table = read_runs(runs / "small", {"weak": "no_thinking", "strong": "sample", "other": f"{runs / 'large'}#sample"})
    assert table.choices == ("weak", "strong", "other")
    assert len(table) == 30
    assert table.success is not None
    assert table.success.shape == (30, 3)
    assert all(any(char.isdigit() for char in text) for text in table.questions)


def test_methods_that_a_run_lacks_are_told(runs: Path, tmp_path: Path) -> None:
    choices = ("--choice", "weak=sample", "--choice", "strong=smaple")
    with pytest.raises(PonderError, match="has no method 'smaple'; did you mean 'sample'"):
        run(runs / "small", *choices, "--out", tmp_path / "r")
    with pytest.raises(PonderError, match="there is no run at"):
        run(tmp_path, *choices, "--out", tmp_path / "r")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--choice", "weak=small"), "needs two choices at least"),
        (("--choice", "weak", "--choice", "strong=large"), "--choice 'weak' must be NAME=COLUMN"),
        (("--choice", "weak=small", "--choice", "strong=small"), "was given before"),
        (("--choice", "weak=small", "--choice", "strong=larg"), "no column 'larg'; did you mean 'large'"),
        ((*CHOICES, "--prompt", "question"), "no column 'question'"),
        ((*CHOICES, "--features", "encoder"), "name it with --encoder"),
        ((*CHOICES, "--features", "encoder", "--encoder", "nowhere"), "there is no encoder folder"),
        ((*CHOICES, "--held-out"), "name their column with --group"),
        ((*CHOICES, "--held-out", "--group", "topic"), "5 folds need at least as many groups, not 2"),
        ((*CHOICES, "--kind", "category"), "name it with --group"),
        ((*CHOICES, "--plot", "curve.pdf"), r"must end in \.svg or \.png"),
    ],
)
def test_bad_options_are_told_and_nothing_is_written(
    log: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(PonderError, match=message):
        run(log, *arguments, "--out", tmp_path / "r")
    assert not (tmp_path / "r").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["log.csv"]


def test_a_plot_of_nothing_is_refused_before_the_work(log: Path, tmp_path: Path) -> None:
    plot = ("--plot", tmp_path / "curve.svg")
    with pytest.raises(PonderError, match=r"curve\.svg has nothing to draw: a causal router is trained by another"):
        run(log, *CHOICES, "--kind", "causal", "--out", tmp_path / "grades.jsonl", *plot)
    even = [{"prompt": f"question {i}", "small": i % 2, "large": (i + 1) % 2} for i in range(20)]
    table = write(tmp_path / "even.csv", even)  # type: ignore[arg-type]
    with pytest.raises(PonderError, match="nothing to draw: fewer than ten rows compare weak with strong, or both are"):
        run(table, *CHOICES, "--kind", "encoder", "--out", tmp_path / "r", *plot)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["even.csv", "log.csv"]
    text = run(table, *CHOICES, "--kind", "encoder", "--out", tmp_path / "r")
    assert "no figures: no rows compare weak with strong, or both are equally good" in text


def change(log: Path, row: int, column: str, cell: str) -> None:
    rows: list[dict[str, object]] = [dict(each) for each in read_rows(log)]
    rows[row][column] = cell
    write(log, rows)


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("large", "", "row 8 has no 'large'"),
        ("small", "perhaps", "row 8: 'small' = 'perhaps' must be true or false"),
    ],
)
def test_a_bad_cell_is_told(log: Path, tmp_path: Path, column: str, cell: str, message: str) -> None:
    change(log, 7, column, cell)
    with pytest.raises(PonderError, match=message):
        run(log, *CHOICES, "--out", tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_question_asked_twice_is_refused_or_kept_together(log: Path, tmp_path: Path) -> None:
    change(log, 7, "prompt", read_rows(log)[0]["prompt"].upper())
    with pytest.raises(PonderError, match="rows 1 and 8 ask the same question"):
        run(log, *CHOICES, "--out", tmp_path / "r")
    run(log, *CHOICES, "--duplicates", "together", "--kind", "encoder", "--out", tmp_path / "r", "--json")
    assert (tmp_path / "r" / "router.toml").is_file()


def test_a_table_with_one_class_is_refused(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"prompt": f"q{i}", "small": 1, "large": 1} for i in range(20)]
    with pytest.raises(PonderError, match="one class only"):
        run(write(tmp_path / "log.csv", rows), *CHOICES, "--out", tmp_path / "r")


def test_what_is_there_is_left_alone(log: Path, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "mine.txt").write_text("mine")
    with pytest.raises(PonderError, match="exists and is not an empty folder"):
        run(log, *CHOICES, "--out", tmp_path / "r")
    assert [file.name for file in (tmp_path / "r").iterdir()] == ["mine.txt"]


async def test_of_more_than_two_choices_the_threshold_sends_the_share_that_is_printed(
    log: Path, tmp_path: Path
) -> None:
    """A middle choice that is as good as the strong one on half of the questions keeps those that it takes."""
    rows: list[dict[str, object]] = [
        {**row, "middle": row["large"] if i % 2 else row["small"]} for i, row in enumerate(read_rows(log))
    ]
    file = write(tmp_path / "three.csv", rows)
    three = ("--choice", "weak=small", "--choice", "mid=middle", "--choice", "strong=large", "--share", 0.4)
    rest = ("--kind", "ranking", "--folds", 2)
    found = measured(run(file, *three, *rest, "--out", tmp_path / "r", "--json"))
    assert list(found["shares"]) == ["weak", "mid", "strong"]
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert found["shares"]["strong"] == found["sent"] == pytest.approx(0.4, abs=0.02)
    text = run(file, *three, *rest, "--out", tmp_path / "s")
    assert f"sends {100 * found['sent']:.1f} % to strong, {100 * found['shares']['mid']:.1f} % to mid" in text

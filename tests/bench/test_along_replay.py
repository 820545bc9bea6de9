import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ponder.bench.along import Along, AlongPlan, along_json, gap_of, replay_along
from ponder.bench.plots_along import along_plot, check_name
from ponder.bench.probing import TEXTS
from ponder.bench.record import Grid
from ponder.bench.recording import RecordPlan, record
from ponder.bench.replay import ReplayPlan, plan_methods, replay
from ponder.bench.replayed import rows_of
from ponder.bench.summary import Row
from ponder.core.engine import Sampling
from ponder.core.errors import DataError, OptionError
from ponder.engines.echo import Echo
from ponder.methods import catalogue
from ponder.tasks import load_task

EXAMPLE = Path(__file__).parents[1] / "data" / "traces" / "example_probes.jsonl"


def rows(path: Path, **fields: object) -> tuple[dict[str, Row], Along]:
    found = replay_along(replace(AlongPlan(path), **fields))  # type: ignore[arg-type]
    return {row.label: row for row in found.rows}, found


def point(row: Row) -> tuple[float | None, float]:
    return row.accuracy, row.tokens


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "t.jsonl.gz"
    plan = RecordPlan(load_task("arithmetic:level=2"), path, Grid(4, TEXTS), Sampling(max_tokens=64, temperature=0.7))
    asyncio.run(record(replace(plan, limit=12, samples=2), Echo()))
    return path


def test_the_example_worked_by_hand() -> None:
    """ex-1: 32 at 4, then 42; ex-2: 56 at 6 and 12, 63 at 22. Probes cost 3, whole replies 34 and 30."""
    found, along = rows(EXAMPLE)
    assert (along.every, along.problems, len(along.thoughts), along.verifier) == (6, 2, 2, "boxed")
    assert point(found["full"]) == (1.0, 32.0)
    assert point(found["at_once"]) == (0.0, (4 + 3 + 6 + 3) / 2)
    assert point(found["first_right"]) == (1.0, (10 + 3 + 22 + 3) / 2)
    # ex-1: looks at 12 and 24 see 42 twice; ex-2 sees 56 at 12, and its thought ends before 24.
    assert point(found["dynasor(every=12, count=2)"]) == (1.0, (24 + 6 + 3 + 30 + 3) / 2)
    # ex-1 stops at 12 with 42, ex-2 at 12 with 56.
    assert point(found["dynasor(every=12, count=1)"]) == (0.5, (12 + 3 + 3) * 1.0)
    assert "oracle" not in found
    assert all(row.baseline == "full" and row.paired == 2 for row in found.values())


def test_every_rule_is_a_row_with_intervals_and_a_control(recording: Path) -> None:
    found, along = rows(recording)
    assert len(found) == len(along.rows) > 60
    kinds = {row.method for row in along.rows}
    assert kinds >= {"full", "at_once", "first_right", "dynasor", "answer_convergence", "constant_cut", "random"}
    for row in along.rows:
        assert row.accuracy is not None
        assert row.accuracy_interval is not None
        assert row.accuracy_interval.low <= row.accuracy <= row.accuracy_interval.high
        assert (row.questions, row.attempts, row.exact) == (12, 24, True)
        assert row.method in ("full", "at_once") or row.mixture == ("full", "at_once")
    assert along.tokenizers == {"echo"}


def test_full_thinking_is_what_sample_gives(recording: Path) -> None:
    found, _ = rows(recording)
    plain = rows_of(asyncio.run(replay(ReplayPlan(recording, plan_methods("sample", catalogue())))))[0]
    assert point(found["full"]) == (plain.accuracy, plain.tokens)
    assert found["full"].tokens_interval == plain.tokens_interval


def test_another_probe_text_may_be_taken(recording: Path) -> None:
    found, along = rows(recording, probe="sentence")
    shown = along_json(AlongPlan(recording, probe="sentence"), along)
    assert isinstance(shown["run"], dict)
    assert (shown["run"]["probe"], shown["run"]["every"], shown["run"]["thoughts"]) == ("sentence", 4, 24)
    assert point(found["full"]) == point(rows(recording)[0]["full"])
    with pytest.raises(DataError, match=r"has no probes 'clos'; did you mean 'close'\?; it has close, sentence"):
        rows(recording, probe="clos")
    with pytest.raises(DataError, match="it has only those of one text"):
        rows(EXAMPLE, probe="close")


def write(path: Path, *samples: dict[str, object], answer: str | None = "42") -> Path:
    path.write_text(json.dumps({"id": "q", "question": "?", "answer": answer, "samples": list(samples)}))
    return path


def test_files_that_cannot_be_replayed_along_are_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with pytest.raises(DataError, match=r"has no probes, .* `ponder record TASK --out FILE` records some"):
        rows(write(path, {"text": "42"}))
    backward = [{"at": 8, "answer": "1"}, {"at": 4, "answer": "1"}]
    with pytest.raises(DataError, match=r"sample 0: probe 1: at = 4 must be greater than that of the probe before, 8"):
        rows(write(path, {"text": "42", "probes": backward}))
    by = {"close": [{"at": 4, "answer": "1"}], "mine": backward}
    with pytest.raises(DataError, match=r"sample 0: probe 1 of 'mine': at = 4 must be greater"):
        rows(write(path, {"text": "42", "probes": by["close"], "probes_by": by}), probe="mine")


def test_problems_without_an_answer_are_counted_apart(tmp_path: Path) -> None:
    probes = [{"at": 2, "answer": None}, {"at": 4, "answer": "42"}]
    sample: dict[str, object] = {"text": "<think>so it is</think>42", "tokens": 6, "probes": probes}
    found, along = rows(write(tmp_path / "t.jsonl", sample, answer=None))
    assert along.unanswered == 1
    assert all(row.accuracy is None and row.tokens > 0 for row in found.values())
    with pytest.raises(DataError, match="no thought could be judged"):
        along_plot(along.rows)


def test_a_cut_thought_is_cut_in_full_alone(tmp_path: Path) -> None:
    probes = [{"at": 2, "answer": "41", "tokens": 2}, {"at": 4, "answer": "42", "tokens": 2}]
    sample: dict[str, object] = {"text": "<think>so it is 42 or", "tokens": 6, "probes": probes}
    sample["closed_thinking"] = False
    found, _ = rows(write(tmp_path / "t.jsonl", sample))
    assert (found["full"].truncated, found["full"].tokens) == (1, 6)
    never = found["dynasor(every=2, count=10)"]
    # Looks at 2, 4 and 6 ask thrice; then the thought is closed where it was cut, and answered from its last probe.
    assert (never.truncated, never.tokens, never.accuracy) == (0, 6 + 6 + 2, 1.0)


def test_the_gap_between_probes() -> None:
    _, along = rows(EXAMPLE)
    first, second = along.thoughts.lines
    assert gap_of([first]) == 6
    assert gap_of([second, first]) == 6
    assert gap_of([second._replace(probes=second.probes[:1])]) == 6


def test_the_picture(recording: Path) -> None:
    _, along = rows(recording)
    plot = along_plot(along.rows)
    assert plot.svg.startswith("<svg")
    assert plot.png.startswith(b"\x89PNG")
    assert "dynasor(every=4, count=2)" in plot.alt
    with pytest.raises(OptionError, match=r"a picture is \.svg or \.png"):
        check_name(Path("t.pdf"))

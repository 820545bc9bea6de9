"""Reports: to JSON and back, newer over older, and kept in the user's cache."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ponder.core.errors import DataError
from ponder.engines.doctor_report import CHEAP, COSTLY, Fact, Report, ReportStore, age, now

URL = "http://127.0.0.1:8000/v1"
REPORT = Report(
    URL,
    "toy",
    "2026-05-01T12:00:00+00:00",
    (
        Fact("server", "vllm", "asked"),
        Fact("context", 4096, "as it says"),
        Fact("speed", 12.5, "measured", 40),
        Fact("usage", True, "it counted"),
        Fact("hang_up", None, "no counters", 8),
    ),
)


def test_a_report_survives_json() -> None:
    assert Report.from_json(json.loads(json.dumps(REPORT.as_json()))) == REPORT
    assert REPORT.tokens == 48
    assert (REPORT.value("usage"), REPORT.value("hang_up"), REPORT.value("n")) == (True, None, None)
    assert REPORT.fact("n") is None
    assert not set(CHEAP) & set(COSTLY)


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        {"schema": 2, "facts": []},
        {**REPORT.as_json(), "facts": {}},
        {**REPORT.as_json(), "facts": [{"name": "n"}]},
        {**REPORT.as_json(), "facts": [{"name": "n", "value": [], "how": "", "tokens": 0}]},
        {name: value for name, value in REPORT.as_json().items() if name != "model"},
    ],
)
def test_what_is_no_report_is_refused(broken: object) -> None:
    with pytest.raises(DataError, match="examine the server again"):
        Report.from_json(broken)


def test_newer_facts_come_over_older_ones_and_the_order_stays() -> None:
    newer = Report(URL, "toy", now(), (Fact("seeds", True, "asked"), Fact("usage", False, "asked again", 3)))
    merged = REPORT.merged(newer)
    assert [fact.name for fact in merged.facts] == ["server", "context", "speed", "usage", "hang_up", "seeds"]
    assert (merged.value("usage"), merged.date) == (False, newer.date)


def test_the_age_of_a_report() -> None:
    hour = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    assert 3590 < age(Report(URL, "toy", hour, ())) < 3700
    for strange in ("yesterday", "2026-05-01T12:00:00"):
        assert age(Report(URL, "toy", strange, ())) == float("inf")


def test_reports_are_kept_by_address_and_model(tmp_path: Path) -> None:
    store = ReportStore(tmp_path / "doctor")
    assert store.load(URL, "toy") is None
    path = store.save(REPORT)
    assert store.load(URL, "toy") == REPORT
    assert store.load(URL, "other") is None
    assert store.path(URL + "/", "toy") == path
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    path.write_text("{half")
    assert store.load(URL, "toy") is None


def test_the_cache_folder_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONDER_CACHE", str(tmp_path))
    assert ReportStore().path(URL, "toy").parent == tmp_path / "doctor"

from __future__ import annotations

from pathlib import Path

import pytest

from ponder.bench.forecast import KEPT, Forecast, History, Past, duration, forecast
from ponder.bench.prices import Price

PAST = Past(attempts=50, tokens=200.0, prompt_tokens=100.0, tokens_per_second=40.0)


def test_what_is_remembered_comes_back(tmp_path: Path) -> None:
    history = History(tmp_path / "history.json")
    assert history.past("m", "gsm8k", "sample", 512) is None
    history.remember("m", "gsm8k", "sample", 512, PAST)
    assert History(tmp_path / "history.json").past("m", "gsm8k", "sample", 512) == PAST
    assert history.past("m", "gsm8k", "other", 512) is None


def test_a_forecast_multiplies_what_is_left(tmp_path: Path) -> None:
    history = History(tmp_path / "history.json")
    history.remember("m", "gsm8k", "sample", 512, PAST)
    todo = {("gsm8k", "sample"): 30}
    found = forecast(history, "m", todo, 512, Price(input=1.0, output=10.0))
    assert found == Forecast(30, 30 * 512, 6000.0, 150.0, pytest.approx((30 * 100 + 6000 * 10) / 1e6))
    assert found.sentence(Price(1.0, 10.0)) == (
        "30 attempts to make: about 6,000 generated tokens, 2 min, 0.063 USD (from earlier runs)"
    )


def test_an_unknown_kind_gives_only_the_bound(tmp_path: Path) -> None:
    history = History(tmp_path / "history.json")
    history.remember("m", "gsm8k", "sample", 512, PAST)
    found = forecast(history, "m", {("gsm8k", "sample"): 5, ("gsm8k", "new"): 1}, 512, None)
    assert found == Forecast(6, 3072, None, None, None)
    assert "at most 3,072 tokens" in found.sentence(None)


def test_an_unknown_kind_with_nothing_to_do_does_not_matter(tmp_path: Path) -> None:
    history = History(tmp_path / "history.json")
    history.remember("m", "gsm8k", "sample", 512, PAST)
    found = forecast(history, "m", {("gsm8k", "sample"): 1, ("gsm8k", "new"): 0}, 512, None)
    assert found.tokens == 200.0


def test_a_broken_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "history.json").write_text("[1, 2", encoding="utf-8")
    history = History(tmp_path / "history.json")
    assert history.past("m", "t", "a", 512) is None
    history.remember("m", "t", "a", 512, PAST)
    assert history.past("m", "t", "a", 512) == PAST


def test_the_oldest_are_forgotten_first(tmp_path: Path) -> None:
    history = History(tmp_path / "history.json")
    for i in range(KEPT + 3):
        history.remember("m", "t", f"method{i}", 512, PAST)
    assert history.past("m", "t", "method2", 512) is None
    assert history.past("m", "t", "method3", 512) == PAST


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (89.0, "89 s"), (90.0, "2 min"), (5399.0, "90 min"), (5400.0, "1.5 h")]
)
def test_times_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_another_limit_is_another_kind(tmp_path: Path) -> None:
    history = History(tmp_path / "history.json")
    history.remember("m", "gsm8k", "sample", 64, PAST)
    assert history.past("m", "gsm8k", "sample", 512) is None
    assert forecast(history, "m", {("gsm8k", "sample"): 5}, 512, None).tokens is None

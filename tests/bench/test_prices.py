from __future__ import annotations

from pathlib import Path

import pytest

from ponder.bench.prices import Price, load_prices, read_price
from ponder.core.errors import DataError, OptionError


def test_cost_counts_cached_prompt_tokens_once() -> None:
    price = read_price("in=0.15,cached=0.075,out=0.60")
    assert price == Price(input=0.15, output=0.60, cached=0.075)
    assert price.cost(1_000_000, 0, 0) == pytest.approx(0.15)
    assert price.cost(1_000_000, 1_000_000, 0) == pytest.approx(0.075)
    assert price.cost(1_000_000, 400_000, 2_000_000) == pytest.approx(0.6 * 0.15 + 0.4 * 0.075 + 1.2)


def test_without_a_cached_price_a_cached_token_costs_what_any_does() -> None:
    price = read_price(" out = 8 , in = 2 , currency = CNY ")
    assert price == Price(2, 8, None, "CNY")
    assert price.cost(500, 500, 100) == price.cost(500, 0, 100) == pytest.approx((500 * 2 + 100 * 8) / 1e6)
    assert Price(0, 0).cost(10, 5, 10) == 0


TABLE = """
["org/model-1"]
in = 0.15
out = 0.6
cached = 0.075

["big"]
in = 2
out = 8
currency = "EUR"
"""


def test_table(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(TABLE, encoding="utf-8")
    assert load_prices(path) == {"org/model-1": Price(0.15, 0.6, 0.075), "big": Price(2, 8, None, "EUR")}
    assert read_price(str(path), "big").currency == "EUR"
    with pytest.raises(DataError, match=r"no price for 'org/model'; did you mean 'org/model-1'\?"):
        read_price(str(path), "org/model")


def test_a_path_may_hold_an_equals_sign(tmp_path: Path) -> None:
    path = tmp_path / "a=b.toml"
    path.write_text(TABLE, encoding="utf-8")
    assert read_price(str(path), "big").input == 2


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("in=1", "'out' is missing"),
        ("in=1,out=2,cachd=3", "'cachd' is unknown; did you mean 'cached'"),
        ("in=cheap,out=2", "in = 'cheap' is not a number"),
        ("in=-1,out=2", "in = -1.0 must be a number of at least 0"),
        ("in=nan,out=2", "in = nan must be"),
        ("in=1,out=inf", "out = inf must be"),
    ],
)
def test_bad_specs_name_the_part_and_the_remedy(spec: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read_price(spec)


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_price(str(tmp_path / "none.toml"), "m")
    broken = tmp_path / "broken.toml"
    broken.write_text("[model", encoding="utf-8")
    with pytest.raises(DataError, match="not valid TOML"):
        load_prices(broken)
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="not valid TOML"):
        load_prices(broken)
    broken.write_text("model = 3", encoding="utf-8")
    with pytest.raises(DataError, match="must stand in a table"):
        load_prices(broken)
    broken.write_text("[m]\nin = 1\n", encoding="utf-8")
    with pytest.raises(OptionError, match="'out' is missing"):
        load_prices(broken)

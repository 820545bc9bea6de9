"""What tokens cost: a price for a million of them, apart for prompts, cached prompts and generated text."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ponder.core.errors import DataError, OptionError, nearest

_KEYS = ("in", "cached", "out", "currency")
_EXAMPLE = "in=0.15,cached=0.075,out=0.60"


@dataclass(frozen=True, slots=True)
class Price:
    """Prices for a million tokens. Without `cached`, a cached prompt token costs what any prompt token does."""

    input: float
    output: float
    cached: float | None = None
    currency: str = "USD"

    def __post_init__(self) -> None:
        for name, value in (("in", self.input), ("out", self.output), ("cached", self.cached)):
            if value is not None and not 0 <= value < float("inf"):
                raise OptionError(f"price: {name} = {value} must be a number of at least 0")

    def cost(self, prompt: float, cached: float, generated: float) -> float:
        """Return the price of a call or of a mean of calls; `cached` tokens are part of `prompt`."""
        reread = self.input if self.cached is None else self.cached
        return ((prompt - cached) * self.input + cached * reread + generated * self.output) / 1e6


def read_price(spec: str, model: str = "") -> Price:
    """Return the price that `spec` states: `in=0.15,cached=0.075,out=0.60`, or a TOML file with `model` in it.

    Raises `OptionError` for a misspelt price, `DataError` for a file that is missing, broken or lacks the model.
    """
    if spec.endswith(".toml") or "=" not in spec:
        return _from_table(load_prices(Path(spec)), model, spec)
    parts: dict[str, str] = {}
    for item in spec.split(","):
        key, _, value = item.partition("=")
        parts[key.strip()] = value.strip()
    return _from_parts(parts, f"price {spec!r}")


def load_prices(path: Path) -> dict[str, Price]:
    """Read a price table: `["model name"]` tables with in, out, and perhaps cached and currency."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"the price file {str(path)!r} cannot be read ({error.strerror}); "
            f"name a TOML file, or write the price itself as {_EXAMPLE}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"the price file {str(path)!r} is not valid TOML: {error}") from None
    prices: dict[str, Price] = {}
    for model, entry in table.items():
        if not isinstance(entry, dict):
            raise DataError(f'{path}: {model!r} must stand in a table such as ["model name"] with in and out')
        prices[model] = _from_parts(entry, f"{path}: {model!r}")
    return prices


def _from_table(prices: Mapping[str, Price], model: str, source: str) -> Price:
    if model not in prices:
        known = ", ".join(prices) or "none"
        raise DataError(f"{source} has no price for {model!r}{nearest(model, prices)}; it has: {known}")
    return prices[model]


def _from_parts(parts: Mapping[str, object], where: str) -> Price:
    for key in parts:
        if key not in _KEYS:
            raise OptionError(f"{where}: {key!r} is unknown{nearest(key, _KEYS)}; write it as {_EXAMPLE}")
    for key in ("in", "out"):
        if key not in parts:
            raise OptionError(f"{where}: {key!r} is missing; write it as {_EXAMPLE}")
    cached = _number(parts["cached"], "cached", where) if "cached" in parts else None
    currency = str(parts.get("currency", "USD"))
    return Price(_number(parts["in"], "in", where), _number(parts["out"], "out", where), cached, currency)


def _number(raw: object, key: str, where: str) -> float:
    try:
        return float(str(raw))
    except ValueError:
        raise OptionError(f"{where}: {key} = {raw!r} is not a number; write it as {_EXAMPLE}") from None

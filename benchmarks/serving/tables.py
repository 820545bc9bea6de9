"""The results of benchmarks/gateway.py as Markdown: medians over repeats, and what was aimed at beside them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

Row = Mapping[str, object]
Rows = Mapping[str, Row]
BUSY = 0.9
"""Above this share of their core, upstream and generator may be what was measured."""


def _rows(rows: Rows, peer: str, kind: str, mode: str, streams: int) -> list[Row]:
    """Return the repeats of one measurement."""
    return [row for key, row in rows.items() if key.startswith(f"{peer}/{kind}/{mode}/{streams}/")]


def _number(row: Row, *path: str) -> float | None:
    value: object = row
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def _median(rows: Sequence[Row], of: Callable[[Row], float | None]) -> float | None:
    found = [value for value in map(of, rows) if value is not None]
    return statistics.median(found) if found else None


def per_second(rows: Rows, peer: str, mode: str, streams: int) -> float | None:
    """Return requests a second at saturation."""
    return _median(_rows(rows, peer, "saturation", mode, streams), lambda row: _number(row, "per_second"))


def added(rows: Rows, peer: str, mode: str, streams: int, what: str, percentile: str) -> float | None:
    """Return milliseconds beyond the direct call at the same rate: `what` is latency_ms or first_token_ms."""

    def difference(row: Row) -> float | None:
        mine, direct = _number(row, what, percentile), _number(row, "direct", what, percentile)
        return None if mine is None or direct is None else mine - direct

    return _median(_rows(rows, peer, "latency", mode, streams), difference)


def _start(rows: Rows, peer: str, what: str) -> float | None:
    found = [row for key, row in rows.items() if key.startswith(f"{peer}/start/")]
    return _median(found, lambda row: _number(row, what))


def _cell(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def _head(*cells: str) -> str:
    return _line(*cells) + _line("---", *["---:"] * (len(cells) - 1))


def _failed(found: Sequence[Row]) -> int:
    return sum(sum(bad.values()) for row in found if isinstance(bad := row.get("bad"), dict))


def _marks(found: Sequence[Row]) -> str:
    """`*` where generator and upstream were busy, `!n` where n requests failed."""
    busy = _median(found, lambda row: (_number(row, "generator_busy") or 0) + (_number(row, "upstream_busy") or 0))
    failed = _failed(found)
    return ("\\*" if busy is not None and busy > BUSY else "") + (f" !{failed}" if failed else "")


def _saturation(rows: Rows, peers: Sequence[str], streams: Sequence[int], mode: str) -> str:
    text = _head("requests a second", *(f"{number} streams" for number in streams))
    for peer in peers:
        cells = [
            _cell(per_second(rows, peer, mode, number), 0) + _marks(_rows(rows, peer, "saturation", mode, number))
            for number in streams
        ]
        text += _line(peer, *cells)
    return text


def _cpu(rows: Rows, peers: Sequence[str], streams: Sequence[int], mode: str) -> str:
    text = _head("ms of CPU a request", *(f"{number} streams" for number in streams))
    for peer in peers:
        values = [
            _median(_rows(rows, peer, "saturation", mode, number), lambda row: _number(row, "cpu_ms"))
            for number in streams
        ]
        text += _line(peer, *(_cell(value, 2) for value in values))
    return text


def _latency(rows: Rows, peers: Sequence[str], streams: Sequence[int], mode: str, what: str) -> str:
    text = _head("ms added, p50 / p95 / p99", *(f"{number} streams (rate)" for number in streams))
    for peer in peers:
        cells = []
        for number in streams:
            found = _rows(rows, peer, "latency", mode, number)
            values = [_cell(added(rows, peer, mode, number, what, p), 2) for p in ("p50", "p95", "p99")]
            rate = _cell(_median(found, lambda row: _number(row, "rate")), 0)
            cells.append(f"{' / '.join(values)} ({rate}/s){_marks(found)}" if found else "–")
        text += _line(peer, *cells)
    return text


def _starts(rows: Rows, peers: Sequence[str]) -> str:
    text = _head("process", "seconds until healthy", "MB then", "MB after the load")
    for peer in peers:
        seconds, then, after = (_start(rows, peer, what) for what in ("seconds", "megabytes", "megabytes_after"))
        text += _line(peer, _cell(seconds, 2), _cell(then, 0), _cell(after, 0))
    return text


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _aims(rows: Rows) -> str:
    """What ponder should reach, and whether the passing through does."""
    ours = "ponder"
    at = lambda peer, number: per_second(rows, peer, "json", number)  # noqa: E731
    aims = (
        ("ms added at p50, one client", added(rows, ours, "json", 1, "latency_ms", "p50"), "<=", 1.0),
        ("ms added at p50, 64 clients", added(rows, ours, "json", 64, "latency_ms", "p50"), "<=", 5.0),
        ("times the bare relay's time a request, 16 streams", _ratio(at("relay", 16), at(ours, 16)), "<=", 1.5),
        ("times optillm's requests a second, 16 streams", _ratio(at(ours, 16), at("optillm", 16)), ">=", 10.0),
        ("times LiteLLM's requests a second, 16 streams", _ratio(at(ours, 16), at("litellm", 16)), ">=", 3.0),
        ("seconds until healthy", _start(rows, ours, "seconds"), "<=", 1.0),
        ("MB once healthy", _start(rows, ours, "megabytes"), "<=", 150.0),
    )
    text = _head("aim", "measured", "wanted", "")
    for what, value, sign, wanted in aims:
        reached = value is not None and (value <= wanted if sign == "<=" else value >= wanted)
        text += _line(what, _cell(value, 2), f"{sign} {wanted:g}", "" if value is None else "yes" if reached else "no")
    return text


def _versions(rows: Rows) -> str:
    found: dict[str, str] = {}
    for key, row in rows.items():
        installed = row.get("versions")
        if isinstance(installed, dict):
            found[key.partition("/")[0]] = ", ".join(f"{name} {version}" for name, version in sorted(installed.items()))
    return "".join(f"- {name}: {text}\n" for name, text in found.items())


def report(rows: Rows, about: Mapping[str, str], streams: Sequence[int], settings: Mapping[str, object]) -> str:
    """Return all tables."""
    peers = [name for name in about if any(key.startswith(f"{name}/") for key in rows)]
    gateways = [name for name in peers if name != "direct"]
    said = "".join(f"- **{name}**: {about[name]}\n" for name in peers)
    return "\n".join((
        f"Measured on {settings['machine']}; each row {settings['seconds']} s, medians over the repeats. `*`: upstream "
        "and generator were more than nine tenths busy, so the gateway may not be what was measured; `!n`: n requests "
        "failed.\n",
        said,
        "## Start and memory\n", _starts(rows, gateways),
        "## Saturation, whole replies\n", _saturation(rows, peers, streams, "json"),
        "## Saturation, streamed replies\n", _saturation(rows, peers, streams, "stream"),
        "## CPU at saturation, whole replies\n", _cpu(rows, gateways, streams, "json"),
        "## CPU at saturation, streamed replies\n", _cpu(rows, gateways, streams, "stream"),
        "## Added latency, whole replies, upstream of 50 ms\n", _latency(rows, gateways, streams, "json", "latency_ms"),
        "## Added time to first token, streamed\n", _latency(rows, gateways, streams, "stream", "first_token_ms"),
        "## Added latency, streamed\n", _latency(rows, gateways, streams, "stream", "latency_ms"),
        "## Aims\n", _aims(rows),
        "## Versions\n", _versions(rows),
    ))  # fmt: skip

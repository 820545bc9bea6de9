"""From rows of `benchmarks/search.py` to figures, and from figures to the tables of the page."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ponder.bench.stats import wilson
from searching.rivals import ABOUT

Rows = Sequence[Mapping[str, Any]]
Figures = dict[str, Any]


def summary(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Figures]]:
    """Return figures by part, and by model with what was run."""
    parts: dict[str, dict[str, list[Mapping[str, Any]]]] = {"naive": defaultdict(list), "peers": defaultdict(list)}
    for key, row in rows.items():
        label, part, what, _ = key.rsplit("/", 3)
        parts[part][f"{label}/{what}"].append(row)
    made = {"naive": _naive, "peers": _peer}
    return {part: {key: made[part](found) for key, found in parts[part].items()} for part in parts}


def _naive(rows: Rows) -> Figures:
    """Sums over the questions; the ratios within a question, in the mean over both ways' tokens, and their spread."""
    figures: Figures = {"questions": len(rows)}
    for arm in ("ponder", "naive"):
        figures[arm] = {
            key: sum(row[arm][key] for row in rows) / len(rows) for key in ("tokens", "positions", "seconds", "calls")
        }
    ratios = [row["naive"]["seconds"] / row["ponder"]["seconds"] for row in rows]
    figures["ratio"] = (statistics.median(ratios), min(ratios), max(ratios))
    figures["per_token"] = _per_token(rows, "naive") / _per_token(rows, "ponder")
    return figures


def _per_token(rows: Rows, arm: str) -> float:
    return sum(row[arm]["seconds"] for row in rows) / sum(row[arm]["tokens"] for row in rows)


def _peer(rows: Rows) -> Figures:
    """How often each was right, and what it took."""
    figures: Figures = {"questions": len(rows)}
    for arm in ("theirs", "ponder"):
        ones = [row[arm] for row in rows]
        right = sum(one["correct"] for one in ones)
        means = {key: statistics.mean(one[key] for one in ones) for key in ("generation_tokens", "seconds")}
        computed = statistics.mean(one["prompt_tokens"] - one["prefix_cache_hits"] for one in ones)
        figures[arm] = {"right": right, "interval": tuple(wilson(right, len(ones))), "read": computed, **means}
    return figures


def shown(found: Mapping[str, Mapping[str, Figures]]) -> str:
    """Return the tables as Markdown."""
    blocks = []
    if found["naive"]:
        heads = "tokens generated | positions computed | requests | s | naively: tokens | positions | s"
        blocks.append([f"| search | questions | {heads} | naive s / s | the same for each token |"])
        blocks[-1] += ["|---|" + "---:|" * 10, *(_naive_line(key, one) for key, one in found["naive"].items())]
    if found["peers"]:
        heads = "right | 95 % | tokens generated | positions of prompts computed | s"
        blocks.append([f"| MCTS | questions | {heads} |", "|---|" + "---:|" * 6])
        for key, one in found["peers"].items():
            blocks[-1] += _peer_lines(key, one)
    return "\n".join("\n".join(block) + "\n" for block in blocks)


def _naive_line(key: str, one: Figures) -> str:
    ours, naive = one["ponder"], one["naive"]
    cells = [key.replace("/", ": ", 1), str(one["questions"])]
    cells += [f"{ours['tokens']:,.0f}", f"{ours['positions']:,.0f}", f"{ours['calls']:.0f}", f"{ours['seconds']:.1f}"]
    cells += [f"{naive['tokens']:,.0f}", f"{naive['positions']:,.0f}", f"{naive['seconds']:.1f}"]
    cells += ["{:.2f} ({:.2f}–{:.2f})".format(*one["ratio"]), f"{one['per_token']:.2f}"]
    return f"| {' | '.join(cells)} |"


def _peer_lines(key: str, one: Figures) -> list[str]:
    label, _, peer = key.rpartition("/")
    lines = []
    for arm, about in (("theirs", ABOUT[peer]), ("ponder", "`mcts`, with as many tokens")):
        figures = one[arm]
        low, high = figures["interval"]
        cells = [f"{label}: {about}", str(one["questions"]), str(figures["right"])]
        cells += [f"{100 * low:.0f} to {100 * high:.0f} %", f"{figures['generation_tokens']:,.0f}"]
        cells += [f"{figures['read']:,.0f}", f"{figures['seconds']:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines

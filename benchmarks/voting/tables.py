"""From rows of `benchmarks/votes.py` to figures, and from figures to the tables of the page."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ponder.bench.stats import wilson
from voting.rivals import ABOUT

Rows = Sequence[Mapping[str, Any]]
Figures = dict[str, Any]


def summary(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Figures]]:
    """Return figures by part and model."""
    parts: dict[str, dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for key, row in rows.items():
        label, part, _ = key.rsplit("/", 2)
        parts[part][label].append(row)
    made: Mapping[str, Callable[[Rows], Figures]] = {"wall": _wall, "probes": _probes, "peers": _peers}
    return {part: {label: make(found) for label, found in parts[part].items()} for part, make in made.items()}


def _wall(rows: Rows) -> Figures:
    """Medians over the rounds; a ratio is taken within a round."""
    figures: Figures = {"rounds": len(rows), "in_process": rows[0]["in_process"]}
    for arm in ("one", "best", "naive"):
        figures[arm] = {key: statistics.median(row[arm][key] for row in rows) for key in ("seconds", "cpu")}
        if arm != "one":
            for key in ("seconds", "cpu"):
                ratios = [row[arm][key] / row["one"][key] for row in rows]
                spread = (statistics.median(ratios), min(ratios), max(ratios))
                figures[arm][f"{key}_ratio"] = spread
    figures["tokens"] = statistics.median(row["one"]["tokens"] for row in rows)
    figures["full"] = statistics.mean(row[arm]["full"] for row in rows for arm in ("one", "best", "naive"))
    return figures


def _probes(rows: Rows) -> Figures:
    """Shares of the probes in all tokens and in all time.

    A server may write another reply to the same seed, so time is compared for each token that is no probe's.
    """
    probed, plain = [row["probed"] for row in rows], [row["plain"] for row in rows]

    def total(ones: Rows, key: str) -> float:
        return sum(one[key] for one in ones)

    spent = total(probed, "probe_tokens")
    own = total(probed, "tokens") - spent
    figures: Figures = {
        "questions": len(rows),
        "in_process": rows[0]["in_process"],
        "tokens": own / len(rows),
        "probes": total(probed, "probes") / len(rows),
        "token_share": spent / total(probed, "tokens"),
        "equal": sum(row["equal"] for row in rows),
    }
    for key in ("seconds", "cpu"):
        figures[f"{key}_share"] = 1 - (total(plain, key) / total(plain, "tokens")) / (total(probed, key) / own)
    figures["probe_seconds_share"] = total(probed, "probe_seconds") / total(probed, "seconds")
    return figures


def _peers(rows: Rows) -> Figures:
    """What each took and how often it was right."""
    figures: Figures = {"questions": len(rows)}
    for arm in rows[0]:
        ones = [row[arm] for row in rows]
        right = sum(one["correct"] for one in ones)
        told = [one["told"] for one in ones]
        figures[arm] = {
            "right": right,
            "interval": tuple(wilson(right, len(ones))),
            "generated": statistics.mean(one["generation_tokens"] for one in ones),
            "told": None if None in told else statistics.mean(told),
            "prompt": statistics.mean(one["prompt_tokens"] for one in ones),
            "seconds": statistics.median(one["seconds"] for one in ones),
            "ratio": statistics.median(row[arm]["seconds"] / row["ponder"]["seconds"] for row in rows),
            "per_token": 1000 * sum(one["seconds"] for one in ones) / sum(one["generation_tokens"] for one in ones),
        }
    return figures


def shown(found: Mapping[str, Mapping[str, Figures]]) -> str:
    """Return the tables as Markdown."""
    blocks = []
    if found["wall"]:
        heads = "one sample, s | best of n, s | one after the other, s | best / one | one after the other / one"
        blocks.append([f"| replies of one length | rounds | {heads} | CPU: best / one | ran to the limit |"])
        blocks[-1] += ["|---|" + "---:|" * 8, *(_wall_line(label, one) for label, one in found["wall"].items())]
    if found["probes"]:
        heads = "tokens of a reply | probes in it | probes' share of tokens | of time | of CPU time"
        blocks.append([f"| probes that never agree | questions | {heads} | same reply as without |"])
        blocks[-1] += ["|---|" + "---:|" * 7, *(_probes_line(label, one) for label, one in found["probes"].items())]
    for label, figures in found["peers"].items():
        heads = "right | 95 % | tokens generated, counted at the server | as it tells itself | tokens of prompts"
        blocks.append([f"| {label}: votes | {heads} | s, median | s / ponder's | ms a token |", "|---|" + "---:|" * 8])
        blocks[-1] += [_peer_line(arm, figures) for arm in ABOUT]
    return "\n".join("\n".join(block) + "\n" for block in blocks)


def _wall_line(label: str, one: Figures) -> str:
    seconds = [f"{one[arm]['seconds']:.2f}" for arm in ("one", "best", "naive")]
    ratios = [_spread(one[arm]["seconds_ratio"]) for arm in ("best", "naive")]
    cpu = _spread(one["best"]["cpu_ratio"]) if one["in_process"] else "–"
    cells = [label, str(one["rounds"]), *seconds, *ratios, cpu, f"{one['full']:.0%}"]
    return f"| {' | '.join(cells)} |"


def _spread(ratio: tuple[float, float, float]) -> str:
    return "{:.2f} ({:.2f}–{:.2f})".format(*ratio)


def _probes_line(label: str, one: Figures) -> str:
    shares = [f"{100 * one[key]:.1f} %" for key in ("token_share", "seconds_share", "cpu_share")]
    shares[2] = shares[2] if one["in_process"] else "–"
    cells = [label, str(one["questions"]), f"{one['tokens']:.0f}", f"{one['probes']:.1f}", *shares]
    return f"| {' | '.join(cells)} | {one['equal']} |"


def _peer_line(arm: str, figures: Figures) -> str:
    one = figures[arm]
    low, high = one["interval"]
    told = "–" if one["told"] is None else f"{one['told']:.0f}"
    cells = [ABOUT[arm], f"{one['right']} of {figures['questions']}", f"{100 * low:.0f} to {100 * high:.0f} %"]
    cells += [f"{one['generated']:.0f}", told, f"{one['prompt']:.0f}", f"{one['seconds']:.1f}", f"{one['ratio']:.2f}"]
    return f"| {' | '.join(cells)} | {one['per_token']:.0f} |"

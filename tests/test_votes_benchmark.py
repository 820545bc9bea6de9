"""What `benchmarks/votes.py` counts and keeps, seen on the scripted engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SIZES = ("--rounds", "2", "--tokens", "16", "--every", "8", "--probe-questions", "2", "--end", "0")


def votes(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmark without the part that needs a server."""
    command = [sys.executable, str(ROOT / "benchmarks" / "votes.py"), "--parts", "wall,probes", "--out", str(folder)]
    return subprocess.run([*command, *options], capture_output=True, text=True, check=False, cwd=ROOT)


def kept(folder: Path) -> dict[str, Any]:
    rows: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))["rows"]
    return rows


def test_it_counts_votes_and_probes_and_goes_on_where_it_was(tmp_path: Path) -> None:
    first = votes(tmp_path, "echo=echo", *SIZES, "--json", str(tmp_path / "figures.json"))
    assert first.returncode == 0, first.stderr
    rows = kept(tmp_path)
    assert {key.rpartition("/")[0] for key in rows} == {"echo/wall", "echo, arithmetic:level=5, sentence/probes"}
    for turn in range(2):
        wall = rows[f"echo/wall/{turn}"]
        assert [wall[arm]["calls"] for arm in ("one", "best", "naive")] == [1, 8, 8]
        probed = rows[f"echo, arithmetic:level=5, sentence/probes/{turn}"]
        assert probed["equal"], "probes that never agree change nothing"
        assert probed["probed"]["tokens"] - probed["probed"]["probe_tokens"] == probed["plain"]["tokens"]
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    probes = [rows[f"echo, arithmetic:level=5, sentence/probes/{turn}"]["probed"] for turn in range(2)]
    share = sum(one["probe_tokens"] for one in probes) / sum(one["tokens"] for one in probes)
    assert figures["probes"]["echo, arithmetic:level=5, sentence"]["token_share"] == share > 0
    again = votes(tmp_path, "echo=echo", *SIZES)
    assert again.returncode == 0, again.stderr
    assert kept(tmp_path) == rows, "a second run measures nothing anew"


def test_results_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    settings = {"settings": {"n": 3}, "rows": {}}
    (tmp_path / "results.json").write_text(json.dumps(settings), encoding="utf-8")
    refused = votes(tmp_path, "echo=echo", *SIZES)
    assert refused.returncode == 1
    assert "name another --out" in refused.stderr
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8")) == settings


def test_what_is_asked_wrongly_is_said(tmp_path: Path) -> None:
    assert "there is no part voting; there are wall, probes, peers" in votes(tmp_path, "--parts", "voting").stderr
    assert "say LABEL=echo" in votes(tmp_path, "echo").stderr
    assert "with --end, or leave out the part wall" in votes(tmp_path, "echo=echo").stderr

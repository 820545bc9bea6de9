"""What the pages say of a study is what its committed run says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = (
    "first_study.py",
    "small_models.py",
    "gateway_sweep.py",
    "stopping.py",
    "shared_votes.py",
    "everywhere.py",
    "prompts.py",
    "routers.py",
    "routing.py",
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_page_shows_the_committed_run(script: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / script), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_study_of_prompts_tells_what_a_run_holds_and_goes_on_with_it(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "prompts.py"),
        "--model",
        "echo",
        "--out",
        str(tmp_path / "run"),
    ]
    options = ["--no-report", "--quiet", "--json", "--questions"]
    first = subprocess.run([*command, *options, "1"], capture_output=True, text=True, check=True, cwd=tmp_path)
    again = subprocess.run([*command, *options, "2"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert '"kept": 0' in first.stdout
    assert '"kept": 20' in again.stdout
    _, _, page = again.stdout.partition("## gsm8k\n")
    assert "\n## svamp\n" in page
    assert page.count("| `token_budget` | 2 |") == 2
    assert page.count("`token_budget`: 2 of 2 estimates could not be read.") == 2
    assert page.count("| `style(template=word_limit, limit=25)` |") == 6


def test_one_set_of_samples_serves_all_votes_and_is_billed_as_it_is_read(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "shared_votes.py"), "--model", "echo", "--out", str(tmp_path)]
    drawn = subprocess.run(command, capture_output=True, text=True, check=True)
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    page = drawn.stdout[drawn.stdout.index("### gsm8k") :]
    assert page == again.stdout[again.stdout.index("### gsm8k") :]
    assert page.count("800 samples, 0 cut at 400 tokens") == 2
    cells = {row[1].strip(): row for row in (line.split("|") for line in page.splitlines()) if len(row) == 7}
    whole, stopped = (float(cells[f"`{name}`"][3]) for name in ("self_consistency", "adaptive_consistency(n=8)"))
    assert stopped < whole == float(cells["`best_of_n(scorer=mean_logprob)`"][3])

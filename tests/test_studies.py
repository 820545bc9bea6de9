"""What the pages say of a study is what its committed run says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ("first_study.py", "small_models.py", "gateway_sweep.py", "stopping.py", "prompts.py", "routers.py")


@pytest.mark.parametrize(
    "script",
    ["first_study.py", "small_models.py", "gateway_sweep.py", "stopping.py", "prompts.py", "routers.py", "routing.py"],
)
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

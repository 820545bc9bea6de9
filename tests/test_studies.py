"""What the pages say of a study is what its committed run says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_page_shows_the_committed_run() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "first_study.py"), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr

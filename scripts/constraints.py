"""Write constraints.txt: one pinned version for every package that any extra brings in, direct or not.

pip resolves all extras together from nothing and installs none of them; run by `make constraints`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
HEADER = """\
# Every version that CI and `make` install, for Python 3.11 and newer. Made by `make constraints`; do not edit.
"""
KEPT = {"torch": "2.13.0"}
"""Versions that do not follow the newest release, because much was measured with them."""


def canonical(name: str) -> str:
    """Return a package name as an index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def resolve(extras: list[str]) -> dict[str, str]:
    """Return name to version of everything that the package needs with all `extras`."""
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    wanted = [f"{ROOT}[{','.join(extras)}]", "editables", *(f"{name}=={version}" for name, version in KEPT.items())]
    report = json.loads(subprocess.run([*pip, *wanted], check=True, stdout=subprocess.PIPE).stdout)
    found = {canonical(item["metadata"]["name"]): item["metadata"]["version"] for item in report["install"]}
    del found["ponder"]
    return {name: version.partition("+")[0] for name, version in sorted(found.items())}


def main() -> None:
    """Resolve and write."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = resolve(list(project["optional-dependencies"]))
    CONSTRAINTS.write_text(HEADER + "".join(f"{name}=={version}\n" for name, version in pins.items()))
    print(f"{CONSTRAINTS.name}: {len(pins)} packages")


if __name__ == "__main__":
    main()

"""Write constraints.txt: one pinned version for every package that any extra brings in, direct or not.

pip resolves all extras together from nothing and installs none of them; run by `make constraints`. The clients of
tests/clients live in an environment of their own, with a constraints.txt of their own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = ROOT / "tests/clients"
HEADER = """\
# Every version that CI and `make` install, for Python 3.11 and newer. Made by `make constraints`; do not edit.
"""
KEPT = {"torch": "2.13.0"}
"""Versions that do not follow the newest release, because much was measured with them."""


def canonical(name: str) -> str:
    """Return a package name as an index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def resolve(wanted: list[str]) -> dict[str, str]:
    """Return name to version of everything that pip would install for `wanted`."""
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    report = json.loads(subprocess.run([*pip, *wanted], check=True, stdout=subprocess.PIPE).stdout)
    found = {canonical(item["metadata"]["name"]): item["metadata"]["version"] for item in report["install"]}
    return {name: version.partition("+")[0] for name, version in sorted(found.items()) if name != "ponder"}


def write(path: Path, wanted: list[str]) -> None:
    """Resolve and write."""
    pins = resolve(wanted)
    path.write_text(HEADER + "".join(f"{name}=={version}\n" for name, version in pins.items()))
    print(f"{path.relative_to(ROOT)}: {len(pins)} packages")


def main() -> None:
    """Pin the package's environment and the clients'."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = ",".join(project["optional-dependencies"])
    kept = [f"{name}=={version}" for name, version in KEPT.items()]
    write(ROOT / "constraints.txt", [f"{ROOT}[{extras}]", "editables", *kept])
    write(CLIENTS / "constraints.txt", ["-r", str(CLIENTS / "requirements.txt")])


if __name__ == "__main__":
    main()

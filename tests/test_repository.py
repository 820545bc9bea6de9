"""What the repository promises as a whole: what a wheel holds, how small the core is, what importing it costs."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from test_imports import HEAVY

import ponder

ROOT = Path(__file__).resolve().parent.parent
METHODS_SAMPLE = """
import sys
sys.path[:0] = {path!r}
sys.argv[1:] = ["methods", "sample"]
import ponder.cli
print(ponder.__file__)
ponder.cli.main()
"""


def project() -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive, built without a network."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> set[str]:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_module(wheel: set[str]) -> None:
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "ponder").rglob("*.py")}
    assert modules <= wheel
    assert "ponder/py.typed" in wheel


def test_the_wheel_holds_every_data_file(wheel: set[str]) -> None:
    kept = {
        str(p.relative_to(ROOT)) for p in (ROOT / "ponder").rglob("*") if p.is_file() and "__pycache__" not in p.parts
    }
    assert kept <= wheel
    assert any(name.startswith("ponder/tasks/data/gsm8k") for name in wheel)
    assert any(name.startswith("ponder/tasks/data/math500") for name in wheel)


def test_the_wheel_holds_the_page_of_every_method(wheel: set[str]) -> None:
    pages = {f"ponder/_docs/methods/{path.name}" for path in (ROOT / "docs/methods").glob("*.md")}
    assert pages <= wheel
    assert "ponder/_docs/methods/index.md" in pages


def test_the_wheel_holds_all_licences(wheel: set[str]) -> None:
    shipped = {name.partition(".dist-info/licenses/")[2] for name in wheel if ".dist-info/licenses/" in name}
    licences = {str(path.relative_to(ROOT)) for path in (ROOT / "ponder/tasks/data/licences").iterdir()}
    assert len(licences) >= 5
    assert shipped == {"LICENSE", *licences}


def test_the_wheel_holds_nothing_else(wheel: set[str]) -> None:
    roots = {name.partition("/")[0] for name in wheel}
    assert roots == {"ponder", f"ponder-{ponder.__version__}.dist-info"}
    assert not [name for name in wheel if re.search(r"(^|/)(tests?|__pycache__)/|\.pyc$", name)]
    # Weights that come with ponder stand in three places, models, routers and scorers, and are few.
    weights = {name for name in wheel if re.search(r"\.(gguf|safetensors)$", name)}
    places = ("ponder/models/", "ponder/routers/shipped/", "ponder/scorers/shipped/")
    assert all(name.startswith(places) for name in weights)


def test_the_source_archive_builds_the_same_wheel(built: Path, wheel: set[str], tmp_path: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    assert {"tests", "Makefile", "constraints.txt", "docs", "README.zh.md"} <= {one.name for one in source.iterdir()}
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (again,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(again) as archive:
        assert set(archive.namelist()) == wheel


def test_an_installed_wheel_finds_its_pages_and_its_commands(built: Path, tmp_path: Path) -> None:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "site")
    run = [sys.executable, "-S", "-c", METHODS_SAMPLE.format(path=[str(tmp_path / "site"), *site()])]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "site"))
    assert "sample" in done.stdout.partition("\n")[2]


def site() -> list[str]:
    return [path for path in sys.path if path.endswith("site-packages")]


def test_the_core_stays_small() -> None:
    names = {re.split(r"[\[<>=~! ]", one)[0] for one in project()["project"]["dependencies"]}
    assert len(names) <= 9
    assert not names & {"torch", "transformers", "datasets", "xllamacpp", "matplotlib", "scipy", "pandas"}


def test_the_extras_of_the_readme_exist() -> None:
    extras = set(project()["project"]["optional-dependencies"])
    assert {"local", "torch", "otel", "train", "dev"} <= extras
    for name in ("README.md", "docs/getting-started.md"):
        named = re.findall(r"\.\[([\w,]+)\]", (ROOT / name).read_text())
        assert named
        assert {extra for group in named for extra in group.split(",")} <= extras


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from ponder.cli import main; sys.argv[1:] = ['--help']\ntry: main()\nexcept SystemExit: pass\n"
    )
    show = "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program + show], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: ponder")
    assert not set(done.stderr.split()) & HEAVY


def test_the_version_is_one() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == ponder.__version__


@pytest.mark.parametrize("folder", [".", "tests/clients"])
def test_the_pins_name_versions_alone(folder: str) -> None:
    lines = [one for one in (ROOT / folder / "constraints.txt").read_text().splitlines() if not one.startswith("#")]
    names = [line.partition("==")[0] for line in lines]
    assert names == sorted(set(names))
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line) for line in lines)


def test_scripts_can_be_executed() -> None:
    for name in (".ci/run", "scripts/venv.sh", "scripts/bench.sh"):
        path = ROOT / name
        assert path.stat().st_mode & stat.S_IXUSR, f"{name} is not executable"
        shell = "bash" if path.read_text().startswith("#!/usr/bin/env bash") else "sh"
        assert subprocess.run([shell, "-n", str(path)], check=False).returncode == 0


def test_every_make_target_is_explained() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)[0].split())
    explained = set(re.findall(r"^([a-z-]+):.*## \S", text, re.MULTILINE))
    assert phony == explained
    done = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {line.partition(" ")[0] for line in done.stdout.splitlines()} == explained


def test_continuous_integration_runs_everything() -> None:
    text = (ROOT / ".ci/run").read_text()
    assert "set -euo pipefail" in text
    assert re.search(r"for target in check test test-torch test-clients; do", text)


def test_no_python_old_enough_to_fail_is_taken(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/venv.sh").write_text((ROOT / "scripts/venv.sh").read_text())
    done = subprocess.run(
        ["sh", str(tmp_path / "scripts/venv.sh"), "dev"],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(old)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert str(old) in done.stderr


@pytest.mark.parametrize(("told", "threads"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "3"}, "3")])
def test_small_products_take_one_thread_unless_told_otherwise(told: dict[str, str], threads: str) -> None:
    """numpy reads the number when it is loaded, so it must be set before any command does that."""
    program = (
        "import atexit, os, sys; sys.argv = ['ponder', '--version']; from ponder.cli import main\n"
        "atexit.register(lambda: print(os.environ['OPENBLAS_NUM_THREADS'], 'numpy' in sys.modules)); main()"
    )
    env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"} | told
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.splitlines()[-1] == f"{threads} False"

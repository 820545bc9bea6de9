"""The documentation is true: its code runs, its commands exist, its links lead somewhere, its schemas hold."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import ponder
from ponder.bench.summary import Row
from ponder.cli import COMMANDS, cli
from ponder.engines.echo import Echo
from ponder.engines.tape import Recorder

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")] if "_build" not in path.relative_to(ROOT).parts
)
CLIENTS = ROOT / "docs" / "serve-clients.md"
"""Its lines need the clients themselves and a gateway; tests/clients runs every one of them."""
FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
RUNNER = """
import ast, asyncio, inspect, sys
page = {"__name__": "page"}
ending = eval(compile(sys.argv[1], "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), page)
if inspect.iscoroutine(ending):
    asyncio.run(ending)
"""
"""Runs a page that may await at its top, as a notebook would."""
FIELD = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def fences(path: Path, language: str) -> list[str]:
    return [code for kind, code in FENCE.findall(path.read_text(encoding="utf-8")) if kind == language]


def without_fences(path: Path) -> str:
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def section(heading: str) -> set[str]:
    """Return the fields that docs/json.md lists under a heading, up to the next heading."""
    text = (ROOT / "docs/json.md").read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"docs/json.md has no heading {heading!r}"
    return set(FIELD.findall(re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0]))


@pytest.mark.parametrize("path", [p for p in PAGES if fences(p, "python") and p != CLIENTS], ids=name_of)
def test_the_python_of_a_page_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    code = "\n".join(fences(path, "python"))
    run = [sys.executable, "-W", "error", "-c", RUNNER, code]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def commands(path: Path) -> list[str]:
    lines = "\n".join(fences(path, "sh")).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip()]


@pytest.mark.parametrize("path", [p for p in PAGES if commands(p) and p != CLIENTS], ids=name_of)
def test_the_commands_of_a_page_exist_with_these_options(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in commands(path):
        program, *arguments = shlex.split(line, comments=True)
        if program == "make":
            assert {word for word in arguments if "=" not in word} <= targets, line
        elif program == "ponder":
            parse(cli, arguments, click.Context(cli, info_name="ponder"))


def parse(command: click.Command, arguments: list[str], context: click.Context) -> None:
    """Raise click's own error unless `command` knows every option."""
    if isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, arguments)
        assert found is not None
        parse(found, rest, click.Context(found, info_name=name, parent=context))
    else:
        command.make_parser(context).parse_args(list(arguments))


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_to_other_pages_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(without_fences(path)):
        if not re.match(r"[a-z]+:", target):
            file = target.partition("#")[0]
            assert not file or (path.parent / file).exists(), f"{name_of(path)} links to {target}"


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_no_page_names_a_path_of_one_machine(path: Path) -> None:
    assert not re.search(r"(?<![\w.])/(home|root|work|tmp|opt)/", path.read_text(encoding="utf-8"))


def test_both_readmes_have_the_same_shape() -> None:
    shapes = []
    for name in ("README.md", "README.zh.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        shapes.append(
            {
                "headings": [len(mark) for mark in re.findall(r"^(#+) ", without_fences(ROOT / name), re.MULTILINE)],
                "fences": FENCE.findall(text),
                "marks": re.findall(r"<!--.*?-->", text),
                "names": sorted(set(re.findall(r"`([^`\n]+)`", without_fences(ROOT / name)))),
                "links": [link for link in LINK.findall(text) if not link.startswith("README")],
                "figures": re.findall(r"^\|.*\d.*\|$", text, re.MULTILINE),
            }
        )
    assert shapes[0] == shapes[1]


def test_the_generated_pages_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/docs.py"), "--check"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


def test_every_command_is_in_the_command_page() -> None:
    text = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"\n## ponder {name}\n" in text


def test_every_exported_name_is_in_the_python_reference() -> None:
    text = (ROOT / "docs/python-api.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\.\. auto\w+:: ponder\.(\w+)$", text, re.MULTILINE))
    assert documented == set(ponder.__all__)


def test_every_direct_dependency_has_its_reason_and_its_pin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.match(r"[\w.-]+", one)[0].lower() for one in wanted} - {"ponder"}  # type: ignore[index]
    page = (ROOT / "docs/design/dependencies.md").read_text(encoding="utf-8")
    reasons = set(re.findall(r"[\w-]+", "\n".join(re.findall(r"^\| ([\w, -]+) \|", page, re.MULTILINE))))
    pins = set(re.findall(r"^([\w.-]+)==\S+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert names <= reasons
    assert names | {"hatchling", "editables"} <= pins


def ponder_json(*arguments: str) -> object:
    done = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_ask_prints_what_the_page_says() -> None:
    value = ponder_json("ask", "2+3等于几", "--model", "echo")
    assert isinstance(value, dict)
    assert set(value) == section("## `ask`")
    assert set(value["calls"][0]) == section("### A call")
    assert value["schema"] == 1


def test_bench_and_compare_print_what_the_page_says(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = ["--model", "echo", "--limit", "3", "--methods", "sample,no_thinking", "--out", str(out)]
    value = ponder_json("bench", "arithmetic", *run)
    assert isinstance(value, dict)
    assert set(value) == {"run", "rows"}
    assert set(value["run"]) == section("### `run`") - {"folders"}
    assert [set(row) for row in value["rows"]] == [section("### `rows`")] * 2
    assert set(value["rows"][0]["latency"]) == {"first_token", "p50", "p95"}
    lines = (out / "attempts.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 6
    assert all(set(json.loads(line)) == section("## `attempts.jsonl`") for line in lines)
    beside = ponder_json("compare", str(out))
    assert isinstance(beside, dict)
    assert set(beside["run"]) <= section("### `run`")
    assert [set(row) for row in beside["rows"]] == [section("### `rows`")] * 2


def test_the_page_lists_the_fields_of_a_row_in_their_order() -> None:
    text = (ROOT / "docs/json.md").read_text(encoding="utf-8")
    rows = text.partition("### `rows`")[2].partition("\n## ")[0]
    assert FIELD.findall(rows) == [spec.name for spec in fields(Row)]


def test_methods_and_tasks_print_what_the_page_says() -> None:
    methods, tasks = ponder_json("methods"), ponder_json("tasks")
    assert isinstance(methods, list)
    assert isinstance(tasks, list)
    assert all(set(row) == section("## `methods`") - {"works", "why_not"} for row in methods)
    assert all(set(row) == section("## `tasks`") for row in tasks)
    works = ponder_json("methods", "sample", "--model", "echo")
    assert isinstance(works, list)
    assert set(works[0]) == section("## `methods`")
    assert works[0]["works"] is True


def test_show_and_report_print_what_the_page_says(tmp_path: Path) -> None:
    out = tmp_path / "run"
    ponder_json("bench", "arithmetic", "--model", "echo", "--limit", "1", "--methods", "sample", "--out", str(out))
    (line,) = (out / "attempts.jsonl").read_text(encoding="utf-8").splitlines()
    shown = ponder_json("show", str(out), json.loads(line)["id"])
    assert isinstance(shown, list)
    assert set(shown[0]) == {"method", "seed", "question", "reference", "solution", "calls"}
    assert set(shown[0]["calls"][0]) == section("### A call")
    again = ponder_json("report", str(out))
    assert isinstance(again, dict)
    assert set(again["run"]) <= section("### `run`")
    assert [set(row) for row in again["rows"]] == [section("### `rows`")]


def test_a_call_in_a_tree_says_where_it_stands(tmp_path: Path) -> None:
    out = tmp_path / "run"
    ponder_json(
        "bench", "arithmetic", "--model", "echo", "--limit", "1", "--methods", "best_of_n:n=2", "--out", str(out)
    )
    (line,) = (out / "attempts.jsonl").read_text(encoding="utf-8").splitlines()
    shown = ponder_json("show", str(out), json.loads(line)["id"])
    assert isinstance(shown, list)
    assert set(shown[0]["calls"][0]) == section("### A call") | section("### A call in a tree")


def test_models_print_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONDER_CACHE", str(tmp_path))
    models = ponder_json("model", "list")
    assert isinstance(models, list)
    assert all(set(model) == section("## `model`") for model in models)
    gone = ponder_json("model", "remove", "smollm2-135m-instruct")
    assert gone == {"name": "smollm2-135m-instruct", "removed": False}


async def test_tapes_print_what_the_page_says(tmp_path: Path) -> None:
    path = tmp_path / "calls.tape"
    with closing(Recorder(Echo(), path)) as engine:
        await ponder.solve("sample", "What is 2 + 3?", engine)
    found = ponder_json("tape", "info", str(path))
    assert isinstance(found, dict)
    assert set(found) == section("### `tape info`")
    assert found["calls"] == 1
    gone = ponder_json("tape", "purge", "--all", str(path))
    assert isinstance(gone, dict)
    assert set(gone) == section("### `tape purge`")
    assert (gone["purged"], gone["left"]) == (1, 0)


def test_record_prints_what_the_page_says(tmp_path: Path) -> None:
    shown = ponder_json("record", "arithmetic", "--model", "echo", "--limit", "1", "--out", str(tmp_path / "t.jsonl"))
    assert isinstance(shown, dict)
    assert set(shown) == section("## `record`")

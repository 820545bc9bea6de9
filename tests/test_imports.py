"""The rules of the house, read from the source: who may import whom, how long things may be, what tests must do."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "ponder").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in [*SOURCES, *TESTS]}

HEAVY = {
    "aiohttp", "datasets", "gguf", "jinja2", "math_verify", "matplotlib", "numpy", "opentelemetry", "peft",
    "prometheus_client", "reasoning_gym", "rich", "scipy", "sympy", "torch", "transformers", "trl", "xllamacpp",
}  # fmt: skip

MAY_IMPORT = {
    "core": {"core"},
    "text": {"text"},
    "engines": {"core", "text", "engines", "weights"},
    "verify": {"core", "text", "verify"},
    "tasks": {"core", "text", "verify", "tasks"},
    "scorers": {"core", "text", "scorers", "weights"},
    "routers": {"core", "text", "routers", "weights"},
    "steer": {"core", "text", "steer"},
    "methods": {"core", "text", "steer", "scorers", "routers", "methods"},
    "train": {"core", "text", "verify", "tasks", "scorers", "routers", "train", "weights"},
    "shrink": {"core", "shrink", "weights"},
    "weights": {"core", "weights"},
    "bench": {"core", "text", "engines", "verify", "tasks", "methods", "bench", "pages"},
    "serve": {"core", "text", "engines", "methods", "serve"},
    "api": {"core", "methods", "engines"},
    "pages": {"core", "methods"},
}
"""Room to the rooms that it may import. `cli` may import everything; `ponder/__init__.py` only `api` and `core`."""

LEAF = "ponder.methods.vote.sample"
"""The one method that other methods may import."""

LEAF_SCORERS = ("ponder.scorers.mean_logprob", "ponder.scorers.confidence_token")
"""The scorers that methods may import, as what they use unless told otherwise."""

LEAF_ROUTERS = ("ponder.routers.constant", "ponder.routers.words")
"""The routers that methods may import, as what they use unless told otherwise."""

LAB = (ROOT / "ponder" / "tasks" / "lab.py", "ponder.train.lab.")
"""The one task that another room makes: its file, and the modules that it alone may import (docs/design/core.md)."""


def room(path: Path) -> str:
    """Return `core` for ponder/core/run.py and `api` for ponder/api.py."""
    return path.relative_to(ROOT / "ponder").parts[0].removesuffix(".py")


def modules(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, module) for everything that is imported anywhere in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their module in full"
            yield node.lineno, str(node.module)
            if node.module == "ponder":
                yield from ((node.lineno, f"ponder.{alias.name}") for alias in node.names)


def at_import(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, module) for what importing a file imports: what stands in functions and for type checkers is not."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        typing_only = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from modules(ast.Module([node], []))
        elif not typing_only and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting.extend(ast.iter_child_nodes(node))


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def functions(paths: list[Path]) -> Iterator[tuple[str, int, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield (place, lines, node) for every function, decorators and docstring not counted."""
    for path in paths:
        for node in ast.walk(TREES[path]):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[1] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body[0]
                head = node.body[0].lineno - node.lineno
                yield f"{where(path, node.lineno)} {node.name}", head + (node.end_lineno or 0) - first.lineno + 1, node


# Imports


def test_rooms_import_only_the_rooms_below_them() -> None:
    wrong = []
    for path in SOURCES:
        if room(path) in ("cli", "__main__"):
            continue
        allowed = {"api", "core"} if room(path) == "__init__" else MAY_IMPORT[room(path)]
        for line, module in modules(TREES[path]):
            top, _, rest = module.partition(".")
            if path == LAB[0] and module.startswith(LAB[1]):
                continue
            if top == "ponder" and rest and rest.split(".")[0] not in {*allowed, "__version__"}:
                wrong.append(f"{where(path, line)} imports {module}")
    assert wrong == []


def test_nothing_imports_the_command_line_the_gateway_or_the_lab_but_the_command_line() -> None:
    for target in ("cli", "serve", "bench"):
        users = {
            room(path)
            for path in SOURCES
            for _, module in modules(TREES[path])
            if module == f"ponder.{target}" or module.startswith(f"ponder.{target}.")
        }
        assert users <= {"cli", "__main__", target}, f"{target} is imported by {users}"


def test_core_stands_on_the_standard_library_alone() -> None:
    wrong = [
        f"{where(path, line)} imports {module}"
        for path in SOURCES
        if room(path) in ("core", "text")
        for line, module in modules(TREES[path])
        if module.split(".")[0] not in sys.stdlib_module_names | {"ponder"}
    ]
    assert wrong == []


def test_no_method_imports_another_one_or_a_scorer_or_a_router() -> None:
    wrong = [
        f"{where(path, line)} imports {module}"
        for path in SOURCES
        if room(path) == "methods" and path.parent.name != "methods"
        for line, module in modules(TREES[path])
        if (module.startswith("ponder.methods") and module != LEAF)
        or (module.startswith("ponder.scorers") and module not in LEAF_SCORERS)
        or (module.startswith("ponder.routers") and module not in LEAF_ROUTERS)
    ]
    assert wrong == []


def test_heavy_packages_are_never_imported_with_the_package() -> None:
    """Only a fresh interpreter can tell: every module that `import ponder` loads, and the command line's first line."""
    for entry in ("ponder", "ponder.methods", "ponder.engines.echo", "ponder.cli"):
        code = f"import sys, {entry}; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
        loaded = {name.split(".")[0] for name in done.stdout.split()}
        assert loaded & HEAVY == set(), f"import {entry} loads {loaded & HEAVY}"


def test_every_method_loads_without_heavy_packages() -> None:
    code = "import sys; from ponder.methods import METHODS, catalogue; list(map(catalogue().find, METHODS))"
    code += "; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert {name.split(".")[0] for name in done.stdout.split()} & HEAVY == set()


# Sizes


def test_no_file_is_longer_than_400_lines() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: size for name, size in sizes.items() if size > 400} == {}


def test_a_method_fits_on_a_page() -> None:
    paths = [path for path in SOURCES if room(path) == "methods" and path.name != "__init__.py"]
    sizes = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert {name: size for name, size in sizes.items() if size > 150} == {}
    assert statistics.median(sizes.values()) <= 60


def test_functions_are_short() -> None:
    sizes = {place: lines for place, lines, _ in functions(SOURCES)}
    assert {place: lines for place, lines in sizes.items() if lines > 60} == {}
    longer = {place: lines for place, lines in sizes.items() if lines > 30}
    assert len(longer) <= len(sizes) / 10, f"more than a tenth of all functions have over 30 lines: {longer}"


def test_there_are_at_least_as_many_lines_of_tests_as_of_source() -> None:
    def count(paths: list[Path]) -> int:
        return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)

    assert count(sorted((ROOT / "tests").rglob("*.py"))) >= count(SOURCES)


# Manners


def test_every_module_says_its_idea() -> None:
    assert [str(path.relative_to(ROOT)) for path in SOURCES if not ast.get_docstring(TREES[path])] == []


def test_nobody_probes_for_attributes() -> None:
    wrong = []
    for path in SOURCES:
        for node in ast.walk(TREES[path]):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id == "hasattr" or (node.func.id == "getattr" and len(node.args) > 2):
                wrong.append(where(path, node.lineno))
    assert wrong == []


def test_no_public_signature_says_any_or_takes_nameless_keywords() -> None:
    wrong = []
    for place, _, node in functions(SOURCES):
        if node.name.startswith("_") and node.name != "__init__":
            continue
        spec = node.args
        hints = [arg.annotation for arg in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)] + [node.returns]
        if any(isinstance(part, ast.Name) and part.id == "Any" for hint in hints if hint for part in ast.walk(hint)):
            wrong.append(f"{place}: Any")
        if spec.kwarg and "Unpack" not in ast.unparse(spec.kwarg.annotation or ast.Constant("")):
            wrong.append(f"{place}: **{spec.kwarg.arg} without Unpack")
    assert wrong == []


def test_errors_are_caught_by_name() -> None:
    """Only what raises again may catch everything, or a task boundary that says on that line what becomes of it."""
    wrong = []
    for path in SOURCES:
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(TREES[path]):
            if isinstance(node, ast.ExceptHandler) and not isinstance(node.body[-1], ast.Raise):
                caught = ast.unparse(node.type) if node.type else "everything"
                if caught in ("Exception", "BaseException", "everything") and "#" not in lines[node.lineno - 1]:
                    wrong.append(where(path, node.lineno))
    assert wrong == []


def test_nothing_is_left_to_do() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "X" * 3, "NotImplemented" + "Error")
    left = [
        where(path, number)
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if any(word in line for word in words)
    ]
    assert left == []


def asserts(node: ast.AST) -> bool:
    """Whether a piece of a test can fail: by `assert`, by `pytest.raises` and the like, or in a helper that asserts."""
    for part in ast.walk(node):
        if isinstance(part, ast.Assert):
            return True
        if isinstance(part, ast.Call):
            name = ast.unparse(part.func).rpartition(".")[2]
            if name in ("raises", "warns", "fail") or name.startswith(("assert_", "check_", "expect")):
                return True
    return False


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_asserts_something(path: Path) -> None:
    silent = [
        f"{where(path, node.lineno)} {node.name}"
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not asserts(node)
    ]
    assert silent == []


# Completeness


def test_every_method_ships_its_four_things() -> None:
    from ponder.methods import METHODS

    listed = {module for module, _, _ in (path.partition(":") for path in METHODS.values())}
    for name, path in METHODS.items():
        parts = path.partition(":")[0].split(".")
        assert parts[-1] == name, f"{name} lives in a file of its own name"
        file = ROOT.joinpath(*parts).with_suffix(".py")
        test = ROOT.joinpath("tests", *parts[1:-1], f"test_{parts[-1]}.py")
        page = ROOT / "docs" / "methods" / f"{name}.md"
        assert [str(need) for need in (file, test, page) if not need.is_file()] == []
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in SOURCES
        if room(path) == "methods" and path.name != "__init__.py"
    }
    assert files == listed, "a method file without a row in the table, or a row without its file"

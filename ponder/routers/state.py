"""What training a router leaves behind: `router.toml` and `router.safetensors`, read when it is first asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeVar, cast

from ponder.core.errors import DataError
from ponder.core.files import Files
from ponder.weights import state
from ponder.weights.state import FORMAT, State
from ponder.weights.tensors import Array

__all__ = ["FORMAT", "TENSORS", "TOML", "State", "load_state", "save_state", "trained"]

_STEM = "router"
TOML = f"{_STEM}.toml"
TENSORS = f"{_STEM}.safetensors"
Built = TypeVar("Built")


def save_state(
    folder: Path, router: str, choices: tuple[str, ...], facts: Mapping[str, object], arrays: Mapping[str, Array]
) -> None:
    """Write both files, whole or not at all. Raises `DataError` where the folder is not empty or cannot be written."""
    state.save_state(folder, _STEM, {_STEM: router, "choices": list(choices), **facts}, arrays)


def load_state(folder: Path, router: str) -> State:
    """Read both files. Raises `DataError` for what is missing, broken, of another format or of another router."""
    found = state.load_state(folder, _STEM, router)
    choices = found.names("choices")
    if len(choices) < 2:
        raise DataError(f"{found.toml}: choices = {list(choices)} must be at least two names")
    return replace(found, choices=choices)


def trained(path: str, router: str, build: Callable[[State], Built]) -> Built:
    """Return what `build` makes of a router's files. It is kept until a file changes; then both are read anew.

    Files that are broken after a change are told to the log, and what was read before goes on. Raises `DataError`, as
    `load_state` does, for files that were never readable.
    """
    return cast(Built, _files(router, build).read(Path(path).expanduser().resolve()))


@cache
def _files(router: str, build: Callable[[State], object]) -> Files[object]:
    return Files(lambda folder: build(load_state(folder, router)))

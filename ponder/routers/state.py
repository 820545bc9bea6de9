"""What training leaves behind: a folder with `router.toml` and `router.safetensors`, read when first asked for."""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar, cast

from ponder.core.errors import DataError
from ponder.core.files import Files
from ponder.weights.staged import staged_folder
from ponder.weights.tensors import Array, open_weights, save_tensors

FORMAT = 1
"""Of the two files together. A file of another format is refused: there is no guessing what its numbers mean."""
TOML = "router.toml"
TENSORS = "router.safetensors"
Built = TypeVar("Built")


@dataclass(frozen=True, slots=True)
class State:
    """A trained router's files: `facts` is the TOML, `arrays` the tensors by name."""

    folder: Path
    choices: tuple[str, ...]
    facts: Mapping[str, object]
    arrays: Mapping[str, Array]

    def array(self, name: str, *shape: int | None) -> Array:
        """Return a tensor; None in `shape` fits any length. Raises `DataError` where it is missing or misshapen."""
        found = self.arrays.get(name)
        if found is None:
            raise DataError(f"{self.folder / TENSORS} lacks {name!r}; train the router again")
        if len(found.shape) != len(shape) or any(w not in (None, e) for w, e in zip(shape, found.shape, strict=True)):
            wanted = "x".join("n" if edge is None else str(edge) for edge in shape)
            raise DataError(f"{self.folder / TENSORS}: {name!r} is of shape {found.shape} and not {wanted}")
        return found

    def text(self, name: str) -> str:
        """Return a text of the TOML. Raises `DataError` where it is none."""
        found = self.facts.get(name)
        if not isinstance(found, str):
            raise DataError(f"{self.folder / TOML}: {name} = {found!r} must be a text; train the router again")
        return found

    def number(self, name: str, least: float) -> float:
        """Return a number of the TOML. Raises `DataError` where it is none, or below `least`."""
        found = self.facts.get(name)
        if isinstance(found, bool) or not isinstance(found, int | float) or not least <= found < math.inf:
            raise DataError(f"{self.folder / TOML}: {name} = {found!r} must be a number, at least {least:g}")
        return float(found)

    def names(self, name: str) -> tuple[str, ...]:
        """Return a list of different texts of the TOML. Raises `DataError` where it is none."""
        found = self.facts.get(name)
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise DataError(f"{self.folder / TOML}: {name} = {found!r} must be a list of texts")
        if len(set(found)) < len(found):
            raise DataError(f"{self.folder / TOML}: {name} = {found!r} names something twice")
        return tuple(found)


def save_state(
    folder: Path, router: str, choices: tuple[str, ...], facts: Mapping[str, object], arrays: Mapping[str, Array]
) -> None:
    """Write both files, whole or not at all. Raises `DataError` where the folder is not empty or cannot be written."""
    import tomli_w

    with staged_folder(folder) as stage:
        save_tensors(stage / TENSORS, arrays)
        digest = hashlib.sha256((stage / TENSORS).read_bytes()).hexdigest()
        head = {"format": FORMAT, "router": router, "choices": list(choices), "sha256": digest}
        (stage / TOML).write_text(tomli_w.dumps({**head, **facts}), encoding="utf-8")


def load_state(folder: Path, router: str) -> State:
    """Read both files. Raises `DataError` for what is missing, broken, of another format or of another router."""
    file = folder / TOML
    try:
        facts: dict[str, object] = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"there is no {file}; path takes the folder that `ponder train router` wrote") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({error}); train the router again") from None
    if facts.get("format") != FORMAT:
        raise DataError(
            f"{file}: format = {facts.get('format')!r}, and this ponder reads format {FORMAT}; train the router again"
        )
    if facts.get("router") != router:
        raise DataError(f"{file}: router = {facts.get('router')!r} where {router} was asked for; name that one")
    tensors = folder / TENSORS
    if not tensors.is_file():
        raise DataError(f"{folder} lacks {TENSORS}; copy the whole folder")
    if hashlib.sha256(tensors.read_bytes()).hexdigest() != facts.get("sha256"):
        raise DataError(f"{tensors} is not the file that {TOML} was written with (sha256); copy the whole folder")
    arrays = {name: tensor.read() for name, tensor in open_weights(folder, "router").items()}
    state = State(folder, (), facts, arrays)
    choices = state.names("choices")
    if len(choices) < 2:
        raise DataError(f"{file}: choices = {list(choices)} must be at least two names")
    return State(folder, choices, facts, arrays)


def trained(path: str, router: str, build: Callable[[State], Built]) -> Built:
    """Return what `build` makes of a router's files. It is kept until a file changes; then both are read anew.

    Files that are broken after a change are told to the log, and what was read before goes on. Raises `DataError`, as
    `load_state` does, for files that were never readable.
    """
    return cast(Built, _files(router, build).read(Path(path).expanduser().resolve()))


@cache
def _files(router: str, build: Callable[[State], object]) -> Files[object]:
    return Files(lambda folder: build(load_state(folder, router)))

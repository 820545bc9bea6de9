"""What training of a router or a probe leaves behind: NAME.toml and NAME.safetensors in a folder, checked when read."""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ponder.core.errors import DataError
from ponder.weights.staged import staged_folder
from ponder.weights.tensors import Array, open_weights, save_tensors

FORMAT = 1
"""Of the two files together. A file of another format is refused: there is no guessing what its numbers mean."""


@dataclass(frozen=True, slots=True)
class State:
    """The files of what was trained: `facts` is the TOML, `arrays` the tensors by name, `stem` the files' name.

    `choices` are what a router rates; nothing for a probe.
    """

    folder: Path
    choices: tuple[str, ...]
    facts: Mapping[str, object]
    arrays: Mapping[str, Array]
    stem: str = "router"

    @property
    def toml(self) -> Path:
        """The file that says what was trained."""
        return self.folder / f"{self.stem}.toml"

    @property
    def tensors(self) -> Path:
        """The file of the weights."""
        return self.folder / f"{self.stem}.safetensors"

    def array(self, name: str, *shape: int | None) -> Array:
        """Return a tensor; None in `shape` fits any length. Raises `DataError` where it is missing or misshapen."""
        found = self.arrays.get(name)
        if found is None:
            raise DataError(f"{self.tensors} lacks {name!r}; train the {self.stem} again")
        if len(found.shape) != len(shape) or any(w not in (None, e) for w, e in zip(shape, found.shape, strict=True)):
            wanted = "x".join("n" if edge is None else str(edge) for edge in shape)
            raise DataError(f"{self.tensors}: {name!r} is of shape {found.shape} and not {wanted}")
        return found

    def text(self, name: str) -> str:
        """Return a text of the TOML. Raises `DataError` where it is none."""
        found = self.facts.get(name)
        if not isinstance(found, str):
            raise DataError(f"{self.toml}: {name} = {found!r} must be a text; train the {self.stem} again")
        return found

    def number(self, name: str, least: float) -> float:
        """Return a number of the TOML. Raises `DataError` where it is none, or below `least`."""
        found = self.facts.get(name)
        if isinstance(found, bool) or not isinstance(found, int | float) or not least <= found < math.inf:
            raise DataError(f"{self.toml}: {name} = {found!r} must be a number, at least {least:g}")
        return float(found)

    def names(self, name: str) -> tuple[str, ...]:
        """Return a list of different texts of the TOML. Raises `DataError` where it is none."""
        found = self.facts.get(name)
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise DataError(f"{self.toml}: {name} = {found!r} must be a list of texts")
        if len(set(found)) < len(found):
            raise DataError(f"{self.toml}: {name} = {found!r} names something twice")
        return tuple(found)


def save_state(folder: Path, stem: str, facts: Mapping[str, object], arrays: Mapping[str, Array]) -> None:
    """Write both files, whole or not at all. Raises `DataError` where the folder is not empty or cannot be written.

    `facts` begin with the kind of what was trained, under the key `stem`.
    """
    import tomli_w

    with staged_folder(folder) as stage:
        made = State(stage, (), facts, arrays, stem)
        save_tensors(made.tensors, arrays)
        digest = hashlib.sha256(made.tensors.read_bytes()).hexdigest()
        made.toml.write_text(tomli_w.dumps({"format": FORMAT, **facts, "sha256": digest}), encoding="utf-8")


def load_state(folder: Path, stem: str, kind: str) -> State:
    """Read both files. Raises `DataError` for what is missing, broken, of another format or of another kind."""
    asked = State(folder, (), {}, {}, stem)
    file, tensors = asked.toml, asked.tensors
    try:
        facts: dict[str, object] = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"there is no {file}; path takes the folder that `ponder train {stem}` wrote") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({error}); train the {stem} again") from None
    if facts.get("format") != FORMAT:
        raise DataError(
            f"{file}: format = {facts.get('format')!r}, and this ponder reads format {FORMAT}; train the {stem} again"
        )
    if facts.get(stem) != kind:
        raise DataError(f"{file}: {stem} = {facts.get(stem)!r} where {kind} was asked for; name that one")
    if not tensors.is_file():
        raise DataError(f"{folder} lacks {tensors.name}; copy the whole folder")
    if hashlib.sha256(tensors.read_bytes()).hexdigest() != facts.get("sha256"):
        raise DataError(f"{tensors} is not the file that {file.name} was written with (sha256); copy the whole folder")
    arrays = {name: tensor.read() for name, tensor in open_weights(folder, stem).items()}
    return State(folder, (), facts, arrays, stem)

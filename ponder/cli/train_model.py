"""Finds the model that a training begins with: a folder, a GGUF file, or a name of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ponder.core.errors import DataError


class Found(NamedTuple):
    """A transformers folder, the name that results call it by, and the adapter and template that come with it."""

    folder: Path
    name: str
    adapter: Path | None
    template: Path | None


def find_model(spec: str, adapter: Path | None, template: Path | None, catalogues: Sequence[Path]) -> Found:
    """Return the model that `spec` names; an adapter of the catalogue stands for its base with it.

    The template of an adapter's folder goes before that of the model. Raises `OptionError` for a name that nothing
    answers to, `DataError` for what is missing or broken.
    """
    from ponder.engines.catalogue import AdapterEntry, FileEntry, load_models
    from ponder.engines.model_store import ModelStore, default_folder
    from ponder.engines.shipped import shipped_folder
    from ponder.train.loops.load import TEMPLATE, unpacked

    cache = default_folder() / "unpacked"
    path = Path(spec)
    if path.is_dir():
        folder, name = path, path.resolve().name
    elif path.is_file() or spec.endswith(".gguf"):
        if not path.is_file():
            raise DataError(f"there is no file {path}; give a GGUF file, a transformers folder or a name")
        folder, name = unpacked(path, cache), path.stem
    else:
        entry = load_models(catalogues).find(spec)
        if isinstance(entry, AdapterEntry):
            adapter, entry = adapter or shipped_folder(entry), entry.base
        store = ModelStore()
        folder = unpacked(store.path(entry), cache) if isinstance(entry, FileEntry) else shipped_folder(entry)
        name = entry.name
    if template is None and adapter is not None and (adapter / TEMPLATE).is_file():
        template = adapter / TEMPLATE
    return Found(folder, name, adapter, template)

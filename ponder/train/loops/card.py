"""`train.toml`: what a run was told and what it read, so that it can be run again, and continued by no other."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import tomli_w

from ponder.core.errors import DataError
from ponder.train.loops.messages import Stage
from ponder.train.loops.portions import Portion
from ponder.train.loops.settings import SFT

CARD = "train.toml"
CHECKPOINTS = "checkpoints"
_PACKAGES = ("ponder", "torch", "transformers", "trl", "peft")
_FREE = ("versions", "stage", "settings.save_every", "settings.eval_every", "settings.save_dtype")
"""What may differ between a run and its continuation."""

Card = Mapping[str, object]


def make_card(
    settings: SFT, base: str, sha256: str, template: str, stages: Sequence[Stage], portions: Sequence[Portion]
) -> Card:
    """Return what describes a run; `sha256` is that of the weights it begins with."""
    return {
        "settings": {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(settings).items()
        },
        "base": {"name": base, "sha256": sha256, "chat_template": hashlib.sha256(template.encode()).hexdigest()},
        "data": [
            {"name": stage.name, "rows": len(stage.rows), "sha256": stage.sha256 or _hash(stage)} for stage in stages
        ],
        "stage": [
            {
                "name": portion.name,
                "rows": len(portion.rows),
                "too_long": portion.too_long,
                "beyond": portion.beyond,
                "mean_tokens": round(portion.mean, 2),
            }
            for portion in portions
        ],
        "versions": {name: version(name) for name in _PACKAGES},
    }


def begin(out: Path, card: Card) -> None:
    """Make `out` the folder of a run: a new one, or the same one broken off.

    Raises `DataError` if it holds a finished run, a model, or a run of other settings.
    """
    out.mkdir(parents=True, exist_ok=True)
    if any(out.glob("*.safetensors")) and not (out / CHECKPOINTS).exists():
        raise DataError(f"{out} holds a model already; name another folder, or remove this one")
    before = read_card(out)
    if before is not None and (differing := sorted(_differing(before, card))):
        raise DataError(
            f"{out} holds an unfinished run of other settings ({'; '.join(differing)}); "
            "ask for the same, name another folder, or remove this one"
        )
    part = out / f"{CARD}.part"
    part.write_text(tomli_w.dumps(card), "utf-8")
    os.replace(part, out / CARD)


def read_card(out: Path) -> Card | None:
    """Return what describes the run in a folder, None where there is none. Raises `DataError` for a broken one."""
    known = out / CARD
    if not known.exists():
        return None
    try:
        return tomllib.loads(known.read_text("utf-8"))
    except ValueError:
        raise DataError(f"{known} is broken; remove {out}, or name another folder") from None


def _differing(before: Card, now: Card) -> Iterator[str]:
    there, here = dict(_flat("", before)), dict(_flat("", now))
    for name in {*there, *here}:
        if there.get(name) != here.get(name) and not name.startswith(_FREE):
            yield f"{name.removeprefix('settings.')}: {there.get(name)} there, {here.get(name)} here"


def _flat(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield (path, value) for everything in nested tables."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else key, inner)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for index, inner in enumerate(value, 1):
            yield from _flat(f"{name} {index}", inner)
    else:
        yield name, value


def _hash(stage: Stage) -> str:
    found = hashlib.sha256()
    for row in stage.rows:
        found.update(repr((row.messages, row.thinking, row.given)).encode())
    return found.hexdigest()

"""One run from its folder to its rows: open, compare with what is there, forecast, run, summarise, export."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from ponder.bench.forecast import Forecast, History, Past, forecast
from ponder.bench.results import RunInfo, read_arms
from ponder.bench.runner import Outcome, Plan
from ponder.bench.store import Store
from ponder.core.config import Value
from ponder.core.engine import Sampling
from ponder.core.errors import DataError
from ponder.core.method import Method
from ponder.methods import Catalogue

FILE = "run.sqlite"


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes two runs one: attempts made with another of these do not belong into the same file."""

    model: str
    engines: Mapping[str, str]
    sampling: Mapping[str, Value]
    seconds: float | None
    weak: bool = False

    def as_json(self) -> dict[str, object]:
        """Return it as it is stored."""
        return {**asdict(self), "engines": dict(self.engines), "sampling": dict(self.sampling)}


def default_folder(tasks: str, model: str) -> Path:
    """Return the folder of a run that named none: the same command finds its own run again and goes on with it."""
    name = re.sub(r"[^A-Za-z0-9._=-]+", "-", f"{tasks}-{Path(model).name}").strip("-")
    if len(name) > 100:
        name = f"{name[:90]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return Path("runs") / name


def sampling_config(sampling: Sampling) -> dict[str, Value]:
    """Return the sampling settings that differ from run to run, as they are stored."""
    return {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
    }


def prepare(store: Store, identity: Identity, methods: Mapping[str, Method], catalogue: Catalogue) -> None:
    """Note in the store what is run, or check it against what is noted there.

    Questions, seeds and methods may be added to a run; its model and its sampling cannot change.
    """
    found = store.meta("spec")
    wanted = identity.as_json()
    if found is None:
        store.set_meta("spec", wanted)
    elif isinstance(found, dict):
        differing = [key for key in wanted if key != "weak" and found.get(key) != wanted[key]]
        if differing:
            key = differing[0]
            raise DataError(
                f"{store.path.parent} holds a run with {key} = {found.get(key)!r}, not {wanted[key]!r}; "
                "give the same settings to go on with it, or another folder with --out"
            )
    known = cast(dict[str, dict[str, Value]], store.meta("methods") or {})
    known.update({label: catalogue.to_config(method) for label, method in methods.items()})
    store.set_meta("methods", known)


def forecast_plan(plan: Plan, store: Store, counts: Mapping[str, int], model: str, history: History) -> Forecast:
    """Forecast the attempts of a plan that its store does not hold yet."""
    done: dict[tuple[str, str], int] = {}
    for record in store.records():
        if record.key.seed < plan.seeds:
            kind = (record.key.task, record.key.method)
            done[kind] = done.get(kind, 0) + 1
    todo = {
        (task, label): max(0, questions * plan.seeds - done.get((task, label), 0))
        for task, questions in counts.items()
        for label in plan.methods
    }
    return forecast(history, model, todo, plan.sampling.max_tokens, plan.price)


def remember(store: Store, info: RunInfo, outcome: Outcome, history: History) -> None:
    """Note what this run's attempts took, for the forecasts of later ones."""
    if not outcome.done or outcome.seconds <= 0:
        return
    rate = outcome.tokens / outcome.seconds
    for task, arms in read_arms(store, info).items():
        for label, arm in arms.items():
            columns = arm.columns()
            past = Past(len(arm), float(columns.tokens.mean()), float(columns.prompt_tokens.mean()), rate)
            history.remember(info.model, task, label, int(str(info.sampling["max_tokens"])), past)


def folders(paths: Sequence[Path]) -> list[Path]:
    """Return the store files of run folders; a path may also name the file itself."""
    return [path if path.suffix == ".sqlite" else path / FILE for path in paths]

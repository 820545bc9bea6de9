"""Methods: the one table of them, and how a method is found, built and described by name."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from ponder.core.config import Value, from_config, to_config
from ponder.core.errors import DataError, OptionError, nearest
from ponder.core.method import Method
from ponder.routers import ROUTERS, find_router
from ponder.scorers import SCORERS, find_scorer

METHODS: dict[str, str] = {
    "sample": "ponder.methods.vote.sample:Sample",
    "no_thinking": "ponder.methods.prompt.no_thinking:NoThinking",
    "concise_cot": "ponder.methods.prompt.concise_cot:ConciseCoT",
    "chain_of_draft": "ponder.methods.prompt.chain_of_draft:ChainOfDraft",
    "style": "ponder.methods.prompt.style:Style",
    "token_budget": "ponder.methods.prompt.token_budget:TokenBudget",
    "think_for": "ponder.methods.prompt.think_for:ThinkFor",
    "self_consistency": "ponder.methods.vote.self_consistency:SelfConsistency",
    "best_of_n": "ponder.methods.vote.best_of_n:BestOfN",
    "weighted_vote": "ponder.methods.vote.weighted_vote:WeightedVote",
    "early_stopping_self_consistency": (
        "ponder.methods.vote.early_stopping_self_consistency:EarlyStoppingSelfConsistency"
    ),
    "adaptive_consistency": "ponder.methods.vote.adaptive_consistency:AdaptiveConsistency",
    "length_filtered_vote": "ponder.methods.vote.length_filtered_vote:LengthFilteredVote",
    "self_certainty": "ponder.methods.vote.self_certainty:SelfCertainty",
    "st_bon": "ponder.methods.vote.st_bon:StBoN",
    "thinking_mode": "ponder.methods.stop.thinking_mode:ThinkingMode",
    "budget_forcing": "ponder.methods.stop.budget_forcing:BudgetForcing",
    "loop_stop": "ponder.methods.stop.loop_stop:LoopStop",
    "dynasor": "ponder.methods.stop.dynasor:Dynasor",
    "deer": "ponder.methods.stop.deer:Deer",
    "answer_convergence": "ponder.methods.stop.answer_convergence:AnswerConvergence",
    "no_wait": "ponder.methods.stop.no_wait:NoWait",
    "infty_think": "ponder.methods.stop.infty_think:InftyThink",
    "constant_cut": "ponder.methods.stop.constant_cut:ConstantCut",
    "auto": "ponder.methods.route.auto:Auto",
    "cascade": "ponder.methods.route.cascade:Cascade",
    "confident_or_seek_stronger": ("ponder.methods.route.confident_or_seek_stronger:ConfidentOrSeekStronger"),
    "self_ref": "ponder.methods.route.self_ref:SelfRef",
    "thinking_route": "ponder.methods.route.thinking_route:ThinkingRoute",
    "sketch_of_thought": "ponder.methods.route.sketch_of_thought:SketchOfThought",
    "routellm": "ponder.methods.route.routellm:RouteLLM",
    "beam_search": "ponder.methods.search.beam_search:BeamSearch",
    "speculative_rejection": "ponder.methods.search.speculative_rejection:SpeculativeRejection",
    "mcts": "ponder.methods.search.mcts:Mcts",
    "rsd": "ponder.methods.search.rsd:Rsd",
    "dpts": "ponder.methods.search.dpts:Dpts",
}
"""Name to class. A new method is one file and one line here."""

GROUP = "ponder.methods"
"""The entry point group in which other packages offer methods: `name = "package.module:Class"`."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The methods that a run may name: the table, installed plugins, and plugin files given by hand."""

    sources: Mapping[str, str | type[Method]]

    def names(self) -> list[str]:
        """Return all names, those of this package first."""
        return list(self.sources)

    def find(self, name: str) -> type[Method]:
        """Return the class of a method. Raises `OptionError` if there is none of that name."""
        if name not in self.sources:
            raise OptionError(
                f"there is no method {name!r}{nearest(name, self.sources)}; `ponder methods` lists them all"
            )
        source = self.sources[name]
        return _load(source) if isinstance(source, str) else source

    def name_of(self, cls: type[object]) -> str:
        """Return the name under which a class is listed."""
        path = f"{cls.__module__}:{cls.__qualname__}"
        for name, listed in (*SCORERS.items(), *ROUTERS.items()):
            if listed == path:
                return name
        for name, source in self.sources.items():
            if source is cls or source == path:
                return name
        # An entry point may name a class by another module than the one it was written in.
        for name, source in self.sources.items():
            if name not in METHODS and isinstance(source, str) and _load(source) is cls:
                return name
        raise OptionError(f"{cls.__qualname__} is in no method table; add an entry point, or use --plugin FILE.py")

    def build(self, name: str, options: Mapping[str, Value] | None = None) -> Method:
        """Build a method from its name and its options, given as text or as TOML values."""
        return self.from_config({"method": name, **(options or {})})

    def from_config(self, config: Mapping[str, Value]) -> Method:
        """Build a method, and those inside it, from its TOML table."""
        return cast(Method, from_config(config, self._lookup))

    def to_config(self, method: Method) -> dict[str, Value]:
        """Return the TOML table from which `from_config` builds an equal method."""
        return to_config(method, self.name_of)

    def _lookup(self, kind: str, name: str) -> type[object]:
        if kind == "scorer":
            return find_scorer(name)
        return find_router(name) if kind == "router" else self.find(name)


def catalogue(plugins: tuple[Path, ...] = ()) -> Catalogue:
    """Return the table with every installed plugin and the plugin files given."""
    sources: dict[str, str | type[Method]] = dict(METHODS)
    for name, path in _installed().items():
        sources.setdefault(name, path)
    for file in plugins:
        sources.update(_from_file(file))
    return Catalogue(sources)


@cache
def _installed() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=GROUP)}


@cache
def _load(path: str) -> type[Method]:
    module, _, name = path.partition(":")
    try:
        found: object = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise OptionError(f"the method at {path} cannot be loaded: {error}") from error
    if not _is_method(found):
        raise OptionError(f"{path} is no method: it must be a frozen dataclass with needs() and solve()")
    return cast(type[Method], found)


def _is_method(found: object) -> bool:
    return isinstance(found, type) and is_dataclass(found) and issubclass(found, Method) and _hashable(found)


def _hashable(cls: type[object]) -> bool:
    """Whether a dataclass is frozen: one that is not has `__hash__` set to None."""
    return cls.__hash__ is not None


@cache
def _from_file(file: Path) -> dict[str, type[Method]]:
    """Run a plugin file and return the methods that its `METHODS = {"name": Class}` lists."""
    if not file.is_file():
        raise DataError(f"there is no plugin file {file}; --plugin takes the path of a Python file")
    # Two plugins may have one file name, so the whole path is part of the module's.
    name = f"ponder_plugin_{file.stem}_{hashlib.blake2b(bytes(file.resolve()), digest_size=4).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise DataError(f"{file} is not a Python file; --plugin takes the path of a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a plugin may fail in any way; it is named, and the cause is kept
        raise DataError(f"the plugin {file} does not load: {type(error).__name__}: {error}") from error
    table: object = vars(module).get("METHODS")
    if not isinstance(table, dict) or not table:
        raise DataError(f'the plugin {file} lists no methods; add METHODS = {{"name": YourMethod}} to it')
    for key, cls in table.items():
        if not _is_method(cls):
            raise DataError(f"{key!r} in {file} is no method: it must be a frozen dataclass with needs() and solve()")
    return {str(key): cls for key, cls in table.items()}

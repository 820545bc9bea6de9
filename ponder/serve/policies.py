"""Which method answers a request: from the model's name, the `ponder` object, and what the client says of thinking."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ponder.core.config import Value, beyond, options_of
from ponder.core.errors import OptionError, nearest
from ponder.core.method import Method
from ponder.core.problem import EFFORTS, Image, Problem, Thinking
from ponder.methods import Catalogue
from ponder.serve.backed import Saved, key_of, read_results
from ponder.serve.bounds import bounded, tokens_of, wish_of
from ponder.serve.control import Control, strongest
from ponder.serve.fail import ApiError
from ponder.serve.rehearse import rehearse
from ponder.serve.settings import Defaults, Key, Model, Settings, model_keys

Table = Mapping[str, Value]

_FILES = frozenset({"path", "calibration", "encoder"})
"""Options of routers and methods that name files."""

PLAIN: Table = {"method": "sample", "cot": False}
"""The request as it stands: one call, and nothing put into the prompt."""

_LABELS = [label for label in EFFORTS if label != "none"]
ALIASES: Mapping[str, Table] = {
    "plain": PLAIN,
    "off": {"method": "thinking_mode", "mode": "off"},
    **{label: {"method": "auto", "mode": "effort", "effort": label} for label in _LABELS},
}
"""Further suffixes of model names, beside the methods' own names."""

_ALL = frozenset({"tools", "response_format", "images", "logprobs"})
CARRIES: Mapping[str, frozenset[str]] = {
    "sample": _ALL,
    "thinking_mode": _ALL,
    "loop_stop": _ALL,
    "auto": _ALL,
    "thinking_route": _ALL,
    **{
        name: _ALL - {"tools", "images"}
        for name in ("budget_forcing", "dynasor", "deer", "answer_convergence", "constant_cut", "infty_think")
    },
    # Arguments and formats may need the words that are banned.
    "no_wait": _ALL - {"tools", "response_format"},
}
"""What a method's reply brings back as the server gives it; where a request asks for more, it passes through."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What answers one request, and why.

    `method` is ready to run, `chosen` what it was before the thinking that is asked for was set on it. `by` says who
    chose it: `request`, `model` (its name's suffix) or `default` (what the model is set to). `passthrough` is the
    reason for which the request goes to the server as it stands, or empty.
    """

    model: Model
    name: str
    method: Method
    chosen: Method
    by: str
    thinking: Thinking | None = None
    thinking_by: str = ""
    tokens: int | None = None
    """The thinking that was asked for, in tokens; a label is worth what the effort table says."""
    rest: Thinking | None = None
    """The thinking that the method has no field for; engines are asked for it in each of its calls."""
    passthrough: str = ""
    saved: Saved | None = None
    """What recorded runs say of this very method beside plain reasoning."""


class Policies:
    """The public names, and the choice between methods. Raises `OptionError` for a file whose methods do not exist."""

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self._settings, self._catalogue = settings, catalogue
        self._build = lru_cache(maxsize=1024)(self._built)
        self._own = {name: self._check(model) for name, model in settings.models.items()}
        files = {name: Path(model.results) for name, model in settings.models.items() if model.results}
        self._results = {name: read_results(path, catalogue) for name, path in files.items()}

    def names(self, key: Key | None = None) -> list[str]:
        """Return the names that may be asked for: every model, and every model with every method."""
        models = [name for name in self._settings.models if self._may(key, name)]
        suffixes = [*self._catalogue.names(), *ALIASES]
        return [*models, *(f"{name}:{suffix}" for name in models for suffix in suffixes)]

    def find(self, name: str, key: Key | None = None) -> tuple[Model, Table | None]:
        """Return the model of a public name, and the method that the name asks for beside it.

        The last colon divides them only if a method's name follows: `qwen3:4b` is a name. Raises `ApiError` 404.
        """
        models = self._settings.models
        base, colon, suffix = name.rpartition(":")
        table: Table | None = None
        if name in models:
            found = models[name]
        elif name in ("", "default"):
            found = self._settings.default_model
        elif colon and (base in models or base == "default") and self._method(suffix) is not None:
            found, table = models.get(base, self._settings.default_model), self._method(suffix)
        else:
            raise self._unknown(name, key)
        if not self._may(key, found.name):
            raise self._unknown(name, key)
        return found, table

    def decide(self, asked: str, control: Control, problem: Problem, logprobs: bool, key: Key | None) -> Decision:
        """Return what answers a request. Raises `ApiError` for a model or a method that does not exist."""
        model, named = self.find(asked, key)
        table, by = self._table(model, named, control)
        chosen = self._method_of(table)
        thinking, who = strongest(control.thinking, wish_of(chosen), None, _default_thinking(model.defaults))
        reason = _must_pass(str(table["method"]), problem, logprobs)
        method = self._method_of(PLAIN) if reason else chosen
        efforts, rest = self._settings.efforts, None
        if thinking is not None and (who != "model" or reason):
            method, told = bounded(method, thinking, efforts)
            rest = None if told else thinking
        name, tokens = self._catalogue.name_of(type(method)), tokens_of(thinking, efforts)
        saved = None if reason or rest is not None else self._saved(model, method)
        return Decision(model, name, method, chosen, by, thinking, who, tokens, rest, reason, saved)

    async def rehearse(self) -> None:
        """Refuse a model whose router or calibration is of no use, before its first request finds out.

        Raises `DataError` or `OptionError` that names the model's table, the field and the file.
        """
        for name, method in self._own.items():
            await rehearse(method, f"[model.{name}]")

    def table_of(self, method: Method) -> dict[str, Value]:
        """Return the configuration of a method, those inside it included."""
        return self._catalogue.to_config(method)

    def _saved(self, model: Model, method: Method) -> Saved | None:
        results = self._results.get(model.name)
        return results.get(key_of(self.table_of(method))) if results else None

    def _table(self, model: Model, named: Table | None, control: Control) -> tuple[Table, str]:
        """Return the method's table: the request's own choice, else the name's, else the model's."""
        if control.method is not None:
            table, by = self._method(control.method), "request"
            if table is None:
                known = [*self._catalogue.names(), *ALIASES]
                message = f"there is no method {control.method[:60]!r}{nearest(control.method[:60], known)}"
                raise ApiError.bad("ponder.method", message, "method_not_found")
        elif named is not None:
            table, by = named, "model"
        else:
            table, by = model.method, "default"
        _check_files(control.options)
        return {**table, **control.options}, by if control.method or named is not None else "default"

    def _method_of(self, table: Table) -> Method:
        try:
            return self._build(json.dumps(table, sort_keys=True))
        except OptionError as error:
            raise ApiError.bad("ponder.options", str(error)) from None

    def _built(self, text: str) -> Method:
        return self._catalogue.from_config(json.loads(text))

    def _method(self, name: str) -> Table | None:
        """Return the table of a method or an alias, or None."""
        if name in ALIASES:
            return ALIASES[name]
        return {"method": name} if name in self._catalogue.sources else None

    def _may(self, key: Key | None, name: str) -> bool:
        return key is None or not key.models or name in key.models

    def _unknown(self, name: str, key: Key | None) -> ApiError:
        known = self.names(key)
        shown = name if len(name) <= 60 else name[:59] + "…"
        listed = ", ".join(known[:5])
        message = f"there is no model {shown!r}{nearest(shown, known)}; GET /v1/models lists all, such as {listed}"
        return ApiError(404, message, param="model", code="model_not_found")

    def _check(self, model: Model) -> Method:
        """Return a model's method. Refuses one that does not exist, and words that are nobody's options."""
        where = f"[model.{model.name}]"
        name = model.method["method"]
        table = self._method(name) if isinstance(name, str) else None
        if table is None:
            known = [*self._catalogue.names(), *ALIASES]
            raise OptionError(f"{where}: there is no method {name!r}{nearest(str(name), known)}")
        options = options_of(self._catalogue.find(str(table["method"])))
        known = [*options, *model_keys()]
        for key in model.method:
            if key != "method" and key not in options:
                raise OptionError(f"{where} has no {key!r}{nearest(key, known)}; it may say: {', '.join(known)}")
        try:
            method = self._catalogue.from_config({**table, **model.method, "method": table["method"]})
        except OptionError as error:
            raise OptionError(f"{where}: {error}") from None
        most = model.defaults.max_tokens or self._settings.limits.max_tokens
        if over := beyond(method, most):
            raise OptionError(f"{where}: {over} is more than a reply may have; lower it, or raise max_tokens = {most}")
        if (budget := model.defaults.thinking_budget) is not None and budget > most:
            raise OptionError(
                f"{where}: thinking_budget = {budget} is more than a reply may have; lower it, or raise "
                f"max_tokens = {most}"
            )
        return method


def _check_files(value: Value | Mapping[str, Value]) -> None:
    """Refuse options of a request that name a file: which files are read is for the gateway's owner to say."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in _FILES:
                message = f"{key} names a file of the gateway's machine; only its ponder.toml may do that"
                raise ApiError.bad("ponder.options", message)
            _check_files(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_files(inner)


def _default_thinking(defaults: Defaults) -> Thinking | None:
    if defaults.thinking_budget is not None:
        return Thinking.budget(defaults.thinking_budget) if defaults.thinking_budget else Thinking.off()
    if defaults.effort is not None:
        return Thinking.off() if defaults.effort == "none" else Thinking.effort(defaults.effort)
    return None


def _must_pass(method: str, problem: Problem, logprobs: bool) -> str:
    """Return why a method cannot carry a request, or nothing."""
    parts = [part for message in problem.messages for part in message.parts]
    there = {
        "tools": bool(problem.tools) or any(message.tool_calls for message in problem.messages),
        "response_format": problem.response_format is not None,
        "images": any(isinstance(part, Image) for part in parts),
        "logprobs": logprobs,
    }
    lost = [name for name, asked in there.items() if asked and name not in CARRIES.get(method, frozenset())]
    return f"{method} cannot carry {', '.join(lost)}" if lost else ""

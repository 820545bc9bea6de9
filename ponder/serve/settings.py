"""What `ponder.toml` says: engines, public models, keys, limits, efforts; unknown words are refused."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import TypeVar, cast

from ponder.core.config import Value, from_config
from ponder.core.errors import DataError, OptionError, nearest, require
from ponder.core.problem import EFFORTS
from ponder.serve.control import ReasoningFormat

T = TypeVar("T")
Table = Mapping[str, Value]

DEFAULT_METHOD = "auto"
"""What a model is answered with where nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class Server:
    """`[server]`: where to listen, and how replies are sent."""

    host: str = "127.0.0.1"
    """Only this machine can reach the default; anything wider should go with `[[key]]`."""
    port: int = 8088
    """0 takes a free one."""
    workers: int = 1
    """Processes that share the port."""
    default_model: str = ""
    """Answers requests that name no model, or `default`; by default the first one of the file."""
    reasoning_format: ReasoningFormat = "both"
    notes: bool = True
    """Whether the progress of methods with several calls is streamed as reasoning."""
    keep_alive_seconds: float = 12.0
    """A silent stream gets a comment line that often."""
    examine: bool = True
    """Whether servers are examined in the background at the start, with a few short replies, for `/v1/models/{id}`."""
    drain_seconds: float = 30.0
    """How long requests may go on after SIGTERM."""
    origins: tuple[str, ...] = ()
    """Web pages that may call the gateway, beside those of this machine; `*` is any."""
    plugins: tuple[str, ...] = ()
    """Python files with further methods."""

    def __post_init__(self) -> None:
        require(0 <= self.port < 1 << 16, self, "port", self.port, "0 to 65535")
        require(1 <= self.workers <= 256, self, "workers", self.workers, "1 to 256")
        for name in ("keep_alive_seconds", "drain_seconds"):
            value = {"keep_alive_seconds": self.keep_alive_seconds, "drain_seconds": self.drain_seconds}[name]
            require(isfinite(value) and 0 < value <= 86_400, self, name, value, "above 0 and at most 86400")


@dataclass(frozen=True, slots=True)
class Limits:
    """`[limits]`: what one request may ask for, and how many may be at work at once in each worker."""

    body_bytes: int = 16 << 20
    concurrency: int = 512
    """Requests at work; further ones wait."""
    queue: int = 512
    """Requests that wait; further ones are refused with 429."""
    queue_seconds: float = 30.0
    """How long one may wait before it is refused with 429."""
    seconds: float = 1800.0
    """How long one request may take."""
    choices: int = 16
    """The most that `n` may ask for."""
    max_tokens: int = 8192
    """Length of a reply, thinking included, where the client names none."""
    budget: int = 1 << 20
    """Tokens that all calls of one request together may generate."""

    def __post_init__(self) -> None:
        counts = {"body_bytes": self.body_bytes, "concurrency": self.concurrency, "choices": self.choices}
        counts |= {"max_tokens": self.max_tokens, "budget": self.budget}
        for name, count in counts.items():
            require(1 <= count < 1 << 31, self, name, count, "1 to 2147483647")
        require(self.queue >= 0, self, "queue", self.queue, "at least 0")
        for name, value in {"queue_seconds": self.queue_seconds, "seconds": self.seconds}.items():
            require(isfinite(value) and value > 0, self, name, value, "above 0")


@dataclass(frozen=True, slots=True)
class Key:
    """`[[key]]`: one client. `hash` is what `ponder serve --new-key NAME` printed; the key itself stands nowhere."""

    name: str
    hash: str
    models: tuple[str, ...] = ()
    """The public models that it may ask for; none named is all."""
    reasoning_format: ReasoningFormat | None = None

    def __post_init__(self) -> None:
        digest = self.hash.removeprefix("sha256:")
        sound = digest != self.hash and len(digest) == 64 and set(digest) <= set("0123456789abcdef")
        require(sound, self, "hash", self.hash[:12] + "…", "what `ponder serve --new-key NAME` prints")


@dataclass(frozen=True, slots=True)
class Upstream:
    """`[engine.NAME]`: one model, at a server (`url`, `model`) or on this machine (`model` alone, or nothing)."""

    url: str = ""
    model: str = ""
    key_env: str | None = None
    dialect: str | None = None
    concurrency: int | None = None
    """Calls that may be in flight at the server."""
    retries: int = 2
    """How often the server is asked in all before a failure counts."""
    timeout: float | None = None
    chat_template: str | None = None
    think_open: str | None = None
    think_close: str | None = None
    context: int = 4096
    slots: int | None = None
    threads: int | None = None

    @property
    def spec(self) -> str | None:
        """What `--model` would say."""
        return f"{self.url}#{self.model}" if self.url else self.model or None

    @property
    def remote(self) -> bool:
        """Whether the model is behind a server, so that several processes can share it."""
        return bool(self.url) or self.model == "echo" or self.model.startswith(("http://", "https://"))

    @classmethod
    def of(cls, spec: str | None) -> Upstream:
        """Return the engine that `--model` names."""
        if spec and spec.startswith(("http://", "https://")):
            url, _, model = spec.partition("#")
            return cls(url=url, model=model)
        return cls(model=spec or "")


@dataclass(frozen=True, slots=True)
class Defaults:
    """`[model.NAME.defaults]`: what a request gets that does not say otherwise."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    effort: str | None = None
    thinking_budget: int | None = None
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """`[model.NAME]`: a name that clients ask for. `method` is its table; `engines` maps roles to engines.

    Without `engine` it is answered by the engine of its own name, else by `main`, else by the first one.
    """

    name: str
    engine: str = "main"
    method: Mapping[str, Value] = field(default_factory=lambda: {"method": DEFAULT_METHOD})
    engines: Mapping[str, str] = field(default_factory=dict)
    reasoning_format: ReasoningFormat | None = None
    notes: bool | None = None
    description: str = ""
    defaults: Defaults = Defaults()
    results: str = ""
    """The file of a bench run, as `ponder bench --json` prints it: replies then say what their method saves by it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration."""

    server: Server = Server()
    limits: Limits = Limits()
    keys: tuple[Key, ...] = ()
    engines: Mapping[str, Upstream] = field(default_factory=lambda: {"main": Upstream()})
    models: Mapping[str, Model] = field(default_factory=dict)
    efforts: Mapping[str, int | None] = field(default_factory=lambda: dict(EFFORTS))

    @property
    def default_model(self) -> Model:
        """The model that answers where none is named."""
        return self.models[self.server.default_model or next(iter(self.models))]


def load(path: Path) -> Settings:
    """Read a file. Raises `DataError` for one that is no TOML, `OptionError` for what it should not say."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); give the path of a ponder.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no TOML: {error}") from None
    try:
        return read(raw)
    except OptionError as error:
        raise OptionError(f"{path}: {error}") from None


def read(raw: Table) -> Settings:
    """Build the settings from a parsed file. Raises `OptionError`."""
    known = ("server", "limits", "key", "engine", "model", "effort")
    _known(raw, known, "the file")
    engines = {name: _read(Upstream, table, f"[engine.{name}]") for name, table in _tables(raw, "engine")}
    engines = engines or {"main": Upstream()}
    models = {name: _model(name, table, engines) for name, table in _tables(raw, "model")}
    settings = Settings(
        _read(Server, _table(raw.get("server", {}), "[server]"), "[server]"),
        _read(Limits, _table(raw.get("limits", {}), "[limits]"), "[limits]"),
        _keys(raw.get("key", [])),
        engines,
        models or {name: Model(name, name) for name in engines},
        _efforts(_table(raw.get("effort", {}), "[effort]")),
    )
    default = settings.server.default_model
    if default and default not in settings.models:
        raise OptionError(
            f"[server] default_model = {default!r} is no model of this file{nearest(default, settings.models)}"
        )
    for key in settings.keys:
        for name in key.models:
            if name not in settings.models:
                raise OptionError(f"[[key]] {key.name}: there is no model {name!r}{nearest(name, settings.models)}")
    return settings


def for_model(engine: Upstream, method: Mapping[str, Value]) -> Settings:
    """Return the settings of a gateway without a file: one engine, one model, all methods behind its name."""
    name = engine.model.rpartition("/")[2].removesuffix(".gguf") or "default"
    return Settings(engines={"main": engine}, models={name: Model(name, method=method)})


def embedded(settings: Settings) -> list[str]:
    """Return the names of the engines that live in the gateway's own process."""
    return [name for name, engine in settings.engines.items() if not engine.remote]


def _model(name: str, table: Table, engines: Mapping[str, Upstream]) -> Model:
    where = f"[model.{name}]"
    if not name or name != name.strip() or any(not letter.isprintable() for letter in name):
        raise OptionError(f"{where}: a model's name must be printable, without blanks around it")
    own = {"engine", "engines", "defaults", *_PLAIN}
    listed = table.get("engines", {})
    if isinstance(listed, list):
        # A method may have a list of this name: its parts' engines, which are then engines of the file.
        own, listed = own - {"engines"}, {str(role): role for role in listed if role != "main"}
    usual = next((one for one in (name, "main") if one in engines), next(iter(engines)))
    engine = _text(table.get("engine", usual), f"{where} engine")
    roles = {role: _text(value, f"{where} engines.{role}")
             for role, value in _table(listed, f"{where} engines").items()}  # fmt: skip
    for wanted in (engine, *roles.values()):
        if wanted not in engines:
            raise OptionError(f"{where}: there is no [engine.{wanted}]{nearest(wanted, engines)}")
    method = {key: value for key, value in table.items() if key not in own}
    method.setdefault("method", DEFAULT_METHOD)
    plain = _read(_Plain, {key: table[key] for key in _PLAIN if key in table}, where)
    defaults = _read(Defaults, _table(table.get("defaults", {}), f"{where} defaults"), f"{where} defaults")
    return Model(
        name, engine, method, roles, plain.reasoning_format, plain.notes, plain.description, defaults, plain.results
    )


@dataclass(frozen=True, slots=True)
class _Plain:
    """Those fields of a model that are read as they stand."""

    reasoning_format: ReasoningFormat | None = None
    notes: bool | None = None
    description: str = ""
    results: str = ""


_PLAIN = tuple(spec.name for spec in fields(_Plain))


def model_keys() -> tuple[str, ...]:
    """Return the words of `[model.NAME]` that are not options of its method."""
    return tuple(spec.name for spec in fields(Model) if spec.name != "name")


def _keys(raw: Value) -> tuple[Key, ...]:
    if not isinstance(raw, list):
        raise OptionError("[[key]] takes two brackets on each side: there may be several")
    keys = tuple(_read(Key, _table(entry, "[[key]]"), "[[key]]") for entry in raw)
    names = [key.name for key in keys]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionError(f"[[key]]: there are two keys named {twice!r}; give each a name of its own")
    return keys


def _efforts(table: Table) -> dict[str, int | None]:
    _known(table, tuple(EFFORTS), "[effort]")
    efforts: dict[str, int | None] = dict(EFFORTS)
    for label, tokens in table.items():
        if tokens == "none":
            efforts[label] = None
        elif isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens < 1 << 31:
            efforts[label] = tokens
        else:
            raise OptionError(f'[effort] {label} = {tokens!r} must be a number of tokens, or "none" for no bound')
    return efforts


def _read(cls: type[T], table: Table, where: str) -> T:
    """Build a dataclass from a table. Raises `OptionError` that names the table and the nearest known word."""
    _known(table, tuple(spec.name for spec in fields(cast(type, cls))), where)
    return cast(T, from_config({"method": where, **table}, lambda *_: cls))


def _known(table: Table, known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            raise OptionError(f"{where} has no {key!r}{nearest(key, known)}; it may say: {', '.join(known)}")


def _tables(raw: Table, word: str) -> list[tuple[str, dict[str, Value]]]:
    """Return the named tables of one kind."""
    named = _table(raw.get(word, {}), f"[{word}]")
    return [(name, _table(value, f"[{word}.{name}]")) for name, value in named.items()]


def _table(value: Value, where: str) -> dict[str, Value]:
    if not isinstance(value, dict):
        raise OptionError(f"{where} must be a table")
    return value


def _text(value: Value, where: str) -> str:
    if not isinstance(value, str):
        raise OptionError(f"{where} = {value!r} must be text")
    return value

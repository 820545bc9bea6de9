"""From what `--model` says to an open engine: a file, a folder, a name, a server, a tape, or nothing at all."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

from ponder.core.engine import Engine, Think
from ponder.core.errors import DataError, OptionError, nearest, require
from ponder.engines.catalogue import (
    ADAPTER_FILE,
    TEMPLATE_FILE,
    AdapterEntry,
    Entry,
    FileEntry,
    FolderEntry,
    Models,
    load_models,
)
from ponder.engines.model_store import ModelStore
from ponder.engines.shipped import shipped_file

_SERVER_CONCURRENCY = 32
_WEAK = "; it is too weak to reason, so nothing that it shows is a claim about accuracy"
_ADAPTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter to load beside a local model: a GGUF file for llama.cpp, a PEFT folder for transformers.

    Every call that names no adapters itself gets it at `scale`.
    """

    name: str
    path: Path
    scale: float = 1.0

    def __post_init__(self) -> None:
        named = bool(_ADAPTER_NAME.fullmatch(self.name))
        require(named, self, "name", self.name, "made of letters, digits, '.', '_' and '-'")
        require(isfinite(self.scale), self, "scale", self.scale, "a finite number")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How to open an engine; what does not concern the one that is opened is not read.

    `concurrency` is how many calls may be in flight at a server, `retries` how often it is asked in all before a
    failure counts, `timeout` how many seconds it may be silent. `think_open` and `think_close` override how the model
    marks its thinking. `adapters` are for local models only.
    """

    threads: int | None = None
    slots: int | None = None
    context: int = 4096
    catalogues: tuple[Path, ...] = ()
    key_env: str | None = None
    dialect: str | None = None
    concurrency: int | None = None
    retries: int = 4
    chat_template: Path | None = None
    think_open: str | None = None
    think_close: str | None = None
    timeout: float | None = None
    adapters: tuple[Adapter, ...] = ()

    @property
    def think(self) -> Think | None:
        """The marks that were given, if any were."""
        if self.think_close is None:
            return None
        return Think(self.think_open or "", self.think_close)


@dataclass(frozen=True, slots=True)
class Loaded:
    """An open engine. `notice` says in one line which model it is and why; a `weak` one carries no accuracy claim."""

    engine: Engine
    concurrency: int
    notice: str
    weak: bool = False


@asynccontextmanager
async def open_engine(spec: str | None, options: EngineOptions = EngineOptions()) -> AsyncIterator[Loaded]:
    """Open what `spec` names: a GGUF file, a transformers folder, a catalogue name, `URL#NAME`, `echo`, `tape:FILE`.

    None takes the catalogue model of the highest rank that is installed. Raises `OptionError` for what nothing answers
    to, `DataError` for what is missing or broken, `EngineError` for what cannot be reached.
    """
    if spec is not None and (spec == "echo" or spec.startswith(("tape:", "http://", "https://"))):
        if options.adapters:
            raise OptionError(
                f"{spec} takes no --adapter: adapters are loaded beside a local model, a file or a folder"
            )
        async with _open_remote(spec, options) as loaded:
            yield loaded
    elif spec and (Path(spec) / "config.json").is_file():
        async with _open_folder(Path(spec), options) as loaded:
            yield loaded
    else:
        async with _open_gguf(_find_gguf(spec, options), options) as loaded:
            yield loaded


@asynccontextmanager
async def _open_remote(spec: str, options: EngineOptions) -> AsyncIterator[Loaded]:
    """Open what is not a model on this machine."""
    if spec == "echo":
        from ponder.engines.echo import Echo

        echo = Echo(turn=16) if options.think is None else Echo(turn=16, think=options.think)
        yield Loaded(echo, options.concurrency or 64, "echo: scripted replies, no model", weak=True)
    elif spec.startswith("tape:"):
        from ponder.engines.tape import Replay

        with closing(Replay(spec.removeprefix("tape:"))) as tape:
            yield Loaded(tape, options.concurrency or 64, f"{tape.name}, played from {spec.removeprefix('tape:')}")
    else:
        async with _open_server(spec, options) as loaded:
            yield loaded


@dataclass(frozen=True, slots=True)
class _Local:
    """What llama.cpp is to open. `adapters` are those of the catalogue, of which `applied` is on."""

    path: Path
    notice: str
    name: str | None = None
    weak: bool = False
    adapters: tuple[Adapter, ...] = ()
    applied: str | None = None
    template: Path | None = None
    think: Think | None = None


def _find_gguf(spec: str | None, options: EngineOptions) -> _Local:
    if spec is not None and (spec.endswith(".gguf") or Path(spec).is_file()):
        return _Local(Path(spec), f"{Path(spec).name}, as --model says")
    models, store = load_models(options.catalogues), ModelStore()
    if spec is None:
        entry = store.best(models)
        if entry is None:
            raise DataError(
                f"no model is installed: get one with `ponder model get {_first_to_get(models).name}`, "
                "or name a file, a folder or a server with --model"
            )
        why = "the first of `ponder model list` that is installed"
    elif spec in models:
        entry, why = models.find(spec), "as --model says"
    else:
        raise _unknown(spec, models.names)
    return _from_catalogue(entry, f"{entry.name}, {why}", models, store)


def _from_catalogue(entry: Entry, notice: str, models: Models, store: ModelStore) -> _Local:
    path = store.gguf(entry)
    if isinstance(entry, AdapterEntry):
        # All adapters of one base, so that a call may mix them.
        siblings = [other for other in models if isinstance(other, AdapterEntry) and other.base == entry.base]
        adapters = tuple(Adapter(other.name, shipped_file(other, ADAPTER_FILE)) for other in siblings)
        template = shipped_file(entry, TEMPLATE_FILE) if entry.sha256(TEMPLATE_FILE) else None
        return _Local(path, notice, entry.name, entry.weak, adapters, entry.name, template, entry.think)
    think = entry.think if isinstance(entry, FolderEntry) else None
    return _Local(path, notice, entry.name, entry.weak, think=think)


def _first_to_get(models: Models) -> Entry:
    """Return what to get first: the smallest download that is no weak model."""

    def cost(entry: Entry) -> tuple[bool, int, int]:
        file = entry.base if isinstance(entry, AdapterEntry) else entry
        return entry.weak, file.size if isinstance(file, FileEntry) else 0, -entry.rank

    return min((entry for entry in models if entry.rank >= 0), key=cost)


def _unknown(spec: str, names: list[str]) -> OptionError | DataError:
    if spec and (Path(spec) / "adapter_config.json").is_file():
        return DataError(
            f"{spec} is an adapter and no model; name its base with --model, and it with --adapter NAME={spec}"
        )
    if spec and Path(spec).is_dir():
        return DataError(f"the folder {spec} holds no config.json, so it is no transformers model; give its folder")
    if "/" in spec or "\\" in spec:
        return DataError(f"there is no model file or folder {spec}; `ponder model list` shows models to get by name")
    known = [*names, "echo", "tape:FILE"]
    return OptionError(
        f"there is no model {spec!r}{nearest(spec, known)}; give a GGUF file, a transformers folder, URL#NAME, "
        "or a name from `ponder model list`"
    )


@asynccontextmanager
async def _open_gguf(local: _Local, options: EngineOptions) -> AsyncIterator[Loaded]:
    from ponder.engines.llama import LlamaEngine
    from ponder.engines.wrap import Retry

    given = tuple(replace(adapter, path=_gguf_adapter(adapter.path)) for adapter in options.adapters)
    async with LlamaEngine(
        local.path,
        name=local.name,
        threads=options.threads,
        slots=options.slots or 8,
        context=options.context,
        adapters=[(adapter.name, adapter.path) for adapter in (*local.adapters, *given)],
        think=options.think or local.think,
        chat_template=_read_template(options.chat_template or local.template),
        check=local.name is None,
    ) as engine:
        own = tuple(adapter for adapter in local.adapters if adapter.name == local.applied)
        adapted = _adapted(engine, own, given)
        concurrency = min(options.concurrency or engine.slots, engine.slots)
        weak = local.weak and not given  # What the catalogue says, it says of the model without another's adapters.
        notice = local.notice + _said(given) + (_WEAK if weak else "")
        yield Loaded(Retry(adapted, max(1, options.retries)), concurrency, notice, weak)


def _gguf_adapter(path: Path) -> Path:
    """Return the GGUF file of an adapter: the file itself, or the one that lies beside PEFT's files in a folder."""
    inside = path / ADAPTER_FILE
    return inside if inside.is_file() else path


def _adapted(engine: Engine, own: Sequence[Adapter], given: Sequence[Adapter]) -> Engine:
    """Apply a model's own adapters, which its name tells already, and those that the user gave."""
    from ponder.engines.wrap import Adapted, adapter_suffix

    if not own and not given:
        return engine
    name = engine.name + adapter_suffix([(adapter.name, adapter.scale) for adapter in given])
    return Adapted(engine, [(adapter.name, adapter.scale) for adapter in (*own, *given)], name=name)


def _said(adapters: Sequence[Adapter]) -> str:
    """Return what a notice says of the adapters."""
    listed = ", ".join(f"{adapter.name} at {adapter.scale:g}" for adapter in adapters)
    return f", with the adapter {listed}" if len(adapters) == 1 else f", with the adapters {listed}" * bool(adapters)


@asynccontextmanager
async def _open_folder(path: Path, options: EngineOptions) -> AsyncIterator[Loaded]:
    from ponder.engines.torch.engine import TorchEngine

    for adapter in options.adapters:
        if not adapter.path.is_dir():
            raise DataError(
                f"the adapter {adapter.path} is not a folder: a transformers folder takes a PEFT folder; "
                "give that, or open a GGUF file of the model with it"
            )
    async with TorchEngine(
        path,
        threads=options.threads,
        slots=options.slots or 16,
        think=options.think,
        adapters=[(adapter.name, adapter.path) for adapter in options.adapters],
    ) as engine:
        notice = f"{path.name}, with transformers, as --model says{_said(options.adapters)}"
        concurrency = min(options.concurrency or engine.slots, engine.slots)
        yield Loaded(_adapted(engine, (), options.adapters), concurrency, notice)


@asynccontextmanager
async def _open_server(spec: str, options: EngineOptions) -> AsyncIterator[Loaded]:
    from ponder.engines.anthropic import AnthropicEngine, speaks_messages
    from ponder.engines.http import Timeouts
    from ponder.engines.openai import OpenAIEngine
    from ponder.engines.wrap import Limit, Retry

    url, _, model = spec.partition("#")
    timeouts = Timeouts() if options.timeout is None else Timeouts(first=options.timeout, between=options.timeout)
    served: AnthropicEngine | OpenAIEngine
    if options.dialect == "anthropic" or (options.dialect in (None, "auto") and speaks_messages(url)):
        served = AnthropicEngine(url, model, key_env=options.key_env, timeouts=timeouts)
    else:
        served = OpenAIEngine(
            url,
            model,
            key_env=options.key_env,
            dialect=options.dialect or "auto",
            chat_template=options.chat_template,
            think=options.think,
            timeouts=timeouts,
        )
    async with served as engine:
        concurrency = options.concurrency or _SERVER_CONCURRENCY
        wrapped = Retry(Limit(engine, concurrency), max(1, options.retries))
        yield Loaded(wrapped, concurrency, f"{engine.name}, as --model says")


def _read_template(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the chat template {path} cannot be read ({error}); give a Jinja file") from None

"""From what `--model` says to an open engine: a file, a folder, a name, a server, a tape, or nothing at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from ponder.core.engine import Engine, Think
from ponder.core.errors import DataError, OptionError, nearest
from ponder.engines.catalogue import Entry, load_models
from ponder.engines.model_store import ModelStore

_SERVER_CONCURRENCY = 32


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How to open an engine; what does not concern the one that is opened is not read.

    `concurrency` is how many calls may be in flight at a server, `retries` how often it is asked in all before a
    failure counts, `timeout` how many seconds it may be silent. `think_open` and `think_close` override how the model
    marks its thinking.
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

    None takes the best catalogue model that is installed. Raises `OptionError` for what nothing answers to,
    `DataError` for what is missing or broken, `EngineError` for what cannot be reached.
    """
    if spec == "echo":
        from ponder.engines.echo import Echo

        yield Loaded(Echo(turn=16), options.concurrency or 64, "echo: scripted replies, no model", weak=True)
    elif spec is not None and spec.startswith("tape:"):
        from ponder.engines.tape import Replay

        with closing(Replay(spec.removeprefix("tape:"))) as tape:
            yield Loaded(tape, options.concurrency or 64, f"{tape.name}, played from {spec.removeprefix('tape:')}")
    elif spec is not None and spec.startswith(("http://", "https://")):
        async with _open_server(spec, options) as loaded:
            yield loaded
    elif spec and (Path(spec) / "config.json").is_file():
        async with _open_folder(Path(spec), options) as loaded:
            yield loaded
    else:
        path, name, notice, weak = _find_gguf(spec, options)
        async with _open_gguf(path, name, options) as (engine, slots):
            yield Loaded(engine, min(options.concurrency or slots, slots), notice, weak)


def _find_gguf(spec: str | None, options: EngineOptions) -> tuple[Path, str | None, str, bool]:
    """Return (file, name, notice, weak) of a local model."""
    if spec is not None and (spec.endswith(".gguf") or Path(spec).is_file()):
        return Path(spec), None, f"{Path(spec).name}, as --model says", False
    models, store = load_models(options.catalogues), ModelStore()
    if spec is None:
        entry = store.best(models)
        if entry is None:
            small = min(models, key=lambda entry: (entry.weak, entry.size))
            raise DataError(
                f"no model is installed: get one with `ponder model get {small.name}`, "
                "or name a file, a folder or a server with --model"
            )
        why = "the best model that is installed"
    elif spec in models:
        entry, why = models.find(spec), "as --model says"
    else:
        raise _unknown(spec, models.names)
    return store.path(entry), entry.name, _notice(entry, why), entry.weak


def _notice(entry: Entry, why: str) -> str:
    warning = "; it is too weak to reason, so nothing that it shows is a claim about accuracy" if entry.weak else ""
    return f"{entry.name}, {why}{warning}"


def _unknown(spec: str, names: list[str]) -> OptionError | DataError:
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
async def _open_gguf(path: Path, name: str | None, options: EngineOptions) -> AsyncIterator[tuple[Engine, int]]:
    from ponder.engines.llama import LlamaEngine
    from ponder.engines.wrap import Retry

    async with LlamaEngine(
        path,
        name=name,
        threads=options.threads,
        slots=options.slots or 8,
        context=options.context,
        think=options.think,
        chat_template=_read_template(options.chat_template),
        check=name is None,
    ) as engine:
        yield Retry(engine, max(1, options.retries)), engine.slots


@asynccontextmanager
async def _open_folder(path: Path, options: EngineOptions) -> AsyncIterator[Loaded]:
    from ponder.engines.torch.engine import TorchEngine

    async with TorchEngine(path, threads=options.threads, slots=options.slots or 16, think=options.think) as engine:
        notice = f"{path.name}, with transformers, as --model says"
        yield Loaded(engine, min(options.concurrency or engine.slots, engine.slots), notice)


@asynccontextmanager
async def _open_server(spec: str, options: EngineOptions) -> AsyncIterator[Loaded]:
    from ponder.engines.http import Timeouts
    from ponder.engines.openai import OpenAIEngine
    from ponder.engines.wrap import Limit, Retry

    url, _, model = spec.partition("#")
    timeouts = Timeouts() if options.timeout is None else Timeouts(first=options.timeout, between=options.timeout)
    async with OpenAIEngine(
        url,
        model,
        key_env=options.key_env,
        dialect=options.dialect or "auto",
        chat_template=options.chat_template,
        think=options.think,
        timeouts=timeouts,
    ) as engine:
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

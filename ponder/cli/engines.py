"""Options that say which model is used and how; shared by every command that runs one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypedDict, TypeVar, Unpack

import click

from ponder.cli.ranges import MOST
from ponder.core.engine import Engine
from ponder.core.errors import OptionError

if TYPE_CHECKING:
    from ponder.engines.open import Adapter, EngineOptions, Loaded

P = ParamSpec("P")
R = TypeVar("R")

_OPTIONS = (
    click.option(
        "--model",
        "-m",
        metavar="MODEL",
        help="A GGUF file, a transformers folder, a name from `ponder "
        "model list`, URL#NAME for a server, or echo. Default: the first of that list that is installed.",
    ),
    click.option(
        "--engine",
        "engine",
        multiple=True,
        metavar="NAME=MODEL",
        help="A further model, for methods that use several (strong=..., draft=...).",
    ),
    click.option(
        "--adapter",
        multiple=True,
        metavar="NAME=PATH[@SCALE]",
        help="A LoRA adapter for the main model, on in every call at SCALE (default 1): a GGUF file for llama.cpp, "
        "a PEFT folder for a transformers folder. May be given several times.",
    ),
    click.option(
        "--catalogue",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A further model catalogue (TOML).",
    ),
    click.option("--threads", type=click.IntRange(1, 512), help="Threads of the embedded engine. Default: all cores."),
    click.option("--slots", type=click.IntRange(1, 64), help="Replies that the embedded engine writes at once."),
    click.option(
        "--context",
        type=click.IntRange(64, MOST),
        default=4096,
        show_default=True,
        help="Tokens of prompt and reply together, for the embedded engine.",
    ),
    click.option("--key-env", metavar="VARIABLE", help="The environment variable that holds the server's key."),
    click.option(
        "--dialect", metavar="NAME", help="How the server speaks: vllm, llama.cpp, openai ... Default: asked."
    ),
    click.option(
        "--chat-template",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The model's chat template, for servers that cannot render it.",
    ),
    click.option("--think-open", metavar="MARK", help="What opens the model's thinking. Default: its template tells."),
    click.option(
        "--think-close",
        metavar="MARK",
        help="What closes the model's thinking; empty for a model that does not think. Default: its template tells.",
    ),
    click.option(
        "--record",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Record every call of the main model; --model tape:FILE replays it.",
    ),
)


@dataclass(frozen=True, slots=True)
class EngineArgs:
    """What the shared options said."""

    model: str | None
    engine: tuple[str, ...]
    record: Path | None
    options: EngineOptions

    @asynccontextmanager
    async def open(self) -> AsyncIterator[tuple[dict[str, Engine], Loaded]]:
        """Open the main model and the further ones; give them by name, with what is known of the main one."""
        from ponder.engines.open import open_engine

        async with AsyncExitStack() as stack:
            main = await stack.enter_async_context(open_engine(self.model, self.options))
            further = replace(self.options, adapters=())
            engines: dict[str, Engine] = {"main": self._recorded(main.engine, stack)}
            for text in self.engine:
                name, sign, spec = text.partition("=")
                if not sign or not name or not spec:
                    raise OptionError(f"--engine {text!r} must have the form NAME=MODEL, such as strong=URL#NAME")
                if name in engines:
                    raise OptionError(f"--engine {text!r}: there is an engine named {name!r} already; name each once")
                engines[name] = (await stack.enter_async_context(open_engine(spec, further))).engine
            yield engines, main

    def _recorded(self, engine: Engine, stack: AsyncExitStack) -> Engine:
        if self.record is None:
            return engine
        from ponder.engines.tape import Recorder

        return stack.enter_context(closing(Recorder(engine, self.record)))


def engine_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add the shared options to a command; `engine_args` collects them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class EngineKwargs(TypedDict):
    """The shared options as click hands them over."""

    model: str | None
    engine: tuple[str, ...]
    adapter: tuple[str, ...]
    catalogue: tuple[Path, ...]
    threads: int | None
    slots: int | None
    context: int
    key_env: str | None
    dialect: str | None
    chat_template: Path | None
    think_open: str | None
    think_close: str | None
    record: Path | None


def engine_args(concurrency: int | None = None, **given: Unpack[EngineKwargs]) -> EngineArgs:
    """Collect what the shared options said; `concurrency` is how many calls a server may get at once."""
    from ponder.engines.open import EngineOptions

    if given["think_open"] and not given["think_close"]:
        raise OptionError(f"--think-open {given['think_open']!r} needs the mark that closes; add --think-close MARK")
    return EngineArgs(
        given["model"],
        given["engine"],
        given["record"],
        EngineOptions(
            threads=given["threads"],
            slots=given["slots"],
            context=given["context"],
            catalogues=given["catalogue"],
            key_env=given["key_env"],
            dialect=given["dialect"],
            chat_template=given["chat_template"],
            think_open=given["think_open"],
            think_close=given["think_close"],
            concurrency=concurrency,
            adapters=tuple(map(read_adapter, given["adapter"])),
        ),
    )


def read_adapter(text: str) -> Adapter:
    """Parse NAME=PATH[@SCALE]. Raises `OptionError`."""
    from ponder.engines.open import Adapter

    name, sign, where = text.partition("=")
    if not sign or not name or not where:
        raise OptionError(
            f"--adapter {text!r} must have the form NAME=PATH or NAME=PATH@SCALE, such as short=a.gguf@0.5"
        )
    path, _, scale = where.rpartition("@")
    if not path or "/" in scale or Path(where).exists():  # A path may hold the sign itself.
        return Adapter(name, Path(where))
    try:
        return Adapter(name, Path(path), float(scale))
    except ValueError:
        raise OptionError(f"--adapter {text!r}: the scale {scale!r} is no number; give one such as @0.5") from None

"""A transformers model in this process: many streams at once, forks that re-read nothing, noise by position."""

from __future__ import annotations

import asyncio
import importlib
import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ponder.core.engine import ALL_LAYERS, Cap, Chunk, Sampling, Think
from ponder.core.errors import EngineError, OptionError
from ponder.core.problem import Prompt

if TYPE_CHECKING:
    from ponder.engines.torch.load import Loaded
    from ponder.engines.torch.render import Renderer
    from ponder.engines.torch.worker import Job, Worker

_CAPS = frozenset({Cap.PREFILL, Cap.TOKEN_IDS, Cap.LOGPROBS, Cap.FULL_LOGPROBS, Cap.LOGIT_BIAS, Cap.HIDDEN, Cap.FORCE})


class TorchEngine:
    """One transformers folder: `async with TorchEngine(path) as engine`. At most `slots` streams run; more wait,
    unless all of those rest because nobody reads on.

    `dtype` is `auto`, `float32`, `bfloat16` or `float16`. `kept` bounds the tokens whose keys and values are kept for
    later prompts that begin alike. `think` overrides the marks that the chat template tells. `adapters` are (name,
    PEFT folder) pairs that a call switches on by name, each at a scale of its own.
    Entering raises `DataError` for a folder that is not whole, and `OptionError` where torch is missing.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        dtype: str = "auto",
        threads: int | None = None,
        slots: int = 16,
        kept: int = 32768,
        think: Think | None = None,
        adapters: Sequence[tuple[str, str | Path]] = (),
    ) -> None:
        if slots < 1 or kept < 0 or (threads is not None and threads < 1):
            raise OptionError("TorchEngine: slots and threads must be at least 1, and kept at least 0")
        self.adapters = tuple(name for name, _ in adapters)
        """The names of the adapters that a call may switch on."""
        if len(set(self.adapters)) < len(self.adapters) or not all(self.adapters):
            raise OptionError(f"TorchEngine: adapters = {self.adapters} must be names that differ; rename one")
        self.slots = slots
        self._path = Path(path)
        self._name = name or f"torch:{self._path.resolve().name}"
        self._dtype, self._threads, self._kept, self._think = dtype, threads, kept, think
        self._folders = tuple((adapter, Path(folder)) for adapter, folder in adapters)
        self._worker: Worker | None = None
        self._renderer: Renderer | None = None
        self._loaded: Loaded | None = None

    @property
    def name(self) -> str:
        """The name given, or the way and the folder's name."""
        return self._name

    @property
    def caps(self) -> frozenset[Cap]:
        """What this engine can do with the model that it has loaded."""
        switch = {Cap.THINKING} if self._renderer and self._renderer.has_switch else set()
        return _CAPS | switch | ({Cap.ADAPTER} if self.adapters else set())

    @property
    def think(self) -> Think:
        """How the model's template marks its thinking; known once the model is loaded."""
        return self._renderer.think if self._renderer else self._think or Think()

    @property
    def generated(self) -> int:
        """Tokens drawn since the model was opened, over all streams."""
        return self._worker.generated if self._worker else 0

    @property
    def positions(self) -> int:
        """Positions that went through the model since it was opened: prompts read and tokens decoded."""
        return self._worker.positions if self._worker else 0

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(_import)
        from ponder.engines.torch.worker import Options, Worker

        self._worker = Worker(
            Options(
                path=self._path,
                name=self._name,
                dtype=self._dtype,
                threads=self._threads,
                slots=self.slots,
                kept=self._kept,
                think=self._think,
                adapters=self._folders,
            )
        )
        try:
            self._loaded, self._renderer = await self._worker.ready
        except asyncio.CancelledError:
            self._worker.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._worker is not None:
            self._worker.close()
            await self._worker.join()

    def stream(self, prompt: Prompt, sampling: Sampling) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """Open one generation; leaving the block stops it. Raises `OptionError`, `Unsupported` and `EngineError`."""
        return self._stream(prompt, sampling)

    @asynccontextmanager
    async def _stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        if self._worker is None or self._renderer is None or self._loaded is None:
            raise EngineError(f"{self.name} is not open; use it inside `async with`")
        self._renderer.check(prompt)
        _check(sampling, self._loaded.words, self._loaded.layers, self.adapters)
        job = self._worker.open(prompt, sampling)
        chunks = _chunks(self._worker, job)
        try:
            yield chunks
        finally:
            self._worker.leave(job)
            await chunks.aclose()


async def _chunks(worker: Worker, job: Job) -> AsyncGenerator[Chunk, None]:
    while True:
        chunk = await worker.next(job)
        yield chunk
        if chunk.finish is not None:
            return


def _import() -> None:
    """Load torch, which takes seconds; in a thread, so that the event loop goes on."""
    try:
        for package in ("torch", "transformers", "safetensors", "ponder.engines.torch.worker"):
            importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise OptionError(
            f"a transformers folder needs the package {error.name}: pip install 'ponder[torch]' (without a GPU, "
            "install PyTorch's smaller CPU build first)"
        ) from None


def _check(s: Sampling, words: int, layers: int, adapters: tuple[str, ...]) -> None:
    """Raise `OptionError` for what could not be kept."""

    def need(condition: bool, field: str, value: object, range_: str) -> None:
        if not condition:
            raise OptionError(f"sampling: {field} = {value!r} is out of range; it must be {range_}")

    need(s.max_tokens >= 1 or bool(s.force), "max_tokens", s.max_tokens, "at least 1, unless tokens are forced")
    for token, bias in s.logit_bias:
        need(0 <= token < words, "logit_bias token", token, f"in 0 to {words - 1}")
        need(not math.isnan(bias) and bias != math.inf, "logit_bias", bias, "a number, or -inf to forbid the token")
    forbidden = {token for token, bias in s.logit_bias if bias == -math.inf}
    need(len(forbidden) < words, "logit_bias", f"-inf for {len(forbidden)} tokens", "such that one token is left")
    for token in (part for part in s.force if isinstance(part, int)):
        need(0 <= token < words, "force", token, f"in 0 to {words - 1}")
    for layer in () if s.hidden == ALL_LAYERS else s.hidden:
        need(-layers - 1 <= layer <= layers, "hidden", layer, f"in 0 (embeddings) to {layers} (after the final norm)")
    for name, scale in s.adapters:
        need(name in adapters, "adapter", name, f"one of {', '.join(adapters) or 'none: no adapter is loaded'}")
        need(math.isfinite(scale), "adapter scale", scale, "a finite number")
    names = [name for name, _ in s.adapters]
    need(len(set(names)) == len(names), "adapters", names, "names that differ; give each its scale once")

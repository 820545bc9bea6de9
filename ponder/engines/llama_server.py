"""Starts, watches and ends the llama.cpp child process, and speaks HTTP to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, cast

from ponder.core.errors import DataError, EngineError, require
from ponder.engines.llama_gguf import check_adapter, check_gguf

if TYPE_CHECKING:
    import aiohttp

_SOCKET_PATH_LIMIT = 100
_LEAVE_SECONDS = 5.0
_DEATH_SECONDS = 1.0


class Props(TypedDict):
    """The part of `/props` that is read."""

    chat_template: str
    chat_template_caps: dict[str, bool]
    total_slots: int


class Timings(TypedDict):
    """The part of a call's timings that is read."""

    cache_n: int
    prompt_n: int


class Progress(TypedDict):
    """How far the prompt is read."""

    total: int
    cache: int
    processed: int


class TokenProb(TypedDict):
    """One entry of a table of log-probabilities."""

    token: str
    logprob: float


class Probs(TokenProb):
    """A sampled token's entry, and those of its rivals."""

    top_logprobs: list[TokenProb]


class Event(TypedDict, total=False):
    """One event of a completion stream, as far as it is read."""

    content: str
    tokens: list[int]
    stop: bool
    stop_type: str
    stopping_word: str
    id_slot: int
    tokens_predicted: int
    tokens_evaluated: int
    timings: Timings
    prompt_progress: Progress
    completion_probabilities: list[Probs]
    error: dict[str, object]


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What the child is started with; llama.cpp itself checks none of it.

    `context` is in tokens for each slot. `check` reads all weights once and refuses noise: for files of unknown hash.
    """

    model: Path
    threads: int
    slots: int = 8
    context: int = 4096
    batch: int = 128
    adapters: tuple[Path, ...] = ()
    chat_template: str = ""
    check: bool = True

    def __post_init__(self) -> None:
        require(1 <= self.threads <= 1024, self, "threads", self.threads, "1 to 1024")
        require(1 <= self.slots <= 64, self, "slots", self.slots, "1 to 64")
        require(64 <= self.context <= 1 << 20, self, "context", self.context, "64 to 1048576")
        require(32 <= self.batch <= 4096, self, "batch", self.batch, "32 to 4096: llama.cpp aborts below")


def _memory_folder() -> str | None:
    """A folder in memory where the system has one: slot states are large and short-lived."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and os.access(shared, os.W_OK) else None


class LlamaServer:
    """One child process. `start()` before use; `alive` says whether it still runs; `close()` ends it.

    `address` is where the running child listens, `exit_code` how the one before ended.
    """

    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._folder: Path | None = None
        self._patience = 0.0
        self.address = ""
        self.exit_code: int | None = None

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def folder(self) -> Path | None:
        """The private folder of the child, while it runs: its socket, its log, saved slots."""
        return self._folder

    @property
    def pid(self) -> int:
        """Return the child's process id. Raises `EngineError` if none runs."""
        if self._process is None or self._process.returncode is not None:
            raise EngineError(f"{self.options.model.name}: llama.cpp is not running; open the engine first")
        return self._process.pid

    async def start(self) -> None:
        """Load the model. Raises `DataError` or `EngineError` with llama.cpp's own reason."""
        check_gguf(self.options.model)
        for adapter in self.options.adapters:
            check_adapter(adapter, self.options.model)
        await self.close()
        try:
            await self._start()
        except BaseException:
            await asyncio.shield(self.close())
            raise

    async def _start(self) -> None:
        import aiohttp

        self._folder = folder = Path(tempfile.mkdtemp(prefix="ponder-", dir=_memory_folder()))
        key, socket = secrets.token_hex(16), str(folder / "llama.sock")
        if sys.platform == "win32" or len(socket.encode()) > _SOCKET_PATH_LIMIT:
            socket = ""
        answer = await self._launch(folder, key, socket)
        if "error" in answer:
            raise self._load_error(folder, answer)
        self.address = address = str(answer["address"])
        # A kept-alive connection that the server has just dropped would fail the next call: one connection each.
        connector: aiohttp.BaseConnector
        if socket:
            connector, address = aiohttp.UnixConnector(socket, force_close=True, limit=0), "http://llama"
        else:
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
        self._session = aiohttp.ClientSession(
            address,
            connector=connector,
            headers={"Authorization": f"Bearer {key}"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        )

    async def _launch(self, folder: Path, key: str, socket: str) -> dict[str, object]:
        """Start the child and return the line that it prints when it is ready or has failed."""
        options = self.options
        config = {
            "model": str(options.model),
            "slots": options.slots,
            "context": options.context,
            "batch": options.batch,
            "threads": options.threads,
            "adapters": [str(path) for path in options.adapters],
            "chat_template": options.chat_template,
            "check": options.check,
            "key": key,
            "socket": socket,
            "states": str(folder),
        }
        child = Path(__file__).with_name("llama_child.py")
        with (folder / "log").open("wb") as log:
            # -P: the folder of the file holds modules named like the libraries that it must not hide.
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                str(child),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "GGML_NO_BACKTRACE": "1"},
            )
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(ConnectionError):
            process.stdin.write(json.dumps(config).encode() + b"\n")
            await process.stdin.drain()
        line = await process.stdout.readline()
        self._patience = _LEAVE_SECONDS
        if not line:
            return {"error": await self.obituary()}
        return cast(dict[str, object], json.loads(line))

    def _load_error(self, folder: Path, answer: Mapping[str, object]) -> EngineError | DataError:
        if answer.get("missing"):
            return EngineError("llama.cpp is not installed; pip install 'ponder[local]'")
        log = (folder / "log").read_text("utf-8", "replace")
        told = re.search(r"error loading model: (.*)|(?:failed|error).*", log)
        reason = (told[1] or told[0]).strip() if told else str(answer["error"])
        return DataError(
            f"llama.cpp cannot load {self.options.model} ({reason}); the file may be cut short or too new: "
            "get it again, or give another one"
        )

    async def obituary(self) -> str:
        """Say how the child ended, once it has; for a stream that broke off."""
        if self._process is None:
            return "llama.cpp is not running"
        try:
            async with asyncio.timeout(_DEATH_SECONDS):
                code = await self._process.wait()
        except TimeoutError:
            return "llama.cpp still runs"
        if code < 0:
            return f"llama.cpp was killed by {signal.Signals(-code).name}"
        return f"llama.cpp ended with exit code {code}"

    async def close(self) -> None:
        """End the child and remove its folder; calls that still run break off."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.write(b"leave\n")
                self._process.stdin.close()
            try:
                # It leaves by itself, unless it is still loading.
                async with asyncio.timeout(self._patience):
                    await self._process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
            self.exit_code = self._process.returncode
            self._process, self._patience = None, 0.0
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    async def props(self) -> Props:
        """Return what the server says of its model."""
        return cast(Props, await self._ask("GET", "/props", None))

    async def vocabulary(self) -> int:
        """Return how many tokens the model knows."""
        models = cast(dict[str, list[dict[str, dict[str, int]]]], await self._ask("GET", "/v1/models", None))
        return models["data"][0]["meta"]["n_vocab"]

    async def apply_template(self, messages: Sequence[Mapping[str, object]], switches: Mapping[str, object]) -> str:
        """Return the text of a conversation, up to where the assistant begins to write."""
        body = {"messages": messages, "chat_template_kwargs": switches}
        return cast(dict[str, str], await self._ask("POST", "/apply-template", body))["prompt"]

    async def tokenize(self, text: str, *, special: bool, begin: bool = False) -> tuple[int, ...]:
        """Return the ids of `text`. `special` reads control marks such as turn ends; `begin` adds a model's BOS."""
        body = {"content": text, "parse_special": special, "add_special": begin}
        return tuple(cast(dict[str, list[int]], await self._ask("POST", "/tokenize", body))["tokens"])

    async def metrics(self) -> dict[str, float]:
        """Return the server's own counters, such as `tokens_predicted_total`, since it started."""
        async with self._request("GET", "/metrics", None) as response:
            lines = (await response.text()).splitlines()
        pairs = (line.removeprefix("llamacpp:").split() for line in lines if line.startswith("llamacpp:"))
        return {name: float(value) for name, value in pairs}

    async def set_adapters(self, slot: int, scales: Sequence[float]) -> None:
        """Set the scales of an idle slot's adapters, for which it forgets its tokens; none is read or written.

        llama.cpp sets them where a call begins, so this is a call that it then must refuse: its prompt is too long.
        """
        body = {"prompt": [0] * (2 * self.options.context), "id_slot": slot, "n_predict": 1, "lora": lora_field(scales)}
        with contextlib.suppress(EngineError):
            await self._ask("POST", "/completion", body)

    async def slot_action(self, slot: int, action: Literal["save", "restore"], file: str) -> None:
        """Save a slot's state to a file of the server's folder, or restore it."""
        await self._ask("POST", f"/slots/{slot}?action={action}", {"filename": file})

    def forget_slot_file(self, file: str) -> None:
        """Remove a saved state."""
        if self._folder is not None:
            (self._folder / file).unlink(missing_ok=True)

    async def _ask(self, method: str, path: str, body: Mapping[str, object] | None) -> object:
        async with self._request(method, path, body) as response:
            return cast(object, json.loads(await response.read()))

    @asynccontextmanager
    async def events(self, path: str, body: Mapping[str, object]) -> AsyncIterator[AsyncIterator[Event]]:
        """Open a stream and give its events; leaving the block closes the connection at once."""
        async with self._request("POST", path, body) as response:
            try:
                yield self._events(response)
            finally:
                response.close()

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: Mapping[str, object] | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        import aiohttp

        if self._session is None:
            raise EngineError(f"{self.options.model.name}: llama.cpp is not running; open the engine first")
        try:
            response = await self._session.request(method, path, json=body)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise await self._broken(error) from error
        async with response:
            if response.status != 200:
                raise _refusal(self.options.model.name, response.status, await response.text())
            yield response

    async def _events(self, response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
        """Yield the JSON of each event. By hand, because a line may be longer than a stream reader takes."""
        import aiohttp

        held = bytearray()
        try:
            async for piece in response.content.iter_any():
                held += piece
                while (end := held.find(b"\n")) >= 0:
                    kind, _, payload = bytes(held[:end]).strip().partition(b":")
                    del held[: end + 1]
                    if kind in (b"data", b"error") and payload.strip() != b"[DONE]":
                        yield cast(Event, json.loads(payload))
        except (aiohttp.ClientError, ConnectionError) as error:
            raise await self._broken(error) from error

    async def _broken(self, error: Exception) -> EngineError:
        return EngineError(
            f"{self.options.model.name}: the call broke off, {await self.obituary()} ({error}); "
            "ask again, and it is started anew",
            retry=True,
        )


def lora_field(scales: Sequence[float]) -> list[dict[str, float]]:
    """Return the field of a call that sets the scale of every adapter, in the order in which they were loaded."""
    return [{"id": number, "scale": scale} for number, scale in enumerate(scales)]


def _refusal(name: str, status: int, text: str) -> EngineError:
    try:
        error = cast(dict[str, object], json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        error = {"message": text[:200]}
    return refusal(name, status, error)


def refusal(name: str, status: int, error: Mapping[str, object]) -> EngineError:
    """Return what llama.cpp's error object says, as one sentence."""
    if error.get("type") == "exceed_context_size_error":
        return EngineError(
            f"{name}: the prompt has {error.get('n_prompt_tokens')} tokens and the context holds {error.get('n_ctx')}; "
            "shorten it or open the model with a larger context (--context)",
            status=status,
        )
    said = error.get("message")
    return EngineError(f"{name}: llama.cpp refused the call ({said})", status=status, retry=status >= 500)

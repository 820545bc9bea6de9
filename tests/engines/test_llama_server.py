from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from support.tiny_gguf import write_tiny

from ponder.core.engine import Sampling
from ponder.core.errors import DataError, EngineError, OptionError
from ponder.core.problem import Problem, Prompt
from ponder.engines import llama_server
from ponder.engines.llama import LlamaEngine
from ponder.engines.llama_gguf import check_gguf
from ponder.engines.llama_server import LlamaServer, ServerOptions, refusal

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    ("field", "value"),
    [("threads", 0), ("slots", 0), ("slots", 300), ("context", -5), ("context", 10**9), ("batch", 1), ("batch", 0)],
)
async def test_what_llama_cpp_would_abort_or_hang_on_is_refused(field: str, value: int) -> None:
    with pytest.raises(OptionError, match=f"{field} = {value} is out of range"):
        ServerOptions(Path("m.gguf"), **{"threads": 1, field: value})  # type: ignore[arg-type]


async def test_a_missing_file_and_a_wrong_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no model file .*ponder model list"):
        check_gguf(tmp_path / "gone.gguf")
    wrong = tmp_path / "page.gguf"
    wrong.write_text("<html>")
    with pytest.raises(DataError, match="not a GGUF file"):
        check_gguf(wrong)
    with pytest.raises(DataError, match="cannot be read"):
        check_gguf(tmp_path)


@pytest.fixture
def whole(tiny_path: Path) -> bytes:
    return tiny_path.read_bytes()


@pytest.mark.parametrize("share", [0.0001, 0.5, 0.98])
async def test_a_truncated_file_is_named_with_the_reason(tmp_path: Path, whole: bytes, share: float) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError, match=r"cannot load .*cut\.gguf \(.*\); .*get it again"):
        async with LlamaEngine(cut, threads=1):
            pass


async def test_noise_in_the_weights_is_found(tmp_path: Path, whole: bytes) -> None:
    noisy = bytearray(whole)
    noisy[-40_000:-20_000] = b"\xff" * 20_000
    path = tmp_path / "noisy.gguf"
    path.write_bytes(noisy)
    with pytest.raises(DataError, match="invalid data"):
        async with LlamaEngine(path, threads=1):
            pass


async def test_without_the_package_the_extra_is_named(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(EngineError, match=r"pip install 'ponder\[local\]'"):
        async with LlamaEngine(tiny_path, threads=1):
            pass


async def test_a_child_that_dies_while_loading_is_an_error(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "xllamacpp.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DataError, match="SIGABRT"):
        async with LlamaEngine(tiny_path, threads=1):
            pass


def command_of(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


async def test_modules_beside_the_child_hide_no_library(tiny: LlamaEngine) -> None:
    """The child's own folder holds a package named torch; it must not be on the child's path."""
    command = command_of(tiny.server.pid)
    assert command[:2] == [sys.executable.encode(), b"-P"]


async def test_nobody_else_can_ask(tiny: LlamaEngine) -> None:
    assert tiny.server.folder is not None
    assert tiny.server.folder.stat().st_mode & 0o077 == 0
    connector = aiohttp.UnixConnector(str(tiny.server.folder / "llama.sock"))
    async with aiohttp.ClientSession("http://x", connector=connector) as session, session.get("/props") as reply:
        assert reply.status == 401


async def test_without_unix_sockets_a_port_and_a_key_serve(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_server, "_SOCKET_PATH_LIMIT", 0)
    async with LlamaEngine(tiny_path, threads=1, slots=1, context=64) as engine:
        async with engine.stream(Prompt.of(Problem.of("a")), Sampling(max_tokens=3, seed=1)) as chunks:
            assert sum([chunk.tokens async for chunk in chunks]) == 3
        address = engine.server.address
        assert address.startswith("http://127.0.0.1:")
        async with aiohttp.ClientSession() as session, session.get(f"{address}/props") as reply:
            assert reply.status == 401


async def test_a_call_to_a_dead_child_says_so(tiny_path: Path) -> None:
    server = LlamaServer(ServerOptions(tiny_path, threads=1, slots=1, context=64))
    with pytest.raises(EngineError, match="not running"):
        await server.props()
    await server.start()
    os.kill(server.pid, signal.SIGTERM)

    async def ask_until_it_is_gone() -> None:
        for _ in range(500):
            await server.props()
            await asyncio.sleep(0.01)

    with pytest.raises(EngineError, match="SIGTERM") as caught:
        await ask_until_it_is_gone()
    assert caught.value.retry
    await server.close()
    await server.close()


async def test_control_marks_are_read_only_when_asked_for(tiny: LlamaEngine) -> None:
    assert await tiny.server.tokenize("<|end|>", special=True) == (295,)
    assert 295 not in await tiny.server.tokenize("<|end|>", special=False)
    assert (await tiny.server.tokenize("hello", special=False, begin=True))[0] == 1


async def test_a_line_longer_than_a_reader_takes(tmp_path: Path) -> None:
    """Every token's whole table of rivals, and the prompt in the last event: hundreds of kilobytes a line."""
    async with LlamaEngine(write_tiny(tmp_path / "m.gguf"), threads=1, slots=1, context=4096) as engine:
        body = {"prompt": [280] * 3_000, "n_predict": 2, "n_probs": 298, "stream": True, "logit_bias": [[280, 99.0]]}
        async with engine.server.events("/completion", body) as events:
            got = [event async for event in events]
    assert got[-1]["stop"]
    assert len(got[0]["completion_probabilities"][0]["top_logprobs"]) == 298


async def test_refusals_in_one_sentence() -> None:
    too_long = {"type": "exceed_context_size_error", "n_prompt_tokens": 900, "n_ctx": 256}
    assert "900 tokens and the context holds 256" in str(refusal("m", 400, too_long))
    busy = refusal("m", 503, {"message": "Loading model"})
    assert (busy.status, busy.retry) == (503, True)
    assert not refusal("m", 400, {"message": "no"}).retry

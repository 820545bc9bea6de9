"""What a server tells about itself when it is asked once."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.server import TEMPLATE, FakeServer

from ponder.core.engine import Cap, Think
from ponder.core.errors import DataError, OptionError
from ponder.core.method import check
from ponder.engines.openai import OpenAIEngine

USUAL = Think("<think>", "</think>")


@pytest.mark.parametrize(
    ("dialect", "length", "think"),
    [
        ("plain", None, Think()),
        ("vllm", 4096, Think("<think>", "</think>")),
        ("llama.cpp", 2048, Think("<think>", "</think>")),
    ],
)
async def test_dialect_length_and_marks(dialect: str, length: int | None, think: Think) -> None:
    async with FakeServer(dialect) as server, OpenAIEngine(server.url) as engine:
        assert (engine.dialect, engine.context_length, engine.think) == (dialect, length, think)
        assert (Cap.PREFILL in engine.caps) == (dialect != "plain")
        assert (Cap.IMAGES in engine.caps) == (dialect != "llama.cpp")
        assert all(seen.headers.get("Authorization") is None for seen in server.requests)
        before = len(server.requests)
        engine.caps, engine.think, engine.name
        assert len(server.requests) == before


@pytest.mark.parametrize("dialect", ["plain", "vllm", "llama.cpp"])
@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
async def test_addresses_with_and_without_version(dialect: str, end: str) -> None:
    async with FakeServer(dialect) as server, OpenAIEngine(server.url.removesuffix("/v1") + end) as engine:
        assert (engine.dialect, engine.name) == (dialect, f"toy@{server.url[7:-3]}")


async def test_a_template_that_opens_the_thought_is_seen() -> None:
    for dialect in ("vllm", "llama.cpp"):
        async with FakeServer(dialect, opened=True) as server, OpenAIEngine(server.url) as engine:
            assert engine.think.opened


async def test_what_the_user_says_about_thinking_counts_more() -> None:
    mine = Think("[THINK]", "[/THINK]")
    for dialect in ("plain", "vllm", "llama.cpp"):
        async with FakeServer(dialect) as server, OpenAIEngine(server.url, think=mine) as engine:
            assert engine.think == mine


async def test_a_named_dialect_needs_no_detection() -> None:
    async with FakeServer("plain") as server, OpenAIEngine(server.url, "toy", dialect="openrouter") as engine:
        assert engine.dialect == "openrouter"
        assert server.requests == []


async def test_a_service_without_a_model_is_asked_for_its_only_one() -> None:
    async with FakeServer("plain") as server, OpenAIEngine(server.url, dialect="qwen") as engine:
        assert (engine.dialect, engine.name.partition("@")[0]) == ("qwen", "toy")


async def test_a_misspelt_dialect() -> None:
    with pytest.raises(OptionError, match=r"did you mean 'llama\.cpp'"):
        OpenAIEngine("http://127.0.0.1:1", dialect="llama.cp")


async def test_no_list_of_models_and_no_model_named() -> None:
    async with FakeServer("plain", missing=frozenset({"/v1/models"})) as server:
        with pytest.raises(OptionError, match="name its name, as in --model URL#NAME"):
            await OpenAIEngine(server.url).__aenter__()
        async with OpenAIEngine(server.url, "any") as engine:
            assert engine.name.startswith("any@")


@pytest.mark.parametrize("dialect", ["vllm", "llama.cpp"])
async def test_a_server_behind_a_proxy_that_hides_the_list(dialect: str) -> None:
    server = FakeServer(dialect, missing=frozenset({"/v1/models"}))
    async with server, OpenAIEngine(server.url, "toy") as engine:
        assert engine.dialect == dialect


async def test_vllm_without_tokenize_cannot_continue() -> None:
    async with FakeServer("vllm", missing=frozenset({"/tokenize"})) as server, OpenAIEngine(server.url) as engine:
        assert Cap.PREFILL not in engine.caps
        assert Cap.TOKEN_IDS not in engine.caps


async def test_a_template_file_gives_any_server_a_prefill(tmp_path: Path) -> None:
    path = tmp_path / "t.jinja"
    path.write_text(TEMPLATE)
    for dialect in ("plain", "vllm", "llama.cpp"):
        async with FakeServer(dialect) as server, OpenAIEngine(server.url, chat_template=path) as engine:
            assert Cap.PREFILL in engine.caps
            assert engine.think == Think("<think>", "</think>")


def test_a_template_that_is_not_there() -> None:
    with pytest.raises(DataError, match="cannot be read"):
        OpenAIEngine("http://127.0.0.1:1", "toy", chat_template=Path("/no/such.jinja"))


async def test_a_missing_ability_is_told_before_the_first_token() -> None:
    class Prober:
        def needs(self) -> dict[str, frozenset[Cap]]:
            return {"main": frozenset({Cap.PREFILL})}

    async with FakeServer("plain") as server, OpenAIEngine(server.url) as engine:
        with pytest.raises(Exception, match=r"half-written|PREFILL"):
            check(Prober(), {"main": engine})  # type: ignore[arg-type]
    assert server.generations == 0

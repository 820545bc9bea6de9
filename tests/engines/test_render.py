"""Half-written replies as raw prompts: text and ids as they reach each server."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.server import TEMPLATE, FakeServer

from ponder.core.engine import Sampling
from ponder.core.errors import EngineError, Unsupported
from ponder.core.problem import Image, Message, Prompt, Text, Thinking, Tool
from ponder.core.run import Run
from ponder.engines.openai import OpenAIEngine

ASK = Prompt((Message.of("user", "2+2?"),))
HEAD = "<|user|>2+2?<|assistant|>"
BUDGETS = [("vllm", "thinking_token_budget"), ("llama.cpp", "thinking_budget_tokens")]


async def sent(dialect: str, prompt: Prompt, **options: object) -> tuple[FakeServer, object]:
    async with FakeServer(dialect, "one two three") as server, OpenAIEngine(server.url, **options) as engine:  # type: ignore[arg-type]
        await Run(engine, sampling=Sampling(max_tokens=1)).generate(prompt)
    return server, server.body["prompt"]


async def test_llama_cpp_continues_text() -> None:
    server, prompt = await sent("llama.cpp", ASK + "one")
    assert prompt == HEAD + "one"
    assert server.paths()[-2:] == ["/apply-template", "/completion"]


@pytest.mark.parametrize(
    ("ids", "mixed"),
    [
        ((7, 8), [HEAD, 7, 8]),
        (("one", 7), [HEAD + "one", 7]),
        ((7, " two", 8), [HEAD, 7, " two", 8]),
    ],
)
async def test_llama_cpp_continues_text_and_ids(ids: tuple[int | str, ...], mixed: list[int | str]) -> None:
    async with FakeServer("llama.cpp", "one two three") as server, OpenAIEngine(server.url) as engine:
        for number in range(1, 9):
            server.vocabulary.ids(f"w{number}")
        await Run(engine).generate(Prompt(ASK.messages, prefill="one two", prefill_ids=ids))
    assert server.body["prompt"] == mixed


async def test_vllm_continues_ids_alone() -> None:
    server, prompt = await sent("vllm", ASK + "one")
    assert prompt == server.vocabulary.ids(HEAD) + server.vocabulary.ids("one")
    async with FakeServer("vllm", "one two three") as server, OpenAIEngine(server.url) as engine:
        first = server.vocabulary.ids("one")
        await Run(engine).generate(Prompt(ASK.messages, prefill="one two", prefill_ids=(*first, " two")))
    assert server.body["prompt"] == server.vocabulary.ids(HEAD) + first + server.vocabulary.ids(" two")


async def test_vllm_is_told_how_to_think_when_it_renders() -> None:
    tool = Tool("f", '{"type": "function", "function": {"name": "f"}}')
    server, _ = await sent("vllm", Prompt(ASK.messages, (tool,), thinking=Thinking.off(), prefill="one"))
    asked = next(seen.body for seen in reversed(server.requests) if "messages" in seen.body)
    assert asked["chat_template_kwargs"] == {"enable_thinking": False, "thinking": False}
    assert asked["tools"] == [{"type": "function", "function": {"name": "f"}}]
    assert asked["add_generation_prompt"] is True
    assert "chat_template_kwargs" not in server.body


@pytest.mark.parametrize(
    ("dialect", "field"), [("vllm", "thinking_token_budget"), ("llama.cpp", "thinking_budget_tokens")]
)
async def test_a_budget_goes_with_the_raw_call(dialect: str, field: str) -> None:
    server, _ = await sent(dialect, Prompt(ASK.messages, thinking=Thinking.budget(64), prefill="one"))
    assert server.body[field] == 64


@pytest.mark.parametrize("dialect", ["plain", "vllm", "llama.cpp"])
async def test_the_users_template_comes_first(dialect: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jinja"
    path.write_text("<mine>" + TEMPLATE)
    server, prompt = await sent(dialect, ASK + "one", chat_template=path)
    whole = f"<mine>{HEAD}one"
    assert prompt == (server.vocabulary.ids(whole) if dialect == "llama.cpp" else whole)
    assert not {"/apply-template", "/v1/chat/completions"} & set(server.paths())
    if dialect == "vllm":
        assert server.body["add_special_tokens"] is False


@pytest.mark.parametrize("dialect", ["vllm", "llama.cpp"])
async def test_pictures_have_no_place_in_a_raw_prompt(dialect: str) -> None:
    picture = Message("user", (Text("what?"), Image("https://x/y.png")))
    with pytest.raises(Unsupported, match="pictures"):
        await sent(dialect, Prompt((picture,), prefill="one"))


@pytest.mark.parametrize(("dialect", "path"), [("vllm", "/tokenize"), ("llama.cpp", "/apply-template")])
async def test_an_endpoint_that_has_gone(dialect: str, path: str) -> None:
    async with FakeServer(dialect) as server, OpenAIEngine(server.url) as engine:
        server.missing = frozenset({path})
        with pytest.raises(EngineError, match=f"has no {path}"):
            await Run(engine).generate(Prompt((Message.of("user", "new"),), prefill="one"))
    assert server.generations == 0


async def test_many_conversations_do_not_pile_up() -> None:
    async with FakeServer("llama.cpp") as server, OpenAIEngine(server.url) as engine:
        run = Run(engine, sampling=Sampling(max_tokens=1))
        for number in range(260):
            await run.generate(Prompt((Message.of("user", str(number)),), prefill="The"))
        before = server.paths().count("/apply-template")
        await run.generate(Prompt((Message.of("user", "259"),), prefill="The"))
        assert server.paths().count("/apply-template") == before
        await run.generate(Prompt((Message.of("user", "0"),), prefill="The"))
        assert server.paths().count("/apply-template") == before + 1

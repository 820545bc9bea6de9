"""What the server itself tells an examiner: counters in each form, words for thinking, several replies to a call."""

from __future__ import annotations

import pytest
from aiohttp import web
from support.liar import Liar
from support.server import FakeServer

from ponder.core.engine import Sampling
from ponder.core.problem import Message, Prompt
from ponder.engines.anthropic import AnthropicEngine
from ponder.engines.doctor_server import Load, budget_field, load_of, off_words, replies_to_one_call, server_of
from ponder.engines.echo import Echo
from ponder.engines.openai import OpenAIEngine
from ponder.engines.wrap import Limit, Retry

ASK = Prompt((Message.of("user", "2+2?"),))


class Counting(FakeServer):
    """Answers `/metrics` and `/slots` with given texts; other paths as ever."""

    def __init__(self, texts: dict[str, str]) -> None:
        super().__init__("plain")
        self.texts = texts

    def _answer(self, path: str, body: dict[str, object]) -> web.Response:
        return web.Response(text=self.texts[path]) if path in self.texts else super()._answer(path, body)


@pytest.mark.parametrize(
    ("texts", "load"),
    [
        (
            {"/metrics": "# HELP x y\nllamacpp:requests_processing 2\nllamacpp:tokens_predicted_total 1500\n"},
            Load(2, 1500),
        ),
        (
            {
                "/metrics": 'vllm:num_requests_running{engine="0",model_name="a"} 1.0\n'
                'vllm:num_requests_running{engine="1",model_name="a"} 3.0\n'
                'vllm:generation_tokens_total{engine="0"} 1.2e+03\n'
            },
            Load(4, 1200),
        ),
        ({"/metrics": 'sglang:num_running_reqs{tp_rank="0"} 0.0\n'}, Load(0, None)),
        ({"/slots": '[{"id": 0, "is_processing": true}, {"id": 1, "is_processing": false}]'}, Load(1, None)),
        ({"/metrics": "up 1\n", "/slots": "[]"}, Load(None, None)),
        ({"/metrics": "<html>", "/slots": "<html>"}, Load(None, None)),
        ({"/slots": '{"error": "no slots"}'}, Load(None, None)),
        ({}, Load(None, None)),
    ],
)
async def test_counters_are_read_in_every_form(texts: dict[str, str], load: Load) -> None:
    async with Counting(texts) as server, OpenAIEngine(server.url) as engine:
        assert await load_of(engine) == load


async def test_the_server_is_found_behind_wrappers() -> None:
    async with Liar() as server, OpenAIEngine(server.url) as engine:
        assert server_of(Retry(Limit(engine, 3))) is engine
        assert await load_of(engine) == Load(0, 0)
    assert server_of(Retry(Echo())) is None


@pytest.mark.parametrize(
    ("dialect", "field", "off"),
    [
        ("plain", None, None),
        ("openai", None, '{"reasoning_effort":"none"}'),
        ("qwen", "thinking_budget", '{"enable_thinking":false}'),
        ("openrouter", "reasoning.max_tokens", '{"reasoning":{"enabled":false}}'),
        ("deepseek", None, '{"thinking":{"type":"disabled"}}'),
    ],
)
async def test_the_words_of_a_server(dialect: str, field: str | None, off: str | None) -> None:
    async with FakeServer() as server, OpenAIEngine(server.url, "toy", dialect=dialect) as engine:
        assert (budget_field(engine, 64), off_words(engine)) == (field, off)


async def test_a_service_of_the_messages_api_has_words_and_no_counters() -> None:
    async with FakeServer() as server, AnthropicEngine(server.url, "toy") as engine:
        assert (budget_field(engine, 1024), budget_field(engine, 64)) == ("thinking.budget_tokens", None)
        assert await load_of(engine) == Load(None, None)


async def test_one_call_asks_for_several_replies_and_streams_none() -> None:
    async with Liar() as server, OpenAIEngine(server.url) as engine:
        assert await replies_to_one_call(engine, ASK, Sampling(max_tokens=1), 3) == 3
        body = server.requests[-1].body
        assert (body["n"], body["stream"], body["max_tokens"]) == (3, False, 1)
        assert "stream_options" not in body

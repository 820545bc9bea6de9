"""`/chat/completions` and `/route`: a chat is answered by a method, or it is said what would answer it."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from ponder.serve.body import read_body
from ponder.serve.chunks import ChatStream
from ponder.serve.foresee import foresee
from ponder.serve.gateway import ASKED, GATEWAY
from ponder.serve.request import ChatRequest, read_chat
from ponder.serve.respond import chat_body, new_id
from ponder.serve.send import Streamed, Whole, within
from ponder.serve.sse import dumps
from ponder.serve.work import Question, check_budgets, prepare


async def chat(request: web.Request) -> web.StreamResponse:
    """Answer `POST /chat/completions`. Raises `ApiError` for what happens before the first byte."""
    gateway, asked = request.app[GATEWAY], request[ASKED]
    chat = await _read(request)
    question = Question(
        chat.model,
        (chat.problem,) * chat.n,
        chat.sampling,
        chat.control,
        chat.seed,
        chat.stream,
        chat.include_usage,
        chat.top_logprobs,
        chat.ignored,
    )
    async with gateway.gate.place():
        work = await prepare(gateway, asked, question, new_id())
        if not chat.stream:
            return await within(gateway, work, Whole(work, partial(chat_body, format=work.format)))
        stream = ChatStream(work.id, work.created, chat.model, work.format, n=chat.n, include_usage=chat.include_usage)
        return await within(gateway, work, Streamed(request, work, stream, stream.first()))


async def route(request: web.Request) -> web.Response:
    """Answer `POST /route`: decide on a chat as it stands, and ask no model. Raises `ApiError` as a chat would."""
    gateway, asked = request.app[GATEWAY], request[ASKED]
    chat = await _read(request)
    policies, control = gateway.policies, chat.control
    decision = policies.decide(chat.model, control, chat.problem, chat.top_logprobs is not None, asked.key)
    asked.seen.model, asked.seen.method = chat.model, decision.name
    check_budgets(gateway, decision, control, chat.sampling)
    thinking = decision.thinking
    said: dict[str, object] = {
        "object": "ponder.route",
        "model": decision.model.name,
        "engine": decision.model.engine,
        "method": decision.name,
        "by": decision.by,
        "options": policies.table_of(decision.method),
        "thinking": None if thinking is None else {"mode": thinking.mode, "effort": thinking.label},
        "thinking_by": decision.thinking_by or None,
        "source": control.source or None,
        "budget": decision.tokens,
        "limit": control.budget or decision.model.defaults.budget or gateway.settings.limits.budget,
        "passthrough": decision.passthrough or None,
        **await foresee(decision.method, chat.problem),
    }
    return web.Response(body=dumps(said), content_type="application/json")


async def _read(request: web.Request) -> ChatRequest:
    gateway = request.app[GATEWAY]
    value = await read_body(request, gateway.settings.limits.body_bytes)
    return read_chat(value, gateway.request_limits, request[ASKED].seen.id)

"""`/completions`: a prompt goes to the server's own endpoint as it stands, or to a method where one is asked for."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from ponder.core.run import Call
from ponder.engines.http import Json, as_count, as_list, as_object, as_text
from ponder.engines.wrap import innermost
from ponder.serve.body import read_body
from ponder.serve.chunks import CompletionStream
from ponder.serve.fail import ApiError
from ponder.serve.gateway import ASKED, GATEWAY, Asked, Gateway
from ponder.serve.request import CompletionRequest, read_completion
from ponder.serve.respond import completion_body, headers, new_id
from ponder.serve.send import Raw, Streamed, Whole, within
from ponder.serve.sse import DONE, dumps, event
from ponder.serve.work import Question, prepare

if TYPE_CHECKING:
    from ponder.engines.openai import OpenAIEngine

_PATH = "/completions"


async def completions(request: web.Request) -> web.StreamResponse:
    """Answer `POST /completions`. Raises `ApiError` for what happens before the first byte."""
    gateway, asked = request.app[GATEWAY], request[ASKED]
    value = await read_body(request, gateway.settings.limits.body_bytes)
    wanted = read_completion(value, gateway.request_limits, asked.seen.id)
    _, named = gateway.policies.find(wanted.model, asked.key)
    async with gateway.gate.place():
        if wanted.control.method is None and named is None:
            return await _passed(request, gateway, asked, wanted)
        return await _answered(request, gateway, asked, wanted)


async def _answered(
    request: web.Request, gateway: Gateway, asked: Asked, wanted: CompletionRequest
) -> web.StreamResponse:
    """Ask each prompt as a user would, by the method that the request names."""
    texts = [prompt for prompt in wanted.prompts if isinstance(prompt, str)]
    if len(texts) < len(wanted.prompts):
        raise ApiError.bad("prompt", "a method reads text; send the prompt as text, or ask for the model without one")
    problems = tuple(problem for problem in wanted.problems for _ in range(wanted.n))
    if len(problems) > gateway.settings.limits.choices:
        raise ApiError.bad("n", f"prompts times n must be at most {gateway.settings.limits.choices}")
    echo = [text for text in texts for _ in range(wanted.n)] if wanted.echo else []
    question = Question(
        wanted.model,
        problems,
        wanted.sampling,
        wanted.control,
        wanted.seed,
        wanted.stream,
        wanted.include_usage,
        wanted.top_logprobs,
        wanted.ignored,
    )
    work = await prepare(gateway, asked, question, new_id("cmpl"))
    if not wanted.stream:
        return await within(gateway, work, Whole(work, partial(completion_body, format=work.format, echo=echo)))
    stream = CompletionStream(
        work.id, work.created, wanted.model, work.format, n=len(problems), include_usage=wanted.include_usage
    )
    opening = b"".join(stream.echo(text, index) for index, text in enumerate(echo))
    return await within(gateway, work, Streamed(request, work, stream, opening))


async def _passed(
    request: web.Request, gateway: Gateway, asked: Asked, wanted: CompletionRequest
) -> web.StreamResponse:
    """Hand the body to the server as it came. Raises `ApiError` for a model that no server holds."""
    from ponder.engines.openai import OpenAIEngine

    model, _ = gateway.policies.find(wanted.model, asked.key)
    seen = asked.seen
    seen.model, seen.method, seen.stream = wanted.model, "passthrough", wanted.stream
    engine = innermost((await gateway.upstreams.get(model.engine)).engine)
    seen.engine = engine.name
    if not isinstance(engine, OpenAIEngine):
        message = f"{engine.name} has no endpoint for raw prompts; ask /v1/chat/completions, or name a method"
        raise ApiError.bad("model", message, "unsupported")
    relay = _Relay(request, gateway, asked, wanted, engine)
    return await within(gateway, None, relay)


class _Relay(Raw):
    """One completion between a client and the server behind the model."""

    def __init__(
        self, request: web.Request, gateway: Gateway, asked: Asked, wanted: CompletionRequest, engine: OpenAIEngine
    ) -> None:
        ponder: Json = {"method": "passthrough", "passthrough": "a raw completion", "saved": None}
        super().__init__(request, asked, headers(ponder))
        self._gateway, self._asked, self._wanted, self._engine = gateway, asked, wanted, engine
        self._ponder = ponder
        self._body: Json = {**wanted.passed, "model": engine.model}
        self._began = time.monotonic()
        self._usage: Json = {}
        self._reasons: dict[int, str] = {}

    async def send(self) -> web.StreamResponse:
        """Ask the server, and send what it says."""
        try:
            return await (self._streamed() if self._wanted.stream else self._whole())
        finally:
            self._tell()

    async def _whole(self) -> web.StreamResponse:
        reply = await self._engine.client.ask(_PATH, self._body)
        if reply is None:
            raise ApiError(404, f"{self._engine.name} has no {_PATH}; ask /v1/chat/completions")
        self._note(reply)
        body = dumps({**reply, "model": self._wanted.model, "ponder": self._ponder})
        said = {**self._asked.headers, **headers(self._ponder)}
        return web.Response(body=body, content_type="application/json", headers=said)

    async def _streamed(self) -> web.StreamResponse:
        body: Json = {**self._body, "stream_options": {"include_usage": True}}
        async with self._engine.client.events(_PATH, body) as events:
            while (said := await events.next()) is not None:
                self._note(said)
                if self._wanted.include_usage or as_list(said.get("choices")):
                    await self.write(event({**said, "model": self._wanted.model}))
            await events.drain()
        return await self.finish(DONE)

    def _note(self, said: Json) -> None:
        self._usage = as_object(said.get("usage")) or self._usage
        for choice in map(as_object, as_list(said.get("choices"))):
            if reason := as_text(choice.get("finish_reason")):
                self._reasons[as_count(choice.get("index")) or 0] = reason

    def _tell(self) -> None:
        """Tell the observers of the call, as the server itself counted it."""
        tokens = as_count(self._usage.get("completion_tokens")) or 0
        report = self._asked.report
        report.finish = tuple(self._reasons.values())
        report.tokens_by_role = {"answer": tokens} if tokens else {}
        report.prompt_tokens = as_count(self._usage.get("prompt_tokens")) or 0
        report.exact = bool(self._usage)
        call = Call(
            "answer",
            self._engine.name,
            (),
            0,
            answer_tokens=tokens,
            prompt_tokens=report.prompt_tokens,
            finish="length" if "length" in report.finish else "stop" if report.finish else "left",
            seconds=time.monotonic() - self._began,
            exact=report.exact,
        )
        self._gateway.observers.upstream_call(self._asked.seen, call)

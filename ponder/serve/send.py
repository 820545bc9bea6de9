"""Sends the reply to a piece of work, whole or as a stream, within its limits; every failure in the client's words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from aiohttp import web

from ponder.core.errors import PonderError
from ponder.core.method import Solution
from ponder.serve.chunks import KEEP_ALIVE, ChatStream, CompletionStream
from ponder.serve.fail import ApiError
from ponder.serve.fields import Json
from ponder.serve.gateway import GATEWAY, Asked, Gateway
from ponder.serve.outbox import Outbox, Piece
from ponder.serve.respond import Choice, Outcome, answer_logprobs, headers
from ponder.serve.sse import HEADERS, dumps, event
from ponder.serve.work import Work, solve, unshown

Stream = ChatStream | CompletionStream

_LAST_WORDS = 5.0
"""Seconds that a client has to take the error that ends its stream."""


class Reply(Protocol):
    """One way to send what a piece of work comes to."""

    async def send(self) -> web.StreamResponse:
        """Solve, and send everything."""
        ...

    async def fail(self, error: ApiError) -> web.StreamResponse:
        """Send an error, or raise it where nothing was sent yet."""
        ...


async def within(gateway: Gateway, work: Work | None, reply: Reply) -> web.StreamResponse:
    """Send a reply within the limits of time, and put every failure into the client's words."""
    limit = asyncio.timeout(gateway.settings.limits.seconds)
    try:
        async with limit:
            with gateway.at_work(limit):
                return await reply.send()
    except TimeoutError:
        if not limit.expired():
            raise
        error = gateway.out_of_time()
    except ApiError as refused:
        error = refused
    except PonderError as failed:
        error = ApiError.of(failed, costly=work is not None and work.spent)
    if work is not None:
        work.report([])
    return await reply.fail(error)


class Raw:
    """A stream of events to one client: its status line goes out with its first bytes."""

    def __init__(self, request: web.Request, asked: Asked, said: Mapping[str, str]) -> None:
        self._request, self._observed = request, asked.seen
        self._report, self._observers = asked.report, request.app[GATEWAY].observers
        self._response = web.StreamResponse(headers={**HEADERS, **asked.headers, **said})

    async def write(self, data: bytes) -> None:
        """Write events; waits while the client reads too slowly."""
        await self._prepare()
        await self._response.write(data)

    async def finish(self, data: bytes) -> web.StreamResponse:
        """Write the last events. A stream of which nothing was sent yet goes out in one piece, headers and all."""
        if self._response.prepared:
            await self._response.write_eof(data)
            return self._response
        self._first()
        whole = web.Response(body=data, headers=self._response.headers)
        whole.enable_chunked_encoding()
        return whole

    async def fail(self, error: ApiError) -> web.StreamResponse:
        """End with an error: as the reply itself where nothing was sent, else as the last event."""
        if not self._response.prepared:
            raise error
        self._report.error = error.code
        try:
            async with asyncio.timeout(_LAST_WORDS):
                await self._response.write_eof(self.rest() + event(error.body()))
        except TimeoutError:
            # It reads nothing any more; what waits in its socket would keep the connection for ever.
            if self._request.transport is not None:
                self._request.transport.abort()
        return self._response

    def rest(self) -> bytes:
        """Return what is still to be written before an error."""
        return b""

    async def _prepare(self) -> None:
        if not self._response.prepared:
            await self._response.prepare(self._request)
            self._first()

    def _first(self) -> None:
        self._observed.first = time.monotonic()
        self._observers.first_byte(self._observed)


class Whole:
    """A reply that is sent in one piece; `body` puts it into the endpoint's words."""

    def __init__(self, work: Work, body: Callable[[Outcome], Json]) -> None:
        self._work, self._body = work, body

    async def send(self) -> web.StreamResponse:
        """Solve, and return the reply."""
        work = self._work
        solutions = await solve(work)
        work.report(solutions)
        bill = work.bill()
        ponder = work.applied(solutions[0], bill)
        choices = tuple(map(Choice.of, solutions))
        question = work.question
        outcome = Outcome(work.id, work.created, question.model, choices, bill, ponder, question.top_logprobs)
        said = {**work.asked.headers, **headers(ponder)}
        return web.Response(body=dumps(self._body(outcome)), content_type="application/json", headers=said)

    async def fail(self, error: ApiError) -> web.StreamResponse:
        """Nothing was sent yet: the error is the reply."""
        raise error


class Streamed(Raw):
    """A reply that is sent while it is written; `opening` are the events before the first of the method.

    The method runs in a task of its own and puts what it shows into the outbox; this side takes all that is there and
    writes it at once. So a chunk costs no task, and chunks that come together leave together.
    """

    def __init__(self, request: web.Request, work: Work, stream: Stream, opening: bytes = b"") -> None:
        super().__init__(request, work.asked, headers(work.applied()))
        self._work, self._stream, self._opening = work, stream, opening
        self._outbox = Outbox()
        self._pieces: list[Piece] = []
        self._ended: list[tuple[int, Solution]] = []
        self._left = len(work.question.problems)
        self._silent = False
        self._beat: asyncio.TimerHandle | None = None

    async def send(self) -> web.StreamResponse:
        """Write the whole stream."""
        work, outbox = self._work, self._outbox
        task = asyncio.create_task(self._solve())
        self._listen()
        try:
            while True:
                await outbox.wait()
                self._pieces = outbox.take()
                if outbox.ended:
                    break
                silent = self._silent
                if data := self.rest() or (KEEP_ALIVE if silent else b""):
                    self._silent = False
                    await self.write(self._open() + data)
            solutions = await task
        finally:
            await self._stop(task)
        work.report(solutions)
        stream = self._stream
        return await self.finish(self._open() + self.rest() + stream.usage(work.bill()) + stream.done())

    async def _solve(self) -> list[Solution]:
        try:
            return await solve(self._work, self._outbox, self._end)
        finally:
            # Said from within: what was shown and the end of it are then found together, and leave in one write.
            self._outbox.end()

    async def _stop(self, task: asyncio.Task[list[Solution]]) -> None:
        """End the method, where it has not ended, and with it every call that it has open."""
        if self._beat is not None:
            self._beat.cancel()
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError, PonderError):
                await task

    def rest(self) -> bytes:
        """Return all that was taken as events."""
        stream, out = self._stream, []
        for choice, kind, text in self._pieces:
            out.append(stream.note(text, choice) if kind == "note" else stream.delta(text, kind, choice))
        self._pieces = []
        while self._ended:
            out.append(self._last(*self._ended.pop(0)))
        return b"".join(out)

    def _open(self) -> bytes:
        """Return the opening, once."""
        opening, self._opening = self._opening, b""
        return opening

    def _end(self, index: int, solution: Solution) -> None:
        """Note that a choice is done; its last chunks follow what it has shown."""
        self._ended.append((index, solution))
        self._outbox.wake()

    def _last(self, index: int, solution: Solution) -> bytes:
        """Return the chunks that end a choice: what was not shown, tools, log-probabilities, the reason."""
        work, stream = self._work, self._stream
        out = [stream.delta(text, channel, index) for channel, text in unshown(work.traces[index], solution)]
        if isinstance(stream, ChatStream):
            out.append(stream.tools(solution.tool_calls, index))
        top = work.question.top_logprobs
        if top is not None:
            out.append(stream.logprobs(answer_logprobs(solution.logprobs, solution.answer), top, index))
        self._left -= 1
        ponder = None if self._left else work.applied(solution, work.bill())
        out.append(stream.finish(Choice.of(solution).reason, index, ponder))
        return b"".join(out)

    def _listen(self) -> None:
        """Wake the writer where nothing was sent since the last time: proxies and agents drop silent streams."""
        if self._silent:
            self._outbox.wake()
        self._silent = True
        seconds = self._work.gateway.settings.server.keep_alive_seconds
        self._beat = asyncio.get_running_loop().call_later(seconds, self._listen)

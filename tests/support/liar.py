"""A server for examiners: it does all that it says, but for the lies that it is told to tell.

    async with Liar({"buffers", "drops_budget"}) as server, OpenAIEngine(server.url) as engine:
        report = await examine(engine)

Its counters stand at `/metrics` and tell the truth. Two of the lies are only habits: `adds_late` adds up tokens when
all replies have ended, as llama.cpp does, and `stale_gauge` leaves the count of running ones as the last one left it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection

from aiohttp import web
from support.server import Dialect, FakeServer
from support.writers import Json, Writer, tokenize

LIES = frozenset({
    "buffers", "one_piece", "goes_on", "miscounts", "no_usage", "no_stop", "no_limit", "no_logprobs", "one_reply",
    "restarts", "no_seeds", "no_cache", "hides_cache", "drops_budget", "escapes", "no_counters", "hides_thinking",
    "adds_late", "stale_gauge",
})  # fmt: skip
WORDS = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen",
)  # fmt: skip


class Liar(FakeServer):
    """See the module. `thinks` says whether it thinks about hard questions."""

    def __init__(
        self, lies: Collection[str] = (), dialect: Dialect = "vllm", *, tick: float = 0.002, thinks: bool = True
    ) -> None:
        assert LIES.issuperset(lies)
        super().__init__(dialect, tick=0.0 if "buffers" in lies else tick)
        self.lies, self.thinks, self.pace = frozenset(lies), thinks, tick
        self.usage = "no_usage" not in lies
        self.logprobs = "no_logprobs" not in lies
        self.group = 1000 if "one_piece" in lies else 1
        self.prompts: set[str] = set()
        self.repeated = False
        self.added = 0
        self._ghosts: list[asyncio.Task[None]] = []

    async def __aexit__(self, *error: object) -> None:
        for ghost in self._ghosts:
            ghost.cancel()
        await super().__aexit__(*error)

    def _answer(self, path: str, body: Json) -> web.Response:
        if path == "/metrics" and "no_counters" not in self.lies:
            if not self.streams or "adds_late" not in self.lies:
                self.added = self.generated
            running = int(self.generated > 0) if "stale_gauge" in self.lies else self.streams
            names = ("vllm:num_requests_running", running), ("vllm:generation_tokens_total", self.added)
            lines = [f'# TYPE {name} gauge\n{name}{{model_name="toy"}} {float(value)}' for name, value in names]
            return web.Response(text="\n".join(lines) + "\n")
        if path == "/v1/chat/completions":
            count = 1 if "one_reply" in self.lies else body.get("n", 1)
            self.generated += count
            return web.json_response({"choices": [{"index": i, "message": {}} for i in range(count)]})
        return super()._answer(path, body)

    async def _generate(self, request: web.Request, path: str, body: Json) -> web.StreamResponse:
        prompt = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        text = self.vocabulary.text(prompt) if isinstance(prompt, list) else prompt
        self.reply = self._script(text, body)
        self.repeated = text in self.prompts and "no_cache" not in self.lies
        self.prompts.add(text)
        if "no_stop" in self.lies:
            body.pop("stop", None)
        if "no_limit" in self.lies:
            body["max_tokens"] = 100
        if "buffers" in self.lies:
            await asyncio.sleep(0.1)
        try:
            return await super()._generate(request, path, body)
        except asyncio.CancelledError:
            if "goes_on" in self.lies:
                self._ghosts.append(asyncio.create_task(self._go_on()))
            raise

    def _script(self, text: str, body: Json) -> str:
        if "Invent" in text:
            noise = random.Random(None if "no_seeds" in self.lies else body.get("seed"))
            return " ".join(noise.choices(WORDS, k=30))
        if "long story" in text:
            return " ".join(WORDS * 40)
        if "How many" not in text:
            return " ".join(WORDS[i % 16] + "x" * (i // 16) for i in range(120))
        if "</think>" in text:
            said = text[text.index("<think>") :]
            return said + (" Wait.\n<think> hmm</think>\n66." if "escapes" in self.lies else " It is 66.")
        length = 120 if self.thinks else 0
        asked = body.get("thinking_token_budget")
        if asked is not None and "drops_budget" not in self.lies:
            length = min(length, asked)
        thought = " ".join(WORDS[i % 16] for i in range(length))
        return f"<think>{thought}</think> It is 66." if length else "It is 66."

    async def _go_on(self) -> None:
        self.streams += 1
        try:
            for _ in range(400):
                await asyncio.sleep(self.pace)
                self.generated += 1
        finally:
            self.streams -= 1

    def rest(self, said: str, reply: str) -> str:
        return reply if "restarts" in self.lies and "</think>" not in said else super().rest(said, reply)

    def counted(self, writer: Writer) -> Json:
        usage = super().counted(writer)
        if "miscounts" in self.lies:
            usage["completion_tokens"] = 7
        if "hides_cache" not in self.lies:
            usage["prompt_tokens_details"] = {"cached_tokens": usage["prompt_tokens"] - 1 if self.repeated else 0}
        if "hides_thinking" not in self.lies:
            inside = writer.text.partition("</think>")[0] if "<think>" in writer.text else ""
            usage["completion_tokens_details"] = {"reasoning_tokens": len(tokenize(inside))}
        return usage

"""How the loopback server writes a reply in the words of each endpoint."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from support.server import FakeServer

Json = dict[str, Any]


def tokenize(text: str) -> list[str]:
    """Split text into this server's tokens; they join to `text` again."""
    return re.findall(r"</?think>|\s*[^\s<]+|\s*<(?!/?think>)[^\s<]*|\s+", text)


class Vocabulary:
    """Gives each token a small id, in the order of meeting."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def ids(self, text: str) -> list[int]:
        return [self._ids.setdefault(token, len(self._ids) + 1) for token in tokenize(text)]

    def text(self, ids: list[int]) -> str:
        words = {number: token for token, number in self._ids.items()}
        return "".join(words[number] for number in ids)


class Writer:
    """Writes one reply in the words of one endpoint."""

    def __init__(self, server: FakeServer, body: Json) -> None:
        self.server, self.body = server, body
        self.count, self.text, self.matched, self.finished = 0, "", "", "stop"
        stops = body.get("stop") or []
        self.stops = [stops] if isinstance(stops, str) else stops
        self.prompt = self.read_prompt()
        self.script = self.read_script()

    def read_prompt(self) -> str:
        prompt = self.body["prompt"] if "prompt" in self.body else self.server.render(self.body["messages"])
        if isinstance(prompt, list):
            return "".join(p if isinstance(p, str) else self.server.vocabulary.text([p]) for p in prompt)
        return str(prompt)

    def read_script(self) -> str:
        """Return what is left to say: the reply goes on behind what stands after the last turn's mark."""
        said = self.prompt.rpartition("<|assistant|>")[2]
        reply = self.server.reply
        if self.server.opened:
            said, reply = said.removeprefix("<think>\n"), reply.removeprefix("<think>").lstrip()
        return self.server.rest(said, reply)

    def begin(self) -> list[Json]:
        return []

    async def events(self, tokens: AsyncIterator[str]) -> AsyncIterator[Json]:
        """Group tokens into events; stop at a stop string, which is not part of the text."""
        group: list[str] = []
        async for token in tokens:
            self.count += 1
            group.append(token)
            self.text += token
            found = [(self.text.find(stop), stop) for stop in self.stops if stop in self.text]
            if found:
                at, self.matched = min(found)
                kept = "".join(group)[: at - len(self.text)] if at < len(self.text) else "".join(group)
                yield self.event(kept, group)
                return
            if len(group) == self.server.group:
                yield self.event("".join(group), group)
                group = []
        if group:
            yield self.event("".join(group), group)

    def event(self, text: str, tokens: list[str]) -> Json:
        raise NotImplementedError

    def finish(self) -> list[Json]:
        raise NotImplementedError

    def usage(self) -> Json:
        return self.server.counted(self)

    def choice(self, **fields: Any) -> Json:
        return {"id": "x", "choices": [{"index": 0, "finish_reason": None, **fields}]}

    def decorate(self, event: Json, tokens: list[str]) -> Json:
        """Add what a dialect says with each event."""
        choice = event["choices"][0]
        server = self.server
        if server.dialect == "vllm":
            if self.body.get("return_token_ids"):
                choice["token_ids"] = [i for token in tokens for i in server.vocabulary.ids(token)]
            if self.body["stream_options"].get("continuous_usage_stats"):
                event["usage"] = self.usage()
        if server.dialect == "llama.cpp" and self.body.get("timings_per_token"):
            event["timings"] = {"cache_n": 1, "prompt_n": len(tokenize(self.prompt)) - 1, "predicted_n": self.count}
        return event

    def end(self, final: Json) -> list[Json]:
        """Return the event that ends the choice, and the usage."""
        choice = final["choices"][0]
        choice["finish_reason"] = self.finished
        if self.server.dialect == "vllm":
            choice["stop_reason"] = self.matched or None
        if self.server.dialect == "llama.cpp" and self.body.get("verbose"):
            final["__verbose"] = {"stopping_word": self.matched, "tokens_predicted": self.count}
        events = [final]
        if self.server.usage and self.body.get("stream_options", {}).get("include_usage"):
            events.append({"id": "x", "choices": [], "usage": self.usage()})
        return events


class ChatWriter(Writer):
    """`/v1/chat/completions`; with a parser, thinking goes into its field and the marks are taken away."""

    def __init__(self, server: FakeServer, body: Json) -> None:
        super().__init__(server, body)
        self.thinking = server.opened and bool(server.parser)

    def begin(self) -> list[Json]:
        return [self.choice(delta={"role": "assistant", "content": ""})]

    def event(self, text: str, tokens: list[str]) -> Json:
        delta: Json = {"content": text}
        if self.server.parser:
            if "<think>" in text or "</think>" in text:
                before, _, after = text.partition("</think>") if "</think>" in text else ("", "", text)
                self.thinking = "<think>" in text
                delta = (
                    {self.server.parser: before or after.replace("<think>", "")}
                    if self.thinking
                    else {"content": after}
                )
                if not any(delta.values()):
                    delta = {}
            elif self.thinking:
                delta = {self.server.parser: text}
        event = self.choice(delta=delta)
        if self.body.get("logprobs") and self.server.logprobs:
            rows = [{"token": t, "logprob": -0.5, "top_logprobs": [{"token": t, "logprob": -0.5}]} for t in tokens]
            event["choices"][0]["logprobs"] = {"content": rows}
        return self.decorate(event, tokens)

    def finish(self) -> list[Json]:
        events: list[Json] = []
        for index, call in enumerate(self.server.tools):
            text = call["arguments"]
            first = {"index": index, "id": call["id"], "type": "function", "function": {"name": call["name"]}}
            events.append(self.choice(delta={"tool_calls": [first]}))
            for piece in (text[: len(text) // 2], text[len(text) // 2 :]):
                part = {"index": index, "function": {"arguments": piece}}
                events.append(self.choice(delta={"tool_calls": [part]}))
            self.finished = "tool_calls"
        return [*events, *self.end(self.choice(delta={}))]


class RawWriter(Writer):
    """`/v1/completions`."""

    def event(self, text: str, tokens: list[str]) -> Json:
        event = self.choice(text=text)
        if self.body.get("logprobs") and self.server.logprobs:
            table = {"tokens": tokens, "token_logprobs": [-0.5] * len(tokens)}
            event["choices"][0]["logprobs"] = {**table, "top_logprobs": [{t: -0.5, "other": -1.5} for t in tokens]}
        return self.decorate(event, tokens)

    def finish(self) -> list[Json]:
        return self.end(self.choice(text=""))


class NativeWriter(Writer):
    """llama.cpp's `/completion`."""

    def begin(self) -> list[Json]:
        total = len(tokenize(self.prompt))
        progress = {"total": total, "cache": 0, "processed": total, "time_ms": 1}
        return [{**self.state(), "content": "", "tokens": [0], "prompt_progress": progress}]

    def state(self) -> Json:
        total = len(tokenize(self.prompt))
        timings = {"cache_n": 0, "prompt_n": total, "predicted_n": self.count}
        return {"stop": False, "tokens_predicted": self.count, "tokens_evaluated": total, "timings": timings}

    def event(self, text: str, tokens: list[str]) -> Json:
        ids = [i for token in tokens for i in self.server.vocabulary.ids(token)]
        event = {**self.state(), "content": text, "tokens": ids}
        if self.body.get("n_probs"):
            event["completion_probabilities"] = [
                {"token": t, "logprob": -0.5, "top_logprobs": [{"token": t, "logprob": -0.5}]} for t in tokens
            ]
        return event

    def finish(self) -> list[Json]:
        kind = "word" if self.matched else {"stop": "eos", "length": "limit"}[self.finished]
        end = {"content": "", "tokens": [], "stop": True, "stop_type": kind, "stopping_word": self.matched}
        return [{**self.state(), **end}]


class MessagesWriter(Writer):
    """`/v1/messages`: thinking in a block of its own, without marks; counts at the beginning and at the end."""

    def __init__(self, server: FakeServer, body: Json) -> None:
        super().__init__(server, body)
        self.stops = body.get("stop_sequences") or []
        self.block = -1
        self.kind = ""

    def begin(self) -> list[Json]:
        usage = {"input_tokens": len(tokenize(self.prompt)), "output_tokens": 1}
        return [{"type": "message_start", "message": {"role": "assistant", "content": [], "usage": usage}}]

    async def events(self, tokens: AsyncIterator[str]) -> AsyncIterator[Json]:
        async for event in super().events(tokens):
            text = event["text"]
            if text in ("<think>", "</think>") or not text:
                for change in self.turn("thinking" if text == "<think>" else ""):
                    yield change
                continue
            for change in self.turn(self.kind or "text"):
                yield change
            delta = {"type": f"{self.kind}_delta", self.kind: text}
            yield {"type": "content_block_delta", "index": self.block, "delta": delta}

    def event(self, text: str, tokens: list[str]) -> Json:
        return {"text": text}

    def turn(self, kind: str) -> list[Json]:
        """Close the block that is open, and open one of another kind."""
        if kind == self.kind:
            return []
        changes: list[Json] = [{"type": "content_block_stop", "index": self.block}] if self.kind else []
        self.kind = kind
        if kind:
            self.block += 1
            changes.append(
                {"type": "content_block_start", "index": self.block, "content_block": {"type": kind, kind: ""}}
            )
        return changes

    def finish(self) -> list[Json]:
        reason = "stop_sequence" if self.matched else {"stop": "end_turn", "length": "max_tokens"}[self.finished]
        delta = {"stop_reason": reason, "stop_sequence": self.matched or None}
        usage = {"output_tokens": self.count}
        return [*self.turn(""), {"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]


ENDPOINTS: Mapping[str, type[Writer]] = {
    "/v1/chat/completions": ChatWriter,
    "/v1/completions": RawWriter,
    "/completion": NativeWriter,
    "/v1/messages": MessagesWriter,
}

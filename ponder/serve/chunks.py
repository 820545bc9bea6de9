"""A reply as it is streamed: every piece becomes bytes, with what all events have in common written only once.

All methods return whole events, ready to be written, or nothing (`b""`) where the client is to see nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ponder.core.engine import Channel, Logprob
from ponder.core.problem import ToolCall
from ponder.serve.control import ReasoningFormat
from ponder.serve.fail import ApiError
from ponder.serve.respond import TAGS, Bill, logprobs_body, old_logprobs, reasoning_names
from ponder.serve.sse import DONE, comment, dumps, event, quote

KEEP_ALIVE = comment("keep-alive")


@dataclass(slots=True)
class _State:
    """How far one choice is. `answer` and `think` are whole events with a gap for each copy of the text."""

    head: bytes
    answer: tuple[bytes, ...]
    think: tuple[bytes, ...]
    thought: bool = False
    answered: bool = False
    finished: bool = False


class _Stream:
    """What chat and legacy streams share: the parts of an event, and the end."""

    __slots__ = ("_common", "_end", "_include_usage", "_states", "_tail")

    def __init__(self, common: Mapping[str, object], fields: tuple[str, bytes, bytes], n: int, usage: bool) -> None:
        """`fields` are the name of a choice's payload, and what stands before and behind a text in it."""
        self._common = b"data: " + dumps(common)[:-1]
        self._include_usage = usage
        self._tail = b',"usage":null}\n\n' if usage else b"}\n\n"
        self._end = b',"logprobs":null,"finish_reason":null}]' + self._tail
        payload, before, behind = fields
        # The model's name may hold a per cent sign, so nothing is formatted in.
        heads = [self._common + b',"choices":[{"index":%d,' % i + quote(payload) + b":" for i in range(n)]
        self._states = [_State(head, (head + before, behind + self._end), ()) for head in heads]

    def usage(self, bill: Bill) -> bytes:
        """Return the chunk with the bill and no choices, if it was asked for."""
        if not self._include_usage:
            return b""
        return self._common + b',"choices":[],"usage":' + dumps(bill.body()) + b"}\n\n"

    def done(self) -> bytes:
        """Return the mark that ends a stream which went well."""
        return DONE

    def error(self, error: ApiError) -> bytes:
        """Return an error in mid-stream; the connection is closed after it, without the mark of a good end."""
        return event(error.body())

    def _last(self, state: _State, payload: bytes, reason: str, ponder: Mapping[str, object] | None) -> bytes:
        state.finished = True
        said = b',"ponder":' + dumps(ponder) if ponder is not None else b""
        return state.head + payload + b',"logprobs":null,"finish_reason":' + quote(reason) + b"}]" + said + self._tail

    def _with_logprobs(self, state: _State, payload: bytes, logprobs: Mapping[str, object]) -> bytes:
        return state.head + payload + b',"logprobs":' + dumps(logprobs) + b',"finish_reason":null}]' + self._tail


class ChatStream(_Stream):
    """The chunks of one chat reply with `n` choices.

    Call `first()` once, then for each choice `delta()`, `note()` and `tools()` as they come and `finish()` once, then
    `usage()` and `done()`. Thinking that comes after the answer of its choice has begun is not sent: clients read it
    before the answer, and the bill holds it anyway.
    """

    __slots__ = ("_format",)

    def __init__(
        self,
        id: str,
        created: int,
        model: str,
        format: ReasoningFormat = "both",
        *,
        n: int = 1,
        include_usage: bool = False,
    ) -> None:
        common = {"id": id, "object": "chat.completion.chunk", "created": created, "model": model}
        super().__init__(common, ("delta", b'{"content":', b"}"), n, include_usage)
        self._format = format
        names = [quote(name) + b":" for name in reasoning_names(format)]
        for state in self._states if names else ():
            more = tuple(b"," + name for name in names[1:])
            state.think = (state.head + b"{" + names[0], *more, b"}" + self._end)

    def first(self) -> bytes:
        """Return the chunks that open every choice: the role, and content that is empty."""
        return b"".join(state.head + b'{"role":"assistant","content":""}' + self._end for state in self._states)

    def delta(self, text: str, channel: Channel = "answer", index: int = 0) -> bytes:
        """Return a piece of a reply; thinking and answer never share a chunk."""
        state = self._states[index]
        if not text or state.finished:
            return b""
        if channel == "answer":
            closed = b"" if state.answered else self._close_thought(state)
            state.answered = True
            return closed + quote(text).join(state.answer)
        if state.answered or self._format == "none":
            return b""
        if state.think:
            return quote(text).join(state.think)
        text = text if state.thought else TAGS[0] + text
        state.thought = True
        return quote(text).join(state.answer)

    def note(self, text: str, index: int = 0) -> bytes:
        """Return progress as a line of thinking; as a comment where there is no room for thinking (any more)."""
        return self.delta(text + "\n", "think", index) or comment(text)

    def tools(self, calls: Sequence[ToolCall], index: int = 0) -> bytes:
        """Return calls of tools: id and name once, the arguments in a chunk of their own."""
        state = self._states[index]
        out = [self._close_thought(state)] if calls else []
        for number, call in enumerate(calls):
            head = b'%b{"tool_calls":[{"index":%d,' % (state.head, number)
            function = b'"type":"function","function":{"name":%b,"arguments":""}' % quote(call.name)
            out.append(head + b'"id":' + quote(call.id) + b"," + function + b"}]}" + self._end)
            if call.arguments:
                out.append(head + b'"function":{"arguments":' + quote(call.arguments) + b"}}]}" + self._end)
        return b"".join(out)

    def logprobs(self, logprobs: Sequence[Logprob], top: int, index: int = 0) -> bytes:
        """Return the log-probabilities of the answer in a chunk of their own, before the last one."""
        if not logprobs:
            return b""
        return self._with_logprobs(self._states[index], b"{}", logprobs_body(logprobs, top))

    def finish(self, reason: str, index: int = 0, ponder: Mapping[str, object] | None = None) -> bytes:
        """Return the last chunk of a choice, the only one with a `finish_reason`; `ponder` says what was applied."""
        state = self._states[index]
        return self._close_thought(state) + self._last(state, b"{}", reason, ponder)

    def _close_thought(self, state: _State) -> bytes:
        """Return the closing tag, once, where thinking stands between tags."""
        if not state.thought or state.answered:
            return b""
        state.answered = True
        return quote(TAGS[1]).join(state.answer)


class CompletionStream(_Stream):
    """The chunks of a legacy completion; thinking is shown between tags or not at all. Used as `ChatStream` is."""

    __slots__ = ("_tagged",)

    def __init__(
        self,
        id: str,
        created: int,
        model: str,
        format: ReasoningFormat = "both",
        *,
        n: int = 1,
        include_usage: bool = False,
    ) -> None:
        common = {"id": id, "object": "text_completion", "created": created, "model": model}
        super().__init__(common, ("text", b"", b""), n, include_usage)
        self._tagged = format == "think_tags"

    def echo(self, prompt: str, index: int = 0) -> bytes:
        """Return the prompt, where it was asked back."""
        return quote(prompt).join(self._states[index].answer) if prompt else b""

    def delta(self, text: str, channel: Channel = "answer", index: int = 0) -> bytes:
        """Return a piece of a reply."""
        state = self._states[index]
        if not text or state.finished:
            return b""
        if channel == "think":
            if state.answered or not self._tagged:
                return b""
            text = text if state.thought else TAGS[0] + text
            state.thought = True
        elif not state.answered:
            text = TAGS[1] + text if state.thought else text
            state.answered = True
        return quote(text).join(state.answer)

    def note(self, text: str, index: int = 0) -> bytes:
        """Return progress as a comment: there is no field for it."""
        return comment(text)

    def logprobs(self, logprobs: Sequence[Logprob], top: int, index: int = 0) -> bytes:
        """Return the log-probabilities of the answer in a chunk of their own, before the last one."""
        if not logprobs:
            return b""
        return self._with_logprobs(self._states[index], b'""', old_logprobs(logprobs, top))

    def finish(self, reason: str, index: int = 0, ponder: Mapping[str, object] | None = None) -> bytes:
        """Return the last chunk of a choice."""
        state = self._states[index]
        rest = TAGS[1] if state.thought and not state.answered else ""
        return self._last(state, quote(rest), reason, ponder)

"""From a prompt to token ids, such that nothing in a user's text can forge a turn.

The server's own template is used. Text that reads the same with and without control marks goes through it as it is;
for any other text a placeholder goes through, and the text's plain ids take its place.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from ponder.core.engine import Think
from ponder.core.errors import Unsupported
from ponder.core.problem import Image, Message, Prompt
from ponder.engines.begun import MORE, before_more
from ponder.engines.llama_server import LlamaServer
from ponder.engines.llama_wire import check_text
from ponder.engines.template import MARKS

_KEPT = 512
_PLACEHOLDER = "\ue000{}\ue001"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt as ids; `opened` says that it ends inside a thought that the template opened."""

    ids: tuple[int, ...]
    opened: bool


class Renderer:
    """Renders prompts with the server's template and remembers the conversations it has met last."""

    def __init__(self, server: LlamaServer, think: Think | None) -> None:
        self._server = server
        self._given = think
        self._template = ""
        self._join_blank = False
        self._heads: OrderedDict[tuple[object, ...], Rendered] = OrderedDict()
        self._texts: OrderedDict[tuple[str, bool], tuple[int, ...]] = OrderedDict()
        self.think = think or Think()

    async def start(self) -> None:
        """Read the template and find out how the model marks its thinking."""
        self._template = (await self._server.props())["chat_template"]
        # Some tokenizers put a blank before each text; ours are pieces of one text.
        self._join_blank = len(await self._server.tokenize("\n", special=False)) > 1
        if self._given is None:
            self.think = next((Think(*marks) for marks in MARKS if any(m in self._template for m in marks)), Think())
        if self.think.close:
            opened = (await self._head(Prompt((Message.of("user", "Hello"),)))).opened
            self.think = Think(self.think.open, self.think.close, opened)

    @property
    def has_switch(self) -> bool:
        """Whether the template has a switch for thinking."""
        return "enable_thinking" in self._template

    async def render(self, prompt: Prompt) -> Rendered:
        """Return the ids of the conversation and of the half-written turn behind it."""
        head = await self._head(prompt)
        tail: list[int] = []
        for part in prompt.prefill_ids or ((prompt.prefill,) if prompt.prefill else ()):
            if isinstance(part, int):
                tail.append(part)
            else:
                check_text(part, "the prefill")
                tail += await self._written(part)
        return Rendered((*head.ids, *tail), head.opened)

    async def _written(self, text: str) -> list[int]:
        """Encode text that a method wrote: think marks are marks in it, whatever else looks like one is text."""
        if not self.think.close:
            return [*await self._begun(text)]
        marks = [mark for mark in (self.think.open.strip(), self.think.close.strip()) if mark]
        control = [mark for mark in marks if await self._tokens(mark, True) != await self._tokens(mark, False)]
        if not any(mark in text for mark in control):
            return [*await self._begun(text)]
        ids: list[int] = []
        *pieces, last = re.split(f"({'|'.join(map(re.escape, control))})", text)
        for piece in pieces:
            ids += await self._tokens(piece, piece in control)
        return [*ids, *await self._begun(last)]

    async def _begun(self, text: str) -> Sequence[int]:
        """Return the ids of text that a reply goes on from, as they are where more follows."""
        if not text.endswith("\n"):
            return await self._tokens(text, False)
        longer, more = await self._tokens(text + MORE, False), await self._tokens(MORE, False)
        return before_more(longer, more) or await self._tokens(text, False)

    async def _head(self, prompt: Prompt) -> Rendered:
        switches = self._switches(prompt)
        key = (prompt.messages, *switches.items())
        found = self._heads.get(key)
        if found is None:
            found = await self._render_head(prompt.messages, switches)
            self._heads[key] = found
            if len(self._heads) > _KEPT:
                self._heads.popitem(last=False)
        else:
            self._heads.move_to_end(key)
        return found

    async def _render_head(self, messages: Sequence[Message], switches: dict[str, object]) -> Rendered:
        risky: list[str] = []
        sent = []
        for message in messages:
            form = self._form(message)
            for field in ("content", "reasoning_content"):
                text = form.get(field)
                if isinstance(text, str) and await self._risky(text):
                    form[field] = _PLACEHOLDER.format(len(risky))
                    risky.append(text)
            sent.append(form)
        text = await self._server.apply_template(sent, switches)
        opened = bool(self.think.open) and text.rstrip().endswith(self.think.open.strip())
        if not risky:
            return Rendered(await self._server.tokenize(text, special=True, begin=True), opened)
        ids: list[int] = []
        for number, piece in enumerate(re.split("\ue000(\\d+)\ue001", text)):
            if number % 2:
                ids += await self._tokens(risky[int(piece)], False)
            elif number == 0:
                ids += await self._server.tokenize(piece, special=True, begin=True)
            else:
                ids += await self._tokens(piece, True)
        return Rendered(tuple(ids), opened)

    async def _risky(self, text: str) -> bool:
        check_text(text, "a message")
        return "\ue000" in text or await self._tokens(text, True) != await self._tokens(text, False)

    async def _tokens(self, text: str, special: bool) -> tuple[int, ...]:
        """Return the ids of a piece of text, as they are inside a longer one."""
        if not text:
            return ()
        key = (text, special)
        if key not in self._texts:
            if self._join_blank:
                lead = await self._server.tokenize("\n", special=False)
                ids = (await self._server.tokenize("\n" + text, special=special))[len(lead) :]
            else:
                ids = await self._server.tokenize(text, special=special)
            self._texts[key] = ids
            if len(self._texts) > _KEPT:
                self._texts.popitem(last=False)
        self._texts.move_to_end(key)
        return self._texts[key]

    def _form(self, message: Message) -> dict[str, object]:
        """Return a message as the template takes it."""
        if any(isinstance(part, Image) for part in message.parts):
            raise Unsupported("this engine reads no pictures; use a server that does (--model URL#NAME)")
        role = "system" if message.role == "developer" and "developer" not in self._template else message.role
        form: dict[str, object] = {"role": role, "content": message.text}
        if message.reasoning is not None:
            form["reasoning_content"] = message.reasoning
        if message.tool_call_id is not None:
            form["tool_call_id"] = message.tool_call_id
        if message.tool_calls:
            form["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in message.tool_calls
            ]
        return form

    def _switches(self, prompt: Prompt) -> dict[str, object]:
        """Return the template's arguments for the thinking that is asked for."""
        thinking = prompt.thinking
        if thinking is None or (thinking.mode == "off" and not self.think):
            return {}
        if thinking.mode in ("off", "on") and self.has_switch:
            return {"enable_thinking": thinking.mode == "on"}
        raise Unsupported(
            f"the model's chat template has no switch for thinking {thinking.mode!r}; "
            "leave the option out, or use a method that steers thinking by itself"
        )


_COMPACT = {"x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}}
"""Said to the grammar's compiler: where white space is free between signs, small models write it without end."""


def response_format(prompt: Prompt) -> dict[str, object]:
    """Return the fields that hold a reply to the JSON schema that the client asked for."""
    if prompt.response_format is None:
        return {}
    try:
        asked = json.loads(prompt.response_format)
        kind = asked["type"]
        schema = asked["json_schema"]["schema"] if kind == "json_schema" else {"type": "object"}
    except (ValueError, KeyError, TypeError) as error:
        raise Unsupported(f"the response format is not what OpenAI's API describes ({error!r})") from None
    if kind == "text":
        return {}
    if kind in ("json_schema", "json_object"):
        return {"json_schema": schema | _COMPACT if isinstance(schema, dict) else schema}
    raise Unsupported(f"the response format {kind!r} is not known; use text, json_object or json_schema")

"""Three ways to write a conversation with a half-written reply as one raw prompt: by file, by vLLM, by llama.cpp."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import NamedTuple, Protocol

from ponder.core.errors import EngineError, Unsupported
from ponder.core.problem import Image, Prompt
from ponder.engines.dialect import Dialect
from ponder.engines.http import Client, Json, as_list, as_text
from ponder.engines.template import ChatTemplate, ends_open, template_options

RawPrompt = str | list[int] | list[int | str]
Encode = Callable[[str], Awaitable[list[int]]]
_KEPT = 256


class Raw(NamedTuple):
    """A raw prompt; `opened` says that the template, not the prefill, left a thought open at its end."""

    prompt: RawPrompt
    opened: bool


class Renderer(Protocol):
    """Turns a prompt into what the raw endpoint continues."""

    async def render(self, prompt: Prompt) -> Raw:
        """Return the raw prompt, prefill included. Raises `Unsupported` for pictures."""
        ...


class ByTemplate:
    """Renders with the chat template that the user named. The prompt is text, so no token ids are continued from."""

    def __init__(self, template: ChatTemplate, opening: str, encode: Encode | None = None) -> None:
        self._template, self._opening, self._encode = template, opening, encode

    async def render(self, prompt: Prompt) -> Raw:
        """Render on this side; `encode` is for servers that would put a second mark of beginning before text."""
        refuse_pictures(prompt)
        head = self._template.render(prompt)
        whole = head + prompt.prefill
        return Raw(whole if self._encode is None else await self._encode(whole), ends_open(head, self._opening))


class ByVLLM:
    """Has vLLM's `/tokenize` render the conversation to ids, and continues from ids; heads are asked for once."""

    def __init__(self, client: Client, root: str, model: str, dialect: Dialect, opening: str) -> None:
        self._client, self._path, self._model = client, root + "/tokenize", model
        self._dialect, self._opening = dialect, opening
        self._known: OrderedDict[Hashable, Raw] = OrderedDict()

    async def render(self, prompt: Prompt) -> Raw:
        """Ask for the ids of the conversation and of each piece of text in the prefill."""
        refuse_pictures(prompt)
        key = (prompt.messages, prompt.tools, prompt.thinking, prompt.extra)
        head = self._known.get(key)
        if head is None:
            body = self._dialect.conversation(prompt)
            head = await self._tokenize({**body, "add_generation_prompt": True, "return_token_strs": True})
            self._known[key] = head
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        ids = [i for i in head.prompt if isinstance(i, int)]
        for piece in prompt.prefill_ids or (prompt.prefill,):
            ids += [piece] if isinstance(piece, int) else await self.ids(piece)
        return Raw(ids, head.opened)

    async def ids(self, text: str) -> list[int]:
        """Return the ids of a piece of text, with nothing put before it."""
        if not text:
            return []
        found = await self._tokenize({"prompt": text, "add_special_tokens": False})
        return [i for i in found.prompt if isinstance(i, int)]

    async def _tokenize(self, body: Json) -> Raw:
        answer = await self._client.ask(self._path, {"model": self._model, **body})
        if answer is None:
            raise EngineError(
                f"{self._client.where} has no /tokenize; give the model's chat_template instead", status=404
            )
        tail = "".join(as_text(token) for token in as_list(answer.get("token_strs"))[-16:])
        # Byte-level tokenizers write blanks and line breaks as these letters.
        shown = tail.replace("Ġ", " ").replace("Ċ", "\n").replace("▁", " ")
        return Raw([i for i in as_list(answer.get("tokens")) if isinstance(i, int)], ends_open(shown, self._opening))


class ByLlamaCpp:
    """Has llama.cpp's `/apply-template` render the conversation, and continues from text and ids mixed."""

    def __init__(self, client: Client, root: str, dialect: Dialect, opening: str) -> None:
        self._client, self._path = client, root + "/apply-template"
        self._dialect, self._opening = dialect, opening
        self._known: OrderedDict[Hashable, str] = OrderedDict()

    async def render(self, prompt: Prompt) -> Raw:
        """Ask for the text of the conversation, once for each."""
        refuse_pictures(prompt)
        key = (prompt.messages, prompt.tools, prompt.thinking, prompt.extra)
        head = self._known.get(key)
        if head is None:
            answer = await self._client.ask(self._path, self._dialect.conversation(prompt))
            if answer is None:
                raise EngineError(f"{self._client.where} has no /apply-template; update llama.cpp", status=404)
            head = self._known[key] = as_text(answer.get("prompt"))
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        opened = ends_open(head, self._opening)
        if not prompt.prefill_ids:
            return Raw(head + prompt.prefill, opened)
        mixed: list[int | str] = [head, *prompt.prefill_ids]
        if isinstance(prompt.prefill_ids[0], str):
            mixed[:2] = [head + prompt.prefill_ids[0]]
        return Raw(mixed, opened)


def llama_cpp_encode(client: Client, root: str) -> Encode:
    """Return what encodes text at llama.cpp with its control marks, and puts nothing before it."""

    async def encode(text: str) -> list[int]:
        body: Json = {"content": text, "add_special": False, "parse_special": True}
        answer = await client.ask(root + "/tokenize", body)
        return [i for i in as_list((answer or {}).get("tokens")) if isinstance(i, int)]

    return encode


def refuse_pictures(prompt: Prompt) -> None:
    """Raise `Unsupported` for pictures: a raw prompt is text and has no place for them."""
    if any(isinstance(part, Image) for message in prompt.messages for part in message.parts):
        raise Unsupported("a half-written reply to a message with pictures cannot be continued; leave out the prefill")


def raw_options(dialect: Dialect, prompt: Prompt) -> Json:
    """Return what is left of `Prompt.thinking` once the template has spoken: the server's own budget."""
    asked = dialect.thinking(prompt.thinking)
    said = {"chat_template_kwargs", *template_options(prompt.thinking)}
    return {name: value for name, value in asked.items() if name not in said}

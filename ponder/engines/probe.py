"""Asks a server once what it is: its dialect, its context length, its template, and how its model thinks."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from ponder.core.engine import Cap, Think
from ponder.core.errors import DataError, EngineError, OptionError
from ponder.core.problem import Message, Prompt
from ponder.engines.dialect import Dialect
from ponder.engines.dialects import SGLANG_PROCESSORS, SGLang, dialect_named, dialect_of_host
from ponder.engines.http import Client, Json, as_count, as_list, as_object, as_text
from ponder.engines.render import ByLlamaCpp, ByTemplate, ByVLLM, Renderer, llama_cpp_encode
from ponder.engines.template import MARKS, ChatTemplate, marks_in

_ASKED = ("vllm", "llama.cpp", "sglang", "ollama")
"""Servers that tell about themselves."""
_QUESTION = Prompt((Message.of("user", "?"),))

_OLLAMA_LOGPROBS = [0, 12, 11]
"""The first version whose OpenAI endpoint gives log-probabilities; older ones drop the question."""
_OLLAMA_CAPS = {"tools": Cap.TOOLS, "vision": Cap.IMAGES, "thinking": Cap.THINKING}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user said about a server."""

    model: str
    dialect: str
    template: ChatTemplate | None
    think: Think | None


@dataclass(frozen=True, slots=True)
class Server:
    """What is known about a server once it was asked."""

    model: str
    dialect: Dialect
    caps: frozenset[Cap]
    think: Think
    context_length: int | None = None
    renderer: Renderer | None = None


async def probe(client: Client, root: str, wanted: Wanted) -> Server:
    """Return what the server is. `root` is its address without the version. Raises `EngineError`, `OptionError`."""
    known = dialect_of_host(urlsplit(client.base).hostname or "")
    if known is not None or wanted.dialect not in ("auto", *_ASKED):
        dialect = dialect_named(wanted.dialect) if wanted.dialect != "auto" else known or Dialect()
        if wanted.model:
            # A service is not asked: its list of models is long, and its first reply tells about the key.
            return _with_template(
                client, root, Server(wanted.model, dialect, dialect.caps, wanted.think or Think()), wanted
            )
    entries = await _models(client)
    model = wanted.model or _only(client, entries)
    entry = next((entry for entry in entries if entry.get("id") == model), entries[0] if entries else {})
    owner = as_text(entry.get("owned_by"))
    if known is None and wanted.dialect == "auto":
        dialect = await _detect(client, root, owner)
    elif known is None:
        dialect = dialect_named(wanted.dialect)
    length = as_count(entry.get("max_model_len")) or as_count(entry.get("context_length"))
    server = Server(model, dialect, dialect.caps, wanted.think or Think(), length)
    if dialect.name == "llama.cpp":
        server = await _llama_cpp(client, root, server, wanted)
    elif dialect.name == "vllm":
        server = await _vllm(client, root, server, wanted)
    elif dialect.name == "sglang":
        server = await _sglang(client, root, server)
    elif dialect.name == "ollama":
        server = await _ollama(client, root, server)
    return _with_template(client, root, server, wanted)


async def _try(client: Client, url: str, body: Json | None = None) -> Json:
    """Ask for something that a server need not have; a refusal is an empty answer, silence is an error."""
    try:
        return await client.ask(url, body, seconds=client.timeouts.probe) or {}
    except EngineError as error:
        if error.status is None:
            raise
        return {}


async def _models(client: Client) -> list[Json]:
    try:
        answer = await client.ask("/models", seconds=client.timeouts.probe)
    except EngineError as error:
        if error.status in (None, 401, 403):
            raise
        answer = None
    return [as_object(entry) for entry in as_list((answer or {}).get("data"))]


def _only(client: Client, entries: list[Json]) -> str:
    names = [as_text(entry.get("id")) for entry in entries]
    if len(names) == 1:
        return names[0]
    listed = f"one of {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}" if names else "its name"
    raise OptionError(f"{client.where} does not tell which model is meant; name {listed}, as in --model URL#NAME")


async def _detect(client: Client, root: str, owner: str) -> Dialect:
    if owner == "sglang":
        return dialect_named("sglang")
    if owner == "vllm" or (not owner and (await _try(client, root + "/version")).get("version")):
        return dialect_named("vllm")
    props = await _try(client, root + "/props")
    if "default_generation_settings" in props:
        return dialect_named("llama.cpp")
    if (await _try(client, root + "/api/version")).get("version"):
        return dialect_named("ollama")
    return Dialect()


async def _llama_cpp(client: Client, root: str, server: Server, wanted: Wanted) -> Server:
    props = await _try(client, root + "/props")
    source = as_text(props.get("chat_template"))
    caps = set(server.caps)
    if not as_object(props.get("modalities")).get("vision"):
        caps.discard(Cap.IMAGES)
    marks = marks_in(source)
    if "enable_thinking" not in source and not marks[1]:
        caps.discard(Cap.THINKING)
    renderer = ByLlamaCpp(client, root, server.dialect, wanted.think.open if wanted.think else marks[0])
    think = wanted.think
    if think is None and wanted.template is None:
        think = Think(*marks, opened=bool(marks[0]) and (await renderer.render(_QUESTION)).opened)
    settings = as_object(props.get("default_generation_settings"))
    length = as_count(settings.get("n_ctx")) or server.context_length
    return Server(server.model, server.dialect, frozenset(caps), think or Think(), length, renderer)


async def _vllm(client: Client, root: str, server: Server, wanted: Wanted) -> Server:
    """A mark that the tokenizer holds as one token is a mark of this model: vLLM does not show the template."""
    question: Json = {"model": server.model, "add_special_tokens": False}
    if not await _try(client, root + "/tokenize", {**question, "prompt": "?"}):
        lost = {Cap.PREFILL, Cap.TOKEN_IDS}
        return Server(server.model, server.dialect, server.caps - lost, server.think, server.context_length)
    think = wanted.think
    for opening, closing in MARKS:
        if think is None:
            answer = await _try(client, root + "/tokenize", {**question, "prompt": closing})
            think = Think(opening, closing) if answer.get("count") == 1 else None
    think = think or Think()
    renderer = ByVLLM(client, root, server.model, server.dialect, think.open)
    if wanted.think is None and think:
        try:
            think = Think(think.open, think.close, (await renderer.render(_QUESTION)).opened)
        except EngineError:
            # A model without a chat template has no turn in which to open a thought.
            think = Think()
    return Server(server.model, server.dialect, server.caps, think, server.context_length, renderer)


async def _sglang(client: Client, root: str, server: Server) -> Server:
    """Ask how the server was started: only that tells which budget it keeps; it drops the others without a word."""
    info = await _try(client, root + "/server_info") or await _try(client, root + "/get_server_info")
    parser = as_text(info.get("reasoning_parser"))
    dialect = SGLang(
        strict=bool(parser) and info.get("enable_strict_thinking") is True,
        processor=SGLANG_PROCESSORS.get(parser, "") if info.get("enable_custom_logit_processor") is True else "",
    )
    return replace(server, dialect=dialect, caps=dialect.caps)


async def _ollama(client: Client, root: str, server: Server) -> Server:
    """Ask what the model can do. Its context length is left out: the server loads it with a shorter one."""
    told = as_list((await _try(client, root + "/api/show", {"model": server.model})).get("capabilities"))
    caps = server.caps - {cap for name, cap in _OLLAMA_CAPS.items() if told and name not in told}
    version = as_text((await _try(client, root + "/api/version")).get("version"))
    numbers = [int(part) for part in re.findall(r"\d+", version)[:3]]
    return replace(server, caps=caps | {Cap.LOGPROBS} if numbers >= _OLLAMA_LOGPROBS else caps)


def _with_template(client: Client, root: str, server: Server, wanted: Wanted) -> Server:
    """Add what the user's own chat template makes possible; it comes before the server's."""
    if wanted.template is None:
        return server
    try:
        think = wanted.think or wanted.template.think()
    except DataError as error:
        raise OptionError(str(error)) from None
    encode = llama_cpp_encode(client, root) if server.dialect.name == "llama.cpp" else None
    renderer = ByTemplate(wanted.template, think.open, encode)
    caps = (server.caps | {Cap.PREFILL}) - {Cap.TOKEN_IDS}
    return Server(server.model, server.dialect, caps, think, server.context_length, renderer)


def check_dialect(name: str) -> None:
    """Raise `OptionError` unless `name` is `auto` or a dialect."""
    if name != "auto":
        dialect_named(name)

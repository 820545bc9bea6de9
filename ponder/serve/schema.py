"""`/openapi.json`: OpenAPI 3.1 for all endpoints, as permissive as the gateway is and as strict where it refuses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from aiohttp import web

from ponder import __version__
from ponder.serve.fields import Json
from ponder.serve.gateway import ASKED, GATEWAY
from ponder.serve.request import Limits
from ponder.serve.schema_fields import chat_request, completion_request
from ponder.serve.sse import dumps

_ERRORS: Mapping[int, str] = {
    400: "The request is wrong: broken JSON, a wrong type, something that the method or the model cannot do.",
    401: "The key is missing or unknown.",
    403: "The key may not ask for this, or the web page may not call the gateway.",
    404: "There is no such model, or no such path.",
    413: "The body is larger than the gateway takes.",
    429: "The gateway or the model server is at its limit; `Retry-After` says when to come back.",
    500: "The gateway failed.",
    502: "The model server failed.",
    503: "The model server or the gateway is not ready.",
    504: "The model server took too long.",
}


async def openapi_page(request: web.Request) -> web.Response:
    """Describe the gateway to programs."""
    gateway, asked = request.app[GATEWAY], request[ASKED]
    document = openapi(gateway.policies.names(asked.key), gateway.request_limits)
    return web.Response(body=dumps(document), content_type="application/json")


def openapi(models: Sequence[str], limits: Limits | None = None) -> Json:
    """Return the OpenAPI document of a gateway that serves `models`."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ponder",
            "version": __version__,
            "summary": "An OpenAI-compatible gateway that shortens reasoning.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/v1"}, {"url": "/", "description": "The same endpoints without /v1."}],
        "security": [{}, {"key": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "headers": _headers(),
            "responses": {str(status): _error(text) for status, text in _ERRORS.items()},
            "schemas": _schemas(models, limits or Limits()),
        },
    }


def _paths() -> Json:
    asking, running = (400, 401, 403, 404, 413, 500), (429, 502, 503, 504)
    # Some tools read this as the schema of one event, others as that of the whole text; so it asks for nothing.
    events: Json = {"description": "Server-sent events: each holds one chunk as JSON, and the last says [DONE]."}
    reply: dict[str, Json] = {"application/json": _ref("ChatCompletion"), "text/event-stream": events}
    old: dict[str, Json] = {"application/json": _ref("Completion"), "text/event-stream": events}
    telling = (401, 403, 500)
    one = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}]
    return {
        "/chat/completions": {"post": _post("createChatCompletion", "ChatRequest", reply, (*asking, *running))},
        "/completions": {"post": _post("createCompletion", "CompletionRequest", old, (*asking, *running))},
        "/route": {"post": _post("route", "ChatRequest", {"application/json": _ref("Route")}, (*asking, *running))},
        "/models": {"get": _get("listModels", _ref("Models"), telling)},
        "/models/{id}": {"parameters": one, "get": _get("retrieveModel", _ref("Model"), (*telling, 400, 404))},
        "/health": {"get": _get("health", _ref("Status"), (403, 500))},
        "/health/liveliness": {"get": _get("liveliness", _ref("Status"), (403, 500))},
        "/health/readiness": {"get": _readiness()},
        "/metrics": {"get": _get("metrics", {"type": "string"}, telling, "text/plain")},
        "/version": {"get": _get("version", _ref("Version"), telling)},
        "/openapi.json": {"get": _get("openapi", {"type": "object", "required": ["openapi", "paths"]}, telling)},
    }


def _ref(name: str, kind: str = "schemas") -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _responses(content: Mapping[str, Json], errors: Iterable[int]) -> Json:
    good: Json = {
        "description": "It went well.",
        "headers": {"x-request-id": _ref("x-request-id", "headers")},
        "content": {kind: {"schema": schema} for kind, schema in content.items()},
    }
    return {"200": good, **{str(status): _ref(str(status), "responses") for status in sorted(errors)}}


def _get(name: str, schema: Json, errors: Iterable[int], kind: str = "application/json") -> Json:
    return {"operationId": name, "responses": _responses({kind: schema}, errors)}


def _post(name: str, body: str, content: Mapping[str, Json], errors: Iterable[int]) -> Json:
    asked = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    return {"operationId": name, "requestBody": asked, "responses": _responses(content, errors)}


def _readiness() -> Json:
    """Its 503 is no failure of the gateway but what it says, so it has the same body as its 200."""
    body = {"application/json": {"schema": _ref("Readiness")}}
    responses = _responses({"application/json": _ref("Readiness")}, (403, 500))
    return {
        "operationId": "readiness",
        "responses": {**responses, "503": {"description": "Not ready yet, or draining.", "content": body}},
    }


def _error(text: str) -> Json:
    names = ("x-request-id", "x-should-retry", "Retry-After")
    return {
        "description": text,
        "headers": {name: _ref(name, "headers") for name in names},
        "content": {"application/json": {"schema": _ref("Error")}},
    }


def _headers() -> Json:
    return {
        "x-request-id": {"description": "Names the request in the log.", "schema": {"type": "string"}},
        "x-should-retry": {"schema": {"type": "string", "enum": ["true", "false"]}},
        "Retry-After": {"description": "Seconds.", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
    }


def _schemas(models: Sequence[str], limits: Limits) -> Json:
    return {
        "ChatRequest": chat_request(models, limits),
        "CompletionRequest": completion_request(models, limits),
        "ChatCompletion": _reply("chat.completion", "message", _ref("Message")),
        "Completion": _reply("text_completion", "text", _TEXT),
        "Message": _MESSAGE,
        "Usage": _USAGE,
        "Ponder": _PONDER,
        "Route": _object(
            {
                "object": {"const": "ponder.route"},
                "model": _TEXT,
                "engine": _TEXT,
                "method": _TEXT,
                "route": _MAYBE_TEXT,
                "route_score": {"type": ["number", "null"]},
                "foreseen": {"type": ["boolean", "null"]},
                "reason": _MAYBE_TEXT,
            }
        ),
        "Model": _object({"id": _TEXT, "object": {"const": "model"}, "created": _COUNT, "owned_by": _TEXT}),
        "Models": _object({"object": {"const": "list"}, "data": {"type": "array", "items": _ref("Model")}}),
        "Status": _object({"status": _TEXT, "version": _TEXT}),
        "Readiness": _object({"status": _TEXT, "engines": {"type": "object"}, "working": _COUNT}),
        "Version": _object({"version": _TEXT}),
        "Error": _object({"error": _object(_ERROR_FIELDS)}),
    }


def _object(properties: Mapping[str, object], optional: Iterable[str] = ()) -> Json:
    """Return the schema of an object that has all properties but the optional ones, and may have more."""
    required = [name for name in properties if name not in set(optional)]
    return {"type": "object", "required": required, "properties": dict(properties)}


_TEXT: Json = {"type": "string"}
_MAYBE_TEXT: Json = {"type": ["string", "null"]}
_COUNT: Json = {"type": "integer", "minimum": 0}
_ERROR_FIELDS: Json = {"message": _TEXT, "type": _TEXT, "param": _MAYBE_TEXT, "code": _MAYBE_TEXT}

_MESSAGE: Json = _object(
    {
        "role": {"const": "assistant"},
        "content": _MAYBE_TEXT,
        "reasoning_content": _MAYBE_TEXT,
        "reasoning": _MAYBE_TEXT,
        "tool_calls": {"type": ["array", "null"], "items": {"type": "object", "required": ["id", "type", "function"]}},
    },
    ("reasoning_content", "reasoning", "tool_calls"),
)

_USAGE: Json = _object({
    "prompt_tokens": _COUNT,
    "completion_tokens": _COUNT,
    "total_tokens": _COUNT,
    "prompt_tokens_details": _object({"cached_tokens": _COUNT}),
    "completion_tokens_details": _object({"reasoning_tokens": _COUNT}),
})  # fmt: skip

_PONDER: Json = {
    "type": "object",
    "description": "What the gateway did: method, route, budget asked and used, who kept it, why the thought ended.",
    "required": ["method"],
    "properties": {
        "method": _TEXT,
        "route": _MAYBE_TEXT,
        "route_score": {"type": ["number", "null"]},
        "source": _MAYBE_TEXT,
        "budget": {"type": ["integer", "null"]},
        "used": _COUNT,
        "enforced_by": _MAYBE_TEXT,
        "exit": _MAYBE_TEXT,
        "tokens": {"type": "object", "additionalProperties": _COUNT},
        "calls": _COUNT,
        "exact": {"type": "boolean"},
        "ignored": {"type": "array", "items": _TEXT},
        "overridden": {"type": "array", "items": _TEXT},
        "passthrough": _MAYBE_TEXT,
    },
}


def _reply(kind: str, payload: str, schema: Json) -> Json:
    choice = _object({
        "index": _COUNT,
        payload: schema,
        "finish_reason": {"enum": ["stop", "length", "tool_calls", "content_filter", "function_call"]},
        "logprobs": {"type": ["object", "null"]},
    }, ("logprobs",))  # fmt: skip
    return _object(
        {
            "id": _TEXT,
            "object": {"const": kind},
            "created": _COUNT,
            "model": _TEXT,
            "choices": {"type": "array", "minItems": 1, "items": choice},
            "usage": _ref("Usage"),
            "ponder": _ref("Ponder"),
        },
        ("ponder",),
    )

from __future__ import annotations

import json
from typing import Any

import pytest
from support.gateway import USER, running

from ponder.serve.app import ROUTES
from ponder.serve.request import Limits
from ponder.serve.schema import openapi

Json = dict[str, Any]
DOCUMENT: Json = json.loads(json.dumps(openapi(["m", "m:auto"])))
VERBS = {"get", "post"}


def operations() -> list[tuple[str, str, Json]]:
    return [
        (path, verb, operation)
        for path, item in DOCUMENT["paths"].items()
        for verb, operation in item.items()
        if verb in VERBS
    ]


def references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_it_has_every_endpoint_and_no_other() -> None:
    served = {(path.replace("{id:.+}", "{id}"), verb.lower()) for verb, path, _ in ROUTES}
    assert {(path, verb) for path, verb, _ in operations()} == served


def test_every_reference_leads_somewhere_and_everything_is_used() -> None:
    found = references(DOCUMENT)
    for reference in found:
        place: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
        assert isinstance(place, dict)
    for kind in ("schemas", "responses", "headers"):
        assert {f"#/components/{kind}/{name}" for name in DOCUMENT["components"][kind]} <= found


def test_operations_are_named_once_and_say_how_they_fail() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    for path, verb, operation in operations():
        assert {"200", "403", "500"} <= set(operation["responses"])
        if verb == "post":
            assert {"400", "401", "404", "413", "429", "502", "503", "504"} <= set(operation["responses"]), path


def test_a_key_is_optional_and_both_prefixes_are_served() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["security"] == [{}, {"key": []}]
    assert [server["url"] for server in DOCUMENT["servers"]] == ["/v1", "/"]


def test_the_models_are_those_that_may_be_asked_for() -> None:
    for name in ("ChatRequest", "CompletionRequest"):
        assert DOCUMENT["components"]["schemas"][name]["properties"]["model"]["enum"] == ["m", "m:auto", "default"]


def test_limits_are_those_of_the_gateway() -> None:
    document: Any = openapi(["m"], Limits(n=3, stops=2))
    chat = document["components"]["schemas"]["ChatRequest"]["properties"]
    assert chat["n"]["maximum"] == 3
    assert chat["stop"]["anyOf"][2]["maxItems"] == 2


async def test_a_gateway_shows_it_with_its_own_models() -> None:
    async with running() as gateway:
        reply, same = await gateway.get("/v1/openapi.json"), await gateway.get("/openapi.json")
    assert reply.status == 200
    assert reply.json == same.json
    assert "echo:sample" in reply.json["components"]["schemas"]["ChatRequest"]["properties"]["model"]["enum"]


@pytest.mark.parametrize("path", ["/health", "/health/liveliness", "/version", "/models", "/models/echo", "/metrics"])
async def test_what_is_told_is_as_it_is_described(path: str) -> None:
    async with running() as gateway:
        reply = await gateway.get(path)
    pattern = "/models/{id}" if path == "/models/echo" else path
    (kind,) = content = DOCUMENT["paths"][pattern]["get"]["responses"]["200"]["content"]
    assert reply.headers["Content-Type"].startswith(kind)
    assert reply.headers["x-request-id"]
    if kind == "application/json":
        holds(reply.json, content[kind]["schema"])


async def test_replies_and_errors_are_as_they_are_described() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    async with running() as gateway:
        chat = await gateway.ask(logprobs=True, n=2)
        wrong = await gateway.ask(temperature=-1)
        route = await gateway.ask("/v1/route")
    assert (chat.status, wrong.status, route.status) == (200, 400, 200)
    holds(chat.json, schemas["ChatCompletion"])
    holds(wrong.json, schemas["Error"])
    holds(route.json, schemas["Route"])
    assert wrong.headers["x-should-retry"] in schemas_of_header("x-should-retry")


def schemas_of_header(name: str) -> list[str]:
    values: list[str] = DOCUMENT["components"]["headers"][name]["schema"]["enum"]
    return values


def holds(value: object, schema: Json) -> None:
    """Fail unless a value is as a schema says: types, constants, required fields, items."""
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
    kinds["number"] = float
    names = schema.get("type", [])
    allowed = tuple(kinds[name] for name in ([names] if isinstance(names, str) else names))
    assert not allowed or isinstance(value, allowed), (value, schema)
    assert "const" not in schema or value == schema["const"]
    assert "enum" not in schema or value in schema["enum"]
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= set(value)
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                holds(value[name], inner)
    for item in value if isinstance(value, list) else ():
        holds(item, schema.get("items", {}))


def test_the_checker_of_these_tests_refuses_what_is_wrong() -> None:
    error = {"error": {"message": "m", "type": "t", "param": None, "code": None}}
    holds(error, DOCUMENT["components"]["schemas"]["Error"])
    with pytest.raises(AssertionError):
        holds({"detail": "m"}, DOCUMENT["components"]["schemas"]["Error"])
    assert USER

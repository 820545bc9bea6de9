"""JSON as it comes in: what is no JSON, what only some parsers take, and one object read field by field."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ponder.serve.fail import ApiError
from ponder.serve.fields import Fields, kind_of, note, read_json, shown


def refused(act: Callable[[], object]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        act()
    assert caught.value.status == 400
    assert caught.value.type == "invalid_request_error"
    return caught.value


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"a": 1,}',
        b'{"a": 1} {"b": 2}',
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": -1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\xff\xfe"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\\ud800"}',
        b'{"a": "\\uDFFF x"}',
        b'{"\\ud83d": 1}',
        b'{"a": 1, "a": 2}',
        b'{"x": {"a": 1, "b": 2, "a": 1}}',
        b"[" * 100 + b"]" * 100,
        b'{"a":' * 100 + b"1" + b"}" * 100,
        b"[" * 200_000,
        b"[" * 100_000 + b"]" * 100_000,
        '{"a": "ü"}'.encode("utf-16"),
    ],
    ids=lambda raw: ascii(raw[:24]),
)
def test_what_is_no_json_is_a_400(raw: bytes) -> None:
    error = refused(lambda: read_json(raw))
    assert error.code == "invalid_json"
    assert error.param is None
    assert error.message.startswith("the body is no JSON that can be read: ")
    assert "sys.set_int" not in error.message


def test_a_name_that_stands_twice_is_named() -> None:
    assert "'seed' stands twice" in refused(lambda: read_json(b'{"seed": 1, "n": 1, "seed": 2}')).message


def test_many_names_with_one_twice_are_refused_in_no_time() -> None:
    names = ",".join(f'"k{i}":0' for i in range(50_000))
    assert "'k49999' stands twice" in refused(lambda: read_json(f'{{{names},"k49999":1}}'.encode())).message


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"{}", {}),
        (b' {"a": [1, 2.5, null, true, "x"]} ', {"a": [1, 2.5, None, True, "x"]}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        ('{"a": "\U0001f600"}'.encode(), {"a": "\U0001f600"}),
        (b'{"a": "\\\\ud800"}', {"a": "\\ud800"}),
        (b"null", None),
        (b"[" * 60 + b"]" * 60, None),
    ],
)
def test_what_is_json_is_read(raw: bytes, value: object) -> None:
    read = read_json(raw)
    assert read == (json.loads(raw) if raw.startswith(b"[") else value)


def test_a_megabyte_of_prompt_is_read() -> None:
    text = "a whole lot of text, " * 50_000
    assert read_json(json.dumps({"prompt": text}).encode()) == {"prompt": text}


def test_depth_is_the_callers_choice() -> None:
    assert read_json(b'{"a": {"b": {}}}', depth=3) == {"a": {"b": {}}}
    assert "more than 2 deep" in refused(lambda: read_json(b'{"a": {"b": {}}}', depth=2)).message


@pytest.mark.parametrize("value", [None, 1, "x", [], True])
def test_only_an_object_can_be_read(value: object) -> None:
    error = refused(lambda: Fields(value))
    assert error.code == "invalid_type"
    assert error.message == f"the body must be an object, not {kind_of(value)}"


def test_null_is_absent() -> None:
    """Content may be null ... and so may everything else: SDKs send null for what was not set."""
    fields = Fields({name: None for name in "abcdefgh"})
    assert fields.text("a") is None
    assert fields.flag("b") is None
    assert fields.number("c", 0, 1) is None
    assert fields.integer("d", 0) is None
    assert fields.inner("e") is None
    assert fields.array("f") is None
    assert fields.choice("g", ("x",)) is None
    assert fields.rest() == {}
    assert fields.has("a")
    assert not fields.has("z")


@pytest.mark.parametrize("value", [1, 0, "true", [], {}, 1.0])
def test_a_flag_is_true_or_false(value: object) -> None:
    error = refused(lambda: Fields({"stream": value}).flag("stream"))
    assert (error.param, error.code) == ("stream", "invalid_type")


@pytest.mark.parametrize("value", [True, False, "0.5", [], {}])
def test_a_number_is_no_boolean_and_no_string(value: object) -> None:
    error = refused(lambda: Fields({"t": value}).number("t", 0, 2))
    assert (error.param, error.code) == ("t", "invalid_type")
    assert kind_of(value) in error.message


@pytest.mark.parametrize("value", [-0.1, 2.1, 1e308, -1e308, float("nan"), float("inf"), 10**400])
def test_a_number_stays_in_its_range(value: float) -> None:
    error = refused(lambda: Fields({"t": value}).number("t", 0, 2))
    assert (error.param, error.code, error.message) == ("t", "invalid_value", "t must be in 0 to 2")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (True, "invalid_type"),
        ("3", "invalid_type"),
        (1.5, "invalid_type"),
        (float("inf"), "invalid_type"),
        (float("nan"), "invalid_type"),
        ([], "invalid_type"),
        (0, "invalid_value"),
        (-1, "invalid_value"),
        (2**31, "invalid_value"),
        (1e300, "invalid_value"),
        (10**4000, "invalid_value"),
    ],
)
def test_a_whole_number_is_whole_and_in_range(value: object, code: str) -> None:
    error = refused(lambda: Fields({"n": value}).integer("n", 1))
    assert (error.param, error.code) == ("n", code)


def test_json_has_one_kind_of_number() -> None:
    assert Fields({"n": 3.0}).integer("n", 1) == 3
    assert Fields({"t": 1}).number("t", 0, 2) == 1.0


def test_a_word_names_the_nearest() -> None:
    error = refused(lambda: Fields({"e": "hihg"}).choice("e", ("low", "high")))
    assert error.message == "e must be one of low, high, not 'hihg'; did you mean 'high'?"


def test_a_value_of_the_client_is_shown_short_and_in_ascii() -> None:
    assert shown("ü\n" + "x" * 100) == "'\\xfc\\n" + "x" * 37 + "...'"


def test_a_path_leads_into_nested_objects() -> None:
    body = Fields({"a": {"b": [{"c": 1}, {"c": "x"}]}})
    inner = body.inner("a")
    assert inner is not None
    first, second = inner.objects("b")
    assert first.integer("c", 0) == 1
    assert refused(lambda: second.integer("c", 0)).param == "a.b[1].c"
    assert refused(lambda: Fields({"b": [1]}).objects("b")).param == "b[0]"


def test_arrays_have_a_limit() -> None:
    assert refused(lambda: Fields({"s": [1, 2, 3]}).array("s", 2)).message == "s must be an array of at most 2, not 3"
    assert refused(lambda: Fields({"s": "x"}).array("s")).code == "invalid_type"


def test_what_must_be_there() -> None:
    assert refused(lambda: Fields({}).needs("model")).code == "missing_required_parameter"
    assert refused(lambda: Fields({"model": None}).needs("model")).code == "missing_required_parameter"
    assert refused(lambda: Fields({"model": ""}).needs("model")).code == "invalid_value"
    assert Fields({"model": "m"}).needs("model") == "m"


def test_rest_is_what_nobody_has_read() -> None:
    fields = Fields({"a": 1, "b": 2, "c": None, "d": {"x": 1, "y": 2}})
    fields.integer("a", 0)
    inner = fields.inner("d")
    assert inner is not None
    inner.integer("x", 0)
    fields.put("d", inner.rest())
    assert fields.rest() == {"b": 2, "d": {"y": 2}}
    fields.leave("a")
    assert fields.rest() == {"a": 1, "b": 2, "d": {"y": 2}}
    assert fields.whole()["d"] == {"y": 2}


def test_an_object_that_was_read_up_is_gone() -> None:
    fields = Fields({"d": {"x": 1}})
    inner = fields.inner("d")
    assert inner is not None
    inner.integer("x", 0)
    fields.put("d", inner.rest())
    assert fields.rest() == {}


def test_reading_leaves_the_clients_object_as_it_was() -> None:
    body: dict[str, object] = {"d": {"x": 1, "y": 2}}
    Fields(body).put("d", {"y": 2})
    assert body == {"d": {"x": 1, "y": 2}}


def test_a_closed_object_names_what_it_does_not_know() -> None:
    own = Fields({"metod": "auto"}, "ponder")
    error = refused(lambda: own.close(("method", "options")))
    assert (error.param, error.code) == ("ponder.metod", "unknown_parameter")
    assert error.message == "ponder has no field 'metod'; did you mean 'method'?; it has method, options"


def test_ignored_names_fit_into_a_header() -> None:
    ignored: list[str] = []
    for i in range(100):
        note(ignored, f"{i:03}" + "x" * 1000)
        note(ignored, f"{i:03}" + "x" * 1000)
    assert len(ignored) == len(set(ignored)) == 16
    assert max(map(len, ignored)) == 60

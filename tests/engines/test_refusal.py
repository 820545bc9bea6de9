"""Error messages in every shape, the statuses that they carry, and when to come back."""

from __future__ import annotations

import pytest

from ponder.engines.refusal import message_of, retry_after, status_of


@pytest.mark.parametrize(
    ("raw", "said", "code"),
    [
        ('{"error": {"message": "m", "code": "c"}}', "m", "c"),
        ('{"error": "m"}', "m", ""),
        ('{"object": "error", "message": "m", "code": 400}', "m", ""),
        ('{"detail": [{"loc": ["body"], "msg": "bad"}]}', '[{"loc": ["body"], "msg": "bad"}]', ""),
        ("plain  words\n here", "plain words here", ""),
        ("x" * 900, "x" * 199 + "…", ""),
        ("", "", ""),
        ("[1]", "", ""),
    ],
)
def test_messages_of_errors_in_every_shape(raw: str, said: str, code: str) -> None:
    assert message_of(raw.encode(), "application/json") == (said, code)


def test_retry_after_that_is_nonsense() -> None:
    assert retry_after({}) is None
    assert retry_after({"Retry-After": "soon"}) is None
    assert retry_after({"Retry-After": "-3"}) == 0.0
    assert retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"error": {"code": 503, "type": "api_error"}}, 503),
        ({"error": {"status": 429}}, 429),
        ({"error": {"code": "context_length_exceeded"}, "code": 400}, 400),
        ({"error": {"type": "overloaded_error"}}, 529),
        ({"error": {"type": "novel_error", "code": True}}, None),
        ({"error": "text"}, None),
        ({"error": {"code": 7}}, None),
    ],
)
def test_the_status_of_an_error_that_came_as_an_event(event: dict[str, object], status: int | None) -> None:
    assert status_of(event) == status

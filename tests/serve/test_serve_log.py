from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from ponder.core.trace import Call
from ponder.serve.log import RequestLog, plain
from ponder.serve.observe import Ended, Observer, Seen

SECRET = "the prompt of a client"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(out: io.StringIO, seen: Seen, ended: Ended, *calls: Call, pretty: bool | None = None) -> str:
    """What the log writes about one request."""
    log: Observer = RequestLog(out, pretty=pretty)
    log.request_started(seen)
    log.first_byte(seen)
    for call in calls:
        log.upstream_call(seen, call)
    log.request_ended(seen, ended)
    return out.getvalue()


def request(**more: object) -> Seen:
    fields = {
        "id": "r1", "route": "/chat/completions", "client": "team", "model": "m:auto", "method": "auto",
        "engine": "m@host:1", "stream": True, "started": 100.0, "started_at": 1_700_000_000.25, "first": 100.5, **more,
    }  # fmt: skip
    return Seen(**fields)  # type: ignore[arg-type]


CALL = Call("answer", "m@host:1", (), 1, SECRET, SECRET, SECRET, think_tokens=30, answer_tokens=12, prompt_tokens=9)


def test_a_request_is_one_line_of_json() -> None:
    evidence = ({"exit": "budget", "budget": 512, "enforced_by": "server", "note": SECRET},)
    text = told(io.StringIO(), request(), Ended(200, 1.23456, finish=("stop",), evidence=evidence), CALL, CALL)
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert json.loads(text) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "info",
        "event": "request",
        "request_id": "r1",
        "client": "team",
        "verb": "POST",
        "endpoint": "/chat/completions",
        "model": "m:auto",
        "method": "auto",
        "engine": "m@host:1",
        "finish": ["stop"],
        "exit": "budget",
        "budget": 512,
        "enforced_by": "server",
        "status": 200,
        "seconds": 1.2346,
        "first_byte_seconds": 0.5,
        "stream": True,
        "calls": 2,
        "tokens": 84,
        "tokens_by_role": {"think": 60, "answer": 24},
        "prompt_tokens": 18,
        "cached_tokens": 0,
        "exact": True,
    }


def test_the_page_lists_every_field() -> None:
    page = (Path(__file__).parents[2] / "docs" / "observability.md").read_text("utf-8")
    table = page.partition("## Lines")[2].partition("## Traces")[0]
    shown = {
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    decided = {"exit": "budget", "budget": 5, "enforced_by": "server", "escaped": 2}
    evidence = ({**decided, "route": "hard", "score": 0.5, "reason": "the router failed (ValueError: 6 times 7)"},)
    ended = Ended(200, 1.0, error="upstream_error", left=True, finish=("stop",), evidence=evidence)
    assert shown == set(json.loads(told(io.StringIO(), request(), ended, CALL)))


def test_a_client_that_left_is_billed_in_the_log() -> None:
    found = json.loads(told(io.StringIO(), request(first=None), Ended(499, 0.2, left=True), CALL))
    assert found["left"] is True
    assert found["tokens"] == 42
    assert "first_byte_seconds" not in found


@pytest.mark.parametrize(
    ("ended", "level"),
    [
        (Ended(200, 1.0), "info"),
        (Ended(200, 1.0, error="upstream_error"), "warning"),
        (Ended(429, 1.0, error="rate_limit_exceeded"), "warning"),
        (Ended(502, 1.0, error="upstream_error"), "error"),
    ],
)
def test_the_level_follows_from_the_end(ended: Ended, level: str) -> None:
    assert json.loads(told(io.StringIO(), request(), ended))["level"] == level


def test_a_request_that_never_chose_a_model_has_no_bill() -> None:
    found = json.loads(
        told(io.StringIO(), request(model="", method="", engine=""), Ended(400, 0.1, error="invalid_json"))
    )
    assert "tokens" not in found
    assert "model" not in found
    assert found["error"] == "invalid_json"


def test_no_text_of_a_prompt_or_a_reply_is_ever_written() -> None:
    evidence = ({"exit": "natural", "answer": SECRET, "thought": SECRET},)
    seen, ended = request(), Ended(200, 1.0, finish=("stop",), evidence=evidence)
    for pretty in (True, False):
        assert SECRET not in told(io.StringIO(), seen, ended, CALL, pretty=pretty)


def test_a_terminal_gets_a_line_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    evidence = ({"exit": "loop"},)
    text = told(Terminal(), request(), Ended(200, 1.234, evidence=evidence), CALL)
    assert "\x1b[32m200\x1b[0m" in text
    for part in ("1.23 s", "/chat/completions", "m:auto by auto", "think 30, answer 12 tokens", "exit loop", "r1"):
        assert part in text


def test_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in told(Terminal(), request(), Ended(500, 1.0, error="internal_error", left=True))


@pytest.mark.parametrize("pretty", [True, False])
def test_a_name_cannot_steer_a_terminal_or_forge_a_line(pretty: bool) -> None:
    evil = 'x\x1b[2J\n{"level":"info"}\r\u202e'
    text = told(io.StringIO(), request(id=evil, model=evil), Ended(200, 1.0), pretty=pretty)
    assert text.count("\n") == 1
    assert not {"\x1b", "\r", "\u202e"} & set(text)
    assert len(plain("x" * 5000)) == 200


def test_machines_that_ask_every_second_are_logged_only_when_they_fail() -> None:
    health = request(route="/health", verb="GET", model="", method="")
    assert told(io.StringIO(), health, Ended(200, 0.001)) == ""
    assert json.loads(told(io.StringIO(), health, Ended(500, 0.001)))["status"] == 500


def test_a_log_that_cannot_be_written_stops_no_request() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    log = RequestLog(Full())
    log.request_ended(request(), Ended(200, 1.0))
    closed = io.StringIO()
    closed.close()
    other = RequestLog(closed, pretty=False)
    other.request_ended(request(), Ended(200, 1.0))
    assert (log.lost, other.lost) == (1, 1)

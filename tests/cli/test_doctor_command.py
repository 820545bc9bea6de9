"""`ponder doctor` on the command line, against a server on the loopback."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.command import Command
from support.liar import Liar

from ponder.cli.doctor import _MEANINGS
from ponder.engines.doctor_report import CHEAP, COSTLY, Report, ReportStore


@contextmanager
def serving(server: Liar) -> Iterator[Liar]:
    """Run a server in a thread of its own: a command has an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_every_fact_is_explained() -> None:
    assert list(_MEANINGS) == [*CHEAP, *COSTLY]


def test_the_table_shows_what_was_learnt(ponder: Command) -> None:
    with serving(Liar({"no_stop"})) as server:
        done = ponder("doctor", server.url)
    assert done.code == 0
    lines = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    assert set(CHEAP) <= lines.keys()
    assert "vllm" in lines["server"]
    assert " no " in lines["stop_strings"]
    assert " yes " in lines["streams"]
    assert "unknown" in lines["reasoning_count"] or " yes " in lines["reasoning_count"]
    assert "\x1b" not in done.out


def test_a_report_is_kept_for_a_day_and_asked_again_when_told(ponder: Command) -> None:
    with serving(Liar()) as server:
        first = ponder("doctor", server.url, "--json", "--only", "usage", "--only", "n")
        spent = server.generated
        again = ponder("doctor", server.url + "#toy", "--json", "--only", "usage")
        assert server.generated == spent
        assert json.loads(first.out) == json.loads(again.out)
        more = ponder("doctor", server.url, "--json", "--only", "seeds")
        assert [fact["name"] for fact in json.loads(more.out)["facts"]] == ["usage", "n", "seeds"]
        spent = server.generated
        fresh = ponder("doctor", server.url, "--json", "--only", "usage", "--fresh")
        assert server.generated > spent
    report = Report.from_json(json.loads(fresh.out))
    assert report == ReportStore().load(server.url, "toy")


def test_an_old_report_is_not_shown(ponder: Command, tmp_path: Path) -> None:
    with serving(Liar()) as server:
        ReportStore().save(Report(server.url, "toy", "2020-01-01T00:00:00+00:00", ()))
        done = ponder("doctor", server.url, "--json", "--only", "n")
    assert not json.loads(done.out)["date"].startswith("2020")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("qwen",), "no server address"),
        (("http://127.0.0.1:9",), "cannot be reached"),
        (("http://127.0.0.1:9", "--dialect", "vlm"), "did you mean 'vllm'"),
        (("https://api.anthropic.com",), "needs the model's name"),
    ],
)
def test_mistakes_are_said_in_one_sentence(ponder: Command, args: tuple[str, ...], said: str) -> None:
    done = ponder("doctor", *args)
    assert done.code == 1
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_an_unknown_fact_is_named(ponder: Command) -> None:
    with serving(Liar()) as server:
        done = ponder("doctor", server.url, "--only", "stream")
    assert done.code == 1
    assert "did you mean 'streams'" in done.err

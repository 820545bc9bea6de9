from __future__ import annotations

from pathlib import Path

import pytest
from support.gateway import running
from support.server import FakeServer, Fault, until

from ponder.engines.doctor_report import CHEAP, Fact, Report, ReportStore, now
from ponder.engines.echo import Echo
from ponder.engines.open import Loaded, open_engine
from ponder.serve.facts import Facts
from ponder.serve.settings import Model, Server, Settings, Upstream


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PONDER_CACHE", str(tmp_path))
    return tmp_path


def behind(server: FakeServer, examine: bool = True) -> Settings:
    engines = {"main": Upstream(url=server.url, model="toy", retries=1)}
    return Settings(Server(examine=examine), engines=engines, models={"toy": Model("toy", method={"method": "sample"})})


async def test_a_server_is_examined_in_the_background_and_its_facts_are_shown() -> None:
    async with FakeServer("vllm", "one two three four") as server, running(behind(server)) as gateway:
        await until(lambda: gateway.gateway.facts.of("main") is not None)
        reply = await gateway.get("/v1/models/toy")
    report = reply.json["ponder"]["engine"]["report"]
    assert set(report["facts"]) == set(CHEAP)
    assert report["facts"]["streams"]["value"] is not None


async def test_what_was_learnt_is_kept_and_not_asked_again() -> None:
    async with FakeServer("vllm", "one two three four") as server:
        for _ in range(2):
            async with running(behind(server)) as gateway:
                await until(lambda: gateway.gateway.facts.of("main") is not None)
            asked = server.generations
        assert server.generations == asked
        assert asked > 0


async def test_costly_facts_of_before_are_shown_too(cache: Path) -> None:
    async with FakeServer("vllm", "one") as server:
        facts = (*(Fact(name, True, "asked") for name in CHEAP), Fact("seeds", True, "asked"))
        ReportStore(cache / "doctor").save(Report(server.url, "toy", now(), facts))
        async with running(behind(server)) as gateway:
            await until(lambda: gateway.gateway.facts.of("main") is not None)
            reply = await gateway.get("/v1/models/toy")
        assert server.generations == 0
    assert reply.json["ponder"]["engine"]["report"]["facts"]["seeds"]["value"] is True


async def test_nothing_is_asked_where_nobody_wants_it() -> None:
    async with FakeServer("vllm", "one") as server, running(behind(server, examine=False)) as gateway:
        await until(lambda: gateway.gateway.upstreams.opened("main") is not None)
        reply = await gateway.get("/v1/models/toy")
        assert server.generations == 0
    assert reply.json["ponder"]["engine"]["report"] is None


async def test_a_server_that_refuses_is_logged_and_serves_on(caplog: pytest.LogCaptureFixture, cache: Path) -> None:
    faults = {index: Fault("status", status=400) for index in range(50)}
    async with FakeServer("vllm", "one", faults=faults) as server, open_engine(f"{server.url}#toy") as loaded:
        facts = Facts(ReportStore(cache))
        facts.learn("main", loaded)
        facts.learn("echo", Loaded(Echo(), 1, "echo"))
        await until(lambda: "could not be found out" in caplog.text)
        await facts.close()
    assert facts.of("main") is None
    assert facts.of("echo") is None

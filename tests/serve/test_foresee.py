"""Routed model names through a real gateway: the decision in the response, the dry run, files that change."""

from __future__ import annotations

import io
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.gateway import running

from ponder.core.engine import Think
from ponder.core.errors import OptionError
from ponder.engines.echo import Echo
from ponder.methods import catalogue
from ponder.routers.state import TOML
from ponder.routers.words import Weights
from ponder.serve.log import RequestLog
from ponder.serve.policies import Policies
from ponder.serve.settings import Settings, read
from ponder.text.ngrams import BUCKETS, hashed
from ponder.train.words import save

SAID = "<think>six times seven </think>It is 42."
EASY = [{"role": "user", "content": "Tell me of trees"}]


def router(folder: Path, word: str) -> Path:
    """Save a router that sends what has a word in it to the strong side."""
    rows = np.zeros((2, BUCKETS))
    (bucket,) = set(hashed(word)) - set(hashed(word, words=False))
    rows[1, bucket], rows[0, bucket] = 9.0, -9.0
    shutil.rmtree(folder, ignore_errors=True)
    save(folder, rows, ("weak", "strong"), "sigmoid", {})
    return folder


def smart(folder: Path | str, **more: object) -> Settings:
    """Settings of a file with one routed name."""
    table = {"method": "thinking_route", "router": {"router": "words", "path": str(folder)}, "threshold": 0.6, **more}
    return read({"engine": {"main": {"model": "echo"}}, "model": {"echo": table}})  # type: ignore[dict-item]


async def test_the_decision_and_its_score_stand_in_the_reply_and_in_its_headers(tmp_path: Path) -> None:
    async with running(smart(router(tmp_path / "r", "times")), {"main": Echo()}) as gateway:
        hard = await gateway.ask()
        easy = await gateway.ask(messages=EASY)
        streamed = await gateway.ask(messages=EASY, stream=True)
        told = gateway.told
    for reply, route, score in ((hard, "on", 0.5 + 9 / 18), (easy, "off", 0.5)):
        ponder = reply.json["ponder"]
        assert (ponder["method"], ponder["route"]) == ("thinking_route", route)
        assert ponder["route_score"] == pytest.approx(score, abs=0.3)
        assert reply.headers["x-ponder-route"] == route
        assert float(reply.headers["x-ponder-route-score"]) == ponder["route_score"]
        assert bool(reply.json["choices"][0]["message"].get("reasoning")) is (route == "on")
    (last,) = [event["ponder"] for event in streamed.events if "ponder" in event]
    assert (last["route"], last["route_score"]) == ("off", 0.5)
    assert [ended.evidence[0]["route"] for _, ended in told.ended] == ["on", "off", "off"]


async def test_the_dry_run_says_what_the_reply_will_say_and_asks_no_model(tmp_path: Path) -> None:
    engine = Echo()
    async with running(smart(router(tmp_path / "r", "times")), {"main": engine}) as gateway:
        hard, easy = await gateway.ask("/v1/route"), await gateway.ask("/v1/route", messages=EASY)
        asked = engine.calls
        reply = await gateway.ask()
        sketch = await gateway.ask("/v1/route", model="echo:sketch_of_thought")
        auto = await gateway.ask("/v1/route", model="echo:auto", messages=[{"role": "user", "content": "Hello!"}])
        plain = await gateway.ask("/v1/route", model="echo:self_consistency")
    assert asked == 0
    assert (hard.json["route"], hard.json["foreseen"]) == ("on", True)
    assert "reaches the threshold 0.6" in hard.json["reason"]
    assert hard.json["route_score"] == reply.json["ponder"]["route_score"]
    assert (easy.json["route"], easy.json["route_score"]) == ("off", 0.5)
    assert sketch.json["route"] == "chunked_symbolism"
    assert (auto.json["route"], auto.json["foreseen"]) == ("trivial", True)
    assert (plain.json["route"], plain.json["foreseen"]) == (None, None)


async def test_a_router_that_asks_a_model_cannot_be_foreseen() -> None:
    from collections.abc import Mapping
    from dataclasses import dataclass

    from ponder.core.engine import Cap
    from ponder.core.problem import Problem, Prompt
    from ponder.core.run import Run
    from ponder.methods.route.thinking_route import ThinkingRoute
    from ponder.serve.foresee import foresee

    @dataclass(frozen=True)
    class Asks:
        def needs(self) -> Mapping[str, frozenset[Cap]]:
            return {"judge": frozenset()}

        async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
            call = await run.on("judge").generate(Prompt.of(problem), "route")
            return {"weak": 0.0, "strong": float(len(call.text))}

    found = await foresee(ThinkingRoute(Asks()), Problem.of("q"))
    assert (found["route"], found["foreseen"]) == (None, False)
    assert found["reason"] == "it depends on what a model says, and a dry run asks none"


async def test_a_file_that_changes_counts_without_a_restart_and_a_broken_one_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = router(tmp_path / "r", "times")
    async with running(smart(folder), {"main": Echo()}) as gateway:

        async def ways() -> tuple[str, str]:
            first, second = await gateway.ask(), await gateway.ask(messages=EASY)
            return first.json["ponder"]["route"], second.json["ponder"]["route"]

        assert await ways() == ("on", "off")
        router(folder, "trees")
        assert await ways() == ("off", "on")
        card = (folder / TOML).read_text("utf-8")
        with caplog.at_level(logging.WARNING):
            (folder / TOML).write_text(card.replace("format = 1", "format = 12"), "utf-8")
            assert await ways() == ("off", "on")
            (folder / TOML).write_text("no TOML at all", "utf-8")
            assert await ways() == ("off", "on")
        router(folder, "times")
        assert await ways() == ("on", "off")
    said = [record.getMessage() for record in caplog.records if "is not taken" in record.getMessage()]
    assert len(said) == 2
    assert "format = 12" in said[0]
    assert "cannot be read" in said[1]


async def test_a_router_that_fails_answers_by_the_configured_side_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Weights, question: str) -> dict[str, float]:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(Weights, "rate", fails)
    log = io.StringIO()
    settings = smart(router(tmp_path / "r", "times"), fallback="weak")
    async with running(settings, {"main": Echo()}) as gateway:
        reply, dry = await gateway.ask(), await gateway.ask("/v1/route")
        seen, ended = gateway.told.ended[0]
    ponder = reply.json["ponder"]
    assert (reply.status, ponder["route"], ponder["route_score"]) == (200, "off", None)
    assert "the router failed (RuntimeError: out of luck)" in ponder["evidence"]["reason"]
    assert (dry.json["route"], dry.json["reason"]) == ("off", ponder["evidence"]["reason"])
    line = RequestLog(log, pretty=False)
    line.request_started(seen)
    line.request_ended(seen, ended)
    assert json.loads(log.getvalue())["router_failed"] == "yes"
    assert "luck" not in log.getvalue()


async def test_an_engine_that_is_down_costs_only_the_questions_that_need_it() -> None:
    """A router's own model has a fallback; the strong one is not asked for what the weak one answers."""
    down = {"url": "http://127.0.0.1:9"}
    table = {"engine": "small", "engines": {"strong": "big", "router": "gone"}, "method": "routellm"}
    models = {way: {**table, "router": {"router": "causal"}, "fallback": way} for way in ("weak", "strong")}
    settings = read({"engine": {"small": {"model": "echo"}, "big": down, "gone": down}, "model": models})  # type: ignore[dict-item]
    async with running(settings, {"small": Echo()}) as gateway:
        weak = [await gateway.ask(model="weak", stream=stream) for stream in (False, True)]
        strong = [await gateway.ask(model="strong", stream=stream) for stream in (False, True)]
    said = weak[0].json["ponder"]
    assert [reply.status for reply in weak] == [200, 200]
    assert (said["route"], said["evidence"]["failed"]) == ("weak", 1)
    assert "cannot be reached" in said["evidence"]["reason"]
    assert [(reply.status, reply.error["code"]) for reply in strong] == [(502, "upstream_error")] * 2


async def test_a_prompt_may_not_tell_more_tokens_than_the_reply_may_have() -> None:
    wish = {"method": "self_consistency", "options": {"inner": {"method": "think_for", "tokens": 5000}}}
    async with running(engines={"main": Echo()}) as gateway:
        refused, taken = [await gateway.ask(max_tokens=most, ponder=wish) for most in (4999, 5000)]
        default = await gateway.ask(max_tokens=5, ponder={"method": "think_for"})
    assert (refused.status, refused.error["param"]) == (400, "ponder.options")
    assert "inner.tokens = 5000 is more than a reply may have, which is 4999" in refused.error["message"]
    assert (taken.status, default.status) == (200, 200)
    table = {"method": "think_for", "tokens": 5000, "defaults": {"max_tokens": 300}}
    with pytest.raises(OptionError, match=r"\[model.m\]: tokens = 5000 is more .* raise max_tokens = 300"):
        Policies(read({"engine": {"main": {"model": "echo"}}, "model": {"m": table}}), catalogue())  # type: ignore[dict-item]


async def test_a_budget_may_not_be_above_what_the_reply_may_have() -> None:
    async with running(engines={"main": Echo()}) as gateway:
        for field in ({"thinking_budget": 41}, {"thinking": {"type": "enabled", "budget_tokens": 41}}):
            refused, taken = [await gateway.ask(max_tokens=most, **field) for most in (40, 41)]
            named = "thinking_budget" if "thinking_budget" in field else "thinking.budget_tokens"
            dry = await gateway.ask("/v1/route", max_tokens=40, **field)
            assert (refused.status, refused.error["param"], taken.status) == (400, named, 200)
            assert (dry.status, dry.error["param"]) == (400, named)
            assert f"{named} = 41 is more than a reply may have, which is 40; lower it" in refused.error["message"]
        # A label is no number, whatever the table makes of it, beside options of which none is beyond the limit.
        own = {"method": "budget_forcing", "options": {"cap": 40}}
        label = await gateway.ask(max_tokens=40, reasoning_effort="high", ponder=own)
        zero = await gateway.ask(ponder={"method": "thinking_mode", "options": {"mode": "budget", "tokens": 0}})
    assert label.status == 200
    assert (zero.status, zero.error["param"]) == (400, "ponder.options")
    assert "tokens = 0 is out of range; it must be at least 1" in zero.error["message"]
    table = {"method": "sample", "defaults": {"max_tokens": 300, "thinking_budget": 301}}
    with pytest.raises(OptionError, match=r"\[model.m\]: thinking_budget = 301 is more .* raise max_tokens = 300"):
        Policies(read({"engine": {"main": {"model": "echo"}}, "model": {"m": table}}), catalogue())  # type: ignore[dict-item]


async def test_a_router_file_that_was_never_there_is_an_error_that_names_it() -> None:
    engine = Echo()
    async with running(smart("nowhere"), {"main": engine}) as gateway:
        reply, dry = await gateway.ask(), await gateway.ask("/v1/route")
    for one in (reply, dry):
        assert one.status >= 400
        assert "there is no" in one.error["message"]
    assert engine.generated == 0


async def test_what_a_request_says_of_thinking_comes_before_the_route(tmp_path: Path) -> None:
    settings = smart(router(tmp_path / "r", "times"), modes=["off", "on"])
    async with running(settings, {"main": Echo()}) as gateway:
        off = await gateway.ask(reasoning_effort="none")
        capped = await gateway.ask(thinking_budget=3)
        easy = await gateway.ask(thinking_budget=3, messages=EASY)
    assert off.json["ponder"]["method"] == "thinking_mode"
    assert "reasoning" not in off.json["choices"][0]["message"]
    assert (capped.json["ponder"]["route"], capped.json["ponder"]["budget"]) == ("3", 3)
    assert easy.json["ponder"]["route"] == "off"


async def test_a_cascade_chooses_among_engines_and_a_budget_reaches_every_rung() -> None:
    weak, strong = Echo("no idea", think=Think()), Echo("It is 42.", think=Think())
    table = {
        "method": "cascade",
        "engines": {"strong": "big"},
        "on": ["main", "strong"],
        "rungs": [{"method": "sample", "cot": False}, {"method": "sample", "cot": False}],
        "thresholds": [0.0],
    }
    engines = {"main": {"model": "echo"}, "big": {"model": "echo"}}
    settings = read({"engine": engines, "model": {"echo": table}})  # type: ignore[dict-item]
    async with running(settings, {"main": weak, "big": strong}) as gateway:
        reply = await gateway.ask()
        dry = await gateway.ask("/v1/route", reasoning_effort="low")
    assert reply.json["choices"][0]["message"]["content"] == "It is 42."
    assert reply.json["ponder"]["route"] == "rung 2 on strong"
    assert reply.json["ponder"]["tokens"] == {"answer": 5}
    assert (weak.calls, strong.calls) == (1, 1)
    assert [rung["tokens"] for rung in dry.json["options"]["rungs"]] == [1024, 1024]

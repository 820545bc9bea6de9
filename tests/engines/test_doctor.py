"""The doctor against a server that is honest, and against the same server telling one lie at a time."""

from __future__ import annotations

import pytest
from support.liar import Liar
from support.played import Played, load
from support.server import Fault

from ponder.core.errors import EngineError, OptionError
from ponder.engines.anthropic import AnthropicEngine
from ponder.engines.doctor import CHECKS, address, examine
from ponder.engines.doctor_report import CHEAP, COSTLY, Report
from ponder.engines.echo import Echo
from ponder.engines.openai import OpenAIEngine
from ponder.engines.wrap import Limit, Retry

ALL = (*CHEAP, *COSTLY)


async def seen(server: Liar, *facts: str) -> Report:
    async with server, OpenAIEngine(server.url) as engine:
        return await examine(engine, only=facts)


def test_every_fact_has_one_check() -> None:
    assert [name for names, _ in CHECKS for name in names] == list(ALL)


async def test_an_honest_server_is_found_to_do_what_it_says() -> None:
    heard: list[str] = []
    async with Liar() as server, OpenAIEngine(server.url) as engine:
        report = await examine(Retry(Limit(engine, 2)), cheap_only=False, asking=heard.append)
        assert (report.url, report.model) == (server.url, "toy") == address(engine)
    assert [fact.name for fact in report.facts] == list(ALL)
    assert len(heard) == len(CHECKS)
    values = {fact.name: fact.value for fact in report.facts}
    assert values.pop("speed") is not None
    assert values == {
        "server": "vllm",
        "context": 4096,
        "marks": "<think> </think>",
        "off": '{"chat_template_kwargs":{"enable_thinking":false,"thinking":false}}',
        "budget_field": "thinking_token_budget",
        "streams": True,
        "thinks": False,
        "usage": True,
        "reasoning_count": True,
        "max_tokens": True,
        "stop_strings": True,
        "logprobs": True,
        "n": True,
        "prefill": True,
        "hang_up": True,
        "seeds": True,
        "prefix_cache": True,
        "budget": True,
        "escapes": False,
    }
    assert all(fact.how for fact in report.facts)
    assert abs(report.tokens - server.generated) <= 2


@pytest.mark.parametrize(
    ("lie", "fact", "value"),
    [
        ("buffers", "streams", False),
        ("one_piece", "streams", False),
        ("goes_on", "hang_up", False),
        ("no_counters", "hang_up", None),
        ("miscounts", "usage", False),
        ("no_stop", "stop_strings", False),
        ("no_limit", "max_tokens", False),
        ("no_logprobs", "logprobs", None),
        ("one_reply", "n", False),
        ("restarts", "prefill", False),
        ("no_seeds", "seeds", False),
        ("no_cache", "prefix_cache", False),
        ("hides_cache", "prefix_cache", None),
        ("drops_budget", "budget", False),
        ("escapes", "escapes", True),
    ],
)
async def test_each_lie_is_seen(lie: str, fact: str, value: bool | None) -> None:
    report = await seen(Liar({lie}), fact)
    assert [(found.name, found.value) for found in report.facts] == [(fact, value)], report.facts[0].how
    assert report.facts[0].how


@pytest.mark.parametrize(
    ("lies", "value"),
    [
        ({"adds_late"}, True),
        ({"adds_late", "goes_on"}, False),
        ({"stale_gauge"}, True),
        ({"stale_gauge", "goes_on"}, False),
    ],
)
async def test_counters_with_habits_of_their_own_are_read_right(lies: set[str], value: bool) -> None:
    report = await seen(Liar(lies, tick=0.004), "hang_up")
    assert report.value("hang_up") is value, report.facts[0].how


async def test_a_server_without_counts_is_said_to_have_none() -> None:
    report = await seen(Liar({"no_usage", "hides_thinking"}, "plain"), "usage", "reasoning_count")
    assert report.value("usage") is False
    assert report.value("reasoning_count") is None


async def test_a_model_that_does_not_think_leaves_its_budget_unknown() -> None:
    report = await seen(Liar(thinks=False), "budget", "escapes")
    assert report.value("budget") is report.value("escapes") is None
    assert "too few" in (report.fact("budget") or report.facts[0]).how


async def test_what_a_dialect_has_no_word_for_costs_nothing_to_learn() -> None:
    report = await seen(Liar(dialect="plain"), "off", "budget_field", "prefill", "budget")
    assert {fact.value for fact in report.facts} == {False}
    assert report.tokens == 0


async def test_cheap_facts_are_cheap() -> None:
    async with Liar() as server, OpenAIEngine(server.url) as engine:
        report = await examine(engine)
    assert [fact.name for fact in report.facts] == list(CHEAP)
    assert report.tokens <= 250


async def test_a_check_that_is_refused_leaves_the_others_alone() -> None:
    async with Liar() as server, OpenAIEngine(server.url) as engine:
        server.faults[1] = Fault("status", status=400, body='{"error": {"message": "not today"}}')
        report = await examine(engine, only=("usage", "stop_strings", "logprobs"))
    assert (report.value("usage"), report.value("stop_strings"), report.value("logprobs")) == (True, None, True)
    assert "not today" in report.facts[1].how


async def test_a_server_that_gives_no_reply_at_all_is_an_error() -> None:
    async with Liar() as server, OpenAIEngine(server.url) as engine:
        server.faults[0] = Fault("status", status=400)
        with pytest.raises(EngineError, match="400"):
            await examine(engine)


async def test_a_fact_that_does_not_exist_is_named() -> None:
    with pytest.raises(OptionError, match="no fact 'seed'; did you mean"):
        await examine(Echo(), only=("seed",))


async def test_a_model_on_this_machine_can_be_examined_too() -> None:
    engine = Echo(turn=4)
    report = await examine(engine)
    assert (report.url, report.model) == ("", engine.name)
    assert report.value("hang_up") is report.value("server") is None
    assert report.value("usage") is not None


async def test_a_service_of_another_protocol_is_asked_what_its_protocol_has() -> None:
    async with Played(load("anthropic")) as server, AnthropicEngine(server.url, "claude-toy") as engine:
        report = await examine(engine, cheap_only=False)
    assert report.value("server") == "anthropic"
    assert (report.value("budget_field"), report.value("off")) == (
        "thinking.budget_tokens",
        '{"thinking":{"type":"disabled"}}',
    )
    assert (report.value("n"), report.value("seeds"), report.value("prefill")) == (False, False, False)
    assert report.value("reasoning_count") is report.value("thinks") is True
    assert report.value("hang_up") is None

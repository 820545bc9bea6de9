from __future__ import annotations

from collections.abc import Mapping

import pytest

from ponder.core.config import Value
from ponder.core.errors import DataError, OptionError
from ponder.core.problem import Image, Message, Problem, Thinking, Tool
from ponder.methods import catalogue
from ponder.methods.route.auto import Auto
from ponder.methods.stop.thinking_mode import ThinkingMode
from ponder.methods.vote.sample import Sample
from ponder.methods.vote.self_consistency import SelfConsistency
from ponder.serve.access import hash_key
from ponder.serve.control import Control
from ponder.serve.fail import ApiError
from ponder.serve.policies import ALIASES, Decision, Policies
from ponder.serve.settings import Defaults, Key, Model, Settings

ASK = Problem.of("2+3?")


def policies(**models: Model) -> Policies:
    return Policies(Settings(models=models or {"base": Model("base"), "qwen3:4b": Model("qwen3:4b")}), catalogue())


def decide(name: str = "base", given: Policies | None = None, problem: Problem = ASK, **control: object) -> Decision:
    return (given or policies()).decide(name, Control(**control), problem, False, None)  # type: ignore[arg-type]


def test_a_name_is_split_at_the_last_colon_only_before_a_method() -> None:
    assert decide("base").method == Auto()
    assert decide("base:self_consistency").method == SelfConsistency()
    assert decide("qwen3:4b").model.name == "qwen3:4b"
    assert decide("qwen3:4b:sample").method == Sample()
    assert decide("base:plain").method == Sample(cot=False)
    assert decide("base:off").method == ThinkingMode("off")
    assert decide("base:low").method == Auto("effort", effort="low")
    assert decide("default").model.name == "base"
    assert decide("default:sample").method == Sample()


@pytest.mark.parametrize("name", ["bas", "base:", "base:nothing", "qwen3", "qwen3:4", ":sample", "base:sample:sample"])
def test_a_name_that_nobody_has_is_a_404_with_the_nearest(name: str) -> None:
    with pytest.raises(ApiError) as caught:
        decide(name)
    assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")


def test_the_request_beats_the_name_and_the_name_beats_the_file() -> None:
    given = policies(base=Model("base", method={"method": "concise_cot"}))
    assert (decide("base", given).name, decide("base", given).by) == ("concise_cot", "default")
    assert (decide("base:sample", given).name, decide("base:sample", given).by) == ("sample", "model")
    asked = decide("base:sample", given, method="self_consistency", options={"n": 3})
    assert (asked.method, asked.by) == (SelfConsistency(n=3), "request")


def test_options_alone_change_the_model_s_own_method() -> None:
    given = policies(base=Model("base", method={"method": "self_consistency"}))
    assert decide("base", given, options={"n": 2}).method == SelfConsistency(n=2)


@pytest.mark.parametrize(
    ("control", "param"),
    [
        ({"method": "self_consistancy"}, "ponder.method"),
        ({"method": "self_consistency", "options": {"k": 1}}, "ponder.options"),
        ({"method": "self_consistency", "options": {"n": "many"}}, "ponder.options"),
        ({"method": "self_consistency", "options": {"n": 0}}, "ponder.options"),
    ],
)
def test_methods_and_options_that_do_not_exist_are_a_400(control: Mapping[str, object], param: str) -> None:
    with pytest.raises(ApiError) as caught:
        decide(**control)  # type: ignore[arg-type]
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    "options",
    [
        {"router": {"router": "ranking", "encoder": "/etc"}},
        {"router": {"router": "ranking", "path": "/etc"}},
        {"calibration": "/etc/passwd"},
        {"weak": {"method": "routellm", "router": {"router": "words", "path": "paradigm"}}},
        {"rungs": [{"method": "sample"}, {"method": "confident_or_seek_stronger", "calibration": "x"}]},
    ],
)
def test_a_request_names_no_file(options: Mapping[str, object]) -> None:
    with pytest.raises(ApiError) as caught:
        decide(method="routellm", options=options)
    assert (caught.value.status, caught.value.param) == (400, "ponder.options")
    assert "only its ponder.toml may" in caught.value.body()["error"]["message"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"method": "smaple"}, "did you mean 'sample'"),
        ({"method": "self_consistency", "m": 3}, "has no 'm'"),
        ({"method": "self_consistency", "engin": "x"}, "did you mean 'engine'"),
        ({"method": "self_consistency", "n": 0}, "out of range"),
    ],
)
def test_a_file_s_methods_are_checked_at_the_start(table: dict[str, Value], words: str) -> None:
    with pytest.raises(OptionError) as caught:
        policies(base=Model("base", method=table))
    assert words in str(caught.value)
    assert "[model.base]" in str(caught.value)


def test_a_key_sees_its_models_alone() -> None:
    given = policies()
    key = Key("ann", hash_key("a" * 32), models=("qwen3:4b",))
    assert all(name.startswith("qwen3:4b") for name in given.names(key))
    assert given.find("qwen3:4b:sample", key)[0].name == "qwen3:4b"
    with pytest.raises(ApiError) as caught:
        given.find("base", key)
    assert caught.value.status == 404
    assert "base" in given.names()
    assert {f"base:{alias}" for alias in ALIASES} <= set(given.names())


def test_off_beats_budgets_a_number_of_the_request_beats_the_name() -> None:
    off = decide("base:off", thinking=Thinking.budget(100))
    assert (off.method, off.thinking_by, off.tokens) == (ThinkingMode("off"), "model", 0)
    more = decide("base:low", thinking=Thinking.budget(100))
    assert (more.method, more.thinking_by, more.tokens) == (Auto("budget", 100, "low"), "request", 100)
    named = decide("base:low")
    assert (named.thinking_by, named.tokens) == ("model", 1024)
    table = policies(base=Model("base", defaults=Defaults(thinking_budget=7)))
    assert (decide("base", table).method, decide("base", table).thinking_by) == (Auto("budget", 7), "default")
    assert decide("base:high", table).tokens == 16384


def test_a_bound_request_keeps_its_method() -> None:
    asked = decide("base:self_consistency", thinking=Thinking.budget(64))
    assert asked.method == SelfConsistency(inner=ThinkingMode("budget", 64))
    assert (asked.name, asked.rest) == ("self_consistency", None)


def test_a_method_without_a_field_leaves_thinking_to_the_engines() -> None:
    asked = decide("base:no_thinking", thinking=Thinking.budget(64))
    assert (asked.name, asked.rest) == ("no_thinking", Thinking.budget(64))


@pytest.mark.parametrize("method", ["sample", "thinking_mode", "loop_stop", "auto"])
def test_plain_replies_carry_everything(method: str) -> None:
    asked = Problem("p", (Message("user", (Image("data:,"),)),), (Tool("t", "{}"),), "{}")
    assert decide(f"base:{method}", problem=asked).passthrough == ""


def test_what_is_not_carried_goes_to_the_server_as_it_stands() -> None:
    asked = Problem("p", ASK.messages, (Tool("t", "{}"),), "{}")
    told = decide("base:self_consistency", problem=asked)
    assert (told.method, told.passthrough) == (
        Sample(cot=False),
        "self_consistency cannot carry tools, response_format",
    )
    bound = decide("base:self_consistency", problem=asked, thinking=Thinking.off())
    assert bound.method == ThinkingMode("off"), "what was asked of the thinking holds all the same"
    assert decide("base:budget_forcing", problem=asked).passthrough == "budget_forcing cannot carry tools"


async def test_models_are_rehearsed_and_the_first_of_no_use_is_named() -> None:
    broken = {"method": "thinking_route", "router": {"router": "words", "path": "nowhere"}}
    given = policies(fine=Model("fine"), smart=Model("smart", method=broken))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"^\[model\.smart\] router: there is no .*nowhere"):
        await given.rehearse()
    assert await policies().rehearse() is None

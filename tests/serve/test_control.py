"""Every dialect of thinking control on its way in, and who wins where several speak."""

from __future__ import annotations

import pytest

from ponder.core.problem import EFFORTS, Thinking
from ponder.serve.control import FORMATS, Control, read_control, strongest
from ponder.serve.fail import ApiError
from ponder.serve.fields import Fields

OFF, ON = Thinking.off(), Thinking.on()


def control(**body: object) -> Control:
    return read_control(Fields(body))


def refused(**body: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        control(**body)
    assert (caught.value.status, caught.value.type) == (400, "invalid_request_error")
    return caught.value


def rest(**body: object) -> dict[str, object]:
    """What is left for the upstream once the gateway has read its part."""
    fields = Fields(body)
    read_control(fields)
    return fields.rest()


def effort(label: str) -> Thinking:
    return Thinking.effort(label)


def budget(tokens: int) -> Thinking:
    return Thinking.budget(tokens)


DIALECTS: list[tuple[str, dict[str, object], Thinking | None, str]] = [
    # OpenAI chat | `reasoning_effort`: none, minimal, low, medium, high, xhigh, max
    ("openai none", {"reasoning_effort": "none"}, OFF, "reasoning_effort"),
    ("openai minimal", {"reasoning_effort": "minimal"}, effort("minimal"), "reasoning_effort"),
    ("openai low", {"reasoning_effort": "low"}, effort("low"), "reasoning_effort"),
    ("openai medium", {"reasoning_effort": "medium"}, effort("medium"), "reasoning_effort"),
    ("openai high", {"reasoning_effort": "high"}, effort("high"), "reasoning_effort"),
    ("openai xhigh", {"reasoning_effort": "xhigh"}, effort("xhigh"), "reasoning_effort"),
    ("openai max", {"reasoning_effort": "max"}, effort("max"), "reasoning_effort"),
    ("openai null", {"reasoning_effort": None}, None, ""),
    ("left to the server", {"reasoning_effort": "auto"}, None, ""),
    ("left to the service", {"reasoning_effort": "default"}, None, ""),
    # OpenAI responses | `reasoning: {effort, summary}`
    ("responses", {"reasoning": {"effort": "high", "summary": "auto"}}, effort("high"), "reasoning.effort"),
    # Anthropic | `thinking: {type: enabled, budget_tokens}`, `{type: adaptive}` + `output_config.effort`, disabled
    (
        "anthropic budget",
        {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        budget(2048),
        "thinking.budget_tokens",
    ),
    ("anthropic off", {"thinking": {"type": "disabled"}}, OFF, "thinking.type"),
    ("anthropic adaptive", {"thinking": {"type": "adaptive"}}, None, ""),
    (
        "anthropic adaptive with effort",
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}},
        effort("medium"),
        "output_config.effort",
    ),
    # DeepSeek | `thinking: {type: enabled/disabled}` + `reasoning_effort` low/high/max
    ("deepseek on", {"thinking": {"type": "enabled"}}, ON, "thinking.type"),
    (
        "deepseek effort",
        {"thinking": {"type": "enabled"}, "reasoning_effort": "max"},
        effort("max"),
        "reasoning_effort",
    ),
    ("deepseek off", {"thinking": {"type": "disabled"}, "reasoning_effort": "high"}, OFF, "thinking.type"),
    # Qwen3 self-hosted | `chat_template_kwargs: {enable_thinking: bool}`
    (
        "qwen on",
        {"chat_template_kwargs": {"enable_thinking": True}},
        ON,
        "chat_template_kwargs.enable_thinking",
    ),
    (
        "qwen off",
        {"chat_template_kwargs": {"enable_thinking": False}},
        OFF,
        "chat_template_kwargs.enable_thinking",
    ),
    # DashScope-style clouds: top-level `enable_thinking`, `thinking_budget`
    ("qwen cloud on", {"enable_thinking": True}, ON, "enable_thinking"),
    ("qwen cloud off", {"enable_thinking": False}, OFF, "enable_thinking"),
    ("qwen cloud budget", {"enable_thinking": True, "thinking_budget": 300}, budget(300), "thinking_budget"),
    ("qwen cloud off with budget", {"enable_thinking": False, "thinking_budget": 300}, OFF, "enable_thinking"),
    # vLLM | `thinking_token_budget` (top level), `reasoning_effort`, `chat_template_kwargs`
    ("vllm budget", {"thinking_token_budget": 777}, budget(777), "thinking_token_budget"),
    (
        "gpt-oss template",
        {"chat_template_kwargs": {"reasoning_effort": "low"}},
        effort("low"),
        "chat_template_kwargs.reasoning_effort",
    ),
    # SGLang | `custom_logit_processor` + `custom_params.thinking_budget`; DeepSeek V3: `thinking`
    (
        "sglang budget",
        {"custom_logit_processor": "{...}", "custom_params": {"thinking_budget": 128}},
        budget(128),
        "custom_params.thinking_budget",
    ),
    ("sglang deepseek v3", {"chat_template_kwargs": {"thinking": True}}, ON, "chat_template_kwargs.thinking"),
    # llama.cpp | `thinking_budget_tokens`
    ("llama.cpp budget", {"thinking_budget_tokens": 64}, budget(64), "thinking_budget_tokens"),
    ("llama.cpp no bound", {"thinking_budget_tokens": -1}, ON, "thinking_budget_tokens"),
    ("llama.cpp none", {"thinking_budget_tokens": 0}, OFF, "thinking_budget_tokens"),
    # OpenRouter, Vercel | `reasoning: {effort or max_tokens, exclude, enabled}`
    ("openrouter effort", {"reasoning": {"effort": "low"}}, effort("low"), "reasoning.effort"),
    ("openrouter budget", {"reasoning": {"max_tokens": 2000}}, budget(2000), "reasoning.max_tokens"),
    ("openrouter on", {"reasoning": {"enabled": True}}, ON, "reasoning.enabled"),
    ("openrouter off", {"reasoning": {"enabled": False, "max_tokens": 2000}}, OFF, "reasoning.enabled"),
    ("openrouter none", {"reasoning": {"effort": "none"}}, OFF, "reasoning.effort"),
    # LiteLLM | `reasoning_effort`, `thinking`: a number beats a label, precision is never lowered
    (
        "litellm",
        {"reasoning_effort": "low", "thinking": {"type": "enabled", "budget_tokens": 1500}},
        budget(1500),
        "thinking.budget_tokens",
    ),
    # Ollama | `think`: a switch or a label
    ("ollama on", {"think": True}, ON, "think"),
    ("ollama off", {"think": False}, OFF, "think"),
    ("ollama label", {"think": "high"}, effort("high"), "think"),
    ("nobody said anything", {}, None, ""),
]


@pytest.mark.parametrize(
    ("body", "thinking", "source"), [row[1:] for row in DIALECTS], ids=[row[0] for row in DIALECTS]
)
def test_every_dialect_of_thinking_control(body: dict[str, object], thinking: Thinking | None, source: str) -> None:
    read = control(**body)
    assert (read.thinking, read.source) == (thinking, source)


@pytest.mark.parametrize("body", [row[1] for row in DIALECTS], ids=[row[0] for row in DIALECTS])
def test_what_was_read_does_not_go_upstream_a_second_time(body: dict[str, object]) -> None:
    assert rest(**body) == {}


def test_the_effort_table_is_ours_and_said() -> None:
    """Effort -> tokens is not standard: publish our table."""
    table = {"none": 0, "minimal": 512, "low": 1024, "medium": 4096, "high": 16384, "xhigh": 32768, "max": None}
    assert dict(EFFORTS) == table


# Precedence within one request


@pytest.mark.parametrize(
    ("body", "thinking"),
    [
        ({"reasoning_effort": "high", "thinking_budget": 100}, budget(100)),
        ({"enable_thinking": True, "reasoning_effort": "low"}, effort("low")),
        ({"reasoning_effort": "none", "thinking_budget": 100}, OFF),
        ({"reasoning": {"enabled": False}, "thinking_token_budget": 5000, "reasoning_effort": "max"}, OFF),
        ({"chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": "high"}, OFF),
        ({"thinking_budget": 0, "thinking_token_budget": 100}, OFF),
        ({"thinking_budget": -1, "thinking_token_budget": 100}, budget(100)),
        ({"thinking_budget": 300, "thinking_token_budget": 100, "thinking_budget_tokens": 200}, budget(100)),
        ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, effort("low")),
    ],
)
def test_number_beats_label_and_off_beats_all(body: dict[str, object], thinking: Thinking) -> None:
    """Explicit token number in the request > effort label; `none`/`enabled: false` always wins over budgets."""
    assert control(**body).thinking == thinking


@pytest.mark.parametrize(
    ("request_", "named", "route", "default", "expected"),
    [
        (budget(10), effort("low"), ON, OFF, (budget(10), "request")),
        (effort("high"), budget(10), ON, OFF, (effort("high"), "request")),
        (None, effort("low"), ON, OFF, (effort("low"), "model")),
        (None, None, budget(5), OFF, (budget(5), "route")),
        (None, None, None, OFF, (OFF, "default")),
        (None, None, None, None, (None, "")),
        (OFF, budget(10), None, None, (OFF, "request")),
        (budget(10), OFF, None, None, (OFF, "model")),
        (budget(10), None, OFF, OFF, (budget(10), "request")),
        (None, effort("low"), OFF, None, (effort("low"), "model")),
    ],
)
def test_who_wins(
    request_: Thinking | None,
    named: Thinking | None,
    route: Thinking | None,
    default: Thinking | None,
    expected: tuple[Thinking | None, str],
) -> None:
    """Request > policy in model name > route decision > server default; what the client turned off stays off."""
    assert strongest(request_, named, route, default) == expected


# What stays for the upstream, and what cannot be kept


def test_other_template_variables_stay() -> None:
    left = rest(chat_template_kwargs={"enable_thinking": True, "date": "today", "tools_in_user_message": False})
    assert left == {"chat_template_kwargs": {"date": "today", "tools_in_user_message": False}}


def test_other_parameters_of_a_logit_processor_stay_with_it() -> None:
    own = {"custom_logit_processor": "{...}", "custom_params": {"strength": 2}}
    assert rest(**own) == own


def test_other_settings_of_the_output_stay() -> None:
    assert rest(output_config={"effort": "low", "format": {"type": "json"}}) == {
        "output_config": {"format": {"type": "json"}}
    }


def test_what_is_understood_but_cannot_be_kept_is_named() -> None:
    read = control(
        reasoning={"effort": "low", "summary": "detailed"},
        thinking={"type": "enabled", "display": "omitted"},
        stream_reasoning=False,
    )
    assert read.ignored == ("thinking.display", "reasoning.summary", "stream_reasoning")


# The form in which thinking is sent back


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        *[({"ponder": {"reasoning_format": name}}, name) for name in FORMATS],
        ({}, None),
        ({"reasoning_format": "reasoning"}, "reasoning"),
        ({"reasoning_format": "auto"}, None),
        ({"reasoning_format": "parsed"}, None),
        ({"reasoning_format": "raw"}, "think_tags"),
        ({"reasoning_format": "hidden"}, "none"),
        ({"reasoning_format": "deepseek"}, "reasoning_content"),
        ({"reasoning_format": "none"}, "think_tags"),
        ({"reasoning": {"exclude": True}}, "none"),
        ({"reasoning": {"exclude": False}}, None),
        ({"include_reasoning": False}, "none"),
        ({"include_reasoning": True}, None),
        ({"separate_reasoning": False}, "think_tags"),
        ({"separate_reasoning": True}, None),
        ({"include_reasoning": False, "ponder": {"reasoning_format": "both"}}, "both"),
    ],
)
def test_the_form_of_the_thinking(body: dict[str, object], expected: str | None) -> None:
    """`reasoning_format`: both | reasoning_content | reasoning | think_tags | none ... per request."""
    assert control(**body).reasoning_format == expected
    assert rest(**body) == {}


# The `ponder` object


def test_the_ponder_object() -> None:
    """Own options under one namespaced object, so nothing collides."""
    read = control(
        ponder={
            "method": "self_consistency",
            "options": {"samples": 5, "cot": None, "inner": {"method": "sample", "cot": True}, "parts": [1, 2.5]},
            "budget": 9000,
            "reasoning_format": "none",
            "notes": False,
        }
    )
    assert read.method == "self_consistency"
    assert read.options == {
        "samples": 5,
        "cot": "none",
        "inner": {"method": "sample", "cot": True},
        "parts": [1, 2.5],
    }
    assert (read.budget, read.reasoning_format, read.notes) == (9000, "none", False)
    assert read.thinking is None


@pytest.mark.parametrize("own", [None, {}, {"method": None, "options": None, "budget": None, "notes": None}])
def test_an_empty_ponder_object_says_nothing(own: object) -> None:
    assert control(ponder=own) == Control()


def test_a_budget_of_the_request_is_no_budget_of_the_thinking() -> None:
    """`ponder.budget` bounds everything that the request may generate."""
    read = control(ponder={"budget": 500}, thinking_budget=100)
    assert (read.budget, read.thinking) == (500, budget(100))


@pytest.mark.parametrize(
    ("own", "param", "code", "words"),
    [
        ({"metod": "auto"}, "ponder.metod", "unknown_parameter", "did you mean 'method'?"),
        ({"budgte": 5}, "ponder.budgte", "unknown_parameter", "did you mean 'budget'?"),
        ({"zzz": None}, "ponder.zzz", "unknown_parameter", "it has method, options, budget"),
        ({"method": ""}, "ponder.method", "invalid_value", "not empty"),
        ({"method": 5}, "ponder.method", "invalid_type", "not a number"),
        ({"options": []}, "ponder.options", "invalid_type", "an object"),
        ({"budget": 0}, "ponder.budget", "invalid_value", "1 to 2147483647"),
        ({"budget": True}, "ponder.budget", "invalid_type", "not a boolean"),
        ({"budget": "many"}, "ponder.budget", "invalid_type", "not a string"),
        ({"budget": 10**30}, "ponder.budget", "invalid_value", "1 to 2147483647"),
        ({"budget": 2.5}, "ponder.budget", "invalid_type", "not a fraction"),
        ({"reasoning_format": "tags"}, "ponder.reasoning_format", "invalid_value", "did you mean 'think_tags'?"),
        ({"notes": 1}, "ponder.notes", "invalid_type", "true or false"),
        ("auto", "ponder", "invalid_type", "an object"),
        ([], "ponder", "invalid_type", "an object"),
    ],
)
def test_a_wrong_ponder_object_is_refused_by_name(own: object, param: str, code: str, words: str) -> None:
    error = refused(ponder=own)
    assert (error.param, error.code) == (param, code)
    assert words in error.message


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"reasoning_effort": "hihg"}, "reasoning_effort"),
        ({"reasoning_effort": 3}, "reasoning_effort"),
        ({"reasoning_effort": True}, "reasoning_effort"),
        ({"reasoning_effort": ["low"]}, "reasoning_effort"),
        ({"reasoning": "low"}, "reasoning"),
        ({"reasoning": {"effort": "much"}}, "reasoning.effort"),
        ({"reasoning": {"max_tokens": "5"}}, "reasoning.max_tokens"),
        ({"reasoning": {"exclude": "yes"}}, "reasoning.exclude"),
        ({"thinking": True}, "thinking"),
        ({"thinking": {"type": "on"}}, "thinking.type"),
        ({"thinking": {"budget_tokens": True}}, "thinking.budget_tokens"),
        ({"thinking": {"budget_tokens": -5}}, "thinking.budget_tokens"),
        ({"thinking": {"budget_tokens": 1.5}}, "thinking.budget_tokens"),
        ({"enable_thinking": "false"}, "enable_thinking"),
        ({"enable_thinking": 0}, "enable_thinking"),
        ({"thinking_budget": 2**31}, "thinking_budget"),
        ({"thinking_token_budget": float("nan")}, "thinking_token_budget"),
        ({"thinking_budget_tokens": float("inf")}, "thinking_budget_tokens"),
        ({"chat_template_kwargs": []}, "chat_template_kwargs"),
        ({"chat_template_kwargs": {"enable_thinking": "yes"}}, "chat_template_kwargs.enable_thinking"),
        ({"custom_params": {"thinking_budget": []}}, "custom_params.thinking_budget"),
        ({"output_config": {"effort": "extreme"}}, "output_config.effort"),
        ({"think": 1}, "think"),
        ({"reasoning_format": "xml"}, "reasoning_format"),
        ({"include_reasoning": "no"}, "include_reasoning"),
        ({"separate_reasoning": 0}, "separate_reasoning"),
    ],
)
def test_a_wrong_control_is_refused_by_name(body: dict[str, object], param: str) -> None:
    assert refused(**body).param == param

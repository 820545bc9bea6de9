"""Each dialect in its server's words: bodies as they go over the wire."""

from __future__ import annotations

import json

import pytest

from ponder.core.engine import Cap, Sampling
from ponder.core.errors import OptionError, Unsupported
from ponder.core.problem import Image, Message, Prompt, Text, Thinking, Tool, ToolCall
from ponder.engines.dialects import DIALECTS, dialect_named, dialect_of_host
from ponder.engines.render import raw_options

ASK = Prompt((Message.of("user", "2+2?"),))
NAMES = [dialect.name for dialect in DIALECTS]
ON, OFF, BUDGET, LOW = Thinking.on(), Thinking.off(), Thinking.budget(256), Thinking.effort("low")
TEMPLATE_ON = {"enable_thinking": True, "thinking": True}
TEMPLATE_OFF = {"enable_thinking": False, "thinking": False}


@pytest.mark.parametrize(
    ("name", "thinking", "said"),
    [
        ("plain", None, {}),
        ("plain", ON, {}),
        ("plain", LOW, {"reasoning_effort": "low"}),
        ("openai", OFF, {"reasoning_effort": "none"}),
        ("openai", ON, {}),
        ("openai", LOW, {"reasoning_effort": "low"}),
        ("vllm", OFF, {"chat_template_kwargs": TEMPLATE_OFF}),
        ("vllm", ON, {"chat_template_kwargs": TEMPLATE_ON}),
        ("vllm", BUDGET, {"chat_template_kwargs": TEMPLATE_ON, "thinking_token_budget": 256}),
        ("vllm", LOW, {"reasoning_effort": "low"}),
        ("llama.cpp", OFF, {"chat_template_kwargs": TEMPLATE_OFF}),
        ("llama.cpp", BUDGET, {"chat_template_kwargs": TEMPLATE_ON, "thinking_budget_tokens": 256}),
        ("llama.cpp", LOW, {"chat_template_kwargs": {"reasoning_effort": "low"}}),
        ("qwen", OFF, {"enable_thinking": False}),
        ("qwen", BUDGET, {"enable_thinking": True, "thinking_budget": 256}),
        ("qwen", LOW, {"reasoning_effort": "low"}),
        ("deepseek", OFF, {"thinking": {"type": "disabled"}}),
        ("deepseek", ON, {"thinking": {"type": "enabled"}}),
        ("deepseek", LOW, {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}),
        ("openrouter", OFF, {"reasoning": {"enabled": False}}),
        ("openrouter", BUDGET, {"reasoning": {"max_tokens": 256}}),
        ("openrouter", LOW, {"reasoning": {"effort": "low"}}),
    ],
)
def test_thinking_in_each_servers_words(name: str, thinking: Thinking | None, said: dict[str, object]) -> None:
    assert dialect_named(name).thinking(thinking) == said
    body = dialect_named(name).chat("m", Prompt(ASK.messages, thinking=thinking), Sampling())
    assert {key: body[key] for key in said} == said


@pytest.mark.parametrize(
    ("name", "thinking"), [("plain", OFF), ("plain", BUDGET), ("openai", BUDGET), ("deepseek", BUDGET)]
)
def test_a_budget_never_becomes_a_label(name: str, thinking: Thinking) -> None:
    with pytest.raises(Unsupported, match=f"the {name} dialect has no word for"):
        dialect_named(name).thinking(thinking)


@pytest.mark.parametrize("name", NAMES)
def test_no_thinking_asked_is_no_thinking_said(name: str) -> None:
    assert dialect_named(name).thinking(None) == {}


@pytest.mark.parametrize("name", NAMES)
def test_every_body_streams_counts_and_is_json(name: str) -> None:
    dialect = dialect_named(name)
    for body in (dialect.chat("m", ASK, Sampling(seed=7)), dialect.completion("m", "text", Sampling(seed=7))):
        assert body["stream"] is True
        assert body["stream_options"]["include_usage"] is True  # type: ignore[index]
        assert body["model"] == "m"
        assert body["seed"] == 7
        assert json.loads(json.dumps(body)) == body


@pytest.mark.parametrize("name", NAMES)
def test_the_limit_goes_by_its_own_name(name: str) -> None:
    dialect = dialect_named(name)
    field = "max_completion_tokens" if name == "openai" else "max_tokens"
    chat, raw = dialect.chat("m", ASK, Sampling(max_tokens=9)), dialect.completion("m", "text", Sampling(max_tokens=9))
    assert chat[field] == 9
    assert ("max_tokens" in chat) == (field == "max_tokens")
    assert raw["max_tokens"] == 9
    assert "max_completion_tokens" not in raw


def test_sampling_of_local_servers_is_said_in_full() -> None:
    asked = Sampling(
        temperature=0.5, top_p=0.9, top_k=3, min_p=0.1, stop=("a", "b"), logit_bias=((5, -2.0),), logprobs=2
    )
    vllm = dialect_named("vllm").chat("m", ASK, asked)
    assert {k: vllm[k] for k in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "min_p": 0.1,
        "repetition_penalty": 1.0,
    }
    assert (vllm["stop"], vllm["logit_bias"]) == (["a", "b"], {"5": -2.0})
    assert (vllm["logprobs"], vllm["top_logprobs"]) == (True, 2)
    assert vllm["return_token_ids"] is True
    assert dialect_named("vllm").completion("m", [1, 2], asked)["logprobs"] == 2
    llama = dialect_named("llama.cpp").chat("m", ASK, Sampling())
    assert (llama["top_k"], llama["min_p"], llama["repeat_penalty"]) == (0, 0.0, 1.0)
    assert "return_token_ids" not in llama


def test_services_are_told_no_more_than_was_asked() -> None:
    plain = dialect_named("plain").chat("m", ASK, Sampling())
    assert plain["temperature"] == 1.0
    assert not {"top_k", "min_p", "stop", "seed", "logit_bias", "logprobs", "tools"} & set(plain)
    assert dialect_named("plain").chat("m", ASK, Sampling(top_k=4))["top_k"] == 4
    openai = dialect_named("openai").chat("m", ASK, Sampling())
    assert not {"temperature", "top_p"} & set(openai)
    assert dialect_named("openai").chat("m", ASK, Sampling(temperature=0.0))["temperature"] == 0.0
    with pytest.raises(Unsupported, match="top_k"):
        dialect_named("openai").chat("m", ASK, Sampling(top_k=4))
    with pytest.raises(Unsupported, match="at most 4 stop strings, not 5"):
        dialect_named("openai").chat("m", ASK, Sampling(stop=tuple("abcde")))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "sampling",
    [Sampling(hidden=(1,)), Sampling(adapters=(("a", 0.5),)), Sampling(force=(1,)), Sampling(certainty=True)],
)
def test_what_the_protocol_cannot_say_is_refused(name: str, sampling: Sampling) -> None:
    with pytest.raises(Unsupported, match=r"hidden states|adapters|forced tokens|the whole vocabulary"):
        dialect_named(name).chat("m", ASK, sampling)


def test_no_tokens_at_all_cannot_be_asked() -> None:
    with pytest.raises(OptionError, match="max_tokens = 0"):
        dialect_named("llama.cpp").sampling(Sampling(max_tokens=0))


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("plain", "reasoning_content"),
        ("vllm", "reasoning"),
        ("llama.cpp", "reasoning_content"),
        ("openrouter", "reasoning"),
    ],
)
def test_earlier_thinking_goes_back_under_the_servers_name(name: str, field: str) -> None:
    turn = dialect_named(name).message(Message("assistant", (Text("4"),), reasoning="hm"))
    assert turn == {"role": "assistant", "content": "4", field: "hm"}


def test_openai_is_sent_no_reasoning_and_keeps_the_developer() -> None:
    openai = dialect_named("openai")
    assert "hm" not in json.dumps(openai.message(Message("assistant", (Text("4"),), reasoning="hm")))
    assert openai.message(Message.of("developer", "x"))["role"] == "developer"
    assert dialect_named("plain").message(Message.of("developer", "x"))["role"] == "system"


def test_messages_with_pictures_tools_and_formats() -> None:
    picture = Message("user", (Text("what?"), Image("https://x/y.png")))
    call = Message("assistant", (), (ToolCall("c1", "add", '{"a":1}'),))
    reply = Message("tool", (Text("4"),), tool_call_id="c1")
    spec = {"type": "function", "function": {"name": "add", "strict": True}}
    prompt = Prompt((picture, call, reply), (Tool("add", json.dumps(spec)),), '{"type": "json_object"}')
    body = dialect_named("plain").chat("m", prompt, Sampling())
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what?"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}],
        },
        {"role": "tool", "content": "4", "tool_call_id": "c1"},
    ]
    assert body["tools"] == [spec]
    assert body["response_format"] == {"type": "json_object"}


def test_a_raw_call_keeps_the_servers_budget_and_nothing_of_the_templates() -> None:
    asked = Prompt(ASK.messages, thinking=BUDGET)
    assert raw_options(dialect_named("vllm"), asked) == {"thinking_token_budget": 256}
    assert raw_options(dialect_named("llama.cpp"), asked) == {"thinking_budget_tokens": 256}
    for thinking in (None, ON, OFF, LOW):
        assert raw_options(dialect_named("vllm"), Prompt(ASK.messages, thinking=thinking)) == {}


def test_dialects_are_known_by_name_and_by_host() -> None:
    assert len(set(NAMES)) == len(NAMES)
    with pytest.raises(OptionError, match="did you mean 'vllm'"):
        dialect_named("vlm")
    hosts = {
        "api.openai.com": "openai",
        "eu.api.openai.com": "openai",
        "openrouter.ai": "openrouter",
        "api.deepseek.com": "deepseek",
        "dashscope-intl.aliyuncs.com": "qwen",
    }
    for host, name in hosts.items():
        found = dialect_of_host(host)
        assert found is not None
        assert found.name == name
    assert dialect_of_host("notopenrouter.ai") is None
    assert dialect_of_host("127.0.0.1") is None


def test_who_can_what() -> None:
    assert {d.name for d in DIALECTS if Cap.PREFILL in d.caps} == {"vllm", "llama.cpp"}
    assert {d.name for d in DIALECTS if Cap.THINKING not in d.caps} == {"plain"}
    assert not any({Cap.HIDDEN, Cap.ADAPTER, Cap.FULL_LOGPROBS, Cap.FORCE} & d.caps for d in DIALECTS)

"""What every dialect shares: the further fields of a request, which go along and override nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ponder.core.engine import Sampling
from ponder.core.errors import OptionError
from ponder.core.problem import Message, Prompt, Thinking
from ponder.engines.dialects import DIALECTS, dialect_named

ASK = Prompt((Message.of("user", "2+2?"),))
NAMES = [dialect.name for dialect in DIALECTS]


def asked(**fields: object) -> Prompt:
    return replace(ASK, extra=json.dumps(fields))


@pytest.mark.parametrize("name", NAMES)
def test_further_fields_go_along_as_they_are(name: str) -> None:
    fields = {"presence_penalty": 0.5, "user": "u", "metadata": {"a": [1, None]}, "a field of tomorrow": True}
    dialect = dialect_named(name)
    prompt = asked(tool_choice="auto", parallel_tool_calls=False, **fields)
    body = dialect.chat("m", prompt, Sampling())
    assert {key: body[key] for key in fields} == fields
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("auto", False)
    raw = dialect.add_extra(dialect.completion("m", "text", Sampling()), prompt)
    assert {key: raw[key] for key in fields} == fields
    assert not {"tool_choice", "parallel_tool_calls", "messages"} & raw.keys()


@pytest.mark.parametrize("name", NAMES)
def test_they_never_override_what_a_method_decided(name: str) -> None:
    dialect = dialect_named(name)
    mine = {
        "model": "x", "messages": [], "prompt": "x", "stream": False, "stream_options": {}, "n": 9, "echo": True,
        "max_tokens": 1, "max_completion_tokens": 1, "n_predict": 1, "temperature": 0.1, "top_p": 0.1, "seed": 1,
        "stop": ["x"], "logprobs": True, "top_logprobs": 2, "tools": [], "include_reasoning": False,
    }  # fmt: skip
    sampling = Sampling(temperature=0.7, top_p=0.9)
    assert dialect.chat("m", asked(**mine), sampling) == dialect.chat("m", ASK, sampling)
    raw = dialect.completion("m", "text", sampling)
    assert dialect.add_extra(raw, asked(**mine)) == raw


@pytest.mark.parametrize("name", [name for name in NAMES if name != "plain"])
def test_no_other_word_for_thinking_comes_beside_the_one_that_was_decided(name: str) -> None:
    words = {"reasoning_effort": "high", "thinking_token_budget": 9, "enable_thinking": True, "thinking": {"type": "x"}}
    off = replace(ASK, thinking=Thinking.off())
    plain = dialect_named(name).chat("m", off, Sampling())
    assert dialect_named(name).chat("m", replace(off, extra=json.dumps(words)), Sampling()) == plain
    free = dialect_named(name).chat("m", asked(**words), Sampling())
    assert {key: free[key] for key in words} == words


def test_the_clients_template_variables_stand_beside_the_switch() -> None:
    prompt = replace(asked(chat_template_kwargs={"enable_thinking": True, "date": "1 May"}), thinking=Thinking.off())
    body = dialect_named("vllm").chat("m", prompt, Sampling())
    assert body["chat_template_kwargs"] == {"enable_thinking": False, "thinking": False, "date": "1 May"}
    assert dialect_named("vllm").conversation(prompt)["chat_template_kwargs"] == body["chat_template_kwargs"]
    plain = dialect_named("plain").chat("m", replace(prompt, thinking=None), Sampling())
    assert plain["chat_template_kwargs"] == {"enable_thinking": True, "date": "1 May"}


def test_a_service_is_told_nothing_about_templates() -> None:
    for name in ("openai", "deepseek", "openrouter", "qwen"):
        body = dialect_named(name).chat("m", replace(ASK, thinking=Thinking.off()), Sampling())
        assert "chat_template_kwargs" not in body


@pytest.mark.parametrize("text", ["[]", "{", "3", "null"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="no JSON object"):
        dialect_named("plain").chat("m", replace(ASK, extra=text), Sampling())

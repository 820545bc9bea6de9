"""The bodies of the messages API, field by field."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ponder.core.engine import Sampling
from ponder.core.errors import OptionError, Unsupported
from ponder.core.problem import Image, Message, Prompt, Text, Thinking, Tool, ToolCall
from ponder.engines.anthropic_body import Abilities, Signed, message_body, thinking_fields

ASK = Prompt((Message.of("user", "2+2?"),))
LONG = Sampling(max_tokens=4000)
UNKNOWN = Abilities()
NEW = Abilities(adaptive=True, enabled=False, disabled=True, efforts=frozenset({"low", "high"}))
OLD = Abilities(adaptive=False, enabled=True, disabled=True, efforts=frozenset())


def body(prompt: Prompt = ASK, sampling: Sampling = LONG, abilities: Abilities = UNKNOWN) -> dict[str, object]:
    return message_body("m", prompt, sampling, abilities, Signed())


def test_a_plain_question_says_no_more_than_it_must() -> None:
    assert body() == {
        "model": "m",
        "max_tokens": 4000,
        "stream": True,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "2+2?"}]}],
    }
    assert body(sampling=replace(LONG, seed=7, branch_seed=8)) == body()


@pytest.mark.parametrize(
    ("thinking", "abilities", "said"),
    [
        (None, NEW, {}),
        (Thinking.off(), UNKNOWN, {"thinking": {"type": "disabled"}}),
        (Thinking.budget(0), UNKNOWN, {"thinking": {"type": "disabled"}}),
        (Thinking.on(), UNKNOWN, {"thinking": {"type": "adaptive"}}),
        (Thinking.on(), NEW, {"thinking": {"type": "adaptive", "display": "summarized"}}),
        (Thinking.on(), OLD, {"thinking": {"type": "enabled", "budget_tokens": 3000, "display": "summarized"}}),
        (Thinking.budget(1024), UNKNOWN, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (Thinking.budget(9000), UNKNOWN, {"thinking": {"type": "enabled", "budget_tokens": 3999}}),
        (Thinking.effort("low"), UNKNOWN, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        (
            Thinking.effort("high"),
            replace(OLD, efforts=frozenset({"high"})),
            {"output_config": {"effort": "high"}},
        ),
    ],
)
def test_thinking_in_three_forms(thinking: Thinking | None, abilities: Abilities, said: dict[str, object]) -> None:
    assert thinking_fields(thinking, 4000, abilities) == said
    sent = body(replace(ASK, thinking=thinking), abilities=abilities)
    assert {name: value for name, value in sent.items() if name in ("thinking", "output_config")} == said


@pytest.mark.parametrize(
    ("thinking", "limit", "abilities", "why"),
    [
        (Thinking.budget(1023), 4000, UNKNOWN, "begin at 1024"),
        (Thinking.budget(2000), 1024, UNKNOWN, "leaves no room"),
        (Thinking.budget(2000), 4000, NEW, "takes no thinking budget"),
        (Thinking.effort("medium"), 4000, NEW, "it knows: high, low"),
        (Thinking.effort("low"), 4000, OLD, "it knows: none at all"),
        (Thinking.off(), 4000, replace(NEW, disabled=False), "cannot be told not to think"),
        (Thinking.on(), 512, OLD, "leaves no room"),
    ],
)
def test_what_a_model_does_not_take_is_refused_and_never_bent(
    thinking: Thinking, limit: int, abilities: Abilities, why: str
) -> None:
    with pytest.raises(Unsupported, match=why):
        thinking_fields(thinking, limit, abilities)


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        (Sampling(), {}),
        (Sampling(temperature=0), {"temperature": 0}),
        (Sampling(top_p=0.9), {"top_p": 0.9}),
        (Sampling(top_k=4), {"top_k": 4}),
    ],
)
def test_only_what_differs_from_the_defaults_is_said(sampling: Sampling, said: dict[str, object]) -> None:
    sent = body(sampling=sampling)
    assert {name: sent[name] for name in sent.keys() & {"temperature", "top_p", "top_k"}} == said


@pytest.mark.parametrize(
    ("sampling", "what"),
    [
        (Sampling(temperature=1.2), "temperature of at most 1"),
        (Sampling(logprobs=1), "log-probabilities"),
        (Sampling(logit_bias=((1, 1.0),)), "bias"),
        (Sampling(min_p=0.1), "min_p"),
        (Sampling(hidden=(1,)), "hidden states"),
        (Sampling(certainty=True), "the whole vocabulary"),
    ],
)
def test_what_the_api_lacks_is_refused(sampling: Sampling, what: str) -> None:
    with pytest.raises(Unsupported, match=what):
        body(sampling=sampling)


def test_a_prefill_heat_while_thinking_and_no_tokens_are_refused() -> None:
    with pytest.raises(Unsupported, match="half-written"):
        body(ASK + "So")
    with pytest.raises(Unsupported, match="temperature 1"):
        body(replace(ASK, thinking=Thinking.on()), replace(LONG, temperature=0.6))
    with pytest.raises(OptionError, match="max_tokens"):
        body(sampling=Sampling(max_tokens=0))


def test_turns_alternate_and_instructions_stand_apart() -> None:
    turns = (
        Message.of("system", "Be brief."),
        Message.of("user", "a"),
        Message.of("user", "b"),
        replace(Message.of("assistant", "c"), reasoning="not signed, so not sent"),
        Message.of("developer", "In French."),
        Message("user", (Text("d"), Image("data:image/png;base64,aGk="), Image("https://example.org/x.png"), Text(""))),
    )
    sent = body(Prompt(turns))
    assert sent["system"] == "Be brief.\n\nIn French."
    assert sent["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "c"}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "d"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                {"type": "image", "source": {"type": "url", "url": "https://example.org/x.png"}},
            ],
        },
    ]


def test_arguments_that_are_no_json_are_named() -> None:
    said = Message("assistant", (), (ToolCall("1", "f", "{nope"),))
    with pytest.raises(OptionError, match="nope"):
        body(Prompt((*ASK.messages, said)))


def test_a_schema_goes_into_the_output_config_beside_the_effort() -> None:
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    prompt = replace(ASK, response_format=json.dumps(asked), thinking=Thinking.effort("low"))
    assert body(prompt)["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": {"type": "object"}},
    }
    assert "output_config" not in body(replace(ASK, response_format='{"type": "text"}'))
    with pytest.raises(Unsupported, match="json_object"):
        body(replace(ASK, response_format='{"type": "json_object"}'))


SPEC = {"type": "function", "function": {"name": "f", "description": "d", "strict": True, "parameters": {"type": "x"}}}


def test_tools_in_both_forms() -> None:
    own = {"type": "web_search_20250305", "name": "web_search"}
    sent = body(replace(ASK, tools=(Tool("f", json.dumps(SPEC)), Tool("web_search", json.dumps(own)))))
    assert sent["tools"] == [{"name": "f", "description": "d", "strict": True, "input_schema": {"type": "x"}}, own]


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"tool_choice": {"type": "none"}}),
        ({"tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"tool_choice": {"type": "tool", "name": "f"}},
        ),
        ({"parallel_tool_calls": False}, {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}),
        ({"user": "u", "metadata": {"a": "b"}}, {"metadata": {"user_id": "u"}}),
        ({"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral"}}),
        ({"presence_penalty": 1, "model": "x", "max_tokens": 1, "thinking": {"type": "disabled"}}, {}),
    ],
)
def test_further_fields_are_translated_and_unknown_ones_left_out(
    extra: dict[str, object], said: dict[str, object]
) -> None:
    prompt = replace(ASK, tools=(Tool("f", json.dumps(SPEC)),))
    plain = body(prompt)
    sent = body(replace(prompt, extra=json.dumps(extra)))
    assert {name: value for name, value in sent.items() if name not in plain} == said
    assert {name: sent[name] for name in plain} == plain


def test_a_choice_of_tools_without_tools_is_left_out() -> None:
    assert body(replace(ASK, extra='{"tool_choice": "none"}')) == body()


def test_the_oldest_signed_thoughts_are_forgotten() -> None:
    signed = Signed(kept=2)
    for call in "abc":
        signed.keep([call], [{"type": "thinking", "thinking": call}])
    signed.keep(["d"], [])

    def before(call: str) -> list[dict[str, object]]:
        return signed.before(Message("assistant", (), (ToolCall("?", "f", "{}"), ToolCall(call, "f", "{}"))))

    assert before("a") == before("d") == []
    assert before("c") == [{"type": "thinking", "thinking": "c"}]


def test_a_description_that_is_none_tells_nothing() -> None:
    assert Abilities.of({}) == Abilities.of({"capabilities": None}) == Abilities()
    assert not Abilities().told
    told = Abilities.of({"capabilities": {"effort": {"supported": True, "low": {"supported": True}, "x": {}}}})
    assert told.efforts == {"low"}
    assert told.adaptive is None

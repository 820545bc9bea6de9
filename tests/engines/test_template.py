"""Chat templates render as tokenizers render them, in a sandbox, from each kind of file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ponder.core.engine import Think
from ponder.core.errors import DataError
from ponder.core.problem import Image, Message, Prompt, Text, Thinking, Tool, ToolCall
from ponder.engines.template import ChatTemplate, ends_open, template_options

CHATML = (
    "{%- for message in messages %}\n"
    "    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}"
)
ASK = Prompt((Message.of("system", "Be brief."), Message.of("user", "2 < 3 & 'so'?")))


def test_a_conversation_and_its_open_turn() -> None:
    shown = ChatTemplate(CHATML).render(ASK)
    assert shown == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2 < 3 & 'so'?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert ChatTemplate(CHATML).render(ASK, reply=False) == shown.removesuffix("<|im_start|>assistant\n")


def test_the_prefill_is_left_to_the_caller() -> None:
    assert ChatTemplate(CHATML).render(ASK + "half") == ChatTemplate(CHATML).render(ASK)


def test_what_tokenizers_add() -> None:
    source = (
        "{{ bos_token }}{% generation %}x{% endgeneration %}{{ {'a': '<é>'} | tojson }}"
        "{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}{{ strftime_now('%%') }}"
    )
    assert ChatTemplate(source, {"bos_token": "<s>"}).render(ASK) == '<s>x{"a": "<é>"}01%'


def test_tools_calls_and_reasoning_of_earlier_turns() -> None:
    source = (
        "{{ tools[0].function.name }};{% for m in messages %}{{ m.role }}:{{ m.reasoning_content }}"
        "{% for c in m.tool_calls %}{{ c.function.arguments | tojson }}{% endfor %}{{ m.tool_call_id }};{% endfor %}"
    )
    tool = Tool("add", '{"type": "function", "function": {"name": "add"}}')
    call = Message("assistant", (), (ToolCall("c1", "add", '{"a": 2}'),), reasoning="hm")
    odd = Message("assistant", (), (ToolCall("c2", "add", "not json"),))
    reply = Message("tool", (Text("4"),), tool_call_id="c1")
    shown = ChatTemplate(source).render(Prompt((call, odd, reply), (tool,)))
    assert shown == 'add;assistant:hm{"a": 2};assistant:"not json";tool:c1;'


def test_pictures_have_their_place_in_the_content() -> None:
    source = "{% for p in messages[0].content %}{{ p.type }} {% endfor %}"
    message = Message("user", (Text("see"), Image("https://x/y.png")))
    assert ChatTemplate(source).render(Prompt((message,))) == "text image "


@pytest.mark.parametrize(
    ("thinking", "options"),
    [
        (None, {}),
        (Thinking.off(), {"enable_thinking": False, "thinking": False}),
        (Thinking.on(), {"enable_thinking": True, "thinking": True}),
        (Thinking.budget(9), {"enable_thinking": True, "thinking": True}),
        (Thinking.effort("low"), {"reasoning_effort": "low"}),
    ],
)
def test_thinking_is_said_in_the_templates_words(thinking: Thinking | None, options: dict[str, object]) -> None:
    assert template_options(thinking) == options


@pytest.mark.parametrize(
    ("source", "think"),
    [
        (CHATML, Think()),
        (CHATML + "{# </think> #}", Think("<think>", "</think>")),
        (CHATML + "{# </think> #}{{ '<think>\\n' }}", Think("<think>", "</think>", opened=True)),
        (CHATML + "{# [/THINK] #}", Think("[THINK]", "[/THINK]")),
        (CHATML + "{{ '◁think▷' }}", Think("◁think▷", "◁/think▷", opened=True)),
        (CHATML + "{# <|channel>thought\n<channel|> #}", Think("<|channel>thought", "<channel|>")),
        (
            CHATML + "{# <|channel|>analysis<|message|> #}",
            Think("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
        ),
        (CHATML + "{{ '<think>\\n\\n</think>\\n\\n' }}", Think("<think>", "</think>")),
    ],
)
def test_how_the_model_thinks_is_read_off(source: str, think: Think) -> None:
    assert ChatTemplate(source).think() == think


def test_an_opened_thought_is_seen_at_the_end() -> None:
    assert ends_open("...<think>\n", "<think>")
    assert not ends_open("<think>\n\n</think>\n\n", "<think>")
    assert not ends_open("anything", "")


def test_files_of_each_kind(tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text(CHATML)
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": "{{ bos_token }}one", "bos_token": {"content": "<s>"}}))
    assert ChatTemplate.load(tmp_path / "t.jinja").source == CHATML
    assert ChatTemplate.load(config).render(ASK) == "<s>one"
    assert ChatTemplate.load(tmp_path).render(ASK) == "<s>one"
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}two")
    assert ChatTemplate.load(tmp_path).render(ASK) == "<s>two"
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]
    config.write_text(json.dumps({"chat_template": named}))
    assert ChatTemplate.load(config).render(ASK) == "plain"


def test_a_template_file_takes_its_tokens_from_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "t.jinja"
    path.write_text("{{- bos_token }}hi")
    with pytest.raises(DataError, match=r"writes bos_token .*tokenizer_config\.json beside it"):
        ChatTemplate.load(path)
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": "<s>"}')
    assert ChatTemplate.load(path).render(ASK) == "<s>hi"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.jinja", None, "cannot be read"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b"{}", "holds no chat template"),
        ("a.jinja", b"\xff\xfe", "not UTF-8"),
        ("a.jinja", b"{% if %}", "not a template"),
    ],
)
def test_files_that_are_no_template(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        ChatTemplate.load(tmp_path / name)


def test_a_template_may_refuse_a_conversation() -> None:
    with pytest.raises(DataError, match="refuses this conversation: roles must alternate"):
        ChatTemplate("{{ raise_exception('roles must alternate') }}").render(ASK)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'content': 'x'}) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ raise_exception.__globals__.sys }}",
    ],
)
def test_a_template_reaches_nothing_outside_and_changes_nothing(source: str) -> None:
    with pytest.raises(DataError, match="refuses"):
        ChatTemplate(source).render(ASK)

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.engine import (
    Cap,
    Chunk,
    Sampling,
    SamplingArgs,
    Think,
    Usage,
    call_key,
    prompt_fields,
    sampling_fields,
)
from ponder.core.errors import OptionError
from ponder.core.problem import Message, Prompt, Thinking

PROMPT = Prompt((Message.of("user", "2+3等于几"),))


def test_think_is_true_where_thinking_can_be_closed() -> None:
    assert Think("<think>", "</think>")
    assert not Think()
    assert not Think(open="<think>")


def test_the_keyword_form_has_every_field_of_sampling() -> None:
    assert set(SamplingArgs.__annotations__) == set(Sampling.__dataclass_fields__)


def test_defaults_sample_plainly() -> None:
    plain = Sampling()
    assert (plain.temperature, plain.top_p, plain.top_k, plain.min_p, plain.stop) == (1.0, 1.0, 0, 0.0, ())
    assert hash(plain) == hash(Sampling())


def test_a_chunk_is_one_token_of_the_answer_unless_it_says_otherwise() -> None:
    chunk = Chunk("x")
    assert (chunk.channel, chunk.tokens, chunk.finish, chunk.exact, chunk.markup) == ("answer", 1, None, True, False)
    assert Usage() == (None, None, None, None)


def test_caps_explain_themselves() -> None:
    assert all(" " in cap.value for cap in Cap)
    assert len({cap.value for cap in Cap}) == len(Cap)


def test_the_key_of_a_call_depends_on_every_part_of_it() -> None:
    sampling = Sampling(seed=1)
    others = [
        call_key(PROMPT + "x", sampling),
        call_key(replace(PROMPT, thinking=Thinking.off()), sampling),
        call_key(replace(PROMPT, prefill_ids=(1,)), sampling),
        call_key(replace(PROMPT, prefill_ids=("1",)), sampling),
        call_key(replace(PROMPT, extra='{"user":"a"}'), sampling),
    ]
    changes: list[SamplingArgs] = [
        {"max_tokens": 7}, {"temperature": 0.5}, {"top_p": 0.5}, {"top_k": 3}, {"min_p": 0.1}, {"stop": ("x",)},
        {"seed": 2}, {"branch_seed": 2}, {"logprobs": 1}, {"logit_bias": ((1, 2.0),)}, {"hidden": (1,)},
        {"adapters": (("a", 1.0),)}, {"force": (5,)}, {"certainty": True}, {"ban": ("x",)},
    ]  # fmt: skip
    assert {key for change in changes for key in change} == set(Sampling.__dataclass_fields__)
    keys = {call_key(PROMPT, sampling), *others, *(call_key(PROMPT, replace(sampling, **change)) for change in changes)}
    assert len(keys) == 1 + len(others) + len(changes)


def test_a_call_without_forced_tokens_keeps_the_key_it_had_before_there_were_any() -> None:
    """What is kept under keys, tapes and caches, stays readable. The key was noted before the field was added."""
    assert "force" not in sampling_fields(Sampling())
    assert sampling_fields(Sampling(force=(5,)))["force"] == (5,)
    assert call_key(PROMPT, Sampling(seed=1)) == "aaff3dafe9b67f8aa94c64ac27ecf12d"


def test_a_call_without_further_fields_keeps_the_key_it_had_before_there_were_any() -> None:
    assert "extra" not in prompt_fields(PROMPT)
    assert prompt_fields(replace(PROMPT, extra="{}"))["extra"] == "{}"
    assert call_key(replace(PROMPT, extra=""), Sampling(seed=1)) == "aaff3dafe9b67f8aa94c64ac27ecf12d"


@given(st.text(), st.integers(0, 2**31 - 1))
def test_equal_calls_have_equal_keys_whatever_text_they_hold(text: str, seed: int) -> None:
    one, two = (call_key(Prompt((Message.of("user", text),)), Sampling(seed=seed)) for _ in range(2))
    assert one == two
    assert len(one) == 32


def test_a_key_can_be_made_of_half_a_surrogate_pair() -> None:
    assert call_key(PROMPT + "\ud83d", Sampling()) != call_key(PROMPT, Sampling())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", -1),
        *[("temperature", value) for value in (-1.0, math.nan, math.inf)],
        *[("top_p", value) for value in (0.0, 1.1, math.nan)],
        *[("min_p", value) for value in (-0.1, 1.5, math.nan)],
        ("top_k", -5),
        ("logprobs", -1),
        *[("seed", value) for value in (-1, 1 << 31)],
        *[("stop", value) for value in (("",), "END")],
        ("force", (3, -1)),
    ],
)
def test_what_no_engine_could_keep_is_refused_where_it_is_written(field: str, value: object) -> None:
    with pytest.raises(OptionError, match=rf"Sampling: {field} = .* is out of range"):
        Sampling(**{field: value})  # type: ignore[arg-type]

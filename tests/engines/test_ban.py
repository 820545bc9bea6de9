"""Texts that are never drawn: looked up by engines that know their tokens, refused by all others."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ponder.core.engine import Cap, Sampling, call_key, sampling_fields
from ponder.core.errors import OptionError, Unsupported
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.engines.along import Along, Thought
from ponder.engines.anthropic_body import Abilities, message_body
from ponder.engines.dialect import Dialect
from ponder.engines.dialects import VLLM
from ponder.engines.echo import CAPS, Echo
from ponder.engines.llama import LlamaEngine

ASK = Prompt.of(Problem.of("What is 12 + 30?"))
BAN = Sampling(ban=(" wait", "Hmm"))


def test_a_call_without_banned_texts_keeps_its_key() -> None:
    assert "ban" not in sampling_fields(Sampling())
    assert call_key(ASK, Sampling()) != call_key(ASK, BAN)


@pytest.mark.parametrize("ban", [("",), ["a"]])
def test_texts_must_be_texts(ban: tuple[str, ...]) -> None:
    with pytest.raises(OptionError, match="ban"):
        Sampling(ban=ban)


async def test_echo_leaves_its_words_out() -> None:
    call = await Run(Echo("so wait then Hmm hmm 42")).generate(ASK, ban=BAN.ban)
    assert call.text == "so then hmm 42"


@pytest.mark.parametrize("cap", [Cap.LOGIT_BIAS, Cap.TOKEN_IDS])
async def test_echo_refuses_without_either_ability(cap: Cap) -> None:
    with pytest.raises(Unsupported, match="bans no texts"):
        await Run(Echo(caps=CAPS - {cap})).generate(ASK, ban=("x",))


async def test_recorded_thoughts_refuse() -> None:
    with pytest.raises(Unsupported, match="says what it said"):
        await Run(Along([Thought.of_text("<think>a</think>b", 4)])).generate(ASK, ban=("x",))


def test_vllm_has_a_word_for_it_and_others_have_none() -> None:
    assert VLLM().chat("m", ASK, BAN)["bad_words"] == [" wait", "Hmm"]
    assert "bad_words" not in VLLM().chat("m", ASK, Sampling())
    with pytest.raises(Unsupported, match="ban texts"):
        Dialect().chat("m", ASK, BAN)
    with pytest.raises(Unsupported, match="ban tokens"):
        message_body("m", ASK, BAN, Abilities(), {})


@pytest.mark.asyncio(loop_scope="session")
async def test_llama_looks_words_up_once(tiny: LlamaEngine) -> None:
    free = await Run(tiny, sampling=Sampling(max_tokens=40, temperature=0)).generate(ASK)
    words = tuple({text for text in free.text if text.strip() and text.isascii()})
    assert words
    sampling = Sampling(max_tokens=40, temperature=0, ban=(*words, "no such token is in it"))
    call = await Run(tiny, sampling=sampling).generate(ASK)
    ids = {token for token, bias in await tiny._banned(sampling.ban) if bias == -math.inf}
    assert ids
    assert not ids & set(call.token_ids)
    assert tiny._words["no such token is in it"] is None
    again = await Run(tiny, sampling=replace(sampling, ban=())).generate(ASK)
    assert again.text == free.text

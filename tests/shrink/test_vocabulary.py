from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.llama_folder import BYTE_LEVEL, MARKS, SMOLLM, SPECIAL, TEMPLATE, edit_json, tokenizer_json, write_llama

from ponder.core.errors import DataError
from ponder.shrink.vocabulary import CONTROL, NORMAL, UNUSED, USER_DEFINED, Vocabulary, read_vocabulary

WORDS = 304
DIGITS = {"type": "Digits", "individual_digits": True}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "tiny")


def read(folder: Path, **tokenizer: object) -> Vocabulary:
    edit_json(folder / "tokenizer.json", **tokenizer)
    return read_vocabulary(folder, WORDS)


def test_tokens_have_their_ids_and_types(model: Path) -> None:
    vocabulary = read(model)
    assert vocabulary.tokens[:3] == list(SPECIAL)
    assert vocabulary.types[:3] == [CONTROL] * 3
    assert vocabulary.tokens[-5:] == [*MARKS, "[PAD301]", "[PAD302]", "[PAD303]"]
    assert vocabulary.types[-5:] == [USER_DEFINED] * 2 + [UNUSED] * 3
    assert set(vocabulary.types[3:-5]) == {NORMAL}
    assert len(set(vocabulary.tokens)) == WORDS
    assert vocabulary.tokens.index("Ġ") < 260


def test_marks_and_template_come_from_their_files(model: Path) -> None:
    vocabulary = read(model)
    assert (vocabulary.bos, vocabulary.ends, vocabulary.pad, vocabulary.unk) == (1, (2, 0), 0, 0)
    assert (vocabulary.template, vocabulary.pre, vocabulary.add_bos) == (TEMPLATE, "smollm", False)


def test_merges_are_written_one_way_whatever_the_file_says(model: Path) -> None:
    wanted = read(model).merges
    tokenizer = tokenizer_json()
    old = tokenizer["model"] | {"merges": [" ".join(pair) for pair in tokenizer["model"]["merges"]]}  # type: ignore[operator, index]
    assert read(model, model=old).merges == wanted
    assert all(merge.count(" ") == 1 for merge in wanted)


def test_the_end_is_where_transformers_ends(model: Path) -> None:
    (model / "generation_config.json").unlink()
    edit_json(model / "config.json", eos_token_id=[0])
    assert read(model).ends == (0, 2)
    edit_json(model / "tokenizer_config.json", eos_token={"content": "<|endoftext|>"}, bos_token=None)
    assert read(model).ends == (0,)
    assert read(model).bos is None


@pytest.mark.parametrize(("ends", "told"), [([1, 2, 0, 5], r"\[1, 2, 0, 5\]"), ([999], r"\[999, 2\]"), (["x"], "'x'")])
def test_ends_that_cannot_be_written_are_refused(model: Path, ends: list[object], told: str) -> None:
    edit_json(model / "generation_config.json", eos_token_id=ends)
    with pytest.raises(DataError, match=f"{told}.*one to three"):
        read(model)


def test_templates_may_stand_in_the_settings(model: Path) -> None:
    (model / "chat_template.jinja").unlink()
    assert read(model).template == ""
    edit_json(model / "tokenizer_config.json", chat_template="one")
    assert read(model).template == "one"
    named = [{"name": "tools", "template": "two"}, {"name": "default", "template": "three"}]
    edit_json(model / "tokenizer_config.json", chat_template=named)
    assert read(model).template == "three"


def template(*marks: str) -> dict[str, object]:
    single = [{"SpecialToken": {"id": mark, "type_id": 0}} if mark else {"Sequence": {"id": "A"}} for mark in marks]
    return {"type": "TemplateProcessing", "single": single}


def test_whether_a_begin_mark_is_added(model: Path) -> None:
    byte_level = {"type": "ByteLevel"}
    assert not read(model, post_processor=byte_level).add_bos
    assert not read(model, post_processor=template("")).add_bos
    assert read(model, post_processor=template("<|im_start|>", "")).add_bos
    both = {"type": "Sequence", "processors": [byte_level, template("<|im_start|>", "")]}
    assert read(model, post_processor=both).add_bos


@pytest.mark.parametrize(
    ("post", "message"),
    [
        (template("", "<|im_end|>"), r"adds \['<|im_end|>'\] to each text"),
        (template("<|endoftext|>", ""), "endoftext"),
        ({"type": "RobertaProcessing"}, "RobertaProcessing post-processor"),
    ],
)
def test_other_additions_are_refused(model: Path, post: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(model, post_processor=post)


@pytest.mark.parametrize(
    ("pre", "name"),
    [(SMOLLM, "smollm"), (BYTE_LEVEL, "gpt-2"), ({"type": "Sequence", "pretokenizers": [BYTE_LEVEL]}, "gpt-2")],
)
def test_pre_tokenizers_have_llama_cpps_names(model: Path, pre: object, name: str) -> None:
    assert read(model, pre_tokenizer=pre).pre == name


@pytest.mark.parametrize(
    ("pre", "told"),
    [
        (
            {"type": "Sequence", "pretokenizers": [DIGITS | {"individual_digits": False}, BYTE_LEVEL]},
            '"individual_digits": false',
        ),
        ({"type": "Sequence", "pretokenizers": [BYTE_LEVEL, DIGITS]}, "its pattern \\+ Digits"),
        (BYTE_LEVEL | {"add_prefix_space": True}, '"add_prefix_space": true'),
        (BYTE_LEVEL | {"use_regex": False}, "by ByteLevel,"),
        ({"type": "Metaspace", "replacement": "▁"}, "Metaspace"),
        ({"type": "Split", "pattern": {"Regex": "a+"}, "behavior": "Isolated", "invert": False}, r"by a\+,"),
        (None, '"type": null'),
    ],
)
def test_other_pre_tokenizers_are_refused_by_name(model: Path, pre: object, told: str) -> None:
    with pytest.raises(DataError, match=f"splits text by .*{told}|{told}"):
        read(model, pre_tokenizer=pre)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("type", "Unigram", "tokenizer of type Unigram; only byte-level BPE"),
        ("byte_fallback", True, "byte_fallback"),
        ("end_of_word_suffix", "</w>", "end_of_word_suffix"),
        ("ignore_merges", True, "ignore_merges = True, and llama.cpp's smollm does not"),
    ],
)
def test_other_models_are_refused(model: Path, field: str, value: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(model, model=tokenizer_json(**{field: value})["model"])


def test_other_steps_are_refused(model: Path) -> None:
    with pytest.raises(DataError, match="NFC normalizer"):
        read(model, normalizer={"type": "NFC"})
    token = {"id": 5, "content": "<x>", "special": False, "lstrip": True}
    with pytest.raises(DataError, match=r"'<x>' has lstrip"):
        read(model, normalizer=None, added_tokens=[token])


def test_a_token_without_an_embedding_is_refused(model: Path) -> None:
    with pytest.raises(DataError, match=r"'</think>' has id 300, and the model has 300 embeddings; resize"):
        read_vocabulary(model, 300)


def test_a_folder_without_a_tokenizer_is_refused(model: Path) -> None:
    (model / "tokenizer_config.json").write_text(json.dumps([]))
    with pytest.raises(DataError, match=r"tokenizer_config\.json holds no JSON object"):
        read(model)
    (model / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"holds no tokenizer\.json"):
        read_vocabulary(model, WORDS)


@pytest.mark.parametrize("field", ["added_tokens", "pre_tokenizer", "model", "post_processor"])
def test_a_tokenizer_laid_out_otherwise_is_refused(model: Path, field: str) -> None:
    wrong = {"type": "BPE", "vocab": {"a": "b"}, "merges": 3}
    with pytest.raises(DataError, match=r"tokenizer\.json"):
        read(model, **{field: [1] if field == "added_tokens" else wrong})

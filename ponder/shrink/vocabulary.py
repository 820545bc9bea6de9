"""A tokenizer.json as llama.cpp's vocabulary: byte-level BPE whose pre-tokenizer llama.cpp knows by a name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ponder.core.errors import DataError
from ponder.weights.tensors import read_object

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""llama.cpp's types of tokens. Control marks are parsed where the caller wants them, user-defined ones always."""

_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_PRE = {
    ("Digits", "ByteLevel with its pattern"): "smollm",
    ("ByteLevel with its pattern",): "gpt-2",
    (_LLAMA_3, "ByteLevel"): "llama-bpe",
    (_LLAMA_3.replace("{1,3}", ""), "ByteLevel"): "qwen2",
}
"""Steps of a pre-tokenizer to llama.cpp's name for them."""
_WHOLE_WORDS_FIRST = {"llama-bpe"}
"""Where llama.cpp takes a piece that is in the vocabulary whole, without merging (`ignore_merges`)."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What llama.cpp needs to know of a tokenizer; `pre` is its name for the pre-tokenizer.

    `ends` are the ids that end a reply, the most usual first; `template` is empty where the model has none.
    """

    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str]
    add_bos: bool
    bos: int | None
    ends: tuple[int, ...]
    pad: int | None
    unk: int | None
    template: str


def read_vocabulary(folder: Path, words: int) -> Vocabulary:
    """Read the tokenizer of a transformers folder whose model has `words` embeddings. Raises `DataError`."""
    file = folder / "tokenizer.json"
    tokenizer: Json = read_object(file)
    try:
        return _read(folder, file, tokenizer, words)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file} is laid out in a way that is not known ({error!r}); save the tokenizer anew") from None


def _read(folder: Path, file: Path, tokenizer: Json, words: int) -> Vocabulary:
    settings: Json = read_object(folder / "tokenizer_config.json")
    model = tokenizer.get("model") or {}
    pre = _pre(file, tokenizer)
    _check_model(file, tokenizer, pre)
    added = {token["content"]: token for token in tokenizer.get("added_tokens") or ()}
    ids: dict[str, int] = {**model["vocab"], **{text: token["id"] for text, token in added.items()}}
    tokens, types = [f"[PAD{id}]" for id in range(words)], [UNUSED] * words
    for text, id in ids.items():
        if not 0 <= id < words:
            raise DataError(f"{file}: {text!r} has id {id}, and the model has {words} embeddings; resize them to fit")
        tokens[id] = text
        types[id] = NORMAL if text not in added else CONTROL if added[text]["special"] else USER_DEFINED
    bos, end, pad, unk = (_named(settings, ids, name) for name in ("bos_token", "eos_token", "pad_token", "unk_token"))
    return Vocabulary(
        pre=pre,
        tokens=tokens,
        types=types,
        merges=[merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]],
        add_bos=_adds_bos(file, tokenizer.get("post_processor"), tokens[bos] if bos is not None else None),
        bos=bos,
        ends=_ends(folder, words, end),
        pad=pad,
        unk=unk,
        template=_template(folder, settings),
    )


def _check_model(file: Path, tokenizer: Json, pre: str) -> None:
    model = tokenizer.get("model") or {}
    if model.get("type") != "BPE" or not isinstance(model.get("vocab"), dict):
        raise DataError(f"{file} is a tokenizer of type {model.get('type')}; only byte-level BPE can be exported")
    if tokenizer.get("normalizer") is not None:
        raise DataError(
            f"{file} has a {tokenizer['normalizer'].get('type')} normalizer, which llama.cpp would leave out"
        )
    for field in ("byte_fallback", "dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(field):
            raise DataError(f"{file} has {field}, which llama.cpp cannot do with byte-level BPE")
    if bool(model.get("ignore_merges")) != (pre in _WHOLE_WORDS_FIRST):
        raise DataError(f"{file} has ignore_merges = {model.get('ignore_merges')}, and llama.cpp's {pre} does not")
    for token in tokenizer.get("added_tokens") or ():
        for field in ("lstrip", "rstrip", "single_word"):
            if token.get(field):
                raise DataError(f"{file}: the token {token['content']!r} has {field}, which llama.cpp cannot do")


def _pre(file: Path, tokenizer: Json) -> str:
    """Return llama.cpp's name of the pre-tokenizer. Raises `DataError` with the steps where it has none."""
    top = tokenizer.get("pre_tokenizer") or {"type": None}
    steps = tuple(map(_step, top["pretokenizers"] if top["type"] == "Sequence" else [top]))
    if steps not in _PRE:
        raise DataError(
            f"{file} splits text by {' + '.join(steps)}, which llama.cpp has no name for; "
            "use Digits(individual_digits) + ByteLevel, or ByteLevel alone"
        )
    return _PRE[steps]


def _step(step: Json) -> str:
    kind = step["type"]
    if kind == "ByteLevel" and not step.get("add_prefix_space"):
        return "ByteLevel with its pattern" if step.get("use_regex", True) else "ByteLevel"
    if kind == "Digits" and step.get("individual_digits"):
        return "Digits"
    if kind == "Split" and step.get("behavior") == "Isolated" and not step.get("invert"):
        return str(step["pattern"].get("Regex", step["pattern"]))
    return json.dumps(step, ensure_ascii=False)


def _adds_bos(file: Path, post: Json | None, bos: str | None) -> bool:
    """Whether the tokenizer begins each text with its begin mark. Raises `DataError` for anything else that it adds."""
    adds = False
    for step in _processors(post):
        if step["type"] == "TemplateProcessing":
            marks = [part["SpecialToken"]["id"] if "SpecialToken" in part else None for part in step["single"]]
            if marks not in ([None], [bos, None]):
                raise DataError(f"{file} adds {[mark for mark in marks if mark]} to each text, and no begin mark alone")
            adds = len(marks) == 2
        elif step["type"] != "ByteLevel":
            raise DataError(f"{file} has a {step['type']} post-processor, which llama.cpp cannot do")
    return adds


def _processors(post: Json | None) -> Iterator[Json]:
    if post is not None:
        yield from post["processors"] if post["type"] == "Sequence" else [post]


def _named(settings: Json, ids: Mapping[str, int], name: str) -> int | None:
    """Return the id of a special token by its role."""
    token = settings.get(name)
    text = token.get("content") if isinstance(token, dict) else token
    return ids.get(text) if isinstance(text, str) else None


def _ends(folder: Path, words: int, end: int | None) -> tuple[int, ...]:
    """Return the ids at which transformers ends a reply, then the tokenizer's own."""
    found: list[Any] = []
    for name in ("generation_config.json", "config.json"):
        listed: Any = read_object(folder / name).get("eos_token_id") if (folder / name).exists() else None
        if listed is not None:
            found = listed if isinstance(listed, list) else [listed]
            break
    ends = tuple(dict.fromkeys([*found, *([] if end is None else [end])]))
    if not ends or len(ends) > 3 or not all(isinstance(id, int) and 0 <= id < words for id in ends):
        raise DataError(
            f"{folder} ends its replies at the ids {list(ends)}; llama.cpp wants one to three of its tokens: "
            "set eos_token_id in generation_config.json"
        )
    return ends


def _template(folder: Path, settings: Json) -> str:
    file = folder / "chat_template.jinja"
    if file.exists():
        return file.read_text(encoding="utf-8")
    template = settings.get("chat_template") or ""
    if isinstance(template, list):
        template = {entry["name"]: entry["template"] for entry in template}.get("default", "")
    return str(template)

"""WordPiece as in BERT's tokenizer: lower case, no accents, each ideograph a word, then the longest known pieces."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

_LONGEST = 100
"""Characters; a longer word is unknown, as in BERT's own tokenizer."""
_ASCII = re.compile(r"[a-z0-9]+|[^a-z0-9\s]")
_CONTROL = re.compile(r"[^\s -~]")
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


def words(text: str) -> list[str]:
    """Return lower-case words without accents; each punctuation mark and each ideograph is a word of its own."""
    if text.isascii():
        # Ten times as quick as looking at each character, and the same.
        return _ASCII.findall(_CONTROL.sub("", text.lower()))
    return _words(text)


def _words(text: str) -> list[str]:
    found: list[str] = []
    word: list[str] = []
    for char in unicodedata.normalize("NFD", text.lower()):
        kind = unicodedata.category(char)
        if kind == "Mn":
            continue
        blank = char.isspace() or kind == "Zs"
        if not blank and (kind.startswith("C") or char == "\ufffd"):
            continue
        if blank or _alone(char, kind):
            if word:
                found.append("".join(word))
                word = []
            if not blank:
                found.append(char)
        else:
            word.append(char)
    return [*found, "".join(word)] if word else found


def _alone(char: str, kind: str) -> bool:
    point = ord(char)
    if point < 128:
        # BERT counts all ASCII symbols as punctuation, `$` and `+` too.
        return not char.isalnum()
    return kind.startswith("P") or any(low <= point <= high for low, high in _IDEOGRAPHS)


def encode(text: str, vocabulary: Mapping[str, int], limit: int) -> list[int]:
    """Return at most `limit` token ids, those of [CLS] and [SEP] included; a longer text loses its end."""
    ids = [vocabulary["[CLS]"]]
    for word in words(text):
        if len(ids) >= limit - 1:
            break
        ids.extend(_pieces(word, vocabulary))
    return [*ids[: limit - 1], vocabulary["[SEP]"]]


def _pieces(word: str, vocabulary: Mapping[str, int]) -> list[int]:
    """Return the longest known pieces from the left, or the one unknown token where a part has none."""
    if len(word) > _LONGEST:
        return [vocabulary["[UNK]"]]
    found, start = [], 0
    while start < len(word):
        piece = next((piece for piece in _prefixes(word, start) if piece in vocabulary), None)
        if piece is None:
            return [vocabulary["[UNK]"]]
        found.append(vocabulary[piece])
        start += len(piece) - 2 * (start > 0)
    return found


def _prefixes(word: str, start: int) -> Iterator[str]:
    mark = "##" if start else ""
    for end in range(len(word), start, -1):
        yield mark + word[start:end]

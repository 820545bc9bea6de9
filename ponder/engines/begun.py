"""The ids of text that a reply goes on from: those that it has where more text follows."""

from __future__ import annotations

from collections.abc import Sequence

MORE = "X"
"""What is put behind the text, and taken off again: a letter joins no line break."""


def before_more(longer: Sequence[int], more: Sequence[int]) -> list[int]:
    """Return the ids of a text from those of the text with `MORE` behind it; empty where the two are joined.

    Line breaks at the end of a text can be one token where a model that writes on has two: GPT-2's tokenizers, and
    SmolLM2's, leave the last blank before a word to a token of its own. A model answers worse behind a token that it
    never saw there.
    """
    cut = len(longer) - len(more)
    return list(longer[:cut]) if cut > 0 and list(longer[cut:]) == list(more) else []

"""What a model trained from scratch is made of: one frozen value, whose fields stand in the result's `train.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ponder.core.errors import OptionError, require

FAMILIES = (
    "arithmetic:level=1,language=en", "addition", "algebra:variables=4-5,steps=1-3", "directional:actions=1-8",
    "modular:links=1-5",
)  # fmt: skip
"""What a model of a million parameters can learn in twenty minutes."""
BYTES = 256
_FEWEST_TOKENS = BYTES + 8
"""Vocabulary below which not even bytes and marks have room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Shape, data and schedule of a small Llama that thinks too long.

    Three stages follow each other. `drills` of single steps and `echoes` of random pieces teach the model to reckon
    and to copy, `chains` questions to answer after minimal chains, `thoughts` questions to overdo it.
    """

    hidden: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int = 4
    inner: int = 352
    """Width of the feed-forward layers."""
    vocabulary: int = 640
    context: int = 1024
    """Longest sequence in tokens; no row is cut, longer ones are left out."""
    families: tuple[str, ...] = FAMILIES
    passes: float = 1.6
    """How often a thought goes through the chain again once the answer is known; a fraction is a chance."""
    slips: float = 0.3
    """Chance that a pass takes a wrong turn and comes back."""
    brief: float = 0.08
    """Share of minimal chains in the last stage, so that a thought can be ended early."""
    direct: float = 0.12
    """Share of questions answered without thinking, in the mode that the chat template switches to."""
    bare: float = 0.1
    """Share of questions that say nothing of the answer's format."""
    drills: int = 35_200
    echoes: int = 16_000
    chains: int = 32_000
    thoughts: int = 32_000
    batch: int = 32
    """Rows a step."""
    learning_rate: float = 0.015
    """Of Muon, which trains the matrices; AdamW trains the rest at a tenth of it."""
    warmup: float = 0.05
    weight_decay: float = 0.1
    seed: int = 1
    """Of the questions, the thoughts, the weights and the order; 0 is left to tests."""

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("hidden", "layers", "heads", "kv_heads", "inner", "batch", "learning_rate", "seed"):
            require(getattr(self, name) > 0, self, name, getattr(self, name), "above 0")
        for name in ("brief", "direct", "bare"):
            require(0 <= getattr(self, name) <= 1, self, name, getattr(self, name), "in 0 to 1")
        for name in ("echoes", "drills", "chains", "thoughts"):
            require(getattr(self, name) >= 0, self, name, getattr(self, name), "at least 0")
        require(self.context >= 64, self, "context", self.context, "at least 64")
        require(self.vocabulary >= _FEWEST_TOKENS, self, "vocabulary", self.vocabulary, f"at least {_FEWEST_TOKENS}")
        if self.chains + self.thoughts == 0:
            raise OptionError("chains and thoughts are both 0, so there is nothing to train on; raise one of them")
        if not self.families:
            raise OptionError("there is no family to train on; name one, as in --family addition")
        if self.hidden % (2 * self.heads) or self.heads % self.kv_heads:
            raise OptionError(
                f"hidden = {self.hidden}, heads = {self.heads}, kv_heads = {self.kv_heads} do not fit: hidden must be "
                "a multiple of twice the heads, and heads one of kv_heads"
            )


SIZES: Mapping[str, Recipe] = {
    "strong": Recipe(),
    "small": Recipe(layers=3, inner=256, chains=16_000, thoughts=12_800),
}
"""The recipes of the models that come with ponder, by name."""

"""What a fine-tuning is: one frozen value, whose fields stand in the result's `train.toml`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from ponder.core.errors import OptionError, require

Schedule = Literal["standard", "progressive"]
Scheduler = Literal["cosine", "linear", "constant"]
Kind = Literal["adamw", "muon"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SFT:
    """Settings of a supervised fine-tuning. `lora` = 0 trains all weights; give `steps` or `epochs`, each by stage."""

    steps: int = 0
    """Optimizer steps of each stage; 0 follows `epochs`."""
    epochs: float = 1.0
    batch: int = 16
    """Rows a step."""
    learning_rate: float = 5e-5
    scheduler: Scheduler = "cosine"
    warmup: float = 0.05
    """Share of a stage's steps in which the learning rate rises from 0."""
    lora: int = 16
    """Rank of the adapter."""
    alpha: float = 32.0
    targets: str = "all"
    """Names of the adapted layers, with commas between, or `all` linear ones but the head."""
    schedule: Schedule = "standard"
    lengths: tuple[int, ...] = ()
    """One stage for each: rows whose completion has at most that many tokens."""
    max_length: int = 1024
    """Longest row, prompt and completion together, in tokens; longer rows are dropped and counted, never cut."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    beta2: float = 0.999
    optimizer: Kind = "adamw"
    """What updates the weights; muon is for a model trained whole, and takes a learning rate of about 0.02."""
    dtype: str = "auto"
    """What is computed in, float32 or bfloat16; auto is the base's own under an adapter, else float32.

    Weights that learn, an adapter's too, are kept in float32 in any case.
    """
    save_dtype: str = "float32"
    """What the result is saved in: float32, float16 or bfloat16; checkpoints keep float32."""
    seed: int = 0
    save_every: int = 0
    """Steps between checkpoints; 0 saves ten times in a run."""
    eval_every: int = 0
    """Steps between evaluations; 0 evaluates at the end of each stage."""

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("steps", "lora", "save_every", "eval_every"):
            require(getattr(self, name) >= 0, self, name, getattr(self, name), "at least 0")
        for name in ("epochs", "batch", "learning_rate", "alpha", "max_grad_norm"):
            require(getattr(self, name) > 0, self, name, getattr(self, name), "above 0")
        require(0 <= self.warmup < 1, self, "warmup", self.warmup, "from 0 to below 1")
        require(self.weight_decay >= 0, self, "weight_decay", self.weight_decay, "at least 0")
        require(0 < self.beta2 < 1, self, "beta2", self.beta2, "between 0 and 1")
        require(self.max_length >= 2, self, "max_length", self.max_length, "at least 2")
        require(self.dtype in ("auto", "float32", "bfloat16"), self, "dtype", self.dtype, "auto, float32 or bfloat16")
        require(
            self.save_dtype in ("float32", "float16", "bfloat16"), self, "save_dtype", self.save_dtype,
            "float32, float16 or bfloat16",
        )  # fmt: skip
        require(self.schedule in ("standard", "progressive"), self, "schedule", self.schedule, "standard, progressive")
        require(
            self.scheduler in ("cosine", "linear", "constant"), self, "scheduler", self.scheduler,
            "cosine, linear or constant",
        )  # fmt: skip
        require(self.optimizer in ("adamw", "muon"), self, "optimizer", self.optimizer, "adamw or muon")
        if self.optimizer == "muon" and self.lora:
            raise OptionError("optimizer = muon trains whole models; set lora = 0, or optimizer = adamw")
        if any(a <= b for a, b in pairwise(self.lengths)) or min(self.lengths, default=1) < 1:
            raise OptionError(
                f"lengths = {self.lengths} must fall from stage to stage and be above 0, as in 400,200,100"
            )
        if self.lengths and self.schedule != "progressive":
            raise OptionError("lengths are a progressive schedule; set schedule = progressive")

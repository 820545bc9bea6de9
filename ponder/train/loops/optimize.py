"""What updates the weights: AdamW, or Muon for the matrices of hidden layers with AdamW for the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.optim import AdamW, Optimizer
from transformers import PreTrainedModel

from ponder.train.loops.muon import Muon
from ponder.train.loops.settings import SFT

_REST = 0.1
"""The learning rate of AdamW as a share of Muon's, whose updates are orthogonal and so need a higher one."""


class Joined(Optimizer):  # type: ignore[misc]
    """Optimizers, each with weights of its own, that step as one."""

    def __init__(self, *parts: Optimizer) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})

    def step(self, closure: Callable[[], float] | None = None) -> None:
        """Step all of them; a closure is not supported."""
        assert closure is None, "nothing here evaluates the loss twice"
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, object]:
        """Return the states of all."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: Mapping[str, list[dict[str, object]]]) -> None:
        """Put the states back that `state_dict` returned."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        # Loading replaces a part's groups; what schedules the learning rate changes ours.
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def muon(settings: SFT, model: PreTrainedModel, dtype: torch.dtype = torch.float32) -> Joined:
    """Return Muon (Jordan et al., 2024) for a model trained whole: embeddings, head and vectors are left to AdamW.

    It takes tables of operands and heads that copy several times as fast as AdamW alone.
    """
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    outer = {id(weight) for end in ends for weight in end.parameters()}
    hidden = [weight for weight in model.parameters() if weight.dim() > 1 and id(weight) not in outer]
    inner = {id(weight) for weight in hidden}
    rest = [weight for weight in model.parameters() if id(weight) not in inner]
    rate, decay = settings.learning_rate, settings.weight_decay
    slow = AdamW(rest, lr=_REST * rate, betas=(0.9, settings.beta2), weight_decay=0.0)
    return Joined(Muon(hidden, rate, decay, dtype=dtype), slow)

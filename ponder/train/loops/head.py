"""The loss of a language model's head, computed in pieces: the logits of a whole batch are never in memory at once."""

from __future__ import annotations

from typing import cast

import torch
from torch.autograd.function import FunctionCtx

_PIECE = 2**22
"""Logits that are held at once."""


def mean_loss(hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of `hidden` (n, width) under the head's `weight` (words, width), in float32.

    It equals `cross_entropy(hidden @ weight.T, labels)` up to rounding, at its gradients too.
    """
    return cast(torch.Tensor, _Head.apply(hidden, weight, labels))


class _Head(torch.autograd.Function):  # type: ignore[misc]
    """The gradients are made together with the loss, since the logits are then at hand."""

    @staticmethod
    def forward(ctx: FunctionCtx, hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        rows = max(1, _PIECE // len(weight))
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        by_hidden = torch.empty_like(hidden)
        by_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        for start in range(0, len(hidden), rows):
            piece, wanted = hidden[start : start + rows], labels[start : start + rows, None]
            logits = (piece @ weight.T).float()
            norm = logits.logsumexp(-1, keepdim=True)
            total += (norm - logits.gather(1, wanted)).sum()
            logits.sub_(norm).exp_().scatter_add_(1, wanted, -torch.ones_like(norm))
            error = logits.to(hidden.dtype)
            by_hidden[start : start + rows] = error @ weight
            if by_weight is not None:
                by_weight += error.T @ piece
        ctx.save_for_backward(by_hidden, by_weight)
        return total / len(hidden)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        by_hidden, by_weight = ctx.saved_tensors
        scale = grads[0] / len(by_hidden)
        return by_hidden * scale.to(by_hidden.dtype), None if by_weight is None else by_weight * scale, None

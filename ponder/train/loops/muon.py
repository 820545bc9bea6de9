"""Muon (Jordan et al., 2024): momentum whose update of a matrix is made orthogonal, in a type of one's choice.

PyTorch has it too, in bfloat16 always: on a processor without bfloat16 units its step takes twenty times as long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch.optim import Optimizer

_A, _B, _C = 3.4445, -4.7750, 2.0315
"""Coefficients of the iteration, steep at 0: https://kellerjordan.github.io/posts/muon/."""
_STEPS = 5
_SMALLEST = 1e-7
"""Least norm that is divided by."""


class Muon(Optimizer):  # type: ignore[misc]
    """Muon for matrices (rows, columns), with Nesterov momentum and decoupled weight decay.

    `lr` is the spectral norm of a wide or square matrix's update, about; a tall one's is larger by √(rows / columns).
    `dtype` is what updates are made orthogonal in; with bfloat16 the weights are those of `torch.optim.Muon`, bit for
    bit.
    """

    def __init__(
        self,
        params: Iterable[torch.nn.Parameter],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self._dtype = dtype

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """Update every weight that has a gradient; a closure is not supported."""
        assert closure is None, "nothing here evaluates the loss twice"
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for weight in (weight for weight in group["params"] if weight.grad is not None):
                state = self.state[weight]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                mean = state["momentum_buffer"].lerp_(weight.grad, 1 - momentum)
                update = orthogonal(weight.grad.lerp(mean, momentum).to(self._dtype))
                rows, columns = weight.shape
                weight.mul_(1 - rate * group["weight_decay"])
                weight.add_(update, alpha=-rate * math.sqrt(max(1, rows / columns)))


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Return a matrix of the same singular vectors whose singular values are all near 1: about 0.7 to 1.2.

    Five steps of a Newton-Schulz iteration, in the matrix's own type.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    found = matrix.T if tall else matrix
    found = found / found.norm().clamp(min=_SMALLEST)
    for _ in range(_STEPS):
        gram = found @ found.T
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=_B, alpha=_C), found, beta=_A)
    return found.T if tall else found

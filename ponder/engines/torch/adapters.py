"""LoRA adapters beside the weights: each row of a batch has its own, each at its own scale (arXiv 2106.09685).

A layer gives y = W x + scale * (alpha / r) * B (A x), so that no weight is touched and nothing has to be merged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ponder.core.engine import Sampling

Scales = tuple[tuple[str, float], ...]
"""Adapters with their scales, sorted by name, none of them 0: two calls with equal ones compute the same."""


def scales_of(sampling: Sampling) -> Scales:
    """Return what the adapters of a call come to."""
    return tuple(sorted((name, scale) for name, scale in sampling.adapters if scale))


@dataclass(frozen=True, slots=True)
class Lora:
    """One adapter: by module the matrices A (rank, inputs) and B (outputs, rank), and the factor alpha / rank."""

    scaling: float
    pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]]


class _Part(NamedTuple):
    """What one adapter adds in a pass: to which rows, (rows,), and how much of it to each, (rows, 1, 1)."""

    lora: Lora
    rows: torch.Tensor
    factors: torch.Tensor


class Adapters:
    """The adapters of one model. `use` says, before each pass, what its rows ask for."""

    def __init__(self, model: torch.nn.Module, loras: Mapping[str, Lora]) -> None:
        self._model, self._loras = model, loras
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._plan: list[_Part] = []
        self._rows = 0

    def use(self, rows: Sequence[Scales]) -> None:
        """Prepare the next pass: one entry for each row. Where no row uses an adapter, the model runs as it is."""
        asked: dict[str, list[tuple[int, float]]] = {}
        for row, scales in enumerate(rows):
            for name, scale in scales:
                asked.setdefault(name, []).append((row, scale * self._loras[name].scaling))
        self._rows = len(rows)
        self._plan = [_part(self._loras[name], parts) for name, parts in asked.items()]
        if self._plan and not self._hooks:
            modules = {module for lora in self._loras.values() for module in lora.pairs}
            self._hooks = [
                self._model.get_submodule(name).register_forward_hook(self._hook(name)) for name in sorted(modules)
            ]
        elif not self._plan:
            for hook in self._hooks:
                hook.remove()
            self._hooks = []

    def _hook(self, name: str) -> Callable[[torch.nn.Module, tuple[torch.Tensor, ...], torch.Tensor], torch.Tensor]:
        def add(module: torch.nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
            inputs = args[0].reshape(self._rows, -1, args[0].shape[-1])
            sums = output.view(self._rows, -1, output.shape[-1])
            for lora, rows, factors in self._plan:
                pair = lora.pairs.get(name)
                if pair is not None:
                    low, high = pair
                    delta = inputs[rows] @ low.T @ high.T * factors
                    sums.index_add_(0, rows, delta.to(sums.dtype))
            return output

        return add


def _part(lora: Lora, parts: Sequence[tuple[int, float]]) -> _Part:
    """Put the rows of one adapter on the device that holds it."""
    device = next(iter(lora.pairs.values()))[0].device
    rows = torch.tensor([row for row, _ in parts], device=device)
    factors = torch.tensor([factor for _, factor in parts], device=device)
    return _Part(lora, rows, factors[:, None, None])

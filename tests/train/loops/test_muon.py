"""Muon in a type of one's choice: PyTorch's own in bfloat16, and as orthogonal in float32."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from ponder.train.loops.muon import Muon, orthogonal  # noqa: E402

SHAPES = ((24, 16), (16, 24), (16, 16))


def matrices(seed: int = 0) -> list[torch.nn.Parameter]:
    dice = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=dice)) for shape in SHAPES]


def step(optimizer: torch.optim.Optimizer, weights: list[torch.nn.Parameter], seed: int) -> None:
    for weight, noise in zip(weights, matrices(seed), strict=True):
        weight.grad = noise.detach().clone()
    optimizer.step()


def test_in_bfloat16_the_weights_are_those_of_pytorch_bit_for_bit() -> None:
    ours, theirs = matrices(), matrices()
    one = Muon(ours, 0.02, 0.1, dtype=torch.bfloat16)
    other = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1)
    for seed in range(1, 6):
        step(one, ours, seed)
        step(other, theirs, seed)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(ours, matrices(), strict=True))


@pytest.mark.parametrize("shape", SHAPES)
def test_an_update_has_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    spectrum = torch.linalg.svdvals(orthogonal(matrix))
    assert spectrum.min() > 0.6
    assert spectrum.max() < 1.3
    # The same singular vectors: what is left of the matrix in the update's own frame is symmetric.
    inner = orthogonal(matrix).T @ matrix
    assert torch.allclose(inner, inner.T, atol=1e-3)


def test_a_weight_without_a_gradient_stays() -> None:
    weights = matrices()
    optimizer = Muon(weights, 0.02, 0.1)
    step(optimizer, [*weights[:2], torch.nn.Parameter(torch.zeros(16, 16))], 1)
    assert torch.equal(weights[2], matrices()[2])
    assert not torch.equal(weights[0], matrices()[0])


def test_nothing_is_updated_where_there_is_no_direction() -> None:
    assert torch.equal(orthogonal(torch.zeros(4, 3)), torch.zeros(4, 3))


def test_decay_takes_its_share_beside_the_update() -> None:
    weight = torch.nn.Parameter(torch.full((2, 2), 3.0))
    weight.grad = torch.zeros(2, 2)
    Muon([weight], 0.5, 0.1).step()
    assert torch.allclose(weight, torch.full((2, 2), 3.0 * (1 - 0.5 * 0.1)))


def test_float32_goes_the_way_of_bfloat16_up_to_rounding() -> None:
    full, half = matrices(), matrices()
    one, other = Muon(full, 0.02), Muon(half, 0.02, dtype=torch.bfloat16)
    for seed in range(1, 6):
        step(one, full, seed)
        step(other, half, seed)
    for a, b, start in zip(full, half, matrices(), strict=True):
        assert 0 < torch.dist(a, b) < 0.05 * torch.dist(a, start)

"""The loss in pieces equals the loss at once, and so do its gradients."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from ponder.train.loops import head  # noqa: E402
from ponder.train.loops.head import mean_loss  # noqa: E402


def both(dtype: object, words: int = 50, frozen: bool = False) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Loss and gradients by `mean_loss` and by the library."""
    torch.manual_seed(0)
    hidden, weight = torch.randn(37, 16), torch.randn(words, 16)
    labels = torch.randint(words, (37,))
    found = []
    for ours in (True, False):
        h = hidden.to(dtype).requires_grad_()
        w = weight.to(dtype).requires_grad_(not frozen)
        loss = mean_loss(h, w, labels) if ours else torch.nn.functional.cross_entropy((h @ w.T).float(), labels)
        (3 * loss).backward()
        found.append([loss.detach(), h.grad, *([] if frozen else [w.grad])])
    return found[0], found[1]


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_loss_and_gradients_equal_the_plain_ones(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(head, "_PIECE", rows * 50)
    for ours, plain in zip(*both(torch.float32), strict=True):
        assert ours.dtype == plain.dtype
        assert torch.allclose(ours, plain, atol=1e-6, rtol=1e-5)


def test_in_bfloat16_only_rounding_differs() -> None:
    for ours, plain in zip(*both(torch.bfloat16), strict=True):
        assert torch.allclose(ours.float(), plain.float(), atol=2e-2, rtol=2e-2)


def test_a_frozen_head_needs_no_gradient() -> None:
    for ours, plain in zip(*both(torch.float32, frozen=True), strict=True):
        assert torch.allclose(ours, plain, atol=1e-6, rtol=1e-5)

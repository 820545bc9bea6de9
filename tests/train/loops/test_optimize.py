"""Which weights Muon takes, that two optimizers step as one, and that a saved state goes on to the same numbers."""

from __future__ import annotations

import pytest

from ponder.core.errors import OptionError
from ponder.train.loops.settings import SFT

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytestmark = pytest.mark.torch

from transformers import LlamaConfig, LlamaForCausalLM  # noqa: E402

from ponder.train.loops.optimize import Joined, muon  # noqa: E402

SETTINGS = SFT(lora=0, optimizer="muon", learning_rate=0.02, weight_decay=0.1)


def model(tied: bool = True) -> LlamaForCausalLM:
    torch.manual_seed(5)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
            tie_word_embeddings=tied,
        )
    )  # fmt: skip


def step(subject: LlamaForCausalLM, optimizer: Joined, seed: int) -> None:
    ids = torch.randint(20, (2, 6), generator=torch.Generator().manual_seed(seed))
    subject(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("tied", [True, False])
def test_every_weight_is_trained_once_and_muon_takes_the_matrices_inside(tied: bool) -> None:
    subject = model(tied)
    matrices, rest = muon(SETTINGS, subject).parts
    inside = [id(weight) for group in matrices.param_groups for weight in group["params"]]
    outside = [id(weight) for group in rest.param_groups for weight in group["params"]]
    assert sorted(inside + outside) == sorted(id(weight) for weight in subject.parameters())
    assert len(inside) == 7
    assert id(subject.get_input_embeddings().weight) in outside
    assert id(subject.get_output_embeddings().weight) in outside
    assert [matrices.param_groups[0]["lr"], rest.param_groups[0]["lr"]] == [0.02, pytest.approx(0.002)]


def test_an_update_of_a_matrix_is_nearly_orthogonal() -> None:
    subject = model()
    weight = subject.model.layers[0].mlp.up_proj.weight
    before = weight.detach().clone()
    optimizer = muon(SFT(lora=0, optimizer="muon", learning_rate=0.02), subject)
    weight.grad = torch.randn(24, 16, generator=torch.Generator().manual_seed(1))
    optimizer.step()
    # Tall matrices step further, by the root of their sides' ratio. Five Newton-Schulz steps bring singular values
    # near 1, to between 0.68 and 1.13 (Jordan et al., 2024).
    spectrum = torch.linalg.svdvals(weight.detach() - before) / (0.02 * (24 / 16) ** 0.5)
    assert spectrum.min() > 0.6
    assert spectrum.max() < 1.3


def test_updates_are_made_orthogonal_in_the_type_that_is_computed_in() -> None:
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        subject = model()
        step(subject, muon(SETTINGS, subject, dtype), 1)
        found.append(subject.model.layers[0].mlp.up_proj.weight.detach())
    # An update of 24 × 16 has the norm 0.02 · √(24 / 16) · √16.
    assert 0 < torch.dist(*found) < 0.1 * 0.02 * 24**0.5


def test_a_saved_state_goes_on_to_the_same_weights() -> None:
    straight, broken = model(), model()
    one, first = muon(SETTINGS, straight), muon(SETTINGS, broken)
    for seed in range(4):
        step(straight, one, seed)
    for seed in range(2):
        step(broken, first, seed)
    second = muon(SETTINGS, broken)
    second.load_state_dict(first.state_dict())
    for seed in range(2, 4):
        step(broken, second, seed)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), broken.parameters(), strict=True))


def test_a_changed_rate_reaches_both_parts_also_after_loading() -> None:
    optimizer = muon(SETTINGS, model())
    optimizer.load_state_dict(optimizer.state_dict())
    for group in optimizer.param_groups:
        group["lr"] = 0.5
    assert [part.param_groups[0]["lr"] for part in optimizer.parts] == [0.5, 0.5]


def test_an_adapter_is_not_for_muon() -> None:
    with pytest.raises(OptionError, match="lora = 0"):
        SFT(optimizer="muon")
    with pytest.raises(OptionError, match="adamw or muon"):
        SFT(lora=0, optimizer="sgd")  # type: ignore[arg-type]

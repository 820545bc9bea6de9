"""The trainer's loss is that of the model itself on the learnt tokens, whichever way it is computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.sums import sums

from ponder.train.loops.settings import SFT

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")
pytestmark = pytest.mark.torch

from ponder.train.loops.adapt import adapted  # noqa: E402
from ponder.train.loops.encode import encode  # noqa: E402
from ponder.train.loops.plan import make_plan  # noqa: E402
from ponder.train.loops.quiet import quiet  # noqa: E402
from ponder.train.loops.record import Recorder  # noqa: E402
from ponder.train.loops.trainer import PlannedTrainer, collator, last_checkpoint, step_of  # noqa: E402

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

    Fresh = Callable[[], tuple[LlamaForCausalLM, PreTrainedTokenizerBase]]


def losses(
    fresh: Fresh, tmp_path: Path, lora: int, dtype: object = torch.float32
) -> tuple[PlannedTrainer, dict[str, torch.Tensor]]:
    settings = SFT(steps=1, batch=6, lora=lora, alpha=8)
    model, tokenizer = fresh()
    with quiet():
        rows = encode(tokenizer, sums(6))
        plan = make_plan(settings, [len(row.ids) for row in rows], [range(6)])
        if dtype == torch.bfloat16 and lora:
            model.to(torch.bfloat16)
        tuned = adapted(settings, model)
        recorder = Recorder(tmp_path / "log.jsonl", plan, rows)
        trainer = PlannedTrainer(settings, tuned, tokenizer, rows, plan, tmp_path, recorder, dtype)
    return trainer, collator(rows, tokenizer)([{"rows": [*plan.batches[0]]}])


@pytest.mark.parametrize("lora", [4, 0], ids=["adapter", "whole"])
def test_the_loss_is_the_models_own(fresh: Fresh, tmp_path: Path, lora: int) -> None:
    trainer, batch = losses(fresh, tmp_path, lora)
    model = trainer.model
    grads = []
    for loss in (trainer.compute_loss(model, dict(batch)), model(**batch).loss):
        model.zero_grad()
        loss.backward()
        grads.append(
            (loss.detach(), {name: part.grad for name, part in model.named_parameters() if part.requires_grad})
        )
    (ours, ours_by), (plain, plain_by) = grads
    assert torch.allclose(ours, plain, rtol=1e-5)
    assert ours_by
    for name in ours_by:
        assert torch.allclose(ours_by[name], plain_by[name], atol=1e-5), name


def test_it_equals_trls_loss(fresh: Fresh, tmp_path: Path) -> None:
    trainer, batch = losses(fresh, tmp_path, 4)
    ours = trainer.compute_loss(trainer.model, dict(batch))
    trainer._own_head = False
    assert torch.allclose(trainer.compute_loss(trainer.model, dict(batch)), ours, rtol=1e-5)


@pytest.mark.parametrize("lora", [4, 0], ids=["adapter", "whole"])
def test_bfloat16_keeps_what_learns_in_float32(fresh: Fresh, tmp_path: Path, lora: int) -> None:
    full, batch = losses(fresh, tmp_path, lora)
    half, _ = losses(fresh, tmp_path, lora, torch.bfloat16)
    one, two = (trainer.compute_loss(trainer.model, dict(batch)) for trainer in (full, half))
    two.backward()
    assert one.item() != two.item()
    assert torch.allclose(one, two, rtol=0.05)
    learning = [part for part in half.model.parameters() if part.requires_grad]
    assert learning
    assert all(part.dtype == torch.float32 and part.grad is not None for part in learning)


@pytest.mark.parametrize(("dtype", "used"), [(torch.float32, "sdpa"), (torch.bfloat16, "eager")], ids=["full", "half"])
def test_plain_attention_is_for_short_rows_in_bfloat16(fresh: Fresh, tmp_path: Path, dtype: object, used: str) -> None:
    trainer, _ = losses(fresh, tmp_path, 0, dtype)
    assert trainer.model.config._attn_implementation == used


def test_a_model_that_scales_its_logits_takes_trls_way(fresh: Fresh, tmp_path: Path) -> None:
    settings = SFT(steps=1, batch=6, lora=0)
    model, tokenizer = fresh()
    model.config.logits_scaling = 2.0
    with quiet():
        rows = encode(tokenizer, sums(6))
        plan = make_plan(settings, [len(row.ids) for row in rows], [range(6)])
        recorder = Recorder(tmp_path / "log.jsonl", plan, rows)
        trainer = PlannedTrainer(settings, adapted(settings, model), tokenizer, rows, plan, tmp_path, recorder)
    batch = collator(rows, tokenizer)([{"rows": [*plan.batches[0]]}])
    scaled = model(input_ids=batch["input_ids"]).logits[:, :-1] / 2
    wanted = torch.nn.functional.cross_entropy(scaled.flatten(0, 1), batch["labels"][:, 1:].flatten())
    assert torch.allclose(trainer.compute_loss(model, batch), wanted, rtol=1e-5)


def test_rows_are_padded_behind_and_only_replies_are_learnt(fresh: Fresh) -> None:
    _, tokenizer = fresh()
    rows = encode(tokenizer, sums(3))
    batch = collator(rows, tokenizer)([{"rows": [2, 0]}])
    width = max(len(rows[2].ids), len(rows[0].ids))
    assert {name: tuple(part.shape) for name, part in batch.items()} == dict.fromkeys(batch, (2, width))
    for at, row in enumerate((rows[2], rows[0])):
        size = len(row.ids)
        assert batch["input_ids"][at, :size].tolist() == [*row.ids]
        assert batch["labels"][at].tolist() == [-100] * row.prompt + [*row.ids[row.prompt :]] + [-100] * (width - size)
        assert int(batch["attention_mask"][at].sum()) == size


def test_only_whole_checkpoints_count(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    for step, whole in ((2, True), (10, True), (12, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if whole:
            (tmp_path / f"checkpoint-{step}" / "complete").touch()
    found = last_checkpoint(tmp_path)
    assert found is not None
    assert step_of(found) == 10

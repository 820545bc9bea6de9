"""TRL's SFTTrainer, fed with planned batches, that computes logits only where something is learnt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from datasets import Dataset
from peft import PeftModel
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback
from trl import SFTConfig, SFTTrainer

from ponder.core.errors import PonderError
from ponder.train.loops.encode import Encoded
from ponder.train.loops.plan import Plan
from ponder.train.loops.record import Recorder
from ponder.train.loops.settings import SFT

IGNORED = -100
_SCALED = ("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")
"""Configuration fields of models whose logits are more than the head's output."""

Batch = dict[str, torch.Tensor]


class Diverged(PonderError):
    """The loss is no number any more."""


class PlannedTrainer(SFTTrainer):  # type: ignore[misc]
    """SFTTrainer on batches that are planned beforehand.

    `model` is a causal language model, adapted or whole; `rows` are what the plan's indexes mean.
    """

    lr_scheduler: LRScheduler | None

    def __init__(
        self,
        settings: SFT,
        model: PreTrainedModel | PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        rows: Sequence[Encoded],
        plan: Plan,
        folder: Path,
        recorder: Recorder,
    ) -> None:
        self._settings, self._plan, self._recorder = settings, plan, recorder
        super().__init__(
            model=model,
            args=arguments(settings, plan, folder),
            train_dataset=Dataset.from_dict({"rows": plan.batches}),
            processing_class=tokenizer,
            data_collator=collator(rows, tokenizer),
        )
        self.remove_callback(PrinterCallback)
        core = model.get_base_model() if isinstance(model, PeftModel) else model
        config = core.config.get_text_config().to_dict()
        self._core = core
        self._plain = all(config.get(name) is None for name in _SCALED) and not config.get("output_router_logits")

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LRScheduler:
        """Follow the plan's learning rate."""
        if self.lr_scheduler is None:
            self.lr_scheduler = LambdaLR(
                optimizer or self.optimizer, lambda done: self._plan.rate(self._settings, done)
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Return the mean negative log-likelihood of the tokens that are learnt."""
        if self._plain:
            loss = self._learnt_loss(inputs)
        else:
            loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        if not torch.isfinite(loss):
            raise Diverged(f"the loss became {loss.item()} in step {self.state.global_step + 1}")
        return loss

    def _learnt_loss(self, inputs: Batch) -> torch.Tensor:
        # No mask: rows are padded behind, where no token of theirs looks.
        hidden = self._core.base_model(input_ids=inputs["input_ids"], use_cache=False).last_hidden_state[:, :-1]
        labels = inputs["labels"][:, 1:]
        learnt = labels != IGNORED
        logits = self._core.get_output_embeddings()(hidden[learnt])
        return torch.nn.functional.cross_entropy(logits.float(), labels[learnt])

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Hand a step over to the recorder."""
        if "loss" in logs:
            self._recorder.step(self.state.global_step, logs["loss"], logs["learning_rate"], logs["grad_norm"])

    def floating_point_ops(self, inputs: Batch) -> int:
        """Count none: counting the model's weights anew in each step takes longer than a tiny model's step."""
        return 0

    def create_model_card(self, *args: object, **kwargs: object) -> None:
        """Write none: the settings stand in train.toml."""

    def _send_telemetry(self) -> None:
        """Tell nobody."""


def arguments(settings: SFT, plan: Plan, folder: Path) -> SFTConfig:
    """Return what TRL is told."""
    steps = len(plan.batches)
    return SFTConfig(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=1,
        train_sampling_strategy="sequential",
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        adam_beta2=settings.beta2,
        max_length=None,
        bf16=False,
        fp16=False,
        gradient_checkpointing=False,
        seed=settings.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        save_strategy="steps",
        save_steps=settings.save_every or max(1, -(-steps // 10)),
        save_total_limit=2,
        push_to_hub=False,
    )


def collator(
    rows: Sequence[Encoded], tokenizer: PreTrainedTokenizerBase
) -> Callable[[Sequence[dict[str, list[int]]]], Batch]:
    """Return what makes a batch's tensors, (rows, longest) each, of its row indexes."""
    pad = next(id for id in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if id is not None)

    def collate(examples: Sequence[dict[str, list[int]]]) -> Batch:
        picked = [rows[index] for example in examples for index in example["rows"]]
        width = max(len(row.ids) for row in picked)
        ids = torch.full((len(picked), width), pad)
        labels = torch.full((len(picked), width), IGNORED)
        mask = torch.zeros((len(picked), width), dtype=torch.long)
        for at, row in enumerate(picked):
            there = torch.tensor(row.ids)
            ids[at, : len(there)] = there
            labels[at, row.prompt : len(there)] = there[row.prompt :]
            mask[at, : len(there)] = 1
        return {"input_ids": ids, "labels": labels, "attention_mask": mask}

    return collate

"""TRL's SFTTrainer, fed with planned batches, that computes logits only where something is learnt."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from datasets import Dataset
from peft import PeftModel
from peft.helpers import disable_input_dtype_casting
from safetensors import SafetensorError
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import PreTrainedTokenizerBase, PrinterCallback
from trl import SFTConfig, SFTTrainer

from ponder.core.errors import DataError, OptionError
from ponder.train.loops.adapt import Model
from ponder.train.loops.encode import Encoded
from ponder.train.loops.head import mean_loss
from ponder.train.loops.memory import give_back, keep_freed
from ponder.train.loops.optimize import muon
from ponder.train.loops.plan import Plan
from ponder.train.loops.record import Recorder
from ponder.train.loops.settings import SFT

IGNORED = -100
COMPLETE = "complete"
"""A file that says that a checkpoint was written to its end."""
_SCALED = ("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")
"""Configuration fields of models whose logits are more than the head's output."""
_SHORT = 256
"""Tokens of a row up to which plain attention in bfloat16 is quicker on a processor than the fused one."""

Batch = dict[str, torch.Tensor]


class PlannedTrainer(SFTTrainer):  # type: ignore[misc]
    """SFTTrainer on batches that are planned beforehand.

    `model` is a causal language model, adapted or whole; `rows` are what the plan's indexes mean; `dtype` is what is
    computed in, where that is not the type of the weights that learn.
    """

    lr_scheduler: LRScheduler | None
    optimizer: torch.optim.Optimizer | None

    def __init__(
        self,
        settings: SFT,
        model: Model,
        tokenizer: PreTrainedTokenizerBase,
        rows: Sequence[Encoded],
        plan: Plan,
        folder: Path,
        recorder: Recorder,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._settings, self._plan, self._recorder, self._dtype = settings, plan, recorder, dtype
        super().__init__(
            model=model,
            args=arguments(settings, plan, folder),
            train_dataset=Dataset.from_dict({"rows": plan.batches}),
            processing_class=tokenizer,
            data_collator=collator(rows, tokenizer),
        )
        self.remove_callback(PrinterCallback)
        self._core = model.get_base_model() if isinstance(model, PeftModel) else model
        config = self._core.config.get_text_config().to_dict()
        plain = all(config.get(name) is None for name in _SCALED) and not config.get("output_router_logits")
        self._own_head = plain and self._core.get_output_embeddings().bias is None
        short = max(len(row.ids) for row in rows) <= _SHORT
        if short and dtype == torch.bfloat16 and self.args.device.type == "cpu":
            self._core.set_attn_implementation("eager")

    def create_optimizer(self, model: Model | None = None) -> torch.optim.Optimizer:
        """Take the optimizer that the settings name."""
        if self.optimizer is None and self._settings.optimizer == "muon":
            self.optimizer = muon(self._settings, self._core, self._dtype)
        return super().create_optimizer()

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LRScheduler:
        """Follow the plan's learning rate."""
        if self.lr_scheduler is None:
            rate = self._plan.rate
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, lambda done: rate(self._settings, done))
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Return the mean negative log-likelihood of the tokens that are learnt. Raises `DataError` if it is none."""
        with compute_in(self._dtype, self.model):
            if self._own_head:
                loss = self._learnt_loss(inputs)
            else:
                loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        self._check_finite("loss", float(loss), self.state.global_step + 1)
        return loss

    def _learnt_loss(self, inputs: Batch) -> torch.Tensor:
        # No mask: rows are padded behind, where no token of theirs looks.
        hidden = self._core.base_model(input_ids=inputs["input_ids"], use_cache=False).last_hidden_state[:, :-1]
        labels = inputs["labels"][:, 1:]
        learnt = labels != IGNORED
        weight = self._core.get_output_embeddings().weight
        dtype = self._dtype if torch.is_autocast_enabled(hidden.device.type) else weight.dtype
        return mean_loss(hidden[learnt].to(dtype), weight.to(dtype), labels[learnt])

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Hand a step over to the recorder; what it says may not be saved if the weights are no numbers any more."""
        if "loss" in logs:
            step = self.state.global_step
            self._check_finite("gradient", logs["grad_norm"], step)
            self._recorder.step(step, logs["loss"], logs["learning_rate"], logs["grad_norm"], self.model)
            give_back(step)

    def _check_finite(self, what: str, value: float, step: int) -> None:
        if value - value == 0:
            return
        kept = last_checkpoint(Path(self.args.output_dir))
        left = f"{kept} holds the weights of step {step_of(kept)}" if kept else "no checkpoint was written before"
        raise DataError(f"the {what} is {value} in step {step}, so training stopped; {left}; try a lower --lr")

    def _save_checkpoint(self, model: Model, trial: None) -> None:
        """Save a checkpoint, and say at the end that it is whole."""
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
            (folder / COMPLETE).touch()
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise DataError(
                f"{folder} cannot be written ({error}); make room, and start again: it goes on from the one before"
            ) from None

    def floating_point_ops(self, inputs: Batch) -> int:
        """Count none: counting the model's weights anew in each step takes longer than a tiny model's step."""
        return 0

    def create_model_card(self, model_name: str | None = None) -> None:
        """Write none: the settings stand in train.toml."""

    def _send_telemetry(self) -> None:
        """Tell nobody."""


def run(trainer: PlannedTrainer, settings: SFT, checkpoint: Path | None) -> None:
    """Train to the end of the plan. Raises `OptionError` where memory does not suffice."""
    for folder in Path(trainer.args.output_dir).glob("checkpoint-*"):
        if not (folder / COMPLETE).exists():
            shutil.rmtree(folder)
    keep_freed()
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _too_large(settings) from error
    except RuntimeError as error:
        # What the allocator for the processor raises has no class of its own.
        if "allocate memory" in str(error):
            raise _too_large(settings) from error
        raise


def _too_large(settings: SFT) -> OptionError:
    lower = f"--batch (now {settings.batch}) or --max-length (now {settings.max_length})"
    lower += "" if settings.lora else ", or train an adapter with --lora"
    return OptionError(f"memory does not suffice; lower {lower}")


def aside(
    evaluate: Callable[[Model], Mapping[str, float]], dtype: torch.dtype
) -> Callable[[Model], Mapping[str, float]]:
    """Return `evaluate` such that training goes on after it as if it had not been."""

    def measured(model: Model) -> Mapping[str, float]:
        training, state = model.training, random.getstate()
        with torch.random.fork_rng(), torch.no_grad(), compute_in(dtype, model):
            found = evaluate(model.eval())
        random.setstate(state)
        model.train(training)
        return found

    return measured


def compute_in(dtype: torch.dtype, model: Model) -> ExitStack:
    """Return a context in which weights of float32, those of adapters among them, are computed with in `dtype`."""
    stack = ExitStack()
    if dtype != torch.float32:
        stack.enter_context(torch.autocast(model.device.type, dtype))
        stack.enter_context(disable_input_dtype_casting(model))
    return stack


def step_of(checkpoint: Path) -> int:
    """Return the step at which a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint."""
    whole = (path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}"))
    return max(whole, key=step_of, default=None)


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
            places, wanted = zip(*row.learnt, strict=True)
            labels[at, list(places)] = torch.tensor(wanted)
            mask[at, : len(there)] = 1
        return {"input_ids": ids, "labels": labels, "attention_mask": mask}

    return collate

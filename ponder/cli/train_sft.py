"""`ponder train sft`: supervised fine-tuning on conversations, with an adapter or all weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, TypeVar, Unpack

import click

from ponder.cli.options import json_option
from ponder.cli.output import console, print_json
from ponder.cli.ranges import MOST, Finite
from ponder.cli.train_packages import need_packages
from ponder.cli.train_progress import TrainProgress, evaluation_text
from ponder.core.errors import DataError, OptionError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ponder.train.loops.adapt import Model
    from ponder.train.loops.sft import Evaluate, Result

_MOST_QUESTIONS = 10_000
F = TypeVar("F", bound=Callable[..., object])


class Options(TypedDict):
    """The options that are fields of `SFT`."""

    steps: int
    epochs: float
    batch: int
    learning_rate: float
    scheduler: Literal["cosine", "linear", "constant"]
    warmup: float
    weight_decay: float
    max_grad_norm: float
    max_length: int
    dtype: str
    save_dtype: str
    seed: int
    save_every: int
    eval_every: int


_FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--steps", type=click.IntRange(0, MOST), default=0, help="Steps of each stage, instead of epochs."),
    click.option("--epochs", type=Finite(0, min_open=True), default=1.0, show_default=True, help="Of each stage."),
    click.option("--batch", type=click.IntRange(1, MOST), default=16, show_default=True, help="Rows a step."),
    click.option("--lr", "learning_rate", type=Finite(0, min_open=True), default=5e-5, show_default=True),
    click.option(
        "--scheduler",
        type=click.Choice(["cosine", "linear", "constant"]),
        default="cosine",
        show_default=True,
        help="How the learning rate falls within a stage.",
    ),
    click.option("--warmup", type=Finite(0, 1), default=0.05, show_default=True, help="Share of steps it rises in."),
    click.option("--weight-decay", type=Finite(0), default=0.0, show_default=True),
    click.option("--max-grad-norm", type=Finite(0, min_open=True), default=1.0, show_default=True),
    click.option(
        "--max-length",
        type=click.IntRange(2, MOST),
        default=1024,
        show_default=True,
        help="Tokens of prompt and completion; longer rows are left out, never cut.",
    ),
    click.option(
        "--dtype",
        type=click.Choice(["auto", "float32", "bfloat16"]),
        default="auto",
        show_default=True,
        help="What is computed in.",
    ),
    click.option(
        "--save-as",
        "save_dtype",
        type=click.Choice(["float32", "float16", "bfloat16"]),
        default="float32",
        show_default=True,
        help="Type of the result's weights, rounded once at the end.",
    ),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the adapter and the order."),
    click.option(
        "--save-every", type=click.IntRange(0, MOST), default=0, help="Steps between checkpoints.  [10 a run]"
    ),
    click.option(
        "--eval-every", type=click.IntRange(0, MOST), default=0, help="Steps between evaluations.  [by stage]"
    ),
)


def _settings(command: F) -> F:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.option("--model", "-m", required=True, help="A transformers folder, a GGUF file, or a name of the catalogue.")
@click.option("--data", multiple=True, required=True, type=_FILE, metavar="FILE", help="JSON lines with messages.")
@click.option("--out", required=True, type=_FILE, metavar="FOLDER", help="Where the result goes.")
@click.option("--lora", type=click.IntRange(1, 4096), help="Rank of the adapter.  [default: 16]")
@click.option("--alpha", type=Finite(0, min_open=True), help="Its scale times its rank.  [default: 32]")
@click.option("--targets", default="all", show_default=True, help="Adapted layers, as in q_proj,v_proj.")
@click.option("--full", is_flag=True, help="Train all weights, without an adapter.")
@click.option("--adapter", type=_FILE, metavar="FOLDER", help="Go on with the adapter of this folder.")
@click.option("--schedule", type=click.Choice(["standard", "progressive"]), help="One stage, or one for each file.")
@click.option("--lengths", metavar="N,N...", help="A stage for each: rows whose completion has at most N tokens.")
@_settings
@click.option("--chat-template", type=_FILE, metavar="FILE", help="Instead of the model's own; saved with the result.")
@click.option("--eval", "questions", metavar="FILE", help="Questions (JSON lines, or a task) to answer while training.")
@click.option("--eval-tokens", type=click.IntRange(1, MOST), default=512, show_default=True, help="Longest reply.")
@click.option("--catalogue", multiple=True, type=_FILE, metavar="FILE", help="A further model catalogue (TOML).")
@click.option("--threads", type=click.IntRange(1, 1024), help="Threads that train.  [default: all cores]")
@json_option
def sft(
    model: str,
    data: tuple[Path, ...],
    out: Path,
    lora: int | None,
    alpha: float | None,
    targets: str,
    full: bool,
    adapter: Path | None,
    schedule: str | None,
    lengths: str | None,
    chat_template: Path | None,
    questions: str | None,
    eval_tokens: int,
    catalogue: tuple[Path, ...],
    threads: int | None,
    as_json: bool,
    **options: Unpack[Options],
) -> None:
    r"""Fine-tune a model on conversations; it learns the assistant's last reply in each.

    The result is an adapter for PEFT, or with --full a transformers folder, beside train.toml and log.jsonl.
    Interrupted, the same command goes on to the same numbers.

    Example: ponder train sft -m smollm2-135m-instruct --data short.jsonl --out short
    """
    need_packages()
    from ponder.cli.train_model import find_model
    from ponder.train.loops.load import open_model
    from ponder.train.loops.sft import SFT, read_messages, train

    found = find_model(model, adapter, chat_template, catalogue)
    rank, scale = _adapter(found.adapter, lora, alpha, full)
    settings = SFT(
        lora=rank,
        alpha=scale,
        targets=targets,
        schedule=_schedule(schedule, lengths),
        lengths=_lengths(lengths),
        **options,
    )
    stages = [read_messages(file) for file in data]
    if threads:
        import torch

        torch.set_num_threads(threads)
    loaded, tokenizer = open_model(found.folder, found.name, settings, found.template)
    evaluate = None if questions is None else _evaluation(questions, tokenizer, eval_tokens)
    with TrainProgress(quiet=as_json) as progress:
        result = train(
            settings, loaded, tokenizer, stages, out, evaluate, progress.step,
            adapter=found.adapter, begun=progress.begun,
        )  # fmt: skip
    _print(result, as_json)


def _adapter(adapter: Path | None, lora: int | None, alpha: float | None, full: bool) -> tuple[int, float]:
    """Return rank and alpha: those asked for, else those of the adapter that is continued."""
    if full:
        if lora is not None or adapter is not None:
            raise OptionError("--full trains all weights; leave out --lora and --adapter, or leave out --full")
        return 0, 32.0
    if adapter is None:
        return lora or 16, alpha or 32.0
    from ponder.weights.lora import read_config

    known = read_config(adapter)
    rank, scale = known.get("r"), known.get("lora_alpha")
    if not isinstance(rank, int) or not isinstance(scale, int | float):
        raise DataError(f"{adapter}/adapter_config.json names no r and lora_alpha; give a folder that PEFT saved")
    return lora or rank, alpha or float(scale)


def _schedule(asked: str | None, lengths: str | None) -> Literal["standard", "progressive"]:
    if lengths and asked == "standard":
        raise OptionError("--lengths are a progressive schedule; leave out --schedule standard")
    return "progressive" if lengths or asked == "progressive" else "standard"


def _lengths(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in (text or "").split(",") if part)
    except ValueError:
        raise OptionError(f"--lengths {text!r} must be whole numbers with commas between, as in 400,200,100") from None


def _evaluation(spec: str, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> Evaluate:
    """Return what answers the questions of a file or a task, and judges the replies with the task's verifier."""
    from ponder.bench.stats import wilson
    from ponder.tasks.jsonl import JSONL
    from ponder.tasks.table import load_task
    from ponder.train.loops.generate import replies

    # Questions from a file are asked as they stand there, as those of the training data are.
    task = JSONL(spec, format="off") if Path(spec).is_file() else load_task(spec)
    items = [(item, item.reference) for item in task.items(_MOST_QUESTIONS) if item.reference is not None]
    if not items:
        raise DataError(f"{spec} holds no question with an answer")
    questions = [[(message.role, message.text) for message in item.problem.messages] for item, _ in items]

    def evaluate(model: Model) -> Mapping[str, float]:
        found = replies(model, tokenizer, questions, max_tokens)
        right = sum(
            not reply.truncated and task.verifier(_answer(reply.text), reference).correct is True
            for reply, (_, reference) in zip(found, items, strict=True)
        )
        bounds = wilson(right, len(items))
        return {
            "questions": len(items),
            "accuracy": right / len(items),
            "low": bounds.low,
            "high": bounds.high,
            "tokens": sum(reply.tokens for reply in found) / len(found),
            "truncated": sum(reply.truncated for reply in found) / len(found),
        }

    return evaluate


def _answer(reply: str) -> str:
    """Return what follows the thought."""
    return reply.rpartition("</think>")[2]


def _print(result: Result, as_json: bool) -> None:
    if as_json:
        stages = [{**asdict(portion), "rows": len(portion.rows)} for portion in result.portions]
        end = asdict(result.last) if result.last else None
        print_json({"schema": 1, "out": str(result.out), "steps": result.steps, "stages": stages, "last": end})
        return
    last = result.last
    said = "" if last is None else f", loss {last.loss:.4f}, {last.tokens:,} tokens in {last.seconds:,.0f} s"
    console().print(f"{result.out}: {result.steps} steps{said}", markup=False)
    if last is not None and last.evaluation:
        console().print(evaluation_text(last.evaluation), markup=False)

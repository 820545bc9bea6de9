"""`ponder train`: make a model that thinks less."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def train() -> None:
    """Train a model on this machine."""


@train.command()
@click.option("--model", "-m", required=True, metavar="MODEL", help="A transformers folder.")
@click.option("--data", multiple=True, required=True, type=click.Path(path_type=Path), metavar="FILE")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FOLDER")
@click.option("--lora", type=click.IntRange(1), default=16, show_default=True)
@click.option("--alpha", type=float, default=32.0, show_default=True)
@click.option("--full", is_flag=True)
@click.option("--steps", type=int, default=0)
@click.option("--epochs", type=float, default=1.0)
@click.option("--batch", type=int, default=16)
@click.option("--lr", type=float, default=5e-5)
@click.option("--seed", type=int, default=0)
@click.option("--threads", type=int)
@click.option("--save-every", type=int, default=0)
@click.option("--chat-template", type=click.Path(path_type=Path))
def sft(
    model: str,
    data: tuple[Path, ...],
    out: Path,
    lora: int,
    alpha: float,
    full: bool,
    steps: int,
    epochs: float,
    batch: int,
    lr: float,
    seed: int,
    threads: int | None,
    save_every: int,
    chat_template: Path | None,
) -> None:
    """Fine-tune a model on conversations."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ponder.train.loops.quiet import quiet
    from ponder.train.loops.record import Step
    from ponder.train.loops.sft import SFT, read_messages, train

    if threads:
        torch.set_num_threads(threads)
    settings = SFT(
        steps=steps,
        epochs=epochs,
        batch=batch,
        learning_rate=lr,
        lora=0 if full else lora,
        alpha=alpha,
        seed=seed,
        save_every=save_every,
    )
    stages = [read_messages(file) for file in data]
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
        loaded = AutoModelForCausalLM.from_pretrained(
            model, local_files_only=True, dtype=torch.float32 if full else torch.bfloat16
        )
    if chat_template is not None:
        tokenizer.chat_template = chat_template.read_text("utf-8")
    out.mkdir(parents=True, exist_ok=True)

    def show(step: Step) -> None:
        click.echo(f"{step.step}: {step.loss:.4f} {step.tokens} tokens {step.seconds:.0f} s", err=True)

    train(settings, loaded, tokenizer, stages, out, progress=show)

"""From a recipe to a model's folder: questions, tokenizer, weights, training, and an exam that no training asked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import tomli_w
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from ponder.core.errors import DataError
from ponder.train.base.data import make_exams, make_stages, tokenizer_texts
from ponder.train.base.measure import Exam, Measured, measure, summary
from ponder.train.base.model import fresh_model, save_rounded
from ponder.train.base.recipe import Recipe
from ponder.train.base.tokenizer import learn_tokenizer
from ponder.train.loops.card import read_card
from ponder.train.loops.load import bfloat16_is_quick
from ponder.train.loops.quiet import quiet
from ponder.train.loops.settings import SFT
from ponder.train.loops.sft import Progress, train

RECIPE = "recipe.toml"
_WEIGHTS = "model.safetensors"
_TRAINED = "trained"
"""The folder of the run, in full precision, until the model is done."""
_RECORDS = ("train.toml", "log.jsonl")
_PROBE = 12
"""Questions of each family that are asked in the midst of training."""

Finish = Callable[[Path, list[Measured]], None]
"""Adds files to a folder that is all but done: told where it stands and how the model did."""


def train_base(
    recipe: Recipe, out: Path, questions: int, finish: Finish, progress: Progress | None = None
) -> list[Measured]:
    """Train a model from scratch and write its folder to `out`, which appears when everything is in it.

    `questions` of each family are asked at the end, with and without thinking. Until then all files stand beside
    `out`, and the same recipe continues there. Raises `DataError` where either folder holds something else.
    """
    partial = _work_folder(recipe, out)
    trained = partial / _TRAINED
    # The folder has its final name already, since files made from it carry that name.
    work = partial / out.name
    with quiet():
        exams = make_exams(recipe, questions)
        if not (trained / _WEIGHTS).exists():
            _train(recipe, trained, exams, progress)
        tokenizer = AutoTokenizer.from_pretrained(trained, local_files_only=True)
        whole = AutoModelForCausalLM.from_pretrained(trained, local_files_only=True)
        try:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            for file in (partial / RECIPE, *(trained / name for name in _RECORDS)):
                shutil.copy(file, work)
            save_rounded(whole, tokenizer, work)
            model = AutoModelForCausalLM.from_pretrained(work, local_files_only=True)
            measured = [one for mode in (True, False) for one in measure(model, tokenizer, exams, thinking=mode)]
            finish(work, measured)
            if out.exists():
                out.rmdir()
            os.replace(work, out)
        except (OSError, SafetensorError) as error:
            raise DataError(
                f"{work} cannot be written ({error}); make room, and start again: what was trained is kept"
            ) from None
    shutil.rmtree(partial)
    return measured


def _work_folder(recipe: Recipe, out: Path) -> Path:
    """Return the folder beside `out` in which the run stands, a new or an interrupted one."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not an empty folder; name another, or remove it first")
    partial = out.parent / f".{out.name}.partial"
    settings = tomli_w.dumps(asdict(recipe))
    noted = partial / RECIPE
    if noted.exists() and noted.read_text("utf-8") != settings:
        raise DataError(
            f"{partial} holds an unfinished run of another recipe; name another --out, or remove that folder"
        )
    try:
        partial.mkdir(parents=True, exist_ok=True)
        part = noted.with_suffix(".part")
        part.write_text(settings, "utf-8")
        os.replace(part, noted)
    except OSError as error:
        raise DataError(f"{partial} cannot be written ({error}); make room, or name another --out") from None
    return partial


def _train(recipe: Recipe, folder: Path, exams: list[Exam], progress: Progress | None) -> None:
    stages = make_stages(recipe)
    tokenizer = learn_tokenizer(tokenizer_texts(stages), recipe.vocabulary, recipe.context)
    probes = [exam._replace(puzzles=exam.puzzles[:_PROBE]) for exam in exams]
    # Who has learnt no chains yet would go on to the end of the context, which takes longer than a hundred steps.
    reply = max((row.messages[-1][1] for stage in stages for row in stage.rows), key=len)
    longest = len(tokenizer(reply)["input_ids"])

    def evaluate(model: PreTrainedModel) -> Mapping[str, float]:
        return summary(measure(model, tokenizer, probes, longest=longest))

    settings = training(recipe, _computed(folder))
    model = fresh_model(recipe, tokenizer)
    if settings.dtype == "bfloat16":
        # Rows are short, and fused attention's backward gains nothing from bfloat16.
        model.set_attn_implementation("eager")
    train(settings, model, tokenizer, stages, folder, evaluate, progress)


def training(recipe: Recipe, dtype: Literal["float32", "bfloat16"]) -> SFT:
    """Return the settings of a recipe's training that is computed in `dtype`."""
    return SFT(
        batch=recipe.batch,
        learning_rate=recipe.learning_rate,
        warmup=recipe.warmup,
        lora=0,
        schedule="progressive",
        max_length=recipe.context,
        weight_decay=recipe.weight_decay,
        beta2=0.98,
        optimizer="muon",
        dtype=dtype,
        seed=recipe.seed,
    )


def _computed(folder: Path) -> Literal["float32", "bfloat16"]:
    """Return what is computed in: bfloat16 where that is quick. A run goes on in what it began in, on any machine."""
    settings = (read_card(folder) or {}).get("settings")
    begun = settings.get("dtype") if isinstance(settings, Mapping) else None
    half = bfloat16_is_quick() if begun is None else begun == "bfloat16"
    return "bfloat16" if half else "float32"

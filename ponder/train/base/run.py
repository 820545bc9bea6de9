"""From a recipe to a model's folder: questions, tokenizer, weights, training, and an exam that no training asked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import tomli_w
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ponder.core.errors import DataError
from ponder.train.base.data import make_drills, make_echoes, make_exams, make_stages, tokenizer_texts
from ponder.train.base.measure import Exam, Measured, measure, summary
from ponder.train.base.model import fresh_model, save_rounded
from ponder.train.base.recipe import Recipe
from ponder.train.base.tokenizer import learn_tokenizer
from ponder.train.loops.messages import Stage
from ponder.train.loops.quiet import quiet
from ponder.train.loops.settings import SFT
from ponder.train.loops.sft import Progress, train

RECIPE = "recipe.toml"
BASICS = "basics"
"""The folder, beside the unfinished model, of what has learnt to copy and to reckon, and does not think yet."""
_WEIGHTS = "model.safetensors"
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
    work = _work_folder(recipe, out)
    with quiet():
        exams = make_exams(recipe, questions)
        if not (work / _WEIGHTS).exists():
            _train(recipe, work, exams, progress)
        shutil.rmtree(work / BASICS, ignore_errors=True)
        tokenizer = AutoTokenizer.from_pretrained(work, local_files_only=True)
        save_rounded(AutoModelForCausalLM.from_pretrained(work, local_files_only=True), tokenizer, work)
        model = AutoModelForCausalLM.from_pretrained(work, local_files_only=True)
        measured = [one for thinking in (True, False) for one in measure(model, tokenizer, exams, thinking=thinking)]
        finish(work, measured)
    if out.exists():
        out.rmdir()
    os.replace(work, out)
    work.parent.rmdir()
    return measured


def _work_folder(recipe: Recipe, out: Path) -> Path:
    """Return the folder beside `out` in which the run stands, a new or an interrupted one."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not an empty folder; name another, or remove it first")
    # The folder has its final name already, since files made from it carry that name.
    work = out.parent / f".{out.name}.partial" / out.name
    settings = tomli_w.dumps(asdict(recipe))
    noted = work / RECIPE
    if noted.exists() and noted.read_text("utf-8") != settings:
        raise DataError(
            f"{work.parent} holds an unfinished run of another recipe; name another --out, or remove that folder"
        )
    work.mkdir(parents=True, exist_ok=True)
    noted.write_text(settings, "utf-8")
    return work


def _train(recipe: Recipe, work: Path, exams: list[Exam], progress: Progress | None) -> None:
    basics = [stage for stage in (make_echoes(recipe), make_drills(recipe)) if stage.rows]
    stages = make_stages(recipe)
    tokenizer = learn_tokenizer(tokenizer_texts(stages), recipe.vocabulary, recipe.context)
    probes = [exam._replace(puzzles=exam.puzzles[:_PROBE]) for exam in exams]

    def evaluate(model: PreTrainedModel) -> Mapping[str, float]:
        return summary(measure(model, tokenizer, probes))

    settings = SFT(
        batch=recipe.batch,
        learning_rate=recipe.learning_rate,
        warmup=recipe.warmup,
        lora=0,
        schedule="progressive",
        max_length=recipe.context,
        weight_decay=recipe.weight_decay,
        beta2=0.98,
        dtype="bfloat16",
        seed=recipe.seed,
    )
    model = fresh_model(recipe, tokenizer)
    if basics:
        # At a falling rate, and with few rows a step, heads that copy stop half-formed.
        steady = replace(settings, batch=2 * recipe.batch, scheduler="constant", warmup=0.1)
        model = _grounded(steady, model, tokenizer, basics, work / BASICS, progress)
    train(settings, model, tokenizer, stages, work, evaluate, progress)


def _grounded(
    settings: SFT,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    basics: Sequence[Stage],
    folder: Path,
    progress: Progress | None,
) -> PreTrainedModel:
    """Return the model that has learnt the basics, which stands in a folder of its own from then on."""
    if not (folder / _WEIGHTS).exists():
        train(settings, model, tokenizer, basics, folder, progress=progress)
    return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, attn_implementation="eager")

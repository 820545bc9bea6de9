"""Asks a model lab questions, greedily, and tells how long it thought beside how long it had to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ponder.core.judge import Verifier
from ponder.train.lab.oracle import exit_of
from ponder.train.lab.puzzle import Puzzle

ROWS = 64
"""Questions that are generated together."""
_OPEN, _CLOSE = "<think>", "</think>"


class Exam(NamedTuple):
    """What a model is asked: puzzles of one family, named, and who judges the answers."""

    family: str
    verifier: Verifier
    puzzles: Sequence[Puzzle]


@dataclass(frozen=True, slots=True)
class Measured:
    """One reply. All counts are of the model's tokens.

    `tokens` were generated, the one that ends the turn included; `thought` is what stands between the marks,
    `minimal` the minimal chain, and `exit` the thought up to where it first derives the answer (all of it where it
    never does).
    """

    family: str
    difficulty: int
    thinking: bool
    correct: bool
    truncated: bool
    tokens: int
    thought: int
    minimal: int
    exit: int


def measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    exams: Sequence[Exam],
    *,
    thinking: bool = True,
    longest: int | None = None,
) -> list[Measured]:
    """Answer the exams' puzzles; a reply that does not end within the model's context is truncated, and wrong.

    So is one that does not end within `longest` tokens, if that is given.
    """
    training = model.training
    model.eval()
    # Replies of about one length are generated together, so that few wait for others to end.
    asked = sorted(((exam, puzzle) for exam in exams for puzzle in exam.puzzles), key=lambda pair: len(pair[1].minimal))
    found = []
    for start in range(0, len(asked), ROWS):
        batch = asked[start : start + ROWS]
        replies = _replies(model, tokenizer, [puzzle for _, puzzle in batch], thinking, longest)
        found += [
            judge_reply(tokenizer, exam, puzzle, ids, thinking)
            for (exam, puzzle), ids in zip(batch, replies, strict=True)
        ]
    model.train(training)
    return found


def summary(measured: Iterable[Measured]) -> dict[str, float]:
    """Return, by family, the share of right answers and the mean of thought tokens over that of minimal ones."""
    families: dict[str, list[Measured]] = {}
    for one in measured:
        families.setdefault(one.family, []).append(one)
    found: dict[str, float] = {}
    for name, some in families.items():
        found[f"{name} accuracy"] = round(fmean(one.correct for one in some), 4)
        found[f"{name} ratio"] = round(sum(one.thought for one in some) / sum(one.minimal for one in some), 3)
    return found


def _replies(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    puzzles: Sequence[Puzzle],
    thinking: bool,
    longest: int | None,
) -> list[list[int]]:
    asked = [[{"role": "user", "content": puzzle.item.problem.messages[0].text}] for puzzle in puzzles]
    prompts = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True, enable_thinking=thinking)
    inputs = tokenizer(prompts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt")
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    context = model.config.max_position_embeddings
    with torch.inference_mode():
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_length=context if longest is None else min(context, ids.shape[1] + longest),
            do_sample=False,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    return [_until(row, tokenizer.eos_token_id) for row in output[:, ids.shape[1] :].tolist()]


def _until(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end) + 1] if end in ids else ids


def judge_reply(
    tokenizer: PreTrainedTokenizerBase, exam: Exam, puzzle: Puzzle, ids: list[int], thinking: bool
) -> Measured:
    """Measure one reply, given as token ids; with `thinking` the answer is what follows the closing mark."""
    truncated = ids[-1] != tokenizer.eos_token_id
    text = tokenizer.decode(ids if truncated else ids[:-1])
    head, closed, answer = text.partition(_CLOSE) if thinking else ("", "", text)
    thought = head.removeprefix(_OPEN).strip("\n")
    reference = puzzle.item.reference
    assert reference is not None, "every puzzle has an answer"
    right = not truncated and exam.verifier(answer if closed else text, reference).correct is True
    exit = exit_of(thought, puzzle)
    thought_tokens, minimal_tokens, exit_tokens = (
        len(tokenizer(part, add_special_tokens=False)["input_ids"])
        for part in (thought, puzzle.minimal, thought[:exit])
    )
    return Measured(
        family=exam.family,
        difficulty=puzzle.difficulty,
        thinking=thinking,
        correct=right,
        truncated=truncated,
        tokens=len(ids),
        thought=thought_tokens,
        minimal=minimal_tokens,
        exit=exit_tokens,
    )

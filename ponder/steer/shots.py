"""Worked examples before a question, as earlier turns of the conversation, and an instruction behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ponder.core.problem import Message, Problem, Prompt
from ponder.text.prompts import Draft


def with_shots(problem: Problem, instruction: str, shots: Sequence[Draft]) -> Problem:
    """Return a problem whose question is preceded by `shots` and followed by `instruction`; the rest stays as it is.

    The answer of each shot stands in a box.
    """
    messages = Prompt.of(problem, instruction).messages
    last = max(i for i, message in enumerate(messages) if message.role == "user")
    turns: list[Message] = []
    for shot in shots:
        turns.append(Message.of("user", shot.question))
        turns.append(Message.of("assistant", f"{shot.steps}\n\\boxed{{{shot.answer}}}"))
    return replace(problem, messages=(*messages[:last], *turns, *messages[last:]))

"""A question asked in other words: an instruction below it, examples before it, a frame around it, or no thought."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ponder.core.engine import Cap, Engine
from ponder.core.problem import Image, Message, Problem, Prompt, Text, Thinking
from ponder.steer.thought import shut


def told(problem: Problem, instruction: str, examples: Iterable[tuple[str, str]] = ()) -> Problem:
    """Return the problem with an instruction as one more paragraph of its last user message.

    `examples`, each a question and its reply, are turns before that message. All else stays as it is: the user's system
    message, earlier turns, pictures, tools. A conversation without a question gets the instruction as one.
    """
    messages = Prompt.of(problem, instruction).messages
    last = _last(messages) if any(message.role == "user" for message in messages) else len(messages)
    turns = [turn for asked, reply in examples for turn in (Message.of("user", asked), Message.of("assistant", reply))]
    return replace(problem, messages=(*messages[:last], *turns, *messages[last:]))


def framed(problem: Problem, text: str) -> Problem:
    """Return the problem with `text` in place of its last user message's text; pictures follow it."""
    messages = problem.messages
    if not any(message.role == "user" for message in messages):
        return replace(problem, messages=(*messages, Message.of("user", text)))
    last = _last(messages)
    pictures = tuple(part for part in messages[last].parts if isinstance(part, Image))
    whole = replace(messages[last], parts=(Text(text), *pictures))
    return replace(problem, messages=(*messages[:last], whole, *messages[last + 1 :]))


def unthinking(prompt: Prompt, engine: Engine) -> Prompt:
    """Return a prompt of no reply yet that keeps the model from thinking, where it thinks and the engine can."""
    if engine.think and Cap.PREFILL in engine.caps:
        return prompt + shut(engine.think)
    off = bool(engine.think) and Cap.THINKING in engine.caps
    return replace(prompt, thinking=Thinking.off()) if off else prompt


def _last(messages: tuple[Message, ...]) -> int:
    return max(i for i, message in enumerate(messages) if message.role == "user")

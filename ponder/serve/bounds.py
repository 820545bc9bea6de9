"""A budget caps the method that was chosen: what a client says of thinking is set on it, and on the methods inside."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields, is_dataclass, replace
from typing import cast

from ponder.core.engine import Cap, Chunk, Engine, Sampling, Think
from ponder.core.method import Method
from ponder.core.problem import Problem, Prompt, Thinking
from ponder.methods.route.auto import Auto
from ponder.methods.route.auto import Effort as Label
from ponder.methods.route.thinking_route import ThinkingRoute
from ponder.methods.stop.budget_forcing import BudgetForcing
from ponder.methods.stop.loop_stop import LoopStop
from ponder.methods.stop.thinking_mode import ThinkingMode
from ponder.methods.vote.sample import Sample

Efforts = Mapping[str, int | None]


def tokens_of(thinking: Thinking | None, efforts: Efforts) -> int | None:
    """Return the most tokens of a wish, 0 for none at all, None where there is no bound."""
    if thinking is None or thinking.mode == "on":
        return None
    if thinking.mode == "off":
        return 0
    return thinking.tokens if thinking.label is None else efforts.get(thinking.label)


def wish_of(method: Method) -> Thinking | None:
    """Return what a method, as it was configured, asks of thinking by itself."""
    if not isinstance(method, ThinkingMode | Auto) or method.mode == "auto":
        return None
    if method.mode == "effort":
        return Thinking.effort(method.effort)
    if method.mode == "budget":
        return None if method.tokens is None else Thinking.budget(method.tokens)
    return Thinking(method.mode)


def bounded(method: Method, thinking: Thinking, efforts: Efforts) -> tuple[Method, bool]:
    """Return a method that keeps to `thinking`, and whether it or one inside it could be told.

    A plain reply becomes one with a thinking mode, wherever it stands: `self_consistency` with a budget votes over
    bounded thoughts.
    """
    if isinstance(method, ThinkingMode):
        return _mode(thinking, efforts), True
    if isinstance(method, Auto):
        return _auto(method, _mode(thinking, efforts)), True
    if isinstance(method, Sample):
        return _mode(thinking, efforts), True
    if isinstance(method, ThinkingRoute):
        return _routed(method, thinking, efforts), True
    if isinstance(method, LoopStop):
        return _auto(Auto(), _mode(thinking, efforts)), True
    if isinstance(method, BudgetForcing):
        return _forced(method, thinking, efforts), True
    return _inside(method, thinking, efforts)


def _mode(thinking: Thinking, efforts: Efforts) -> ThinkingMode:
    """Return the thinking mode that a wish is; a label keeps its name beside the tokens that the table gives it."""
    tokens = tokens_of(thinking, efforts)
    if thinking.label is None:
        return ThinkingMode(thinking.mode, thinking.tokens)
    if tokens is None and thinking.label != "max":
        return ThinkingMode("on")
    return ThinkingMode("off") if tokens == 0 else ThinkingMode("effort", tokens, cast(Label, thinking.label))


def _auto(method: Auto, mode: ThinkingMode) -> Auto:
    effort = mode.effort if mode.mode == "effort" else method.effort
    return replace(method, mode=mode.mode, tokens=mode.tokens, effort=effort)


def _routed(method: ThinkingRoute, thinking: Thinking, efforts: Efforts) -> Method:
    """Return a route whose modes a budget caps; what else the request says of thinking comes before any route."""
    if thinking.mode != "budget" or thinking.tokens is None:
        return _mode(thinking, efforts)

    def capped(mode: str, most: int) -> str:
        own = 0 if mode == "off" else int(mode) if mode.isdecimal() else None if mode == "on" else efforts.get(mode)
        return mode if own is not None and own <= most else str(most) if most else "off"

    return replace(method, modes=tuple(capped(mode, thinking.tokens) for mode in method.modes))


def _forced(method: BudgetForcing, thinking: Thinking, efforts: Efforts) -> Method:
    tokens = tokens_of(thinking, efforts)
    if tokens is None:
        return method
    return replace(method, cap=tokens if method.cap is None else min(tokens, method.cap))


def _inside(method: Method, thinking: Thinking, efforts: Efforts) -> tuple[Method, bool]:
    """Bound the methods that are fields of this one."""
    whole: object = method
    if not is_dataclass(whole) or isinstance(whole, type):
        return method, False
    changed: dict[str, object] = {}
    for spec in fields(whole):
        part: object = getattr(whole, spec.name)
        several = part if isinstance(part, tuple) else (part,)
        found = [bounded(one, thinking, efforts) if isinstance(one, Method) else (one, False) for one in several]
        if any(told for _, told in found):
            inner = tuple(one for one, _ in found)
            changed[spec.name] = inner if isinstance(part, tuple) else inner[0]
    return (cast(Method, replace(whole, **changed)), True) if changed else (method, False)


class Asked:
    """An engine that is asked for a kind of thinking in every call that says nothing of it itself."""

    def __init__(self, engine: Engine, thinking: Thinking) -> None:
        self._engine, self._thinking = engine, thinking

    @property
    def name(self) -> str:
        """The inner engine's name."""
        return self._engine.name

    @property
    def caps(self) -> frozenset[Cap]:
        """What the inner engine can do."""
        return self._engine.caps

    @property
    def think(self) -> Think:
        """The inner engine's think marks."""
        return self._engine.think

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Open a generation."""
        if prompt.thinking is None and Cap.THINKING in self._engine.caps:
            prompt = replace(prompt, thinking=self._thinking)
        async with self._engine.stream(prompt, sampling) as chunks:
            yield chunks


def forwarded(problem: Problem, thinking: Thinking | None, engine: Engine) -> Problem:
    """Return a problem whose effort label goes to a server of which nobody knows whether it understands one."""
    if thinking is None or thinking.label is None or Cap.THINKING in engine.caps:
        return problem
    extra = {**(json.loads(problem.extra) if problem.extra else {}), "reasoning_effort": thinking.label}
    return replace(problem, extra=json.dumps(extra, ensure_ascii=False))

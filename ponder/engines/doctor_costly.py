"""What takes longer replies or prompts to learn: seeds, the prefix cache, and whether a thought is really bounded."""

from __future__ import annotations

import secrets

from ponder.core.engine import Cap, Sampling
from ponder.core.problem import Thinking
from ponder.engines.doctor_patient import Patient, ask
from ponder.engines.doctor_report import Fact
from ponder.engines.doctor_server import budget_field
from ponder.text.escape import Escape

_FILLER = "The keeper of the lighthouse wrote down the wind, the waves and the ships that passed. "
_LETTERS = 6000
"""More than a thousand tokens: services cache no shorter prompts."""
_SLACK = 16


async def seeds(patient: Patient) -> list[Fact]:
    """One question at temperature 1, twice with one seed and once with another."""
    if patient.server is not None and patient.server.dialect == "anthropic":
        return [Fact("seeds", False, "its protocol has no such field")]
    prompt = ask("Invent a name for a lighthouse and say in a few words what the name means.")
    texts = [(await patient.hear(prompt, Sampling(max_tokens=24, seed=seed))).text for seed in (11, 11, 12)]
    if texts[0] != texts[1]:
        return [Fact("seeds", False, "one seed gave two texts at temperature 1")]
    if texts[0] == texts[2]:
        return [Fact("seeds", None, "two seeds gave one text at temperature 1; the model may be too sure to tell")]
    return [Fact("seeds", True, "one seed gave one text twice, another seed another one")]


async def prefix_cache(patient: Patient) -> list[Fact]:
    """A long prompt that nobody asked before, twice; whether most of the second was read from a cache."""
    letters = min(_LETTERS, await _fitting(patient))
    story = _FILLER * max(1, letters // len(_FILLER))
    prompt = ask(f"{secrets.token_hex(4)}. {story}Say yes.")
    first, second = [(await patient.hear(prompt, Sampling(temperature=0, max_tokens=1))).usage for _ in range(2)]
    if second.cached is None or not second.prompt:
        return [Fact("prefix_cache", None, "it does not say how much of a prompt was read from a cache")]
    how = (
        f"{second.cached} of {second.prompt} tokens of a repeated prompt were cached, and {first.cached or 0} at first"
    )
    return [Fact("prefix_cache", 2 * second.cached >= second.prompt, how)]


async def _fitting(patient: Patient) -> int:
    """Return how many letters surely fit into half of the context, by what a short prompt took."""
    talk = await patient.talk()
    asked = len(patient.talk_prompt().messages[-1].text)
    return patient.room(_LETTERS) * asked // max(asked // 4, talk.usage.prompt or 0)


async def budget(patient: Patient) -> list[Fact]:
    """A question worth thinking, with and without a budget, by the server's own word for it."""
    least = patient.least_budget
    field = budget_field(patient.server, least) if patient.server is not None else None
    if field is None or not patient.can(Cap.THINKING):
        return [Fact("budget", False, "there is no word by which this server bounds a thought")]
    free = await patient.thought()
    if free.think_tokens <= least + _SLACK:
        how = f"it thought for {free.think_tokens} tokens unbounded, too few to see a bound of {least}"
        return [Fact("budget", None, how)]
    bound = await patient.hear(patient.hard(Thinking.budget(least)), patient.hard_sampling())
    how = f"{field} = {least}: {bound.think_tokens} tokens of thinking, {free.think_tokens} without it"
    kept = bound.think_tokens <= least + _SLACK
    return [Fact("budget", kept, how if bound.answer.strip() else f"{how}; no answer followed")]


async def escapes(patient: Patient) -> list[Fact]:
    """A thought that we close in its middle; whether the model goes on thinking in the answer, as its marks show."""
    think = patient.engine.think
    if not (patient.can(Cap.PREFILL) and think.close):
        return [
            Fact("escapes", None, "a thought can only be closed where a reply can be continued and marks are known")
        ]
    free = await patient.thought()
    if not free.thinking.strip():
        return [Fact("escapes", None, "the model did not think, so no thought could be closed")]
    half = free.thinking[: max(1, len(free.thinking) // 2)]
    opening = "" if think.opened else think.open
    prompt = patient.hard(patient.on) + f"{opening}{half}{think.close}"
    heard = await patient.hear(prompt, patient.hard_sampling())
    finder = Escape(think.open, think.close)
    parts = [*finder.feed(heard.text), *finder.flush()]
    marks = [part.kind for part in parts if part.kind != "answer"]
    if marks:
        return [
            Fact("escapes", True, f"{len(marks)} pieces of thinking in the answer behind a thought that was closed")
        ]
    return [Fact("escapes", False, f"no mark of thinking in {heard.tokens} tokens behind a thought that was closed")]

"""Examines a server by asking it: what it promises is not taken for what it does, and every token spent is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace

from ponder.core.engine import Engine
from ponder.core.errors import EngineError, OptionError, Unsupported, nearest
from ponder.engines import doctor_cheap as cheap
from ponder.engines import doctor_costly as costly
from ponder.engines.doctor_patient import Patient
from ponder.engines.doctor_report import CHEAP, COSTLY, Fact, Report, in_order, now

Check = Callable[[Patient], Awaitable[list[Fact]]]

CHECKS: tuple[tuple[tuple[str, ...], Check], ...] = (
    (("server", "context", "marks", "off", "budget_field"), cheap.told),
    (("streams", "speed", "thinks", "usage", "reasoning_count", "max_tokens"), cheap.talking),
    (("stop_strings",), cheap.stop_strings),
    (("logprobs",), cheap.logprobs),
    (("n",), cheap.several),
    (("prefill",), cheap.prefill),
    (("hang_up",), cheap.hang_up),
    (("seeds",), costly.seeds),
    (("prefix_cache",), costly.prefix_cache),
    (("budget",), costly.budget),
    (("escapes",), costly.escapes),
)
"""What is asked, in this order, and the facts that each check answers."""


async def examine(
    engine: Engine,
    cheap_only: bool = True,
    *,
    only: Collection[str] = (),
    asking: Callable[[str], None] | None = None,
) -> Report:
    """Find out what the server behind `engine` does; with `only`, just these facts. `asking` hears what comes next.

    A check that the server refuses leaves its facts unknown, and the other checks go on. Raises `OptionError` for a
    fact that does not exist, and `EngineError` where the server gives no reply at all.
    """
    wanted = set(only or (CHEAP if cheap_only else (*CHEAP, *COSTLY)))
    for name in sorted(wanted - {*CHEAP, *COSTLY}):
        raise OptionError(f"there is no fact {name!r}{nearest(name, (*CHEAP, *COSTLY))}; see `ponder doctor --help`")
    patient = Patient(engine)
    facts: list[Fact] = []
    for names, check in CHECKS:
        if wanted & set(names):
            if asking is not None:
                asking(names[0])
            facts += [fact for fact in await _safely(patient, names, check) if fact.name in wanted]
    url, model = address(engine)
    return Report(url, model, now(), tuple(in_order(facts)))


def address(engine: Engine) -> tuple[str, str]:
    """Return under which address and model name a report about `engine` is kept."""
    server = Patient(engine).server
    return (server.client.base, server.model) if server is not None else ("", engine.name)


async def _safely(patient: Patient, names: tuple[str, ...], check: Check) -> list[Fact]:
    """Run a check; what the server refuses stays unknown. What it cost is put down to its first fact."""
    before = patient.spent
    try:
        facts = await check(patient)
    except (EngineError, Unsupported) as error:
        if "streams" in names:
            raise
        facts = [Fact(name, None, str(error)) for name in names]
    return [replace(facts[0], tokens=patient.spent - before), *facts[1:]]

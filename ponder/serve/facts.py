"""What the servers behind the gateway really do: learnt in the background, cheaply, and kept for a day."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from ponder.core.errors import PonderError
from ponder.engines.doctor_report import CHEAP, Report, ReportStore, age
from ponder.engines.open import Loaded
from ponder.engines.wrap import innermost

_DAY = 86_400.0
_LOG = logging.getLogger("ponder.serve")


class Facts:
    """Reports by engine. Only servers are examined: what runs in this process is known already."""

    def __init__(self, store: ReportStore | None = None) -> None:
        self._store = store or ReportStore()
        self._reports: dict[str, Report] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def learn(self, name: str, loaded: Loaded) -> None:
        """Begin to find out about an engine that has opened; nobody waits."""
        from ponder.engines.openai import OpenAIEngine

        if name not in self._tasks and isinstance(innermost(loaded.engine), OpenAIEngine):
            self._tasks[name] = asyncio.create_task(self._learn(name, loaded), name=f"facts of {name}")

    def of(self, name: str) -> Mapping[str, object] | None:
        """Return what is known of an engine, costly facts that `ponder doctor` has learnt before among them."""
        report = self._reports.get(name)
        if report is None:
            return None
        facts = {fact.name: {"value": fact.value, "how": fact.how} for fact in report.facts}
        return {"date": report.date, "tokens": report.tokens, "facts": facts}

    async def close(self) -> None:
        """Stop finding out."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _learn(self, name: str, loaded: Loaded) -> None:
        # Loaded here and not with this module: the gateway listens first.
        from ponder.engines.doctor import address, examine

        kept = await asyncio.to_thread(self._store.load, *address(loaded.engine))
        if kept is not None:
            self._reports[name] = kept
            if age(kept) < _DAY and all(kept.fact(fact) is not None for fact in CHEAP):
                return
        try:
            report = await examine(loaded.engine)
            report = kept.merged(report) if kept is not None else report
            self._reports[name] = report
            await asyncio.to_thread(self._store.save, report)
        except (PonderError, OSError) as error:
            _LOG.warning("what the engine %s can do could not be found out: %s", name, error)

"""A rehearsal before the first request: are the files of routers and calibrations there, and do they fit?"""

from __future__ import annotations

import asyncio

from ponder.core.config import field_of, parts
from ponder.core.errors import DataError, OptionError, Unsupported
from ponder.core.files import Reads
from ponder.core.method import Chooses, Method
from ponder.core.problem import Problem
from ponder.serve.foresee import foresee

QUESTION = Problem.of("What is 2 + 3?")
"""Any question does: what a router cannot be used for shows with each."""


async def rehearse(method: Method, where: str) -> None:
    """Let every routing part of a method choose once, and every other one read its files; no model is asked.

    Raises `DataError`, `OptionError` or `Unsupported` that begins with `where` and the field. A router that fails on
    the question, rather than being of no use at all, is none of them: it has its fallback.
    """
    for place, part in parts(method):
        names = [place]
        try:
            if isinstance(part, Method) and isinstance(part, Chooses):
                names = [place, field_of(part, "router")]
                await foresee(part, QUESTION)
            if isinstance(part, Reads):
                await asyncio.to_thread(part.read_files)
        except (DataError, OptionError, Unsupported) as error:
            field = ".".join(filter(None, names))
            raise type(error)(f"{where} {field}: {error}" if field else f"{where}: {error}") from None

"""The options behind the name of a task: `level=3,language=zh`."""

from __future__ import annotations

import re

from ponder.core.errors import OptionError


def options(rest: str, name: str) -> dict[str, str]:
    """Return `a=1,b=2` as a table; brackets may hold commas of their own. Raises `OptionError` for anything else."""
    found: dict[str, str] = {}
    for part in filter(None, re.split(r",(?![^\[({]*[\])}])", rest)):
        key, equals, value = part.partition("=")
        if not equals:
            raise OptionError(f"{part!r} is no option of the task {name}; options are written {name}:OPTION=VALUE")
        found[key.strip()] = value.strip()
    return found

"""Token budgets as models state them: `Budget: [[77]]` (2412.18547)."""

from __future__ import annotations

import re

_STATED = re.compile(r"\[\[\s*(\d{1,9})\s*\]\]")
"""Nine digits are more than any reply has, and longer ones would be no number that Python reads."""


def estimated(text: str) -> int | None:
    """Return the first budget that a reply states in double brackets, or None where it states none above zero."""
    found = _STATED.search(text)
    return int(found[1]) or None if found else None

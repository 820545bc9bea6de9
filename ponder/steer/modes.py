"""Modes of thinking as one word each: `off`, `on`, a number of tokens, or an effort label."""

from __future__ import annotations

from ponder.core.errors import require
from ponder.core.problem import EFFORTS, Thinking
from ponder.steer.ask import Wish


def check_modes(method: object, modes: tuple[str, ...], count: int) -> None:
    """Raise `OptionError` unless there are `count` modes, and each is one."""
    require(len(modes) == count, method, "modes", modes, f"{count} of them, one for each choice")
    for mode in modes:
        number = mode.isascii() and mode.isdecimal() and int(mode) > 0
        known = number or mode in ("off", "on", *EFFORTS)
        require(known, method, "modes", mode, f"off, on, a number of tokens above 0, or one of {', '.join(EFFORTS)}")


def wish_for(mode: str) -> Wish:
    """Return what a mode asks of a reply."""
    if mode in ("off", "on"):
        return Wish(Thinking("off" if mode == "off" else "on"))
    bound = int(mode) if mode.isdecimal() else EFFORTS[mode]
    if bound == 0:
        return Wish(Thinking.off(), 0)
    return Wish(Thinking.budget(bound) if mode.isdecimal() and bound else Thinking.effort(mode), bound)

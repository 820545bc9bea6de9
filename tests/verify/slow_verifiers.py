"""Verifiers that misbehave, in a module of their own so that another process can load them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ponder.core.judge import Reference, Verdict
from ponder.verify.base import Base


@dataclass(frozen=True, slots=True)
class Script(Base):
    """Does what the answer says: hang, die, raise, print, flood, or judge."""

    folder: str = ""
    cheap: ClassVar[bool] = False

    def extract(self, answer: str) -> str | None:
        return answer or None

    def same(self, a: str, b: str) -> bool:
        return a == b

    def __call__(self, answer: str, reference: Reference) -> Verdict:
        if answer == "hang":
            time.sleep(600)
        if answer == "die":
            os._exit(9)
        if answer == "die once" and not (mark := Path(self.folder, "died")).exists():
            mark.touch()
            os._exit(9)
        if answer == "raise":
            raise ZeroDivisionError("on purpose")
        if answer == "print":
            os.write(1, b"noise that must not reach the pipe")
        if answer == "flood":
            bytearray(2**40)
        return Verdict(answer == reference.text, str(os.getpid()))


@dataclass(frozen=True, slots=True)
class Unloadable(Script):
    def prepare(self) -> None:
        raise ImportError("nothing to load")


class Plain:
    """A verifier that knows only the contract, not our base class."""

    def extract(self, answer: str) -> str | None:
        return answer

    def same(self, a: str, b: str) -> bool:
        return a == b

    def __call__(self, answer: str, reference: Reference) -> Verdict:
        return Verdict(answer == reference.text, str(os.getpid()))

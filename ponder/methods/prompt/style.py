"""Style: one of the fourteen ways to ask for short reasoning that the token-complexity study compares (2503.01141)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ponder.core.engine import Cap
from ponder.core.errors import OptionError, nearest, require
from ponder.core.method import Method, Solution
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample
from ponder.steer.tell import framed, told
from ponder.text.prompts import FRAME, STYLES


@dataclass(frozen=True)
class Style:
    """A named template, and the number that goes into it where it takes one."""

    template: str = "be_concise"
    """The template's name."""
    limit: int | None = field(default=None, metadata={"within": "max_tokens", "where": ("template", "token_limit")})
    """The number of words, letters, tokens, steps or characters; the templates that take one end in `_limit`."""
    frame: bool = False
    """Put the question into the study's own frame, which asks for a last line `Answer: ...`, not a line behind it."""
    inner: Method = field(default_factory=lambda: Sample(cot=False))
    """Answers the question once the template is added."""

    def __post_init__(self) -> None:
        if self.template not in STYLES:
            listed = ", ".join(STYLES)
            raise OptionError(
                f"Style: there is no template = {self.template!r}{nearest(self.template, STYLES)}; there are {listed}"
            )
        takes = "{n}" in STYLES[self.template].en
        if takes and self.limit is None:
            raise OptionError(f"Style: template = {self.template!r} lacks its number; add limit, as in limit=50")
        if not takes and self.limit is not None:
            raise OptionError(f"Style: limit = {self.limit} has no place in template = {self.template!r}; leave it out")
        require(self.limit is None or self.limit >= 1, self, "limit", self.limit, "at least 1")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What the inner method needs."""
        return self.inner.needs()

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Hand the inner method a question that asks for the style."""
        asked = problem.question
        line = STYLES[self.template].to(asked, self.limit)
        frame = FRAME.to(asked).replace("{prompt}", line).replace("{question}", asked)
        return await self.inner.solve(framed(problem, frame) if self.frame else told(problem, line), run)

"""An answer as it comes: thinking inside it is cut, the client's stop strings end it, and what is sure is shown."""

from __future__ import annotations

from ponder.core.engine import Chunk, Logprob, Think
from ponder.core.run import Run
from ponder.text.escape import Escape, Part

HELD = 160
"""Characters of an answer that are held back after a forced close: a thought that goes on betrays itself early."""


class Answer:
    """Collects the answer over one call or several. `text` is what has been shown, so it is never taken back.

    `escaped` counts the tokens of thinking that were found in it, `moved` those of them that the engine of the
    present call counted as answer, `closes` the closing marks. `heard` says that some of the text is the model's.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._stops = run.sampling.stop
        self._escape = Escape()
        self._held = ""
        self._hold = 0
        self._tail = ""
        self._since = self._counted = self._due = self._due_own = 0
        self.text = ""
        self.logprobs: list[Logprob] = []
        self._late: list[Logprob] = []
        self.escaped = self.moved = self.closes = 0
        self.heard = self.stopped = self._gap = False

    def begin(self, marks: Think, held: bool) -> None:
        """Note that a call begins; with `held` its first characters wait until they are known to be an answer."""
        if not self.heard or self.inside:
            self._escape = Escape(marks.open, marks.close)
        self._hold = HELD if held else 0
        self._since = self._counted = self._due = self._due_own = self.moved = 0

    @property
    def inside(self) -> bool:
        """Whether a thought is open inside the answer."""
        return self._escape.inside

    def say(self, text: str) -> None:
        """Put in text that was written by hand."""
        self.text += text
        self._run.show(text)

    def feed(self, chunk: Chunk) -> None:
        """Take one chunk of whatever channel: engines look for marks of their own, and here all marks count."""
        own = chunk.tokens if chunk.channel == "answer" else 0
        self._since += chunk.tokens
        self._counted += own
        self._due, self._due_own = self._due + chunk.tokens, self._due_own + own
        self._late.extend(chunk.logprobs)
        parts = self._escape.feed(chunk.text)
        if not parts and chunk.text:
            # It may become a mark: what it is decides who pays for it.
            return
        if self.inside or any(part.kind == "think" for part in parts):
            self._bill(self._due, self._due_own)
        else:
            self.logprobs.extend(self._late)
        self._due = self._due_own = 0
        self._late.clear()
        for part in parts:
            self._part(part)

    def flush(self) -> None:
        """Take what was held back, once a call has ended."""
        for part in self._escape.flush():
            self._part(part)
        self._hold = 0
        self._release("")
        if not self.stopped:
            self._show(self._tail)
        self._tail = ""

    def _bill(self, tokens: int, own: int) -> None:
        self.escaped += tokens
        self.moved += own
        self._since -= tokens
        self._counted -= own

    def _part(self, part: Part) -> None:
        if part.kind == "answer":
            self._release(part.text)
        elif part.kind == "again" or self._hold:
            # What was already shown stays; what was held is thinking, as the mark says of all of it.
            self.closes += part.kind == "again"
            if self.heard or self._held:
                self._bill(self._since, self._counted)
            self._held, self._hold = "", 0
            if not self.heard:
                self.logprobs.clear()

    def _release(self, text: str) -> None:
        """Give out text, unless too little has come to tell what it is."""
        self._held += text
        if len(self._held.strip()) < self._hold:
            return
        text, self._held, self._hold = self._held, "", 0
        self._stop(text)

    def _stop(self, text: str) -> None:
        """Show text up to a stop string; keep back what could still become one."""
        if self.stopped:
            return
        self._tail += text
        found = [at for stop in self._stops if (at := self._tail.find(stop)) >= 0]
        if found:
            self.stopped = True
            self._tail = self._tail[: min(found)]
            keep = 0
        else:
            keep = max((_overlap(self._tail, stop) for stop in self._stops), default=0)
        shown, self._tail = self._tail[: len(self._tail) - keep], self._tail[len(self._tail) - keep :]
        self._show(shown)

    def _show(self, text: str) -> None:
        if not self.heard:
            # Blanks before the first word: none at the very beginning, one behind words that were put in by hand.
            self._gap = self._gap or text[:1].isspace()
            text = text.lstrip()
            if text and self._gap and self.text:
                text = f" {text}"
        self.heard = self.heard or bool(text.strip())
        self.text += text
        self._run.show(text)


def _overlap(text: str, stop: str) -> int:
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)

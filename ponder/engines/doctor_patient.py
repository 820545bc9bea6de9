"""The server under examination: its replies, with the moment of each piece; what several checks need is asked once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ponder.core.engine import Cap, Chunk, Engine, Logprob, Sampling, Usage
from ponder.core.problem import Message, Prompt, Thinking
from ponder.engines.anthropic import AnthropicEngine
from ponder.engines.doctor_server import Server, server_of

TALK_TOKENS = 40
THOUGHT_TOKENS = 320
_TALK = "Describe a lighthouse by the sea in five long sentences."
_HARD = "How many of the whole numbers from 1 to 200 are divisible by 3 or by 7, but not by 5? Think carefully."


def ask(question: str, thinking: Thinking | None = None) -> Prompt:
    """Return the prompt of one question."""
    return Prompt((Message.of("user", question),), thinking=thinking)


@dataclass(slots=True)
class Heard:
    """One reply. `moments` are when its pieces came, on the clock of `time.monotonic`."""

    text: str = ""
    thinking: str = ""
    answer: str = ""
    seen: int = 0
    thought: int = 0
    usage: Usage = field(default_factory=Usage)
    finish: str | None = None
    logprobs: tuple[Logprob, ...] = ()
    started: float = 0.0
    moments: list[float] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """What was generated: the server's own count, or else ours."""
        return self.seen if self.usage.generated is None else self.usage.generated

    @property
    def think_tokens(self) -> int:
        """What of it was thinking: the server's own count, or else its part of the pieces."""
        if self.usage.thinking is not None:
            return self.usage.thinking
        return round(self.tokens * self.thought / self.seen) if self.seen else 0

    def take(self, chunk: Chunk) -> None:
        """Note one piece."""
        if chunk.text:
            self.moments.append(time.monotonic())
        self.text += chunk.text
        if not chunk.markup:
            self.thinking += chunk.text if chunk.channel == "think" else ""
            self.answer += chunk.text if chunk.channel == "answer" else ""
        self.seen += chunk.tokens
        self.thought += chunk.tokens if chunk.channel == "think" else 0
        self.logprobs += chunk.logprobs
        self.usage = chunk.usage or self.usage
        self.finish = chunk.finish or self.finish


class Patient:
    """See the module. `spent` is what all replies so far cost; `server` is None for a model on this machine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.server: Server | None = server_of(engine)
        self.spent = 0
        self._talk: Heard | None = None
        self._thought: Heard | None = None

    def can(self, cap: Cap) -> bool:
        """Whether the engine has an ability."""
        return cap in self.engine.caps

    def room(self, tokens: int) -> int:
        """Return at most `tokens`, and no more than half of what the server takes."""
        length = self.server.context_length if self.server is not None else None
        return min(tokens, length // 2) if length else tokens

    async def hear(self, prompt: Prompt, sampling: Sampling, leave_after: int | None = None) -> Heard:
        """Read a reply to its end, or leave after so many tokens. Raises `EngineError`, `Unsupported`."""
        heard = Heard(started=time.monotonic())
        try:
            async with self.engine.stream(prompt, sampling) as chunks:
                async for chunk in chunks:
                    heard.take(chunk)
                    if leave_after is not None and heard.seen >= leave_after:
                        break
        finally:
            self.spent += heard.tokens
        return heard

    async def talk(self) -> Heard:
        """A short greedy reply, about which most can be said."""
        if self._talk is None:
            self._talk = await self.hear(ask(_TALK), Sampling(temperature=0, max_tokens=TALK_TOKENS, seed=1))
        return self._talk

    def talk_prompt(self) -> Prompt:
        """Return what the short reply answers."""
        return ask(_TALK)

    async def thought(self) -> Heard:
        """A reply to a question that is worth thinking, with as much thinking as the model likes."""
        if self._thought is None:
            self._thought = await self.hear(self.hard(self.on), self.hard_sampling())
        return self._thought

    def hard(self, thinking: Thinking | None = None) -> Prompt:
        """Return the question that is worth thinking."""
        return ask(_HARD, thinking)

    def hard_sampling(self) -> Sampling:
        """Return how it is asked: greedily where the server lets a model think so."""
        limit = self.room(max(THOUGHT_TOKENS, 3 * self.least_budget))
        return Sampling(max_tokens=limit, seed=1, temperature=1 if self._signs else 0)

    @property
    def on(self) -> Thinking | None:
        """Return what asks for thinking, where there is a word for it."""
        return Thinking.on() if self.can(Cap.THINKING) else None

    @property
    def least_budget(self) -> int:
        """Return the budget to try: small, but not below what the server takes."""
        return 1024 if self._signs else 32

    @property
    def _signs(self) -> bool:
        """Whether it is a service of the messages API, which thinks at temperature 1 and from 1,024 tokens on."""
        return isinstance(self.server, AnthropicEngine)

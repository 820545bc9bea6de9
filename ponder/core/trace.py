"""The bill: one record for every generation, their sum by role, and the purse that limits it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ponder.core.engine import Channel, Logprob, Usage
from ponder.core.problem import ToolCall

if TYPE_CHECKING:
    from ponder.core.judge import Score

Role = Literal["think", "answer", "probe", "draft", "verify", "route"]
ROLES: tuple[Role, ...] = ("think", "answer", "probe", "draft", "verify", "route")
CallFinish = Literal["stop", "length", "tool_calls", "left", "deadline", "budget", "error"]


@dataclass(frozen=True, slots=True)
class Call:
    """One generation, as it ended. Tokens are those that the model generated, prompts apart.

    `text` is verbatim, think marks included; `thinking` and `answer` are its two channels without marks.
    `token_ids` spell `text`, or are empty where the engine cannot say. `finish` is `left` when the method walked away,
    `budget` or `deadline` when the run ended the call, `error` when the engine broke off: what came until then is
    billed all the same. `exact` is false where tokens are an estimate.

    `forced` tokens at the beginning were given and not generated: they stand in `text`, and first in `token_ids`,
    `logprobs` and `hidden`, and are no part of the bill.
    """

    role: Role
    engine: str
    branch: tuple[int, ...]
    seed: int
    text: str = ""
    thinking: str = ""
    answer: str = ""
    think_tokens: int = 0
    answer_tokens: int = 0
    latent: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[Logprob, ...] = ()
    hidden: tuple[memoryview, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    finish: CallFinish = "left"
    matched_stop: str | None = None
    seconds: float = 0.0
    first_token_seconds: float | None = None
    exact: bool = True
    scored: tuple[Score, ...] = ()
    forced: int = 0

    @property
    def tokens(self) -> int:
        """All tokens that this call generated; a latent step counts as one."""
        return self.think_tokens + self.answer_tokens + self.latent


Fate = Literal["open", "pruned", "ended", "chosen"]


@dataclass(slots=True)
class Place:
    """Where a call stands in a tree of replies, for those who look at it later: no method reads it.

    `after` is the number of the call in the trace that it goes on from, None where it begins a reply. `fate` is what
    became of it: `pruned` was dropped for good, `ended` is a reply that came to its end, `chosen` ends the answer, and
    all others are `open`. `visits` counts how often a search came by, where it counts them.
    """

    after: int | None = None
    score: float | None = None
    fate: Fate = "open"
    visits: int = 0


@dataclass(slots=True)
class Trace:
    """Everything that happened in a run: calls in the order in which they ended, and what was shown."""

    calls: list[Call] = field(default_factory=list)
    shown: list[tuple[Channel, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tree: dict[int, Place] = field(default_factory=dict)
    """By the number of a call in `calls`: of those that are drawn side by side or fork."""

    @property
    def tokens(self) -> int:
        """Generated tokens over all calls and roles: the bill."""
        return sum(call.tokens for call in self.calls)

    @property
    def tokens_by_role(self) -> dict[Role, int]:
        """The bill by role; a plain call is split where its thinking ends. Roles with nothing are left out."""
        total: dict[Role, int] = {}
        for call in self.calls:
            if call.role in ("think", "answer"):
                parts: tuple[tuple[Role, int], ...] = (
                    ("think", call.think_tokens + call.latent),
                    ("answer", call.answer_tokens),
                )
            else:
                parts = ((call.role, call.tokens),)
            for role, tokens in parts:
                if tokens:
                    total[role] = total.get(role, 0) + tokens
        return total

    @property
    def prompt_tokens(self) -> int:
        """Prompt tokens over all calls, those read from a cache included."""
        return sum(call.prompt_tokens for call in self.calls)

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens that an engine did not have to read again."""
        return sum(call.cached_tokens for call in self.calls)

    @property
    def exact(self) -> bool:
        """Whether every count is the engine's own."""
        return all(call.exact for call in self.calls)


@dataclass(slots=True)
class Purse:
    """Tokens that may be spent: by one run, or by several that share it. `total` None is no limit."""

    total: int | None = None
    spent: int = 0

    @property
    def left(self) -> int | None:
        """How many tokens are left; None is no limit."""
        return None if self.total is None else max(0, self.total - self.spent)

    @property
    def empty(self) -> bool:
        """Whether the limit is reached."""
        return self.total is not None and self.spent >= self.total


def merge_usage(old: Usage | None, new: Usage) -> Usage:
    """Return what a server said, later counts before earlier ones."""
    if old is None:
        return new
    return Usage(*(before if now is None else now for before, now in zip(old, new, strict=True)))


def split_usage(usage: Usage, think: int, answer: int) -> tuple[int, int]:
    """Split the server's own total as it says itself, else as the chunks are split; without it, by these."""
    total = usage.generated
    if total is None or total == think + answer:
        return think, answer
    if usage.thinking is not None:
        return usage.thinking, total - usage.thinking
    share = think / (think + answer) if think + answer else 0.0
    return round(total * share), total - round(total * share)

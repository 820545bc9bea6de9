"""What a method is handed: it reaches engines through a `Run`, which counts, seeds, records and shows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Unpack

from ponder.core.engine import Channel, Chunk, Engine, Logprob, Sampling, SamplingArgs, Usage
from ponder.core.errors import EngineError, OptionError, nearest
from ponder.core.problem import Prompt, ToolCall
from ponder.core.seeds import derive_seed
from ponder.core.shared import Branch, Shared, equal, text_only
from ponder.core.stops import AnswerStops, scope
from ponder.core.trace import ROLES, Call, CallFinish, Purse, Role, Trace, merge_usage, split_usage

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

__all__ = ["ROLES", "Call", "CallFinish", "Live", "Purse", "Role", "Run", "Trace", "derive_seed"]


class Run:
    """One attempt at one problem.

    `budget` bounds the tokens of all calls together: a number of its own, or a purse shared with other runs; `deadline`
    is a time of `time.monotonic()`. Both hold for every view of the run. `on_call` is told of every call as it ends.
    """

    __slots__ = ("_branch", "_engine", "_path", "_purse", "_shared", "_silent", "deadline", "sampling")

    def __init__(
        self,
        engines: Mapping[str, Engine] | Engine,
        *,
        sampling: Sampling | None = None,
        seed: int = 0,
        deadline: float | None = None,
        budget: int | Purse | None = None,
        extract: Callable[[str], str | None] = text_only,
        same: Callable[[str, str], bool] = equal,
        on_show: Callable[[str, Channel], None] | None = None,
        on_note: Callable[[str], None] | None = None,
        on_call: Callable[[Call], None] | None = None,
    ) -> None:
        if not isinstance(engines, Mapping):
            engines = {"main": engines}
        purse = budget if isinstance(budget, Purse) else Purse(budget)
        self._shared = Shared(engines, seed, purse, extract, same, on_show, on_note, on_call)
        self._engine = "main"
        self._path: tuple[int, ...] = ()
        self._branch = self._shared.branches.setdefault((), Branch())
        self._purse: Purse | None = None
        self._silent = False
        self.sampling = sampling or Sampling()
        self.deadline = deadline

    @property
    def trace(self) -> Trace:
        """What happened so far, over all views of this run."""
        return self._shared.trace

    @property
    def budget(self) -> int | None:
        """How many tokens this view of the run may still generate; `None` is no limit."""
        lefts = [purse.left for purse in self._purses() if purse.left is not None]
        return min(lefts, default=None)

    def _purses(self) -> Iterator[Purse]:
        """Yield what pays for the calls of this view: the run's purse, and the branch's own."""
        yield self._shared.purse
        if self._purse is not None:
            yield self._purse

    @property
    def engine(self) -> Engine:
        """The engine that this view speaks to."""
        engines = self._shared.engines
        if self._engine not in engines:
            raise OptionError(
                f"there is no engine named {self._engine!r} in this run{nearest(self._engine, engines)}; "
                f"name one with --engine {self._engine}=MODEL"
            )
        return engines[self._engine]

    def _view(
        self,
        *,
        engine: str | None = None,
        path: tuple[int, ...] | None = None,
        silent: bool = False,
        purse: Purse | None = None,
    ) -> Run:
        view = Run.__new__(Run)
        view._shared = self._shared
        view._engine = engine or self._engine
        view._path = self._path if path is None else path
        view._branch = self._branch if path is None else self._shared.branches.setdefault(path, Branch())
        view._purse = purse or self._purse
        view._silent = self._silent or silent
        view.sampling = self.sampling
        view.deadline = self.deadline
        return view

    def on(self, engine: str) -> Run:
        """Return the same run on another named engine (`strong`, `draft`, `prm` ...)."""
        return self._view(engine=engine)

    def quiet(self, branch: int, purse: Purse | None = None) -> Run:
        """Return the same run with seeds of its own, shown to nobody. Concurrent siblings take different numbers.

        A `purse` pays for this branch beside the run's own, instead of that of the branch it springs from. To lower
        its total ends calls in flight once they have spent so much: unlike a cancellation, that depends on no clock.
        """
        return self._view(path=(*self._path, branch), silent=True, purse=purse)

    @property
    def calls(self) -> list[Call]:
        """The calls of this view's branch, and of those that spring from it, which have ended."""
        depth = len(self._path)
        return [call for call in self._shared.trace.calls if call.branch[:depth] == self._path]

    def show(self, text: str, channel: Channel = "answer") -> None:
        """Commit text to the client. All that is shown must be a prefix of the final solution."""
        if text and not self._silent:
            self._shared.trace.shown.append((channel, text))
            if self._shared.on_show:
                self._shared.on_show(text, channel)

    def note(self, text: str) -> None:
        """Report progress that is no part of the solution."""
        self._shared.trace.notes.append(text)
        if self._shared.on_note:
            self._shared.on_note(text)

    def extract(self, text: str) -> str | None:
        """Return the final answer that `text` states, as the task reads it, or None if it states none."""
        return self._shared.extract(text)

    def same(self, a: str, b: str) -> bool:
        """Say whether two extracted answers are equal, as the task compares them."""
        return self._shared.same(a, b)

    def stream(self, prompt: Prompt, role: Role = "think", **over: Unpack[SamplingArgs]) -> Live:
        """Open a generation: `async with run.stream(prompt) as live: async for chunk in live: ...`.

        The run's own stop strings are the client's and bind the answer alone; those named here bind all that comes.
        """
        return Live(self, prompt, role, self._draw(prompt, over), clients="stop" not in over)

    async def generate(self, prompt: Prompt, role: Role = "think", **over: Unpack[SamplingArgs]) -> Call:
        """Generate to the end and return the call."""
        async with self.stream(prompt, role, **over) as live:
            async for _ in live:
                pass
        return live.call

    def _draw(self, prompt: Prompt, over: SamplingArgs) -> Sampling:
        """Return the sampling of the next call: seeds drawn, limits kept."""
        branch = self._branch
        asked = prompt, over.get("force", self.sampling.force)
        repeat = branch.asked.get(asked, 0)
        seed = derive_seed(self._shared.seed, self._path, branch.calls, "call")
        branch_seed = derive_seed(self._shared.seed, self._path, repeat, "branch")
        branch.asked[asked] = repeat + 1
        branch.calls += 1
        drawn: SamplingArgs = {"seed": seed, "branch_seed": branch_seed, **over}
        drawn["max_tokens"] = min(over.get("max_tokens", self.sampling.max_tokens), self.sampling.max_tokens)
        return replace(self.sampling, **drawn)


class Live:
    """An open generation: iterate over it for chunks; `call` is what came, final once the block is left."""

    def __init__(self, run: Run, prompt: Prompt, role: Role, sampling: Sampling, clients: bool = False) -> None:
        self._run = run
        self._shared = run._shared
        self._engine = run.engine
        self._prompt = prompt
        self._role: Role = role
        budget = run.budget
        self._capped = budget is not None and budget < sampling.max_tokens
        sampling = replace(sampling, max_tokens=budget) if self._capped and budget is not None else sampling
        self._clients = clients
        self._sampling, self._stop = scope(sampling, self._engine.think, prompt) if clients else (sampling, ())
        self._stops: AnswerStops | None = None
        self._manager: AbstractAsyncContextManager[AsyncIterator[Chunk]] | None = None
        self._chunks: AsyncIterator[Chunk] | None = None
        self._finish: CallFinish | None = None
        self._started = self._first = 0.0
        self._thinking: list[str] = []
        self._answer: list[str] = []
        self._text: list[str] = []
        self._ids: list[int] | None = []
        self._logprobs: list[Logprob] = []
        self._hidden: list[memoryview] = []
        self._tools: tuple[ToolCall, ...] = ()
        self._think_tokens = self._answer_tokens = self._latent = self._forced = self._moved = 0
        self._usage: Usage | None = None
        self._matched: str | None = None
        self._exact = True
        self._call: Call | None = None

    @property
    def call(self) -> Call:
        """The call: a snapshot inside the block, the final record after it."""
        return self._call or self._snapshot()

    def rebill(self, tokens: int) -> None:
        """Bill so many tokens of the answer as thinking: a thought that was closed went on inside it."""
        self._moved += tokens

    async def __aenter__(self) -> Live:
        self._started = time.monotonic()
        if self._sampling.max_tokens <= 0 and (self._capped or not self._sampling.force):
            self._finish = "budget" if self._capped else "length"
        elif self._run.deadline is not None and self._run.deadline <= self._started:
            self._finish = "deadline"
        else:
            self._manager = self._engine.stream(self._prompt, self._sampling)
            limit = asyncio.timeout_at(self._deadline())
            try:
                async with limit:
                    self._chunks = await self._manager.__aenter__()
                if self._stop:
                    self._chunks = self._stops = AnswerStops(self._chunks, self._stop)
            except TimeoutError:
                self._manager = None
                self._end_by(limit)
        return self

    def __aiter__(self) -> Live:
        return self

    async def __anext__(self) -> Chunk:
        if self._finish is None and self._broke:
            self._finish = "budget"
        if self._finish is not None or self._chunks is None:
            raise StopAsyncIteration
        limit = None if self._run.deadline is None else asyncio.timeout_at(self._deadline())
        try:
            if limit is None:
                chunk = await self._chunks.__anext__()
            else:
                async with limit:
                    chunk = await self._chunks.__anext__()
        except TimeoutError:
            self._end_by(limit)
            raise StopAsyncIteration from None
        except StopAsyncIteration:
            raise EngineError(
                f"{self._engine.name}: the reply broke off without an end; the server may have died", retry=True
            ) from None
        self._take(chunk)
        return chunk

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._finish is None and isinstance(error, EngineError):
            self._finish = "error"
        try:
            if self._manager is not None:
                return await self._manager.__aexit__(kind, error, trace)
            return None
        finally:
            if self._stops is not None:
                # Whoever ended the call did so before it was known what this would become.
                self._text.append(self._stops.held)
                self._answer.append(self._stops.held)
            self._call = self._snapshot()
            if self._manager is not None:
                self._settle()
                self._shared.trace.calls.append(self._call)
                if self._shared.on_call:
                    self._shared.on_call(self._call)

    def _end_by(self, limit: asyncio.Timeout | None) -> None:
        """Note that the deadline ended the call; a time limit of the engine's own is the engine's failure."""
        if limit is None or not limit.expired():
            raise EngineError(f"{self._engine.name}: the model did not answer in time; try again", retry=True) from None
        self._finish = "deadline"

    def _deadline(self) -> float | None:
        """The run's deadline on the event loop's clock, which need not be `time.monotonic()`."""
        if self._run.deadline is None:
            return None
        return asyncio.get_running_loop().time() + self._run.deadline - time.monotonic()

    def _take(self, chunk: Chunk) -> None:
        """Count one chunk and note how the call ends, if it does."""
        if not self._first:
            self._first = time.monotonic()
        if chunk.text:
            self._text.append(chunk.text)
            if not chunk.markup:
                (self._thinking if chunk.channel == "think" else self._answer).append(chunk.text)
        # The token that ends a reply spells nothing, so it is left out.
        if self._ids is not None and (chunk.text or chunk.finish != "stop"):
            known = bool(chunk.token_ids) if chunk.forced else len(chunk.token_ids) == chunk.tokens
            if known or (chunk.token_ids and chunk.finish):
                self._ids.extend(chunk.token_ids)
            else:
                self._ids = None
        if chunk.channel == "think":
            self._think_tokens += chunk.tokens
        else:
            self._answer_tokens += chunk.tokens
        self._latent += chunk.latent
        if chunk.forced:
            # How many tokens a text is, the engine says.
            given, texts = self._sampling.force, any(isinstance(part, str) for part in self._sampling.force)
            self._forced = self._forced + len(chunk.token_ids) if texts else len(given)
        if chunk.logprobs:
            self._logprobs.extend(chunk.logprobs)
        if chunk.hidden is not None:
            self._hidden.append(chunk.hidden)
        if chunk.usage is not None:
            self._usage = merge_usage(self._usage, chunk.usage)
        self._exact = self._exact and chunk.exact
        self._pay(chunk.tokens + chunk.latent)
        if chunk.finish is not None:
            cut = self._capped and chunk.finish == "length"
            self._finish = "budget" if cut else chunk.finish
            self._tools, self._matched = chunk.tool_calls, chunk.matched_stop
            self._refuse_half(chunk)
        elif self._broke:
            self._finish = "budget"

    def _refuse_half(self, last: Chunk) -> None:
        """Raise `EngineError` for a thought that a server seems to have ended at one of the client's stop strings."""
        inside = last.channel == "think" and self._thinking and not "".join(self._answer).strip()
        if inside and self._finish == "stop" and self._clients and self._sampling.stop:
            self._finish = "error"
            raise EngineError(
                f"{self._engine.name}: the reply ended in its thinking, where the server looks for stop strings too; "
                "ask without them, or tell the model's think marks: --think-open MARK --think-close MARK"
            )

    @property
    def _broke(self) -> bool:
        """Whether nothing is left to pay with, and the engine has more to give than how it ended."""
        return any(purse.empty for purse in self._run._purses()) and not self._full

    def _pay(self, tokens: int) -> None:
        for purse in self._run._purses():
            purse.spent += tokens

    @property
    def _full(self) -> bool:
        """Whether the engine has given all it was asked for: what is left to read is how it ended, at no cost."""
        return self._think_tokens + self._answer_tokens + self._latent >= self._sampling.max_tokens

    def _snapshot(self) -> Call:
        usage = self._usage or Usage()
        think, answer = split_usage(usage, self._think_tokens, self._answer_tokens)
        moved = min(self._moved, answer)
        think, answer = think + moved, answer - moved
        ended = self._matched is None
        return Call(
            role=self._role,
            engine=self._engine.name,
            branch=self._run._path,
            seed=self._sampling.seed or 0,
            text="".join(self._text),
            thinking="".join(self._thinking),
            answer="".join(self._answer),
            think_tokens=think,
            answer_tokens=answer,
            latent=self._latent,
            prompt_tokens=usage.prompt or 0,
            cached_tokens=usage.cached or 0,
            token_ids=tuple(self._ids) if self._ids and ended else (),
            logprobs=tuple(self._logprobs),
            hidden=tuple(self._hidden),
            tool_calls=self._tools,
            finish=self._finish or "left",
            matched_stop=self._matched,
            seconds=time.monotonic() - self._started,
            first_token_seconds=self._first - self._started if self._first else None,
            exact=self._exact or usage.generated is not None,
            forced=self._forced,
        )

    def _settle(self) -> None:
        """Bring the run's spending in line with the server's own count."""
        if self._call is not None:
            self._pay(self._call.tokens - (self._think_tokens + self._answer_tokens + self._latent))

"""The one driver of watched thoughts: shows one as it comes, ends it when asked, and brings the answer home."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ponder.core.engine import Cap, Chunk, Engine, Think
from ponder.core.method import Finish, Solution
from ponder.core.problem import Image, Prompt, Thinking, ToolCall
from ponder.core.run import Call, Live, Run
from ponder.steer.answer import Answer
from ponder.text.prompts import FINAL_ANSWER

Watch = Callable[[str], str | None]
"""Is told each piece of the thought, and returns why the thought should end here, or None."""

RESERVE = 256
"""Tokens of `max_tokens` that are kept for the answer, or a quarter of it where that is less."""

GRACE = 32
"""Tokens beyond its budget after which a server does not keep it: closing texts of its own count as thinking, too."""

TRIES = 3
"""Calls that may follow an answer that is empty or has gone back to thinking."""

PAUSED, FULL, NATURAL, OVER = "paused", "forced_close", "natural", "over"
"""Why `Thought.think` returned: so many tokens are thought, no more fit, the model closed it, the reply has ended."""


def can_close(engine: Engine, prompt: Prompt) -> bool:
    """Say whether a thought can be closed by hand: raw prompts hold no pictures, and nobody parses their tool calls."""
    pictures = any(isinstance(part, Image) for message in prompt.messages for part in message.parts)
    return Cap.PREFILL in engine.caps and bool(engine.think) and not prompt.tools and not pictures


def why_open(engine: Engine, prompt: Prompt) -> str:
    """Say in a sentence why a thought cannot be closed by hand, and what to do about it; nothing where it can be."""
    if can_close(engine, prompt):
        return ""
    if Cap.PREFILL not in engine.caps:
        return f"{engine.name} takes no half-written reply, so no thought is ended by hand; use an engine with PREFILL"
    if not engine.think:
        return (
            f"{engine.name} tells no think marks, so no thought is ended by hand; if its model thinks, name the marks "
            f"with --think-open MARK --think-close MARK"
        )
    return "a half-written reply holds no tools and no pictures, so no thought is ended by hand; ask without them"


def can_end(engine: Engine, prompt: Prompt) -> bool:
    """Say whether a thought can be ended with an answer after it: by closing it, or by asking anew without thinking."""
    return can_close(engine, prompt) or Cap.THINKING in engine.caps


class Thought:
    """One reply to `prompt`. Call `think()` until it is enough, then `answer()`, then `solution()`.

    `prompt` is at all times the conversation with everything that was written so far: fork it to look into the thought.
    `tokens` counts what was thought. `server_budget` is what the server was told to keep; past it, and a little grace,
    the thought is ended here. `watch_answer` may end the answer as a `Watch` ends a thought. All calls together stay
    within the run's `max_tokens` and budget. The client's stop strings bind the answer alone. `by_hand` says that the
    method is a plain reply where thoughts cannot be closed by hand; there, the solution's `refused` says why.
    """

    def __init__(
        self,
        run: Run,
        prompt: Prompt,
        server_budget: int | None = None,
        watch_answer: Watch | None = None,
        *,
        by_hand: bool = False,
    ) -> None:
        self._run, self._asked, self.told, self._watch_answer = run, prompt, server_budget, watch_answer
        self._marks = run.engine.think
        self._refused = why_open(run.engine, prompt) if by_hand else ""
        self.closable = can_close(run.engine, prompt)
        self._endable = can_end(run.engine, prompt)
        # A grammar would hold the thought to the format, too, so it joins where the answer begins.
        self._format = prompt.response_format if self.closable else None
        self.prompt = self._base = replace(prompt, response_format=None) if self._format else prompt
        self.tokens = self.spent = self._tries = self._inner = 0
        self.text = ""
        self.exit = NATURAL
        self.reply = Answer(run)
        self.closed = self._forced = False
        self._finish: Finish | None = None
        self._tools: tuple[ToolCall, ...] = ()
        self._reserve = min(RESERVE, self.left // 4) if self.closable else 0
        off = prompt.thinking is not None and prompt.thinking.mode == "off"
        done = bool(self._marks) and self._marks.close.strip() in prompt.prefill
        if off or done:
            self._forced, self.exit = True, "off"
            self._begin_answer()

    @property
    def left(self) -> int:
        """How many tokens the whole reply may still take."""
        budget = self._run.budget
        left = self._run.sampling.max_tokens - self.spent
        return max(0, left if budget is None else min(left, budget))

    @property
    def over(self) -> bool:
        """Whether the reply has ended."""
        return self._finish is not None

    def extend(self, text: str) -> None:
        """Put text into the thought by hand."""
        self._run.show(text, "think")
        self.text += text
        self.prompt += text

    def drop(self, characters: int) -> None:
        """Take characters off the end of the open thought: they stay shown and billed, and are not continued from."""
        if characters and self.closable and not self.closed:
            self.prompt = replace(self.prompt, prefill=self.prompt.prefill[:-characters], prefill_ids=())

    async def think(self, tokens: int | None = None, watch: Watch | None = None, through: bool = True) -> str:
        """Go on thinking, for at most `tokens`; return `PAUSED`, `FULL`, `NATURAL`, `OVER` or what `watch` said.

        After a natural end the answer follows in the same call; without `through` the closing mark is dropped instead,
        so that the thought can be extended. Where a thought cannot be closed by hand, a pause is an end; where nothing
        can end it, it is not interrupted.
        """
        if self.closed or self.over:
            return OVER if self.over else NATURAL
        if not self.closable:
            held = (tokens, watch) if self._endable else (None, None)
            return await self._stream(_Step(self.left, *held))
        room = max(0, self.left - self._reserve)
        limit = room if tokens is None else min(tokens, room)
        full = PAUSED if limit == tokens else FULL
        if self.left and not limit:
            return full
        return await self._stream(_Step(limit, None, watch, through and not self._format, full))

    async def answer(self, exit: str = NATURAL, bridge: str = "", cue: str = "") -> None:
        """See the answer through. A thought that is still open is ended for the reason `exit`: `bridge` is put at its
        end and `cue` before the answer; where it cannot be closed by hand, the question is asked anew without thinking.
        """
        if not self.over and not self.closed:
            self.exit = exit if self.left else "length"
            if self.left and self._endable:
                self._close(bridge)
                self._say(cue)
            else:
                self._cut()
        while not self.over:
            await self._stream(_Step(self.left))

    def solution(self, evidence: Mapping[str, float | str] | None = None) -> Solution:
        """Return the reply as a solution, `evidence` beside what the driver knows: `exit`, `escaped`, `refused`."""
        finish = self._finish or "exit"
        if finish == "stop" and self.exit not in (NATURAL, "off"):
            finish = "exit"
        known: dict[str, float | str] = {"exit": self.exit, "escaped": self.reply.escaped, **(evidence or {})}
        if self._refused:
            known["refused"] = self._refused
        return Solution(self.reply.text, self.text, finish, self._tools, tuple(self.reply.logprobs), known)

    def _close(self, bridge: str) -> None:
        """Close the thought by hand, or turn to a reply that has none."""
        self._forced = self.exit != NATURAL
        if self.closable:
            self.prompt += shut(self._marks, self.prompt.prefill, bridge)
        else:
            # Nothing of the thought goes along: there is no place for it in a conversation.
            self.prompt = replace(self._asked, thinking=Thinking.off())
        self._begin_answer()

    @property
    def _asks_anew(self) -> bool:
        """Whether all that is left to do is to ask once more, without thinking."""
        thinking = self.prompt.thinking
        thinks = bool(self.text) and (thinking is None or thinking.mode != "off")
        return thinks and self._endable and not self.closable and not self.reply.text

    def _begin_answer(self) -> None:
        self.closed = True
        thinking = self.prompt.thinking
        if self.closable and thinking is not None and thinking.mode == "budget":
            # It asks the same of the template, and the server shall not start to count again.
            thinking = Thinking.on()
        asked = self._format or self.prompt.response_format
        self.prompt = self._base = replace(self.prompt, thinking=thinking, response_format=asked)

    def _say(self, cue: str) -> None:
        """Begin the answer by hand, unless its format forbids it or nothing can be begun."""
        if cue and self.closable and not self._format:
            self.reply.say(cue)
            self.prompt += cue

    async def _stream(self, step: _Step) -> str:
        """Make one call and take all of it; return why it ended."""
        if self.closed:
            self.reply.begin(self._marks, self._forced and not self.reply.heard)
        async with self._run.stream(
            self.prompt, "answer" if self.closed else "think", max_tokens=step.limit, stop=()
        ) as live:
            reason = await self._read(live, step)
            self.reply.flush()
            live.rebill(self.reply.moved)
        self.spent += live.call.tokens
        self._tools = live.call.tool_calls or self._tools
        self.prompt += step.said()
        return self._settle(live.call, reason, step)

    async def _read(self, live: Live, step: _Step) -> str | None:
        """Take chunks until the call ends or there is a reason to leave it."""
        async for chunk in live:
            reason = self._take(chunk, step)
            if reason is not None:
                return reason
        return None

    def _take(self, chunk: Chunk, step: _Step) -> str | None:
        if not self.closed:
            if chunk.channel == "think":
                return self._think(chunk, step)
            if not chunk.text.strip():
                step.kept.append(chunk)
                return None
            if not step.through:
                return NATURAL
            self._open_answer(step)
        self.reply.feed(chunk)
        if self.reply.closes > TRIES or (self.reply.inside and self.closable):
            return "escape"
        step.kept.append(chunk)
        if self._watch_answer and not chunk.markup and (said := self._watch_answer(chunk.text)):
            self.exit = said
            return "stop"
        return "stop" if self.reply.stopped else None

    def _think(self, chunk: Chunk, step: _Step) -> str | None:
        self.tokens += chunk.tokens + chunk.latent
        step.thought += chunk.tokens + chunk.latent
        shuts = chunk.markup and bool(self._marks) and self._marks.close.strip() in chunk.text
        if shuts and not step.through:
            return NATURAL
        step.kept.append(chunk)
        if shuts:
            self._open_answer(step)
        if chunk.markup:
            return None
        self.text += chunk.text
        self._run.show(chunk.text, "think")
        self._inner += chunk.tokens
        late = self.told is not None and self._endable and self._inner > self.told + GRACE
        if late or (step.pause is not None and step.thought >= step.pause):
            return PAUSED
        return step.watch(chunk.text) if step.watch else None

    def _open_answer(self, step: _Step) -> None:
        """Note that the model, or its server, has closed the thought."""
        if self.told is not None and self._inner >= self.told:
            self.exit, self._forced = "budget", True
        self.prompt += step.said()
        step.kept.clear()
        self._begin_answer()
        self.reply.begin(self._marks, self._forced)

    def _settle(self, call: Call, reason: str | None, step: _Step) -> str:
        """Decide what follows a call; return why it ended."""
        if call.finish in ("deadline", "budget", "tool_calls"):
            self._finish = Solution.of(call).finish
        elif not self.closed:
            if reason is None and call.finish == "stop" and not (self.closable or (self._endable and self.text)):
                self._finish = "stop"
            else:
                return reason or (step.full if call.finish == "length" else NATURAL)
        elif reason == "escape":
            self._try_again("escape")
        elif call.finish == "length" and not self.reply.stopped:
            self._cut()
        elif call.finish == "stop" and not (self.reply.heard or self.reply.stopped):
            self._try_again(self.exit)
        else:
            self._finish = "stop"
        return OVER if self.over else NATURAL

    def _cut(self) -> None:
        """A call has used up its tokens: go on where the answer can be continued and more are allowed."""
        if not (self.left and self.closable):
            self._finish = "budget" if self._run.budget == 0 else "length"

    def _try_again(self, exit: str) -> None:
        """The answer is empty, or has gone back to thinking: ask for it once more, the thought closed again."""
        self._tries += 1
        if self.reply.closes > TRIES:
            # It closes, thinks and closes again; all that it may still say is more of that.
            self._tries = TRIES + 1
        if not self.left:
            self._cut()
        elif self._tries == 1 and self._asks_anew:
            self.prompt = replace(self._asked, thinking=Thinking.off())
        elif self._tries > TRIES or not self.closable or (self.reply.text and not self._marks.open):
            # A thought that never came to an answer was cut short, whatever the server calls its end.
            self._finish, self.exit = "stop" if self.reply.heard or not self.tokens else "length", exit
        elif self.reply.text or self._format:
            self.prompt = (
                self._base + self.reply.text + f"\n{self._marks.open.strip()}\n\n{self._marks.close.strip()}\n\n"
            )
        else:
            self.prompt = self._base
            question = next((m.text for m in reversed(self._asked.messages) if m.role == "user"), "")
            self._say(FINAL_ANSWER.to(question))


def shut(marks: Think, prefill: str = "", bridge: str = "") -> str:
    """Return what closes a thought by hand after `prefill`: one that was never opened is opened first."""
    close = marks.close.strip()
    half = next((n for n in range(len(close) - 1, 1, -1) if prefill.endswith(close[:n])), 0)
    if half:
        # It was about to close the thought itself.
        return close[half:] + "\n\n"
    begun = marks.opened or (bool(marks.open) and marks.open.strip() in prefill)
    opening = "" if begun or not marks.open else f"{marks.open.strip()}\n"
    line = "" if (prefill + bridge).endswith("\n") else "\n"
    return f"{opening}{bridge}{line}{close}\n\n"


@dataclass(slots=True)
class _Step:
    """One call: its limit, when and by whom it is interrupted, and what of it is kept."""

    limit: int
    pause: int | None = None
    watch: Watch | None = None
    through: bool = True
    full: str = FULL
    thought: int = 0
    kept: list[Chunk] = field(default_factory=list)

    def said(self) -> Call:
        """Return what is kept as a call that a prompt can be continued with, by ids if they spell all of it."""
        text = "".join(chunk.text for chunk in self.kept)
        known = all(len(chunk.token_ids) == chunk.tokens for chunk in self.kept if chunk.text)
        ids = tuple(token for chunk in self.kept if chunk.text for token in chunk.token_ids) if known else ()
        return Call("think", "", (), 0, text, token_ids=ids)

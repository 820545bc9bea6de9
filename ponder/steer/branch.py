"""A reply that grows step by step and forks: every step continues a prefix by its token ids, so none is read twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from ponder.core.engine import Cap, Chunk, SamplingArgs, Think
from ponder.core.problem import Image, Problem, Prompt
from ponder.core.run import Call, Role, Run
from ponder.steer.places import place_of, plant
from ponder.text.prompts import STEP_BY_STEP
from ponder.text.think import ThinkSplitter, split


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a step ends: behind the text `at`, and in any case after `tokens`. Without either it is the whole rest of
    the reply. A step says something: where there are but blanks before `at`, it goes on.
    """

    at: str = ""
    tokens: int | None = None


WHOLE = Cut()

Follow = Callable[[Chunk], None]
"""Is told each chunk of a step as it comes."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A reply so far; to fork it is to use it twice. `slot` is the branch of the run that writes its next step.

    `prompt` is the conversation with all that was written, `call` the same as one call, which scorers read. `ended`
    says that there is nothing more to write: its model, its length or a limit of the run ended it.
    """

    prompt: Prompt
    call: Call
    slot: int = 0
    ended: bool = False
    score: float | None = None
    path: tuple[float, ...] = ()
    """What a scorer said behind each of its steps that was scored, the last one last."""
    at: int | None = None
    """The number in the trace of the call that wrote it last."""

    @property
    def whole(self) -> bool:
        """Whether the model itself ended it."""
        return self.ended and self.call.finish in ("stop", "tool_calls")


def root(problem: Problem, run: Run, cot: bool | None, slot: int = 0) -> Branch:
    """Return a reply of which nothing is written; `cot` asks for steps, by default where the model does not think."""
    steps = cot if cot is not None else not run.engine.think
    prompt = Prompt.of(problem, STEP_BY_STEP.to(problem.question) if steps else "")
    return Branch(prompt, Call("think", run.engine.name, (), 0), slot)


def fitting(cut: Cut, prompt: Prompt) -> Cut:
    """Return where a step really ends."""
    return cut if steppable(prompt) else WHOLE


def steppable(prompt: Prompt) -> bool:
    """Whether a reply can be left and gone on with: raw prompts hold no pictures, nobody parses their tool calls, and a
    grammar would begin anew. Where it cannot, its one step is the whole of it.
    """
    pictures = any(isinstance(part, Image) for message in prompt.messages for part in message.parts)
    return not (pictures or prompt.tools or prompt.response_format)


async def grow(
    branch: Branch, view: Run, cut: Cut, over: SamplingArgs, follow: Follow | None = None, role: Role = "think"
) -> Branch:
    """Return the branch with one more step, written in `view`; one that has ended comes back as it is.

    `over` is the sampling, `role` what it is billed as. The reply as a whole keeps the run's `max_tokens`.
    """
    start, said = branch.call.tokens, ""
    cut = fitting(cut, branch.prompt)
    while not branch.ended and not said.strip():
        used = branch.call.tokens - start
        if cut.tokens is not None and used >= cut.tokens:
            break
        left = cut if cut.tokens is None else replace(cut, tokens=cut.tokens - used)
        before = len(branch.call.text)
        branch, more = await _write(branch, view, left, over, follow, role)
        branch = _stopped(branch, before, view.sampling.stop, view.engine.think)
        said += more
    return branch


def _stopped(branch: Branch, joint: int, stops: Sequence[str], marks: Think) -> Branch:
    """Return the branch, ended before a stop string of the client's that lies across the joint of two calls: the engine
    saw neither half as one.
    """
    call = branch.call
    found = [(at, stop) for stop in stops if (at := call.text.find(stop, max(0, joint - len(stop)))) >= 0]
    if not found:
        return branch
    at, stop = min(found)
    thinking, answer = split(call.text[:at], marks.open, marks.close, marks.opened)
    call = replace(call, text=call.text[:at], thinking=thinking, answer=answer, token_ids=())
    return replace(branch, call=replace(call, finish="stop", matched_stop=stop), ended=True)


async def _write(
    branch: Branch, view: Run, cut: Cut, over: SamplingArgs, follow: Follow | None, role: Role
) -> tuple[Branch, str]:
    """Make one call; return the branch after it, and what was said.

    An engine that tells which stop string it met ends the step itself, and nothing is generated in vain. One that does
    not is left at the delimiter: there an end of the step could not be told from an end of the reply.
    """
    left = max(0, view.sampling.max_tokens - branch.call.tokens)
    limit = left if cut.tokens is None else min(left, cut.tokens)
    own, told = view.sampling.stop, Cap.TOKEN_IDS in view.engine.caps
    asked: SamplingArgs = {**over, "max_tokens": limit, "stop": (*own, cut.at) if told and cut.at else own}
    kept: list[Chunk] = []
    said = ""
    async with view.stream(branch.prompt, role, **asked) as live:
        async for chunk in live:
            _take(chunk, kept, follow)
            said += "" if chunk.markup else chunk.text
            if cut.at and not told and chunk.finish is None and _falls(cut.at, said, len(chunk.text)):
                break
    call = live.call
    at = plant(view, call, branch.at)
    if told and cut.at and call.matched_stop == cut.at and cut.at not in own:
        for piece in _pieces(cut.at, branch.prompt.prefill + call.text, view.engine.think):
            _take(piece, kept, follow)
            call = _with(call, piece)
    branch = _grown(replace(branch, at=branch.at if at is None else at), call, kept, paused=limit < left)
    if branch.ended:
        place_of(view, at).fate = "ended"
    return branch, said


def _take(chunk: Chunk, kept: list[Chunk], follow: Follow | None) -> None:
    kept.append(chunk)
    if follow is not None:
        follow(chunk)


def _falls(delimiter: str, text: str, last: int) -> bool:
    """Whether a step with this text is over, which came with its `last` characters."""
    said = text.lstrip()
    return said.find(delimiter, max(1, len(said) - last - len(delimiter))) >= 0


def _pieces(delimiter: str, before: str, marks: Think) -> list[Chunk]:
    """Return a delimiter as it would have been given out: blanks behind a mark, for one, are part of the mark."""
    splitter = ThinkSplitter(marks.open, marks.close, before, marks.opened)
    pieces = [*splitter.feed(delimiter), *splitter.flush()]
    return [Chunk(piece.text, piece.channel, 0, markup=piece.markup) for piece in pieces]


def _with(call: Call, piece: Chunk) -> Call:
    """Return a call that the delimiter ended with a piece of it: it was written, if not given out."""
    call = replace(call, text=call.text + piece.text, finish="left", matched_stop=None)
    if piece.markup:
        return call
    if piece.channel == "think":
        return replace(call, thinking=call.thinking + piece.text)
    return replace(call, answer=call.answer + piece.text)


def _grown(branch: Branch, call: Call, kept: list[Chunk], paused: bool) -> Branch:
    # A call without a token would come again for ever, as from an engine whose context is full.
    goes_on = call.finish == "left" or (call.finish == "length" and paused)
    if not goes_on or not call.tokens:
        return replace(branch, call=joined(branch.call, call), ended=True, score=None)
    return replace(branch, prompt=_continued(branch.prompt, kept), call=joined(branch.call, call), score=None)


def _continued(prompt: Prompt, kept: list[Chunk]) -> Prompt:
    """Return the prompt with what was written: by its ids as far as they are known, then by its text."""
    kept = [chunk for chunk in kept if chunk.text]
    known = list(takewhile(lambda chunk: chunk.tokens and len(chunk.token_ids) == chunk.tokens, kept))
    ids = tuple(token for chunk in known for token in chunk.token_ids)
    head, tail = ("".join(chunk.text for chunk in part) for part in (known, kept[len(known) :]))
    return prompt + Call("think", "", (), 0, head, token_ids=ids) + tail


def joined(before: Call, call: Call) -> Call:
    """Return two calls in a row as one: seed, branch and end are the second one's."""
    spelt = (before.token_ids or not before.text) and (call.token_ids or not call.text)
    return replace(
        call,
        text=before.text + call.text,
        thinking=before.thinking + call.thinking,
        answer=before.answer + call.answer,
        think_tokens=before.think_tokens + call.think_tokens,
        answer_tokens=before.answer_tokens + call.answer_tokens,
        latent=before.latent + call.latent,
        prompt_tokens=before.prompt_tokens + call.prompt_tokens,
        cached_tokens=before.cached_tokens + call.cached_tokens,
        token_ids=before.token_ids + call.token_ids if spelt else (),
        logprobs=before.logprobs + call.logprobs,
        hidden=before.hidden + call.hidden,
        seconds=before.seconds + call.seconds,
        first_token_seconds=before.first_token_seconds if before.tokens else call.first_token_seconds,
        exact=before.exact and call.exact,
    )


def since(before: Branch, after: Branch) -> Branch:
    """Return what was written after a branch by itself, as a reply of its own: what a scorer of single steps reads."""
    old, new = before.call, after.call
    call = replace(
        new,
        text=new.text[len(old.text) :],
        thinking=new.thinking[len(old.thinking) :],
        answer=new.answer[len(old.answer) :],
        think_tokens=new.think_tokens - old.think_tokens,
        answer_tokens=new.answer_tokens - old.answer_tokens,
        latent=new.latent - old.latent,
        prompt_tokens=new.prompt_tokens - old.prompt_tokens,
        cached_tokens=new.cached_tokens - old.cached_tokens,
        token_ids=(),
        logprobs=new.logprobs[len(old.logprobs) :],
        hidden=new.hidden[len(old.hidden) :],
        seconds=new.seconds - old.seconds,
    )
    return replace(after, call=call)

"""What can be learnt about a server for nothing or for a few tokens."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

from ponder.core.engine import Cap, Sampling
from ponder.engines.doctor_patient import TALK_TOKENS, Heard, Patient, ask
from ponder.engines.doctor_report import Fact
from ponder.engines.doctor_server import Load, Server, budget_field, load_of, off_words, replies_to_one_call
from ponder.engines.openai import OpenAIEngine

_STORY = "Tell a long story about a lighthouse, with many details. Do not stop before everything is told."
_STORY_TOKENS = 400
_READ = 8
_PAUSE = 0.001
_PATIENCE = 3.0
_STILL = 0.8


async def told(patient: Patient) -> list[Fact]:
    """What the server says about itself, and how it is asked; no token is spent."""
    server, think = patient.server, patient.engine.think
    if server is None:
        return [
            Fact(name, None, "a model on this machine")
            for name in ("server", "context", "marks", "off", "budget_field")
        ]
    off, field = None, None
    why = "the model, or what is known of the server, has no switch for thinking"
    if patient.can(Cap.THINKING):
        off, field = off_words(server), budget_field(server, max(64, patient.least_budget))
        why = "its dialect has no word for it"
    return [
        Fact("server", server.dialect, "by its address or by what it answers about itself"),
        Fact("context", server.context_length, "by its own account" if server.context_length else "it does not say"),
        Fact("marks", f"{think.open} {think.close}".strip() or None, _marks(think.opened, bool(think))),
        Fact("off", off or False, "in the words of its dialect" if off else why),
        Fact("budget_field", field or False, "in the words of its dialect" if field else why),
    ]


def _marks(opened: bool, known: bool) -> str:
    if not known:
        return "neither its template nor its tokenizer shows any"
    return "its template opens the thought" if opened else "its template or tokenizer shows them"


async def talking(patient: Patient) -> list[Fact]:
    """One short reply: whether it streams, how fast, what it counts, whether it keeps the limit."""
    heard = await patient.talk()
    return [
        _streams(heard),
        _speed(heard),
        Fact("thinks", bool(heard.thinking) or patient.engine.think.opened, _thinks(patient, heard)),
        _usage(heard),
        _reasoning(heard),
        _limit(heard),
    ]


def _streams(heard: Heard) -> Fact:
    """A buffered reply comes in one piece, or in many of the same moment; pauses between pieces tell them apart."""
    moments = heard.moments
    if heard.tokens < 4 or not moments:
        return Fact("streams", None, f"a reply of {heard.tokens} tokens is too short to tell")
    pauses = sum(after - before >= _PAUSE for before, after in pairwise(moments))
    spread, whole = moments[-1] - moments[0], moments[-1] - heard.started
    how = f"{len(moments)} pieces within {1000 * spread:.0f} ms, the first after {1000 * (whole - spread):.0f} ms"
    return Fact("streams", pauses >= 3 or (pauses > 0 and spread >= 0.3 * whole), how)


def _speed(heard: Heard) -> Fact:
    spread = heard.moments[-1] - heard.moments[0] if heard.moments else 0.0
    if spread <= 0 or heard.tokens < 4:
        return Fact("speed", None, "nothing to measure")
    return Fact("speed", round((heard.tokens - 1) / spread, 1), "behind the first token of one short reply")


def _thinks(patient: Patient, heard: Heard) -> str:
    if patient.engine.think.opened:
        return "its template opens a thought in every reply"
    return f"{len(heard.thinking)} letters of thinking in a reply to a plain question"


def _usage(heard: Heard) -> Fact:
    said = heard.usage.generated
    if said is None:
        return Fact("usage", False, "no count of tokens came; what is spent is estimated")
    if heard.finish == "length" and abs(said - TALK_TOKENS) > 2:
        return Fact("usage", False, f"it counted {said} tokens in a reply that was cut at {TALK_TOKENS}")
    return Fact("usage", True, f"it counted {said} tokens")


def _reasoning(heard: Heard) -> Fact:
    said = heard.usage.thinking
    if said is None and not heard.thinking:
        return Fact("reasoning_count", None, "the reply held no thinking")
    how = "thinking came without a count of its own" if said is None else f"it counted {said} tokens of thinking"
    return Fact("reasoning_count", said is not None, how)


def _limit(heard: Heard) -> Fact:
    how = f"{heard.tokens} tokens where {TALK_TOKENS} were allowed, finish {heard.finish}"
    if heard.tokens > TALK_TOKENS + 2:
        return Fact("max_tokens", False, how)
    return Fact("max_tokens", True if heard.finish == "length" else None, how)


async def stop_strings(patient: Patient) -> list[Fact]:
    """The same reply once more, with letters from its middle as a stop string."""
    heard = await patient.talk()
    found = _middle(heard.text)
    if found is None:
        return [Fact("stop_strings", None, "the reply was too short to stop in its middle")]
    again = await patient.hear(
        patient.talk_prompt(), Sampling(temperature=0, max_tokens=TALK_TOKENS, seed=1, stop=(found,))
    )
    how = f"asked to stop before {found!r}, which a first reply held in its middle"
    if found in again.text:
        return [Fact("stop_strings", False, f"{how}; the second held it, too")]
    ended = again.finish == "stop" and again.seen < heard.seen
    return [Fact("stop_strings", True if ended else None, how)]


def _middle(text: str) -> str | None:
    """Return three letters that first stand in the middle of a text."""
    for at in range(len(text) // 3, 2 * len(text) // 3):
        piece = text[at : at + 3]
        if piece.isprintable() and piece == piece.strip() and "\ufffd" not in piece and text.find(piece) == at:
            return piece
    return None


async def logprobs(patient: Patient) -> list[Fact]:
    """Two tokens with log-probabilities."""
    if not patient.can(Cap.LOGPROBS):
        return [Fact("logprobs", False, "its dialect has none")]
    heard = await patient.hear(patient.talk_prompt(), Sampling(temperature=0, max_tokens=2, logprobs=2))
    if not (heard.text or heard.logprobs):
        return [Fact("logprobs", None, "the reply was empty")]
    rivals = max((len(entry.top) for entry in heard.logprobs), default=0)
    return [
        Fact("logprobs", bool(heard.logprobs), f"{len(heard.logprobs)} came, with {rivals} rivals where 2 were asked")
    ]


async def several(patient: Patient) -> list[Fact]:
    """Two replies to one call."""
    if not isinstance(patient.server, OpenAIEngine):
        return [Fact("n", False, "its protocol has no such field")]
    patient.spent += 2
    count = await replies_to_one_call(patient.server, patient.talk_prompt(), Sampling(temperature=0, max_tokens=1), 2)
    return [Fact("n", count == 2, f"{count} replies came where 2 were asked")]


async def prefill(patient: Patient) -> list[Fact]:
    """The first half of a greedy reply, to be continued: a server that can goes on with the second half."""
    if not patient.can(Cap.PREFILL):
        return [Fact("prefill", False, "no way to continue a half-written reply; a --chat-template may give one")]
    heard = await patient.talk()
    # Between two words: a token that is cut in two is written anew in other pieces.
    half = heard.text.find(" ", len(heard.text) // 2)
    if half < 4:
        return [Fact("prefill", None, "the reply was too short to be cut between two words")]
    rest = await patient.hear(patient.talk_prompt() + heard.text[:half], Sampling(temperature=0, max_tokens=8, seed=1))
    expected, came = heard.text[half:].strip(), rest.text.strip()
    if came and expected.startswith(came[:3]):
        return [Fact("prefill", True, "half of a reply was continued as the whole one goes on")]
    if came and heard.text.strip().startswith(came[:6]):
        return [Fact("prefill", False, "it began its reply again instead of continuing it")]
    return [Fact("prefill", None, "half of a reply was continued in other words than before")]


async def hang_up(patient: Patient) -> list[Fact]:
    """A long reply that is left after a few tokens; whether the server goes on is seen by its own counters."""
    server = patient.server
    before = Load(None, None) if server is None else await load_of(server)
    if before.running is None:
        return [Fact("hang_up", None, "the server shows no counters, so nobody sees whether it writes on")]
    limit = patient.room(_STORY_TOKENS)
    heard = await patient.hear(ask(_STORY), Sampling(max_tokens=limit, seed=1), leave_after=_READ)
    left = time.monotonic()
    if heard.finish is not None:
        return [Fact("hang_up", None, "the reply ended before it was left")]
    pace, rest = max(1e-4, (left - heard.started) / max(1, heard.seen)), limit - heard.seen
    resting = await _resting(patient, before, min(_PATIENCE, max(0.5, 2 * pace * limit)))
    seconds = time.monotonic() - left
    if resting is None:
        patient.spent += rest
        return [Fact("hang_up", False, f"it was still at work {seconds:.1f} s after its client left")]
    extra = _extra(before, resting, heard.seen)
    if extra is None:
        return [Fact("hang_up", True if seconds < 0.5 * pace * rest else None, f"it was at rest {seconds:.2f} s later")]
    patient.spent += extra
    how = f"it generated {extra} tokens more than were read; {rest} were left to write"
    # What a quarter of a second takes is no sign of anything; a server that goes on writes the rest.
    return [Fact("hang_up", extra <= min(max(16, 0.25 / pace), rest / 2), how)]


async def _resting(patient: Patient, before: Load, patience: float) -> Load | None:
    """Wait until no more generations run than before; return the counters then, or None where that does not come.

    A gauge may stay where the last step of the server left it, so a live count of tokens that stands still is rest,
    too. A count that is added up at the end of a reply only is none.
    """
    started = moved = time.monotonic()
    last: int | None = None
    while patient.server is not None:
        load = await load_of(patient.server)
        now = time.monotonic()
        if load.generated != last:
            last, moved = load.generated, now
        live = load.generated is not None and load.generated > (before.generated or 0)
        idle = load.running is not None and load.running <= (before.running or 0)
        if idle or (live and now - moved >= _STILL):
            return await _added_up(patient.server, before)
        if now - started >= patience:
            return None
        await asyncio.sleep(0.02)
    return None


async def _added_up(server: Server, before: Load) -> Load:
    """Return the counters once they hold the work that ended: tokens are added up a moment later."""
    for _ in range(10):
        await asyncio.sleep(0.1)
        load = await load_of(server)
        if load.generated is None or load.generated > (before.generated or 0):
            break
    return load


def _extra(before: Load, after: Load, read: int) -> int | None:
    """Return how many tokens the server generated beyond those that were read, where nobody else was served."""
    if before.generated is None or after.generated is None or before.running or after.generated <= before.generated:
        return None
    return max(0, after.generated - before.generated - read)

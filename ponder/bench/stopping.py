"""Rules that stop a thought early, on all recorded thoughts at once: pure functions from thresholds to outcomes.

Each rule does what the method of its name does on the engine `Along`, with the same settings; a test holds them to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ponder.bench.thoughts import Thoughts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Whole = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

FAR = 2**40
"""Where a thought is stopped that a rule lets end by itself."""
ASKED = 4
"""So often is an answer asked for that stays empty; then the reply counts as cut."""
TRIALS = 10
"""The most turns at which `deer` makes a trial."""


class Stops(NamedTuple):
    """Where a rule stops each thought: after `thought` tokens of the reply, or never (`FAR`), having spent `probes`
    tokens on the side. `place` is the number of the probe whose answer then stands, -1 for none.
    """

    thought: Whole
    place: Whole
    probes: Whole


class Outcome(NamedTuple):
    """What became of each reply: tokens by role, whether it is right (NaN: unknown), whether it is cut."""

    think: Whole
    probe: Whole
    answer: Whole
    right: Floats
    cut: Mask


class Looks(NamedTuple):
    """The places at which a rule looks at each thought, in order: shape (rows, looks), `FAR` behind the last one."""

    at: Whole
    place: Whole
    cost: Whole
    """Tokens of all probes up to and with this one."""


def outcome(thoughts: Thoughts, stops: Stops) -> Outcome:
    """Return what stopping there gives. An answer that is begun early costs what its probe did.

    A thought that is cut before its end, and that no rule stopped, is closed there and answered from its last probe, as
    every method does that closes thoughts.
    """
    import numpy as np

    rows = np.arange(len(thoughts))
    stopped = stops.thought < FAR
    forced = ~stopped & thoughts.inside & (stops.place >= 0)
    early = (stopped | forced) & (stops.place >= 0)
    place = np.maximum(stops.place, 0)
    empty = early & thoughts.empty[rows, place]
    begun = thoughts.cost[rows, place] * np.where(empty, ASKED, 1)
    spent = np.where(stopped, stops.thought, np.minimum(thoughts.end, thoughts.tokens))
    return Outcome(
        think=spent,
        probe=stops.probes,
        answer=np.where(early, begun, np.where(stopped, 0, thoughts.tokens - spent)),
        right=np.where(early, thoughts.answers[rows, place], thoughts.right),
        cut=np.where(early, empty, thoughts.cut),
    )


def full(thoughts: Thoughts) -> Stops:
    """Let every thought end by itself; one that was cut stays cut."""
    import numpy as np

    none = np.full(len(thoughts), -1, dtype=np.int64)
    return Stops(np.full(len(thoughts), FAR, dtype=np.int64), none, np.zeros(len(thoughts), dtype=np.int64))


def at_once(thoughts: Thoughts) -> Stops:
    """Stop every thought at its first probe."""
    return fixed(thoughts, [line.probes[0].at if line.probes else -1 for line in thoughts.lines])


def looks(thoughts: Thoughts, every: int, after: int = 0) -> Looks:
    """Return the places of a rule that looks after `max(every, after)` tokens, and then after each further `every`.

    A thought that is cut is looked at once more, where it is cut.
    """
    import numpy as np

    first = max(every, after)
    most = int(thoughts.end.max(initial=0))
    steps = np.arange(first, most + every + 1, every, dtype=np.int64)
    at = np.broadcast_to(steps, (len(thoughts), len(steps))).copy()
    over = at > thoughts.end[:, None]
    last = over & thoughts.inside[:, None] & (np.cumsum(over, axis=1) == 1)
    last[:, 1:] &= at[:, :-1] != thoughts.end[:, None]
    at = np.where(last, thoughts.end[:, None], np.where(over, FAR, at))
    return _looked(thoughts, at)


def _looked(thoughts: Thoughts, at: Whole) -> Looks:
    import numpy as np

    place = np.where(at < FAR, thoughts.before(at), -1)
    rows = np.arange(len(thoughts))[:, None]
    cost = np.where(place >= 0, thoughts.cost[rows, np.maximum(place, 0)], 0)
    return Looks(at, place, np.cumsum(cost, axis=1))


def runs(thoughts: Thoughts, seen: Looks, good: Mask) -> Whole:
    """Return how many probes in a row, up to each look, give the same answer, all of them `good`."""
    import numpy as np

    rows = np.arange(len(thoughts))[:, None]
    place = np.maximum(seen.place, 0)
    kind = np.where((seen.place >= 0) & good, thoughts.kind[rows, place], -1)
    length = (kind >= 0).astype(np.int64)
    for step in range(1, kind.shape[1]):
        same = (kind[:, step] == kind[:, step - 1]) & (kind[:, step] >= 0)
        length[:, step] += np.where(same, length[:, step - 1], 0)
    return length


def first(thoughts: Thoughts, seen: Looks, stop: Mask) -> Stops:
    """Stop each thought at the first look at which `stop` holds."""
    import numpy as np

    rows = np.arange(len(thoughts))
    stop = stop & (seen.at < FAR)
    if not stop.shape[1]:
        return full(thoughts)._replace(place=_last(thoughts))
    found, where = stop.any(axis=1), stop.argmax(axis=1)
    place = np.where(found, seen.place[rows, where], _last(thoughts))
    spent = np.where(found, seen.cost[rows, where], seen.cost[:, -1])
    return Stops(np.where(found, seen.at[rows, where], FAR), place, spent)


def _last(thoughts: Thoughts) -> Whole:
    """Return the number of the last probe of each thought that was cut before its end; -1 for all others."""
    import numpy as np

    count = np.array([len(line.probes) for line in thoughts.lines], dtype=np.int64)
    return np.where(thoughts.inside, count - 1, -1)


def dynasor(thoughts: Thoughts, every: int, counts: Sequence[int], after: int = 0) -> Iterator[Stops]:
    """Yield, for each count, where so many probes in a row agree without hesitation."""
    import numpy as np

    seen = looks(thoughts, every, after)
    rows = np.arange(len(thoughts))[:, None]
    length = runs(thoughts, seen, ~thoughts.hesitant[rows, np.maximum(seen.place, 0)])
    for count in counts:
        yield first(thoughts, seen, length >= count)


def answer_convergence(
    thoughts: Thoughts, every: int, count: int, thresholds: Sequence[float], after: int = 0
) -> Iterator[Stops]:
    """Yield, for each threshold, where `count` probes in a row agree, each with a probability above it."""
    import numpy as np

    seen = looks(thoughts, every, after)
    sure = thoughts.sure[np.arange(len(thoughts))[:, None], np.maximum(seen.place, 0)]
    for threshold in thresholds:
        yield first(thoughts, seen, runs(thoughts, seen, sure > threshold) >= count)


def deer(thoughts: Thoughts, thresholds: Sequence[float]) -> Iterator[Stops]:
    """Yield, for each threshold, the first turn of a thought at which the probe's answer is more probable than that.

    The word of the turn is thought before it is taken back.
    """
    import numpy as np

    width = min(TRIALS, max((len(line.turns) for line in thoughts.lines), default=0))
    at = np.full((len(thoughts), width), FAR, dtype=np.int64)
    spent = at.copy()
    for row, line in enumerate(thoughts.lines):
        for step, (before, behind) in enumerate(line.turns[:width]):
            at[row, step], spent[row, step] = before, behind
    seen = _looked(thoughts, at)
    rows = np.arange(len(thoughts))[:, None]
    sure = np.where(seen.place >= 0, thoughts.sure[rows, np.maximum(seen.place, 0)], -1.0)
    seen = seen._replace(at=spent)
    for threshold in thresholds:
        yield first(thoughts, seen, sure > threshold)


def fixed(thoughts: Thoughts, at: Sequence[int | None]) -> Stops:
    """Stop each thought after its own number of tokens, if it gets there; None and negative numbers are never."""
    import numpy as np

    wanted = np.array([FAR if place is None or place < 0 else place for place in at], dtype=np.int64)[:, None]
    seen = _looked(thoughts, np.where(wanted <= thoughts.end[:, None], wanted, FAR))
    return first(thoughts, seen._replace(cost=np.zeros_like(seen.cost)), seen.at < FAR)


def by_chance(thoughts: Thoughts, every: int, shares: Sequence[float], seed: int = 0) -> Iterator[Stops]:
    """Yield, for each share, stops at each look with that chance: what a rule has to beat. It asks nothing before."""
    import numpy as np

    seen = looks(thoughts, every)
    drawn = np.random.default_rng(seed).random(seen.at.shape)
    for share in shares:
        yield first(thoughts, seen._replace(cost=np.zeros_like(seen.cost)), drawn < share)

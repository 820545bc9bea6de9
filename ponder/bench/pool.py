"""One pool of tokens for a whole run: what certain questions leave goes to uncertain ones (Certaindex, 2412.20993).

Samples are kept one by one, each with a seed of its own, and the allocation is a function of what they stated: a run
that was interrupted draws what is missing and comes to the same allocation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from ponder.bench.runner import Job, OnDone, Outcome, Plan, run_plan
from ponder.bench.store import Key, Record, Store
from ponder.core.errors import OptionError, require
from ponder.core.judge import Item, Task
from ponder.core.method import Method
from ponder.methods.vote.sample import Sample
from ponder.text.certainty import certaindex
from ponder.text.votes import classes

DRAW, POOL, EVEN = "sample(of a pool)", "token_pool", "even_split"
"""Labels of the samples, and of the two ways to share them out."""

Same = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class Pool:
    """How a pool is shared out."""

    tokens: int
    """Of one task. It is spent until nothing is left, so that the last sample may exceed it."""
    start: int = 5
    """Samples that each question gets first."""
    certain: float = 0.85
    """Certaindex from which on a question gets no more."""
    cap: int = 40
    """The most samples of a question."""

    def __post_init__(self) -> None:
        require(self.tokens >= 1, self, "tokens", self.tokens, "at least 1")
        require(1 <= self.start <= self.cap, self, "start", self.start, f"1 to the cap, {self.cap}")
        require(0 <= self.certain <= 1, self, "certain", self.certain, "in 0 to 1")


@dataclass(slots=True)
class Shares:
    """The samples that one way of sharing has given to each question, in the order of the task."""

    drawn: list[list[Record]]
    spent: int = 0

    @classmethod
    def of(cls, questions: int) -> Shares:
        """Begin with nothing."""
        return cls([[] for _ in range(questions)])

    def give(self, question: int, record: Record) -> None:
        """Count one sample."""
        self.drawn[question].append(record)
        self.spent += record.tokens

    def affordable(self, wanted: list[int], tokens: int) -> list[int]:
        """Return as many of the wanted samples as the rest pays for, at the mean of those so far; at least one."""
        count = sum(map(len, self.drawn))
        left = tokens - self.spent
        if left <= 0:
            return []
        return wanted[: max(1, left * count // self.spent)] if self.spent else wanted


def by_certainty(shares: Shares, pool: Pool, same: Same) -> list[int]:
    """Return which questions get one more sample in the next round: at first all of them, then those that are not
    certain, the least certain first. Ties go by the order of the questions.
    """
    fewest = min(map(len, shares.drawn))
    if fewest < pool.start:
        wanted = [q for q, drawn in enumerate(shares.drawn) if len(drawn) == fewest]
        return shares.affordable(wanted, pool.tokens)
    sure = {
        q: certaindex([record.extracted for record in drawn], same)
        for q, drawn in enumerate(shares.drawn)
        if len(drawn) < pool.cap
    }
    wanted = sorted((q for q, value in sure.items() if value < pool.certain), key=lambda q: (sure[q], q))
    return shares.affordable(wanted, pool.tokens)


def evenly(shares: Shares, tokens: int) -> list[int]:
    """Return which questions get one more sample in the next round: those with the fewest."""
    fewest = min(map(len, shares.drawn))
    return shares.affordable([q for q, drawn in enumerate(shares.drawn) if len(drawn) == fewest], tokens)


def vote(drawn: Sequence[Record], same: Same) -> Record:
    """Return the first sample of the answer that most samples state, with the bill of all of them."""
    groups = classes([record.extracted for record in drawn], same)
    first = drawn[max(groups, key=len)[0] if groups else 0]
    roles = {role for record in drawn for role in record.by_role}
    return replace(
        first,
        tokens=sum(record.tokens for record in drawn),
        by_role={role: sum(record.by_role.get(role, 0) for record in drawn) for role in sorted(roles)},
        prompt_tokens=sum(record.prompt_tokens for record in drawn),
        cached_tokens=sum(record.cached_tokens for record in drawn),
        seconds=sum(record.seconds for record in drawn),
        exact=all(record.exact for record in drawn),
    )


@dataclass(frozen=True, slots=True)
class Batch(Plan):
    """A plan for a list of samples."""

    listed: Sequence[Job] = field(default=())

    def jobs(self) -> Iterator[Job]:
        """Yield the listed ones."""
        yield from self.listed


def pool_methods(given: Mapping[str, bool]) -> dict[str, Method]:
    """Return what is run for a pool, by label. Raises `OptionError` where an option is given that it has no use for."""
    name = next((name for name, used in given.items() if used), None)
    if name is not None:
        raise OptionError(
            f"--token-pool takes no {name}: it shares out plain samples, the pool is the limit, and it is compared "
            f"with an even split"
        )
    return {DRAW: Sample()}


async def run_pool(
    plan: Plan, pool: Pool, store: Store, on_done: OnDone | None = None, outcome: Outcome | None = None
) -> Outcome:
    """Share out a pool for each task of the plan, and the same total evenly, and store the votes of both.

    Both take the same samples of a question, in order, so that they are paired; each is billed for all that it took.
    """
    outcome = outcome if outcome is not None else Outcome()
    known = dict(store.meta("methods") or {})  # type: ignore[call-overload]  # a table, as `prepare` wrote it
    known[POOL] = {"method": POOL, **asdict(pool)}
    known[EVEN] = {"method": EVEN, "tokens": pool.tokens}
    store.set_meta("methods", known)
    store.set_derived((POOL, EVEN))
    for task in plan.tasks:
        if not await _task(_Sharing(plan, task, list(task.items(plan.limit)), store, on_done, outcome), pool):
            break
    return outcome


async def _task(share: _Sharing, pool: Pool) -> bool:
    """Share out the samples of one task in both ways; say whether all came."""
    same = share.task.verifier.same
    fair, even = Shares.of(len(share.items)), Shares.of(len(share.items))
    if not await share.out(fair, lambda: by_certainty(fair, pool, same)):
        return False
    if not await share.out(even, lambda: evenly(even, fair.spent)):
        return False
    share.keep({POOL: fair, EVEN: even})
    return True


@dataclass(slots=True)
class _Sharing:
    """One task, while its samples are drawn."""

    plan: Plan
    task: Task
    items: Sequence[Item]
    store: Store
    on_done: OnDone | None
    outcome: Outcome
    have: dict[tuple[str, int], Record] = field(default_factory=dict)

    async def out(self, shares: Shares, wanted: Callable[[], list[int]]) -> bool:
        """Give out samples round by round until nobody gets more; say whether all of them came."""
        self._read()
        while self.outcome.stopped is None and (round_ := wanted()):
            jobs = [Job(self.task, self.items[q], len(shares.drawn[q]), DRAW) for q in round_]
            missing = [job for job in jobs if (job.key.question, job.seed) not in self.have]
            if missing:
                await self._draw(missing)
            for q, job in zip(round_, jobs, strict=True):
                record = self.have.get((job.key.question, job.seed))
                if record is None:
                    return False
                shares.give(q, record)
        return self.outcome.stopped is None

    async def _draw(self, jobs: Sequence[Job]) -> None:
        plan = self.plan
        batch = Batch(
            plan.tasks, {DRAW: Sample()}, plan.engines, plan.sampling, concurrency=plan.concurrency,
            max_cost=plan.max_cost, price=plan.price, seconds=plan.seconds, listed=jobs,
        )  # fmt: skip
        part = await run_plan(batch, self.store, on_done=self.on_done)
        whole = self.outcome
        whole.done, whole.failed = whole.done + part.done, whole.failed + part.failed
        whole.tokens, whole.cost, whole.seconds = (
            whole.tokens + part.tokens,
            whole.cost + part.cost,
            whole.seconds + part.seconds,
        )
        whole.stopped, whole.last_error = part.stopped, part.last_error or whole.last_error
        self._read()

    def _read(self, traces: bool = False) -> None:
        records = self.store.records(traces=traces, task=self.task.name)
        self.have = {(r.key.question, r.key.seed): r for r in records if r.key.method == DRAW}

    def keep(self, ways: Mapping[str, Shares]) -> None:
        """Store the vote of every question that got a sample, with the trace of the one that speaks for it."""
        self._read(traces=True)
        for label, shares in ways.items():
            for item, drawn in zip(self.items, shares.drawn, strict=True):
                if drawn:
                    chosen = vote(drawn, self.task.verifier.same)
                    trace = self.have[item.problem.id, chosen.key.seed].trace
                    self.store.add(replace(chosen, key=Key(self.task.name, label, 0, item.problem.id), trace=trace))

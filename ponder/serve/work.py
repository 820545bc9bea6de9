"""One understood request at work: its engines, the runs of its method, and what is said of them afterwards."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from ponder.core.config import beyond
from ponder.core.engine import Channel, Engine, Sampling, SamplingArgs
from ponder.core.gather import gather
from ponder.core.method import Solution, check
from ponder.core.problem import Problem
from ponder.core.run import Call, Purse, Run, Trace, derive_seed
from ponder.serve.bounds import Asked as AskedFor
from ponder.serve.bounds import forwarded
from ponder.serve.control import Control, ReasoningFormat
from ponder.serve.fail import ApiError
from ponder.serve.fields import Json
from ponder.serve.gateway import Asked, Gateway
from ponder.serve.outbox import Outbox, Paced
from ponder.serve.overrides import Compared
from ponder.serve.policies import Decision
from ponder.serve.respond import Applied, Bill, Choice
from ponder.serve.scope import Scoped
from ponder.serve.settings import Defaults
from ponder.text.latex import alike, formula

Done = Callable[[int, Solution], None]
"""Is told of each choice as it ends: its number, and what it is."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks, whichever endpoint it came to: one problem for each choice."""

    model: str
    problems: tuple[Problem, ...]
    sampling: SamplingArgs
    control: Control
    seed: int | None = None
    stream: bool = False
    include_usage: bool = False
    top_logprobs: int | None = None
    ignored: tuple[str, ...] = ()


@dataclass(slots=True)
class Work:
    """A question with what answers it. `traces` holds what its runs have come to, one for each choice."""

    gateway: Gateway
    asked: Asked
    question: Question
    decision: Decision
    engines: Mapping[str, Engine]
    format: ReasoningFormat
    notes: bool
    id: str
    created: int = field(default_factory=lambda: int(time.time()))
    traces: list[Trace] = field(default_factory=list)
    overridden: set[str] = field(default_factory=set)
    """Sampling fields of the request to which a call did not keep."""

    @property
    def spent(self) -> bool:
        """Whether anything was generated."""
        return any(trace.tokens for trace in self.traces)

    def bill(self) -> Bill:
        """Return what all calls so far have cost."""
        return Bill.of(self.traces)

    def applied(self, solution: Solution | None = None, bill: Bill | None = None) -> Json:
        """Return the `ponder` object, before the first token or after the last."""
        evidence = dict(solution.evidence) if solution is not None else {}
        # A vote has a score, too; of a route it is the number that decided.
        score = evidence.pop("score", None) if "route" in evidence else None
        exit, budget = _words(evidence.pop("exit", None)), evidence.pop("budget", None)
        control, decision = self.question.control, self.decision
        applied = Applied(
            decision.name,
            route=_words(evidence.pop("route", None)),
            route_score=float(score) if isinstance(score, int | float) else None,
            source=control.source or decision.by,
            budget=decision.tokens if budget is None else int(float(budget)),
            enforced_by=_words(evidence.pop("enforced_by", None)),
            exit=exit,
            capped=exit in ("budget", "forced_close"),
            ignored=tuple(dict.fromkeys((*self.question.ignored, *control.ignored))),
            overridden=tuple(sorted(self.overridden)),
            evidence=evidence,
            saved=decision.saved,
        )
        return {**applied.body(bill), "passthrough": decision.passthrough or None}

    def report(self, solutions: list[Solution]) -> None:
        """Tell the observers what came out."""
        report, whole = self.asked.report, Trace([call for trace in self.traces for call in trace.calls])
        report.tokens_by_role = {str(role): tokens for role, tokens in whole.tokens_by_role.items()}
        report.prompt_tokens, report.cached_tokens, report.exact = whole.prompt_tokens, whole.cached_tokens, whole.exact
        report.finish = tuple(Choice.of(solution).reason for solution in solutions)
        report.evidence = tuple(dict(solution.evidence) for solution in solutions)


async def prepare(gateway: Gateway, asked: Asked, question: Question, id: str) -> Work:
    """Decide what answers a question, and have its engines ready. Raises `ApiError` or `PonderError`."""
    logprobs = question.top_logprobs is not None
    decision = gateway.policies.decide(question.model, question.control, question.problems[0], logprobs, asked.key)
    seen, model = asked.seen, decision.model
    seen.model, seen.method, seen.stream = question.model, decision.name, question.stream
    check_budgets(gateway, decision, question.control, question.sampling)
    engines = await gateway.upstreams.engines(model.engine, model.engines)
    seen.engine = engines["main"].name
    check(decision.method, engines)
    own, server = question.control, gateway.settings.server
    key_format = asked.key.reasoning_format if asked.key is not None else None
    chosen = own.reasoning_format or model.reasoning_format or key_format or server.reasoning_format
    notes = next(wish for wish in (own.notes, model.notes, server.notes) if wish is not None)
    return Work(gateway, asked, question, decision, engines, chosen, notes, id)


def check_budgets(gateway: Gateway, decision: Decision, control: Control, given: SamplingArgs) -> None:
    """Refuse a number of tokens, of the request's own, above what the reply may have: it could not mean anything.

    Raises `ApiError` that names the field.
    """
    most = sampling_of(given, decision.model.defaults, gateway.settings.limits.max_tokens).max_tokens
    if control.options and (over := beyond(decision.chosen, most)):
        raise ApiError.bad("ponder.options", f"{over} is more than a reply may have, which is {most}; lower it")
    budget = control.thinking.tokens if control.thinking is not None else None
    if budget is not None and budget > most:
        message = f"{control.source} = {budget} is more than a reply may have, which is {most}; lower it"
        raise ApiError.bad(control.source, message)


async def solve(work: Work, outbox: Outbox | None = None, done: Done | None = None) -> list[Solution]:
    """Run the method once for each choice, side by side, each with seeds of its own and all on one budget."""
    question, limits, defaults = work.question, work.gateway.settings.limits, work.decision.model.defaults
    sampling = sampling_of(question.sampling, defaults, limits.max_tokens)
    budget = min(question.control.budget or defaults.budget or limits.budget, limits.budget)
    purse = Purse(budget)
    seed = secrets.randbits(31) if question.seed is None else question.seed
    engines = {role: _wrapped(engine, work, sampling, outbox) for role, engine in work.engines.items()}
    work.traces = [Trace() for _ in question.problems]
    problems = [forwarded(problem, work.decision.thinking, work.engines["main"]) for problem in question.problems]

    async def one(index: int) -> Solution:
        run = Run(
            engines,
            sampling=sampling,
            seed=derive_seed(seed, (), index, "choice") if index else seed,
            budget=purse,
            extract=formula,
            same=_same,
            on_show=partial(_show, outbox, index) if outbox is not None else None,
            on_note=partial(outbox.put, index, "note") if outbox is not None and work.notes else None,
            on_call=partial(_called, work),
        )
        work.traces[index] = run.trace
        solution = await work.decision.method.solve(problems[index], run)
        if done is not None:
            done(index, solution)
        return solution

    if len(question.problems) == 1:
        return [await one(0)]
    return await gather(one(index) for index in range(len(question.problems)))


def sampling_of(given: SamplingArgs, defaults: Defaults, max_tokens: int) -> Sampling:
    """Return how tokens are drawn: as the request says, else the model's table, else the protocol's defaults."""
    own: SamplingArgs = {}
    if defaults.max_tokens is not None:
        own["max_tokens"] = defaults.max_tokens
    if defaults.temperature is not None:
        own["temperature"] = defaults.temperature
    if defaults.top_p is not None:
        own["top_p"] = defaults.top_p
    if defaults.top_k is not None:
        own["top_k"] = defaults.top_k
    if defaults.min_p is not None:
        own["min_p"] = defaults.min_p
    merged: SamplingArgs = {"max_tokens": max_tokens, **own, **given}
    return replace(Sampling(), **merged)


def unshown(trace: Trace, solution: Solution) -> list[tuple[Channel, str]]:
    """Return what of a solution was not shown while it was found: all of it, or the rest behind what was."""
    rest: list[tuple[Channel, str]] = []
    parts: tuple[tuple[Channel, str], ...] = (("think", solution.thinking), ("answer", solution.answer))
    for channel, text in parts:
        shown = "".join(part for kind, part in trace.shown if kind == channel)
        if text.startswith(shown) and len(text) > len(shown):
            rest.append((channel, text[len(shown) :]))
    return rest


def _wrapped(engine: Engine, work: Work, sampling: Sampling, outbox: Outbox | None) -> Engine:
    """Put around an engine what this request asks of it: thinking, stop strings, the pace of the reader."""
    if work.decision.rest is not None:
        engine = AskedFor(engine, work.decision.rest)
    if work.question.sampling:
        engine = Compared(engine, work.question.sampling, work.overridden)
    if sampling.stop:
        engine = Scoped(engine, sampling.stop)
    return engine if outbox is None else Paced(engine, outbox)


def _called(work: Work, call: Call) -> None:
    work.gateway.observers.upstream_call(work.asked.seen, call)


def _show(outbox: Outbox, index: int, text: str, channel: Channel) -> None:
    outbox.put(index, channel, text)


def _same(a: str, b: str) -> bool:
    return alike(a, b) is True


def _words(value: float | str | None) -> str | None:
    return None if value is None else str(value)

"""What the gateway counts, as Prometheus text, under the names of OpenTelemetry's HTTP and GenAI conventions.

Every label has a bounded set of values: what a client may choose freely (a model's name, a path, a verb) is a label
only where the gateway knows it, and `_OTHER` where it does not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Generic, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from ponder import __version__
from ponder.core.trace import Call
from ponder.serve.observe import Ended, Seen
from ponder.serve.tally import Tallies, Tally
from ponder.serve.watch import SHARED

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

OTHER = "_OTHER"

_VERBS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT")
_EXITS = ("natural", "budget", "loop", "forced_close", "off", "escape", "deadline", "length")
_ENFORCERS = ("server", "prefill", "prompt", "none")
_GENERATING = {"/chat/completions": "chat", "/completions": "text_completion"}

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68)
_FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0)
_EACH = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_MODEL = ("gen_ai_operation_name", "gen_ai_request_model")


class _Bounded:
    """Values that a label may take: those that are known, and so many more in the order in which they come."""

    def __init__(self, known: Iterable[str] = (), more: int = 0) -> None:
        self._known = set(known)
        self._more = more

    def __call__(self, value: object) -> str:
        text = str(value)
        if text not in self._known:
            if not self._more or not text:
                return OTHER
            self._more -= 1
            self._known.add(text)
        return text


M = TypeVar("M", Counter, Gauge, Histogram)


class _Series(Generic[M]):
    """A metric's series by their labels, remembered: finding one anew costs more than counting in it."""

    __slots__ = ("_found", "_metric")

    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._found: dict[tuple[str, ...], M] = {}

    def labels(self, *values: str) -> M:
        """Return the series of these labels."""
        found = self._found.get(values)
        if found is None:
            found = self._found[values] = self._metric.labels(*values)
        return found


class Metrics:
    """An observer that counts.

    Where the environment names a folder for it (`watch.shared_counts`), several processes add up their counts there.
    `models` are the public names that may become labels, `routes` the known endpoints, `waiting` says how many
    requests wait for a place.
    """

    def __init__(
        self, models: Collection[str], routes: Collection[str], waiting: Callable[[], int] = lambda: 0
    ) -> None:
        self.registry = CollectorRegistry()
        self._shared = SHARED in os.environ
        self._model, self._route = _Bounded(models), _Bounded(routes)
        self._verb, self._exit, self._enforcer = _Bounded(_VERBS), _Bounded(_EXITS), _Bounded(_ENFORCERS)
        # Engines, routes of a method and error codes come from the configuration and from us, never from a client.
        self._engine, self._way, self._code = (_Bounded(more=64) for _ in range(3))
        self._tallies = Tallies()
        self._waiting = waiting
        self._http()
        self._generation()
        self._upstream()
        self._thinking()
        self._gauge("ponder_build_info", "1, labelled with the version.", ("version",), mode="max").labels(
            __version__
        ).set(1)
        if not self._shared:
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)

    def render(self) -> bytes:
        """Return everything as Prometheus text, of all workers where there are several."""
        self.waiting.set(self._waiting())
        if not self._shared:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    # The four moments of a request

    def request_started(self, seen: Seen) -> None:
        """Count a request in."""
        self._tallies.begin(seen)
        self.active.labels(self._verb(seen.verb), self._route(seen.route)).inc()
        self._note_waiting()

    def first_byte(self, seen: Seen) -> None:
        """Note when a streamed reply began."""
        if seen.stream and seen.first is not None:
            self.first_bytes.labels(self._model(seen.model)).observe(seen.first - seen.started)

    def upstream_call(self, seen: Seen, call: Call) -> None:
        """Count a generation of the model and bill it: also where its request ends badly or is left."""
        engine, (operation, model) = self._engine(call.engine), self._names(seen)
        for role, tokens in self._tallies.of(seen).add(seen, call).items():
            self.tokens.labels(model, role).inc(tokens)
        self.prompt_tokens.labels(model).inc(call.prompt_tokens)
        if call.cached_tokens:
            self.cached_tokens.labels(model).inc(call.cached_tokens)
        self.calls.labels(engine, call.role, call.finish).inc()
        self.call_seconds.labels(engine).observe(call.seconds)
        if call.first_token_seconds is not None and call.tokens > 1:
            pace = (call.seconds - call.first_token_seconds) / (call.tokens - 1)
            self.each_token.labels(operation, model).observe(pace)

    def request_ended(self, seen: Seen, ended: Ended) -> None:
        """Count a request out."""
        tally, route, verb = self._tallies.end(seen), self._route(seen.route), self._verb(seen.verb)
        self.active.labels(verb, route).dec()
        self._note_waiting()
        self.http_seconds.labels(verb, route, str(ended.status)).observe(ended.seconds)
        if ended.left:
            self.left.labels(route).inc()
        if ended.error:
            self.errors.labels(route, self._code(ended.error)).inc()
        if seen.route in _GENERATING and seen.method:
            self._generated(seen, ended, tally)

    def _generated(self, seen: Seen, ended: Ended, tally: Tally) -> None:
        operation, model = self._names(seen)
        failed = ended.error or (str(ended.status) if ended.status >= 400 else "")
        self.seconds.labels(operation, model, self._code(failed) if failed else "").observe(ended.seconds)
        if tally.first_token is not None:
            self.first_token.labels(operation, model).observe(tally.first_token)
        if not tally.exact:
            self.estimated.labels(model).inc()
        for evidence in ended.evidence:
            self._decided(model, evidence)

    def _decided(self, model: str, evidence: Mapping[str, float | str]) -> None:
        """Count what a method says of itself."""
        if "exit" in evidence:
            self.exits.labels(model, self._exit(evidence["exit"])).inc()
            if evidence["exit"] == "loop":
                self.loops.labels(model).inc()
        if "budget" in evidence:
            self.budgets.labels(model, self._enforcer(evidence.get("enforced_by", "none"))).inc()
        if "route" in evidence:
            self.routes.labels(model, self._way(evidence["route"])).inc()
        escaped = evidence.get("escaped", 0)
        if isinstance(escaped, int | float) and escaped > 0:
            self.escapes.labels(model).inc()
            self.escaped_tokens.labels(model).inc(escaped)

    def _note_waiting(self) -> None:
        """Tell the other workers, one of which may be asked; alone, being asked is early enough."""
        if self._shared:
            self.waiting.set(self._waiting())

    def _names(self, seen: Seen) -> tuple[str, str]:
        return _GENERATING.get(seen.route, OTHER), self._model(seen.model)

    # The instruments

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> _Series[Counter]:
        return _Series(Counter(name, text, labels, registry=self.registry))

    def _gauge(self, name: str, text: str, labels: tuple[str, ...], mode: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry, multiprocess_mode=mode)  # type: ignore[arg-type]

    def _histogram(
        self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]
    ) -> _Series[Histogram]:
        return _Series(Histogram(name, text, labels, registry=self.registry, buckets=buckets))

    def _http(self) -> None:
        where = ("http_request_method", "http_route")
        self.active = _Series(self._gauge("http_server_active_requests", "Requests in flight.", where, "livesum"))
        self.http_seconds = self._histogram(
            "http_server_request_duration_seconds",
            "Time from a request to the end of its reply.",
            (*where, "http_response_status_code"),
            _SECONDS,
        )
        self.left = self._counter("ponder_client_disconnects", "Clients that left before the end.", where[1:])
        self.errors = self._counter("ponder_errors", "Error objects that were sent.", ("http_route", "code"))
        self.waiting = self._gauge("ponder_queue_requests", "Accepted requests that wait.", (), "livesum")

    def _generation(self) -> None:
        self.seconds = self._histogram(
            "gen_ai_server_request_duration_seconds",
            "Time from a generation request to its last token.",
            (*_MODEL, "error_type"),
            _SECONDS,
        )
        self.first_token = self._histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "Time until a model wrote the first token for a request, whoever asked for it.",
            _MODEL,
            _FIRST,
        )
        self.each_token = self._histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Time for each token of a call after its first.",
            _MODEL,
            _EACH,
        )
        self.first_bytes = self._histogram(
            "ponder_time_to_first_byte_seconds", "Time until a streamed reply began.", _MODEL[1:], _FIRST
        )
        self.tokens = self._counter("ponder_generated_tokens", "The bill, by role.", (_MODEL[1], "role"))
        self.prompt_tokens = self._counter("ponder_prompt_tokens", "Prompt tokens over all calls.", _MODEL[1:])
        self.cached_tokens = self._counter("ponder_cached_tokens", "Prompt tokens read from a cache.", _MODEL[1:])
        self.estimated = self._counter(
            "ponder_estimated_requests", "Requests whose counts are partly an estimate.", _MODEL[1:]
        )

    def _upstream(self) -> None:
        self.calls = self._counter(
            "ponder_upstream_calls", "Generations asked of an engine, by how they ended.", ("engine", "role", "finish")
        )
        self.call_seconds = self._histogram(
            "ponder_upstream_call_duration_seconds", "Time of a generation upstream.", ("engine",), _SECONDS
        )

    def _thinking(self) -> None:
        model = _MODEL[1:]
        self.budgets = self._counter("ponder_budgets", "Thinking budgets, by who kept them.", (*model, "enforced_by"))
        self.exits = self._counter("ponder_thought_exits", "How thoughts ended.", (*model, "exit"))
        self.routes = self._counter("ponder_routes", "Ways that a routing method chose.", (*model, "route"))
        self.loops = self._counter("ponder_loops_closed", "Thoughts closed because they repeated themselves.", model)
        self.escapes = self._counter("ponder_escapes", "Replies that thought on after their thought was closed.", model)
        self.escaped_tokens = self._counter("ponder_escaped_tokens", "Tokens of thinking after a close.", model)

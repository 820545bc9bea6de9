"""Traces of requests by OpenTelemetry's HTTP and GenAI conventions; nothing of it is imported unless it is wanted.

A request is a span of kind SERVER with what ponder decided and what that cost; each generation upstream is a span of
kind CLIENT below it with the token counts. Usage stands on the calls alone, so that whoever adds up spans counts no
token twice. No span holds text of a prompt or a reply.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ponder import __version__
from ponder.core.errors import OptionError
from ponder.core.trace import Call
from ponder.serve.observe import Ended, Seen

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

_OPERATIONS = {"/chat/completions": "chat", "/completions": "text_completion"}
_WISHES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

Value = str | int | float | bool | list[str]


def spans_wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment asks for traces, in OpenTelemetry's own words: it names a place to send them to."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return any(environ.get(name) for name in _WISHES)


def open_spans(provider: TracerProvider | None = None) -> Spans:
    """Return the observer that traces: to `provider`, or by OTLP to where the environment says.

    Raises `OptionError` where OpenTelemetry is not installed.
    """
    try:
        import opentelemetry.sdk.trace  # noqa: F401

        return Spans(provider or _provider())
    except ImportError:
        raise OptionError("traces need OpenTelemetry; run pip install 'ponder[otel]'") from None


def _provider() -> TracerProvider:
    """Return a provider that sends spans in batches; its resource and sampler follow the environment's OTEL_ names."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over these.
    provider = TracerProvider(resource=Resource.create({"service.name": "ponder", "service.version": __version__}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Spans:
    """An observer that traces. `close` sends what is left; it may take as long as the exporter's time limit."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("ponder.serve", __version__)
        self._caller = TraceContextTextMapPropagator()
        self._open: dict[int, Span] = {}

    def close(self) -> None:
        """Send what is left and end."""
        from opentelemetry.sdk.trace import TracerProvider as Sdk

        if isinstance(self._provider, Sdk):
            self._provider.shutdown()

    def request_started(self, seen: Seen) -> None:
        """Open the request's span, below the caller's where the caller sent its own."""
        from opentelemetry.trace import SpanKind

        self._open[id(seen)] = self._tracer.start_span(
            f"{seen.verb} {seen.route}",
            context=self._caller.extract(dict(seen.headers)),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": seen.verb, "http.route": seen.route, "ponder.request.id": seen.id},
            start_time=_nanoseconds(seen.started_at),
        )

    def first_byte(self, seen: Seen) -> None:
        """Note on the span when the reply began."""
        span = self._open.get(id(seen))
        if span is not None:
            span.add_event("ponder.first_byte")

    def upstream_call(self, seen: Seen, call: Call) -> None:
        """Write the span of a generation that has just ended."""
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

        above = self._open.get(id(seen))
        if above is None:
            return
        now = time.time()
        attributes = call_attributes(call, _OPERATIONS.get(seen.route, "chat"))
        span = self._tracer.start_span(
            f"{attributes['gen_ai.operation.name']} {attributes['gen_ai.request.model']}",
            context=set_span_in_context(above),
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=_nanoseconds(now - call.seconds),
        )
        if call.finish == "error":
            span.set_status(StatusCode.ERROR)
        span.end(_nanoseconds(now))

    def request_ended(self, seen: Seen, ended: Ended) -> None:
        """Close the request's span."""
        from opentelemetry.trace import StatusCode

        span = self._open.pop(id(seen), None)
        if span is None:
            return
        span.set_attributes(request_attributes(seen, ended))
        # A client's mistake is no error of the server's span (OpenTelemetry, HTTP spans); an error in mid-stream is.
        if ended.status >= 500 or (ended.error and ended.status < 400):
            span.set_status(StatusCode.ERROR)
        span.end(_nanoseconds(seen.started_at + ended.seconds))


def call_attributes(call: Call, operation: str) -> dict[str, Value]:
    """Return the GenAI attributes of one generation."""
    model, _, place = call.engine.rpartition("@") if "@" in call.engine else (call.engine, "", "")
    host, _, port = place.rpartition(":") if ":" in place else (place, "", "")
    found: dict[str, Value] = {
        "gen_ai.operation.name": operation,
        # The name stands for the format that is spoken; which server speaks it, the address tells.
        "gen_ai.provider.name": "openai" if place else "ponder",
        "gen_ai.request.model": model,
        "gen_ai.request.stream": True,
        "gen_ai.request.seed": call.seed,
        "gen_ai.response.finish_reasons": [call.finish],
        "gen_ai.usage.input_tokens": call.prompt_tokens,
        "gen_ai.usage.cache_read.input_tokens": call.cached_tokens,
        "gen_ai.usage.output_tokens": call.tokens,
        "gen_ai.usage.reasoning.output_tokens": call.think_tokens + call.latent,
        "ponder.call.role": call.role,
        "ponder.call.exact": call.exact,
    }
    if call.first_token_seconds is not None:
        found["gen_ai.response.time_to_first_chunk"] = call.first_token_seconds
    if host:
        found["server.address"] = host
    if port.isdecimal():
        found["server.port"] = int(port)
    if call.finish == "error":
        found["error.type"] = "_OTHER"
    return found


def request_attributes(seen: Seen, ended: Ended) -> dict[str, Value]:
    """Return the attributes of a whole request: how it ended, what was decided and the bill by role."""
    found: dict[str, Value] = {"http.response.status_code": ended.status}
    if ended.error or ended.status >= 500:
        found["error.type"] = ended.error or str(ended.status)
    if seen.method:
        found |= {"ponder.model": seen.model, "ponder.method": seen.method, "ponder.stream": seen.stream}
        found |= {f"ponder.tokens.{role}": tokens for role, tokens in ended.tokens_by_role.items()}
    if ended.finish:
        found["ponder.finish_reasons"] = list(ended.finish)
    if ended.left:
        found["ponder.client_left"] = True
    evidence = ended.evidence[0] if ended.evidence else {}
    for name in ("exit", "budget", "enforced_by", "escaped", "route"):
        if evidence.get(name) not in (None, ""):
            found[f"ponder.{name}"] = evidence[name]
    return found


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import SpanKind, StatusCode

from ponder.core.trace import Call
from ponder.serve.observe import Ended, Observer, Seen
from ponder.serve.spans import Spans, open_spans, spans_wanted

SECRET = "the prompt of a client"
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALL = Call(
    "answer", "qwen3@10.0.0.1:8000", (), 7, SECRET, SECRET, SECRET, think_tokens=30, answer_tokens=12, prompt_tokens=9,
    cached_tokens=4, finish="stop", seconds=2.0, first_token_seconds=0.5,
)  # fmt: skip


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[Spans]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    opened = open_spans(provider)
    yield opened
    opened.close()


def request(**more: object) -> Seen:
    fields = {"id": "r1", "route": "/chat/completions", "model": "m:auto", "method": "auto", "stream": True, **more}
    return Seen(**fields)  # type: ignore[arg-type]


def told(spans: Spans, exporter: InMemorySpanExporter, seen: Seen, ended: Ended, *calls: Call) -> list[ReadableSpan]:
    """The spans of one request, its own one last."""
    observer: Observer = spans
    observer.request_started(seen)
    for call in calls:
        observer.upstream_call(seen, call)
    observer.first_byte(seen)
    observer.request_ended(seen, ended)
    return list(exporter.get_finished_spans())


def test_a_request_is_a_server_span_with_its_calls_below(spans: Spans, exporter: InMemorySpanExporter) -> None:
    ended = Ended(
        200, 2.5, finish=("stop",), tokens_by_role={"think": 30, "answer": 12}, evidence=({"exit": "natural"},)
    )
    call, whole = told(spans, exporter, request(), ended, CALL)
    assert (whole.kind, call.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert call.parent is not None
    assert call.parent.span_id == whole.get_span_context().span_id
    assert whole.name == "POST /chat/completions"
    assert dict(whole.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/chat/completions",
        "http.response.status_code": 200,
        "ponder.request.id": "r1",
        "ponder.model": "m:auto",
        "ponder.method": "auto",
        "ponder.stream": True,
        "ponder.tokens.think": 30,
        "ponder.tokens.answer": 12,
        "ponder.finish_reasons": ("stop",),
        "ponder.exit": "natural",
    }
    assert [event.name for event in whole.events] == ["ponder.first_byte"]


def test_a_call_speaks_the_genai_conventions(spans: Spans, exporter: InMemorySpanExporter) -> None:
    call, _ = told(spans, exporter, request(), Ended(200, 2.5), CALL)
    assert call.name == "chat qwen3"
    assert dict(call.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "qwen3",
        "gen_ai.request.stream": True,
        "gen_ai.request.seed": 7,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.output_tokens": 42,
        "gen_ai.usage.reasoning.output_tokens": 30,
        "server.address": "10.0.0.1",
        "server.port": 8000,
        "ponder.call.role": "answer",
        "ponder.call.exact": True,
    }
    assert call.start_time is not None
    assert call.end_time is not None
    assert (call.end_time - call.start_time) / 1e9 == pytest.approx(2.0)


def test_every_genai_name_is_one_of_the_conventions(spans: Spans, exporter: InMemorySpanExporter) -> None:
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    call, whole = told(spans, exporter, request(), Ended(200, 2.5), CALL)
    used = {name for span in (call, whole) for name in span.attributes or {} if name.startswith("gen_ai.")}
    assert used <= known
    assert not {name for name in whole.attributes or {} if name.startswith("gen_ai.")}, "usage would be counted twice"


def test_an_engine_of_this_process_has_no_address(spans: Spans, exporter: InMemorySpanExporter) -> None:
    inside = Call("probe", "smollm2", (), 1, answer_tokens=2)
    call, _ = told(spans, exporter, request(route="/completions"), Ended(200, 1.0), inside)
    attributes = call.attributes or {}
    assert (attributes["gen_ai.provider.name"], attributes["gen_ai.operation.name"]) == ("ponder", "text_completion")
    assert "server.address" not in attributes


def test_a_span_hangs_below_that_of_the_caller(spans: Spans, exporter: InMemorySpanExporter) -> None:
    seen = request(headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    (whole,) = told(spans, exporter, seen, Ended(200, 1.0))
    assert format(whole.get_span_context().trace_id, "032x") == TRACE
    assert whole.parent is not None
    assert format(whole.parent.span_id, "016x") == "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("ended", "status", "kind"),
    [
        (Ended(200, 1.0), StatusCode.UNSET, None),
        (Ended(404, 1.0, error="model_not_found"), StatusCode.UNSET, "model_not_found"),
        (Ended(502, 1.0, error="upstream_error"), StatusCode.ERROR, "upstream_error"),
        (Ended(500, 1.0), StatusCode.ERROR, "500"),
        (Ended(200, 1.0, error="upstream_error"), StatusCode.ERROR, "upstream_error"),
        (Ended(499, 1.0, left=True), StatusCode.UNSET, None),
    ],
)
def test_failures_are_marked_as_the_conventions_say(
    spans: Spans, exporter: InMemorySpanExporter, ended: Ended, status: StatusCode, kind: str | None
) -> None:
    (whole,) = told(spans, exporter, request(), ended)
    attributes = whole.attributes or {}
    assert whole.status.status_code == status
    assert attributes.get("error.type") == kind
    assert attributes.get("ponder.client_left", False) == ended.left


def test_a_call_that_broke_off_is_an_error(spans: Spans, exporter: InMemorySpanExporter) -> None:
    call, _ = told(spans, exporter, request(), Ended(502, 1.0), Call("answer", "m@h:1", (), 1, finish="error"))
    assert call.status.status_code == StatusCode.ERROR
    assert (call.attributes or {})["error.type"] == "_OTHER"


def test_no_span_holds_text(spans: Spans, exporter: InMemorySpanExporter) -> None:
    evidence = ({"exit": "natural", "answer": SECRET},)
    for span in told(spans, exporter, request(), Ended(200, 2.5, evidence=evidence), CALL):
        assert SECRET not in span.to_json()


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_environment_says_whether_to_trace(environ: dict[str, str], wanted: bool) -> None:
    assert spans_wanted(environ) is wanted


def test_nothing_of_it_is_imported_unless_it_is_wanted() -> None:
    program = "import sys, ponder.serve.app, ponder.serve.watch, ponder.serve.spans as s\n"
    program += "from ponder.serve.watch import watched\nwith watched(environ={}): pass\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "ponder.serve.spans" in done.stdout.split()
    assert not [name for name in done.stdout.split() if name.startswith("opentelemetry")]


def test_without_the_package_it_says_what_to_install() -> None:
    program = """
import json, sys
sys.modules["opentelemetry"] = None
from ponder.core.errors import OptionError
from ponder.serve.spans import open_spans
try:
    open_spans()
except OptionError as error:
    print(json.dumps(str(error)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'ponder[otel]'" in json.loads(done.stdout)

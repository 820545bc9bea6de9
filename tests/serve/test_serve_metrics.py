from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ponder.core.trace import Call
from ponder.serve.metrics import CONTENT_TYPE, OTHER, Metrics
from ponder.serve.observe import Ended, Observer, Seen
from ponder.serve.watch import SHARED

CHAT = "/chat/completions"


def seen(model: str = "m", **more: object) -> Seen:
    fields = {"id": "r1", "route": CHAT, "model": model, "method": "auto" if model else "", **more}
    return Seen(**fields)  # type: ignore[arg-type]


def call(**more: object) -> Call:
    fields = {"role": "answer", "engine": "m@host:1", "branch": (), "seed": 1, "finish": "stop", **more}
    return Call(**fields)  # type: ignore[arg-type]


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Everything that was exposed, read by Prometheus' own parser."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics.render()).get((name, tuple(sorted(labels.items()))), 0.0)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(["m", "m:auto"], [CHAT, "/health", "/completions"])


def test_it_is_an_observer(metrics: Metrics) -> None:
    observer: Observer = metrics
    assert observer is metrics
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_requests_are_counted_by_route_and_status(metrics: Metrics) -> None:
    for status in (200, 200, 429):
        one = seen()
        metrics.request_started(one)
        metrics.request_ended(one, Ended(status, 0.5))
    count = "http_server_request_duration_seconds_count"
    where = {"http_request_method": "POST", "http_route": CHAT}
    assert value(metrics, count, **where, http_response_status_code="200") == 2
    assert value(metrics, count, **where, http_response_status_code="429") == 1
    total = "http_server_request_duration_seconds_sum"
    assert value(metrics, total, **where, http_response_status_code="200") == 1.0


def test_requests_in_flight_go_up_and_come_down(metrics: Metrics) -> None:
    one, other = seen(), seen()
    where = {"http_request_method": "POST", "http_route": CHAT}
    metrics.request_started(one)
    metrics.request_started(other)
    assert value(metrics, "http_server_active_requests", **where) == 2
    metrics.request_ended(one, Ended(200, 0.1))
    metrics.request_ended(other, Ended(499, 0.1, left=True))
    assert value(metrics, "http_server_active_requests", **where) == 0
    assert value(metrics, "ponder_client_disconnects_total", http_route=CHAT) == 1


def test_tokens_are_counted_by_role_as_calls_end(metrics: Metrics) -> None:
    one = seen()
    metrics.request_started(one)
    metrics.upstream_call(one, call(think_tokens=30, answer_tokens=12, prompt_tokens=9, cached_tokens=4))
    metrics.upstream_call(one, call(role="probe", answer_tokens=5, prompt_tokens=1, finish="left"))
    assert value(metrics, "ponder_generated_tokens_total", gen_ai_request_model="m", role="think") == 30
    assert value(metrics, "ponder_generated_tokens_total", gen_ai_request_model="m", role="answer") == 12
    assert value(metrics, "ponder_generated_tokens_total", gen_ai_request_model="m", role="probe") == 5
    assert value(metrics, "ponder_prompt_tokens_total", gen_ai_request_model="m") == 10
    assert value(metrics, "ponder_cached_tokens_total", gen_ai_request_model="m") == 4
    assert value(metrics, "ponder_upstream_calls_total", engine="m@host:1", role="probe", finish="left") == 1
    assert value(metrics, "ponder_upstream_call_duration_seconds_count", engine="m@host:1") == 2


def test_tokens_of_a_client_that_left_are_counted_too(metrics: Metrics) -> None:
    one = seen()
    metrics.request_started(one)
    metrics.upstream_call(one, call(answer_tokens=7, finish="left"))
    metrics.request_ended(one, Ended(499, 1.0, left=True))
    assert value(metrics, "ponder_generated_tokens_total", gen_ai_request_model="m", role="answer") == 7


def test_the_first_token_is_that_of_the_first_call(metrics: Metrics) -> None:
    one = seen()
    one.started -= 10.0
    metrics.request_started(one)
    metrics.upstream_call(one, call(seconds=9.0, first_token_seconds=2.0, answer_tokens=8))
    metrics.upstream_call(one, call(seconds=1.0, first_token_seconds=0.5, answer_tokens=8))
    metrics.request_ended(one, Ended(200, 10.0))
    labels = {"gen_ai_operation_name": "chat", "gen_ai_request_model": "m"}
    assert value(metrics, "gen_ai_server_time_to_first_token_seconds_count", **labels) == 1
    assert value(metrics, "gen_ai_server_time_to_first_token_seconds_sum", **labels) == pytest.approx(3.0, abs=0.5)
    # 7 s for the 7 tokens after the first, and half a second for the others.
    assert value(metrics, "gen_ai_server_time_per_output_token_seconds_sum", **labels) == pytest.approx(1.0 + 0.5 / 7)


def test_only_a_streamed_reply_has_a_first_byte(metrics: Metrics) -> None:
    for stream in (True, False):
        one = seen(stream=stream)
        one.first = one.started + 0.25
        metrics.first_byte(one)
    assert value(metrics, "ponder_time_to_first_byte_seconds_count", gen_ai_request_model="m") == 1
    assert value(metrics, "ponder_time_to_first_byte_seconds_sum", gen_ai_request_model="m") == pytest.approx(0.25)


def test_what_methods_say_is_counted(metrics: Metrics) -> None:
    one = seen()
    metrics.request_started(one)
    evidence: tuple[dict[str, float | str], ...] = (
        {"exit": "loop", "budget": 512, "enforced_by": "server", "escaped": 3, "route": "hard"},
        {"exit": "natural", "budget": 512, "enforced_by": "prefill"},
        {"exit": "budget", "budget": 512},
        {"exit": "something new"},
    )
    metrics.request_ended(one, Ended(200, 1.0, evidence=evidence, exact=False))
    model = {"gen_ai_request_model": "m"}
    assert value(metrics, "ponder_loops_closed_total", **model) == 1
    assert value(metrics, "ponder_thought_exits_total", **model, exit="natural") == 1
    assert value(metrics, "ponder_thought_exits_total", **model, exit=OTHER) == 1
    for enforcer in ("server", "prefill", "none"):
        assert value(metrics, "ponder_budgets_total", **model, enforced_by=enforcer) == 1
    assert value(metrics, "ponder_escapes_total", **model) == 1
    assert value(metrics, "ponder_escaped_tokens_total", **model) == 3
    assert value(metrics, "ponder_routes_total", **model, route="hard") == 1


def test_errors_are_counted_by_code(metrics: Metrics) -> None:
    one = seen()
    metrics.request_started(one)
    metrics.request_ended(one, Ended(200, 1.0, error="upstream_error"))
    assert value(metrics, "ponder_errors_total", http_route=CHAT, code="upstream_error") == 1
    labels = {"gen_ai_operation_name": "chat", "gen_ai_request_model": "m", "error_type": "upstream_error"}
    assert value(metrics, "gen_ai_server_request_duration_seconds_count", **labels) == 1


def test_what_a_client_chooses_makes_no_new_series(metrics: Metrics) -> None:
    before = len(samples(metrics.render()))
    grown = []
    for number in range(50):
        one = seen(f"made-up-{number}", route=f"/made/up/{number}", verb=f"VERB{number}")
        metrics.request_started(one)
        metrics.first_byte(one)
        metrics.upstream_call(one, call(answer_tokens=1))
        metrics.request_ended(one, Ended(404, 0.1, error="not_found"))
        grown.append(len(samples(metrics.render())) - before)
    assert grown[0] == grown[-1]
    assert "made-up" not in metrics.render().decode()
    assert value(metrics, "ponder_generated_tokens_total", gen_ai_request_model=OTHER, role="answer") == 50


def test_what_is_not_known_beforehand_is_bounded_all_the_same(metrics: Metrics) -> None:
    one = seen()
    for number in range(200):
        metrics.upstream_call(one, call(engine=f"engine{number}"))
    engines = {labels for name, labels in samples(metrics.render()) if name == "ponder_upstream_calls_total"}
    assert len(engines) == 65
    assert value(metrics, "ponder_upstream_calls_total", engine=OTHER, role="answer", finish="stop") == 136


def test_a_request_that_chose_no_method_is_no_generation(metrics: Metrics) -> None:
    one = seen("")
    metrics.request_started(one)
    metrics.request_ended(one, Ended(400, 0.1, error="invalid_json"))
    names = {name for name, _ in samples(metrics.render())}
    assert "gen_ai_server_request_duration_seconds_count" not in names
    assert "http_server_request_duration_seconds_count" in names


def test_who_waits_is_asked_for() -> None:
    waiting = [3]
    metrics = Metrics(["m"], [CHAT], lambda: waiting[0])
    assert value(metrics, "ponder_queue_requests") == 3
    waiting[0] = 0
    assert value(metrics, "ponder_queue_requests") == 0


def test_two_gateways_in_one_process_count_apart() -> None:
    one, other = Metrics(["m"], [CHAT]), Metrics(["m"], [CHAT])
    request = seen()
    one.request_started(request)
    one.upstream_call(request, call(answer_tokens=5))
    assert value(one, "ponder_generated_tokens_total", gen_ai_request_model="m", role="answer") == 5
    assert value(other, "ponder_generated_tokens_total", gen_ai_request_model="m", role="answer") == 0


def test_names_and_units_are_those_of_the_conventions(metrics: Metrics) -> None:
    kinds = {family.name: family.type for family in text_string_to_metric_families(metrics.render().decode())}
    assert kinds["http_server_request_duration_seconds"] == "histogram"
    assert kinds["gen_ai_server_time_to_first_token_seconds"] == "histogram"
    assert kinds["gen_ai_server_time_per_output_token_seconds"] == "histogram"
    assert kinds["http_server_active_requests"] == "gauge"
    assert kinds["ponder_generated_tokens"] == "counter"
    assert kinds["process_resident_memory_bytes"] == "gauge"


def test_the_page_lists_every_metric_and_no_other(metrics: Metrics) -> None:
    page = (Path(__file__).parents[2] / "docs" / "observability.md").read_text("utf-8")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    shown = {name: set(re.findall(r"`(\w+)`", row[2])) for row in rows for name in re.findall(r"`(\w+)`", row[1])}
    shown = {name: labels for name, labels in shown.items() if name.startswith(("http_", "gen_ai_", "ponder_"))}
    one = seen()
    metrics.request_started(one)
    counted = {}
    for family in metrics.registry.collect():
        if not family.name.startswith(("process_", "python_")):
            counted[family.name + ("_total" if family.type == "counter" else "")] = None
    assert set(shown) == set(counted)
    for family in metrics.registry.collect():
        for sample in family.samples:
            if sample.name in shown:
                assert set(sample.labels) == shown[sample.name]


WORKER = """
import json, sys
from ponder.core.trace import Call
from ponder.serve.metrics import Metrics
from ponder.serve.observe import Ended, Seen
metrics = Metrics(["m"], ["/chat/completions"])
one = Seen("r", "/chat/completions", model="m", method="auto")
metrics.request_started(one)
metrics.upstream_call(one, Call("answer", "e", (), 1, answer_tokens=int(sys.argv[1])))
if sys.argv[2] == "end":
    metrics.request_ended(one, Ended(200, 0.5))
print(json.dumps(metrics.render().decode()))
"""


def test_several_workers_add_up_their_counts(tmp_path: object) -> None:
    env = {**os.environ, SHARED: str(tmp_path)}
    texts = []
    for tokens, last in (("5", "end"), ("7", "open")):
        command = [sys.executable, "-c", WORKER, tokens, last]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        texts.append(json.loads(done.stdout).encode())
    found = samples(texts[-1])
    assert found["ponder_generated_tokens_total", (("gen_ai_request_model", "m"), ("role", "answer"))] == 12
    where = (("http_request_method", "POST"), ("http_route", CHAT))
    assert found["http_server_active_requests", where] == 1
    (version,) = [value for (name, _), value in found.items() if name == "ponder_build_info"]
    assert version == 1

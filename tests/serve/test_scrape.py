from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from support.gateway import echoing, running

from ponder.serve.metrics import OTHER


def read(text: str) -> dict[str, float]:
    """Samples as `name{a="b"}`, labels in their order."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


async def test_a_gateway_shows_what_it_has_done() -> None:
    async with running() as gateway:
        reply = await gateway.ask(seed=1)
        await gateway.ask("/chat/completions", seed=1, stream=True)
        scraped = await gateway.get("/metrics")
        again = await gateway.get("/v1/metrics")
    assert scraped.status == again.status == 200
    assert scraped.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = read(scraped.text)
    where = "http_request_method=POST,http_response_status_code=200,http_route=/chat/completions"
    assert found[f"http_server_request_duration_seconds_count{{{where}}}"] == 2
    billed = sum(value for name, value in found.items() if name.startswith("ponder_generated_tokens_total{"))
    assert billed == 2 * reply.json["usage"]["completion_tokens"]
    model = "gen_ai_operation_name=chat,gen_ai_request_model=echo"
    assert found[f"gen_ai_server_time_to_first_token_seconds_count{{{model}}}"] == 2
    assert found["ponder_time_to_first_byte_seconds_count{gen_ai_request_model=echo}"] == 1
    assert found["ponder_queue_requests{}"] == 0
    assert found["http_server_active_requests{http_request_method=POST,http_route=/chat/completions}"] == 0
    # The request that asks is in flight itself.
    assert found["http_server_active_requests{http_request_method=GET,http_route=/metrics}"] == 1


async def test_names_with_a_method_are_known_and_made_up_ones_are_not() -> None:
    async with running() as gateway:
        await gateway.ask(model="echo:sample")
        await gateway.ask(model="made-up")
        await gateway.get("/nowhere/at/all")
        text = (await gateway.get("/metrics")).text
    assert 'gen_ai_request_model="echo:sample"' in text
    assert "made-up" not in text
    assert "nowhere" not in text
    where = f"http_request_method=GET,http_response_status_code=404,http_route={OTHER}"
    assert read(text)[f"http_server_request_duration_seconds_count{{{where}}}"] == 1


async def test_no_word_of_a_prompt_or_a_reply_is_in_it() -> None:
    async with running(echoing()) as gateway:
        reply = await gateway.ask()
        text = (await gateway.get("/metrics")).text
    assert "6 times 7" not in text
    assert reply.json["choices"][0]["message"]["content"] not in text

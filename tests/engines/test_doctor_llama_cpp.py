"""The doctor against a real llama.cpp server on the loopback, with random weights whose template opens a thought."""

from __future__ import annotations

from pathlib import Path

from support.llama_http import llama_http, predicted
from support.tiny_gguf import OPENED, write_tiny

from ponder.engines.doctor import examine
from ponder.engines.doctor_report import CHEAP, COSTLY
from ponder.engines.openai import OpenAIEngine


async def test_what_a_real_llama_cpp_does(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", template=OPENED, seed=1)
    async with llama_http(path, slots=2) as url, OpenAIEngine(url) as engine:
        report = await examine(engine, cheap_only=False)
        generated = await predicted(url)
    values = {fact.name: fact.value for fact in report.facts}
    how = {fact.name: fact.how for fact in report.facts}
    assert list(values) == [*CHEAP, *COSTLY]
    assert (values["server"], values["context"], values["marks"]) == ("llama.cpp", 1024, "<think> </think>")
    assert values["budget_field"] == "thinking_budget_tokens"
    for fact in ("thinks", "usage", "max_tokens", "logprobs", "n", "hang_up", "seeds", "prefix_cache"):
        assert values[fact] is True, (fact, how[fact])
    # Random weights write no answer, and whether they close a thought themselves is chance.
    assert values["escapes"] in (True, False, None)
    assert report.tokens == generated

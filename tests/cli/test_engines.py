from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command import Command
from support.tiny_gguf import write_adapter, write_tiny

from ponder.cli.engines import EngineKwargs, engine_args, read_adapter
from ponder.core.engine import Think
from ponder.core.errors import OptionError
from ponder.engines.open import Adapter

NOTHING: EngineKwargs = {
    "model": None, "engine": (), "adapter": (), "catalogue": (), "threads": 1, "slots": 2, "context": 256,
    "key_env": None, "dialect": None, "chat_template": None, "record": None,
    "think_open": None, "think_close": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model and an adapter of it."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny(folder / "tiny.gguf")
    write_adapter(folder / "valve.gguf")
    return folder


@pytest.mark.parametrize(
    ("text", "adapter"),
    [
        ("short=a.gguf", Adapter("short", Path("a.gguf"), 1.0)),
        ("short=a.gguf@0.5", Adapter("short", Path("a.gguf"), 0.5)),
        ("short=a.gguf@-1", Adapter("short", Path("a.gguf"), -1.0)),
        ("short=a=b.gguf@2e-1", Adapter("short", Path("a=b.gguf"), 0.2)),
        ("short=a@b/c.gguf", Adapter("short", Path("a@b/c.gguf"), 1.0)),
        ("short=a@b/c.gguf@3", Adapter("short", Path("a@b/c.gguf"), 3.0)),
        ("short=@x", Adapter("short", Path("@x"), 1.0)),
    ],
)
def test_an_adapter_is_a_name_a_path_and_a_scale(text: str, adapter: Adapter) -> None:
    assert read_adapter(text) == adapter


def test_a_path_that_is_there_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "valve@2"
    path.write_text("")
    assert read_adapter(f"v={path}") == Adapter("v", path)
    assert read_adapter(f"v={path}@0.5") == Adapter("v", path, 0.5)


def test_marks_of_thinking_that_no_template_tells() -> None:
    given = engine_args(**{**NOTHING, "think_open": "<a>", "think_close": "</a>"}).options
    assert given.think == Think("<a>", "</a>")
    assert engine_args(**{**NOTHING, "think_close": ""}).options.think == Think()
    assert engine_args(**NOTHING).options.think is None
    with pytest.raises(OptionError, match="--think-open '<a>' needs the mark that closes"):
        engine_args(**{**NOTHING, "think_open": "<a>"})


@pytest.mark.parametrize("text", ["a.gguf", "=a.gguf", "short=", ""])
def test_what_has_not_the_form_of_an_adapter(text: str) -> None:
    with pytest.raises(OptionError, match=r"must have the form NAME=PATH or NAME=PATH@SCALE"):
        read_adapter(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [("a=b.gguf@half", "scale 'half' is no number"), ("a=b@", "scale '' is no"), ("a=b@nan", "scale = nan")],
)
def test_a_scale_that_is_no_number(text: str, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        read_adapter(text)


async def test_adapters_are_for_the_main_model_alone(models: Path) -> None:
    valve = f"valve={models}/valve.gguf@0.5"
    args = engine_args(**{**NOTHING, "model": f"{models}/tiny.gguf", "engine": ("other=echo",), "adapter": (valve,)})
    async with args.open() as (engines, main):
        assert {name: engine.name for name, engine in engines.items()} == {
            "main": "llama.cpp:tiny+valve@0.5",
            "other": "echo",
        }
        assert main.notice.endswith("with the adapter valve at 0.5")


def test_ask_and_bench_with_an_adapter(ponder: Command, models: Path) -> None:
    valve = ("--model", f"{models}/tiny.gguf", "--adapter", f"valve={models}/valve.gguf@0.5")
    told = ponder("ask", "hello", *valve, "--threads", "1", "--context", "256", "--max-tokens", "4")
    assert "tiny.gguf, as --model says, with the adapter valve at 0.5" in told.err.replace("\n", " ")
    run = ("bench", "arithmetic", "--limit", "2", "--max-tokens", "4", "--methods", "sample,chain_of_draft")
    more = ("--threads", "1", "--context", "512", "--no-report", "--quiet", "--json", "--out", "run")
    done = ponder(*run, *valve, *more)
    assert done.code == 0, done.err
    assert "llama.cpp:tiny+valve@0.5" in json.dumps(done.json)
    other = ponder(*run, *valve[:3], f"valve={models}/valve.gguf", *more)
    assert other.code == 1
    assert "llama.cpp:tiny+valve" in other.err


@pytest.mark.parametrize("model", ["echo", "http://127.0.0.1:9#x"])
def test_a_server_takes_no_adapter(ponder: Command, models: Path, model: str) -> None:
    done = ponder("ask", "hello", "--model", model, "--adapter", f"valve={models}/valve.gguf")
    assert done.code == 1
    assert f"{model} takes no --adapter" in done.err

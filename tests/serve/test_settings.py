from __future__ import annotations

from pathlib import Path

import pytest

from ponder.core.errors import DataError, OptionError
from ponder.serve.access import hash_key
from ponder.serve.settings import DEFAULT_METHOD, Upstream, embedded, for_model, load, read

FILE = f"""
[server]
port = 9000
workers = 2
reasoning_format = "reasoning"
default_model = "lean"

[limits]
concurrency = 8
seconds = 60

[effort]
low = 100
max = "none"

[[key]]
name = "ann"
hash = "{hash_key("a" * 32)}"
models = ["lean"]
reasoning_format = "think_tags"

[engine.main]
url = "http://127.0.0.1:8000/v1"
model = "qwen3"
key_env = "UPSTREAM_KEY"

[engine.big]
url = "http://127.0.0.1:8001/v1"

[model."qwen3:4b"]

[model.lean]
engine = "main"
engines = {{ strong = "big" }}
method = "self_consistency"
n = 3
description = "three votes"
defaults = {{ max_tokens = 100, temperature = 0.6, effort = "low" }}
[model.lean.inner]
method = "chain_of_draft"
"""


def test_a_file_says_everything(tmp_path: Path) -> None:
    file = tmp_path / "ponder.toml"
    file.write_text(FILE)
    settings = load(file)
    assert (settings.server.port, settings.server.workers, settings.server.reasoning_format) == (9000, 2, "reasoning")
    assert (settings.limits.concurrency, settings.limits.seconds) == (8, 60.0)
    assert (settings.efforts["low"], settings.efforts["max"], settings.efforts["high"]) == (100, None, 16384)
    assert settings.keys[0].models == ("lean",)
    assert settings.engines["main"].spec == "http://127.0.0.1:8000/v1#qwen3"
    assert settings.models["qwen3:4b"].method == {"method": DEFAULT_METHOD}
    lean = settings.default_model
    assert lean.method == {"method": "self_consistency", "n": 3, "inner": {"method": "chain_of_draft"}}
    assert (lean.engines, lean.description) == ({"strong": "big"}, "three votes")
    assert (lean.defaults.max_tokens, lean.defaults.temperature, lean.defaults.effort) == (100, 0.6, "low")
    assert embedded(settings) == []


def test_an_empty_file_is_the_embedded_default() -> None:
    settings = read({})
    assert settings.server.host == "127.0.0.1"
    assert settings.engines == {"main": Upstream()}
    assert settings.default_model.method == {"method": DEFAULT_METHOD}
    assert embedded(settings) == ["main"]
    assert settings.engines["main"].spec is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[sever]\nport = 1", "did you mean 'server'"),
        ("[server]\nprot = 1", "did you mean 'port'"),
        ("[server]\nport = 70000", "0 to 65535"),
        ('[server]\nport = "x"', "must be of type int"),
        ("[server]\ndrain_seconds = 0", "above 0"),
        ('[server]\nreasoning_format = "bth"', "did you mean 'both'"),
        ('[server]\ndefault_model = "x"\n[model.y]', "no model of this file"),
        ("[limits]\nconcurrency = 0", "1 to"),
        ("[limits]\nseconds = nan", "must be a number"),
        ("[effort]\nlow = -1", "number of tokens"),
        ("[effort]\nhuge = 1", "has no 'huge'"),
        ('[engine.main]\nmodle = "x"', "did you mean 'model'"),
        ('[model.a]\nengine = "mian"\n[engine.main]\n', "did you mean 'main'"),
        ('[model.a.engines]\nstrong = "none"\n', "there is no [engine.none]"),
        ("[model.a.defaults]\nmax_token = 3", "did you mean 'max_tokens'"),
        ('[model." a"]\n', "without blanks"),
        ('[key]\nname = "a"', "two brackets"),
        ('[[key]]\nname = "a"', "needs the option 'hash'"),
        ('[[key]]\nname = "a"\nhash = "secret"', "--new-key"),
        (f'[[key]]\nname = "a"\nhash = "{hash_key("x")}"\nmodels = ["b"]', "there is no model 'b'"),
        (f'[[key]]\nname = "a"\nhash = "{hash_key("x")}"\n' * 2, "two keys named 'a'"),
        ("model = 3", "must be a table"),
    ],
)
def test_what_a_file_should_not_say_is_named_with_the_nearest_word(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "ponder.toml"
    file.write_text(text)
    with pytest.raises(OptionError) as caught:
        load(file)
    assert words in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "nothing.toml")
    (tmp_path / "a.toml").write_text("[server")
    with pytest.raises(DataError, match="no TOML"):
        load(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="no TOML"):
        load(tmp_path / "b.toml")


def test_a_wrong_hash_is_not_printed_whole() -> None:
    with pytest.raises(OptionError) as caught:
        read({"key": [{"name": "a", "hash": "my-own-secret-key-in-the-clear"}]})
    assert "my-own-secret-key-in-the-clear" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "name", "remote"),
    [
        ("http://h:1/v1#org/qwen3", "qwen3", True),
        ("http://h:1/v1", "default", True),
        ("models/tiny.gguf", "tiny", False),
        ("echo", "echo", True),
        (None, "default", False),
    ],
)
def test_one_model_needs_no_file(spec: str | None, name: str, remote: bool) -> None:
    settings = for_model(Upstream.of(spec), {"method": "sample"})
    assert list(settings.models) == [name]
    assert settings.engines["main"].spec == spec or settings.engines["main"].spec == f"{spec}#"
    assert settings.engines["main"].remote is remote


def test_a_model_without_an_engine_is_answered_by_the_one_of_its_name_else_by_main_else_by_the_first() -> None:
    two = {"big": {"model": "echo"}, "small": {"model": "echo"}}
    named = read({"engine": two, "model": {"small": {}, "other": {}}})
    assert {name: model.engine for name, model in named.models.items()} == {"small": "small", "other": "big"}
    main = read({"engine": {**two, "main": {"model": "echo"}}, "model": {"small": {}, "other": {}}})
    assert {name: model.engine for name, model in main.models.items()} == {"small": "small", "other": "main"}


def test_a_list_of_engines_is_the_method_s_own_and_its_names_are_engines_of_the_file() -> None:
    engines = {"small": {"model": "echo"}, "middle": {"model": "echo"}, "large": {"model": "echo"}}
    table = {"engine": "small", "method": "routellm", "engines": ["main", "middle", "large"]}
    model = read({"engine": engines, "model": {"smart": table}}).models["smart"]  # type: ignore[dict-item]
    assert model.engine == "small"
    assert model.engines == {"middle": "middle", "large": "large"}
    assert model.method == {"method": "routellm", "engines": ["main", "middle", "large"]}
    with pytest.raises(OptionError, match=r"there is no \[engine\.huge\]"):
        read({"engine": engines, "model": {"smart": {**table, "engines": ["main", "huge"]}}})  # type: ignore[dict-item]

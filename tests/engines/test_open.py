from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import pytest
from support.tiny_gguf import SWITCHED, tokens, write_adapter, write_tiny

from ponder.core.engine import Cap, Engine, Sampling, Think
from ponder.core.errors import DataError, EngineError, OptionError, PonderError
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.engines.open import Adapter, EngineOptions, open_engine
from ponder.engines.tape import Recorder, Replay

ASK = Prompt.of(Problem.of("hello"))


@pytest.fixture
def catalogue(tmp_path: Path, tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue with two models, in a user's folder that holds nothing yet."""
    monkeypatch.setenv("PONDER_CACHE", str(tmp_path))
    sha, size = hashlib.sha256(tiny_path.read_bytes()).hexdigest(), tiny_path.stat().st_size
    common = f'licence = "MIT"\nsize = {size}\nsha256 = "{sha}"\nsummary = "tiny"\n'
    path = tmp_path / "more.toml"
    path.write_text(f"[tiny-good]\nrank = 5\n{common}[tiny-weak]\nweak = true\n{common}")
    (tmp_path / "models").mkdir()
    return path


def install(tiny_path: Path, tmp_path: Path, name: str, damage: int = 0) -> None:
    data = bytearray(tiny_path.read_bytes())
    data[-1] ^= damage
    (tmp_path / "models" / f"{name}.gguf").write_bytes(data)


def options(catalogue: Path) -> EngineOptions:
    return EngineOptions(threads=1, slots=2, context=128, catalogues=(catalogue,))


async def test_a_file(tiny_path: Path) -> None:
    async with open_engine(str(tiny_path), EngineOptions(threads=1, slots=3, context=128)) as loaded:
        assert (loaded.concurrency, loaded.weak) == (3, False)
        assert loaded.notice == "tiny.gguf, as --model says"
        assert loaded.engine.name == "llama.cpp:tiny"
        call = await Run(loaded.engine).generate(ASK, max_tokens=4)
        assert call.tokens <= 4


async def test_marks_and_template_are_passed_on(tiny_path: Path, tmp_path: Path) -> None:
    template = tmp_path / "chat.jinja"
    template.write_text("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    given = EngineOptions(threads=1, slots=1, context=128, think_open="<a>", think_close="</a>", chat_template=template)
    async with open_engine(str(tiny_path), given) as loaded:
        assert loaded.engine.think == Think("<a>", "</a>")
        call = await Run(loaded.engine).generate(ASK, max_tokens=1)
        assert call.prompt_tokens < 6


async def test_a_name_must_be_installed(catalogue: Path, tiny_path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="tiny-good is not installed; get it with `ponder model get tiny-good`"):
        async with open_engine("tiny-good", options(catalogue)):
            pass
    install(tiny_path, tmp_path, "tiny-good")
    async with open_engine("tiny-good", options(catalogue)) as loaded:
        assert loaded.engine.name == "tiny-good"
        assert loaded.notice == "tiny-good, as --model says"


async def test_without_a_model_the_best_that_is_installed(catalogue: Path, tiny_path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no model is installed: get one with `ponder model get tiny-good`"):
        async with open_engine(None, options(catalogue)):
            pass
    install(tiny_path, tmp_path, "tiny-weak")
    async with open_engine(None, options(catalogue)) as loaded:
        assert loaded.weak
        assert "tiny-weak, the first of `ponder model list` that is installed; it is too weak" in loaded.notice
        assert "accuracy" in loaded.notice
    install(tiny_path, tmp_path, "tiny-good")
    async with open_engine(None, options(catalogue)) as loaded:
        assert not loaded.weak
        assert loaded.notice == "tiny-good, the first of `ponder model list` that is installed"


async def test_an_installed_file_with_the_wrong_hash(catalogue: Path, tmp_path: Path, tiny_path: Path) -> None:
    install(tiny_path, tmp_path, "tiny-good", damage=1)
    with pytest.raises(DataError, match="is damaged"):
        async with open_engine("tiny-good", options(catalogue)):
            pass


async def test_echo() -> None:
    async with open_engine("echo") as loaded:
        assert loaded.weak
        assert (await Run(loaded.engine).generate(ASK)).answer.startswith("The answer is")


async def test_a_tape(tmp_path: Path) -> None:
    path = tmp_path / "run.tape"
    async with open_engine("echo") as loaded:
        recorder = Recorder(loaded.engine, path)
        recorded = await Run(recorder).generate(ASK)
        recorder.close()
    async with open_engine(f"tape:{path}") as loaded:
        assert loaded.notice == f"echo, played from {path}"
        assert (await Run(loaded.engine).generate(ASK)).text == recorded.text


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("ecko", OptionError, "no model 'ecko'; did you mean 'echo'"),
        ("qwen2.5-coder-0.5b", OptionError, "did you mean 'qwen2.5-coder-0.5b-instruct'"),
        ("nowhere/model.gguf", DataError, "no model file nowhere/model.gguf"),
        ("nowhere/folder", DataError, "no model file or folder nowhere/folder"),
        ("", OptionError, "no model ''"),
        ("tape:nowhere.tape", DataError, "nowhere.tape"),
        ("http://127.0.0.1:9#x", EngineError, "127.0.0.1:9 cannot be reached"),
    ],
)
async def test_what_cannot_be_opened_says_why(spec: str, error: type[PonderError], words: str) -> None:
    with pytest.raises(error) as caught:
        async with open_engine(spec, EngineOptions(threads=1)):
            pass
    assert words in str(caught.value)


async def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no config\.json"):
        async with open_engine(str(tmp_path)):
            pass


async def test_a_file_that_is_no_model_and_a_template_that_is_gone(tmp_path: Path, tiny_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match="not a GGUF file"):
        async with open_engine(str(tmp_path / "notes.txt"), EngineOptions(threads=1)):
            pass
    with pytest.raises(DataError, match="chat template"):
        async with open_engine(str(tiny_path), EngineOptions(threads=1, chat_template=tmp_path / "gone")):
            pass


# Models and adapters that come with their catalogue.

LETTERS = tuple((number, 40.0) for number, (_, kind, _) in enumerate(tokens()) if kind == 1)
GREEDY = Sampling(max_tokens=6, temperature=0, logprobs=1, logit_bias=LETTERS)
TEMPLATE = "{% for m in messages %}<|turn|>{{ m['content'] }}<|end|>{% endfor %}<think>"


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def shipped(catalogue: Path, tiny_path: Path, tmp_path: Path) -> Path:
    """The catalogue with a whole model, and with two adapters of `tiny-good`."""
    text = catalogue.read_text()
    for number, (name, rank) in enumerate((("thinker", 10), ("thinker-short", 9)), 1):
        folder = tmp_path / "folders" / name
        folder.mkdir(parents=True)
        write_adapter(folder / "adapter.gguf", seed=number)
        (folder / "chat_template.jinja").write_text(TEMPLATE)
        files = "".join(f'"{path.name}" = "{sha(path)}"\n' for path in folder.iterdir())
        text += f'[{name}]\nlicence = "MIT"\nsummary = "s"\nrank = {rank}\nbase = "tiny-good"\n'
        text += f'folder = "folders/{name}"\nthink = ["<think>", "</think>"]\n[{name}.files]\n{files}'
    whole = tmp_path / "folders" / "whole"
    whole.mkdir()
    write_tiny(whole / "model.gguf", template=SWITCHED, seed=4)
    text += '[whole]\nlicence = "MIT"\nsummary = "s"\nrank = -1\nfolder = "folders/whole"\n'
    text += f'[whole.files]\n"model.gguf" = "{sha(whole / "model.gguf")}"\n'
    catalogue.write_text(text)
    return catalogue


async def said(engine: Engine, *adapters: tuple[str, float]) -> list[float]:
    """The log-probabilities of a greedy reply, which tell adapters and scales apart."""
    call = await Run(engine, sampling=replace(GREEDY, adapters=adapters)).generate(ASK)
    return [entry.logprob for entry in call.logprobs]


async def test_a_whole_model_needs_no_download_and_is_only_taken_by_name(shipped: Path) -> None:
    with pytest.raises(DataError, match="no model is installed: get one with `ponder model get thinker`"):
        async with open_engine(None, options(shipped)):
            pass
    async with open_engine("whole", options(shipped)) as loaded:
        assert (loaded.engine.name, loaded.notice) == ("whole", "whole, as --model says")
        assert loaded.engine.think == Think("<think>", "</think>")
        assert (await Run(loaded.engine).generate(ASK, max_tokens=3)).tokens <= 3


async def test_the_base_of_an_adapter_must_be_installed(shipped: Path) -> None:
    words = "thinker-short runs on tiny-good, which is not installed; get it with `ponder model get thinker-short`"
    with pytest.raises(DataError, match=words):
        async with open_engine("thinker-short", options(shipped)):
            pass


async def test_an_adapter_by_name_is_on_with_its_template_and_marks_and_its_siblings_beside_it(
    shipped: Path, tiny_path: Path, tmp_path: Path
) -> None:
    install(tiny_path, tmp_path, "tiny-good")
    async with open_engine("thinker", options(shipped)) as loaded:
        engine = loaded.engine
        assert (engine.name, loaded.notice) == ("thinker", "thinker, as --model says")
        assert engine.think == Think("<think>", "</think>", opened=True)
        assert Cap.ADAPTER in engine.caps
        plain = await said(engine)
        assert plain == pytest.approx(await said(engine, ("thinker", 1.0)), abs=1e-4)
        short = await said(engine, ("thinker-short", 1.0))
        mixed = await said(engine, ("thinker", 0.5), ("thinker-short", 0.5))
        base = await said(engine, ("thinker", 0.0))
        assert len({round(values[0], 3) for values in (plain, short, mixed, base)}) == 4
    async with open_engine("thinker-short", options(shipped)) as loaded:
        assert loaded.engine.name == "thinker-short"
        assert await said(loaded.engine) == pytest.approx(short, abs=1e-4)
        assert await said(loaded.engine, ("thinker", 1.0)) == pytest.approx(plain, abs=1e-4)
    given = replace(options(shipped), think_open="<a>", think_close="</a>")
    async with open_engine("thinker", given) as loaded:
        assert loaded.engine.think == Think("<a>", "</a>")


async def test_an_adapter_is_the_default_once_its_base_is_installed(
    shipped: Path, tiny_path: Path, tmp_path: Path
) -> None:
    install(tiny_path, tmp_path, "tiny-weak")
    async with open_engine(None, options(shipped)) as loaded:
        assert loaded.engine.name == "tiny-weak"
    install(tiny_path, tmp_path, "tiny-good")
    async with open_engine(None, options(shipped)) as loaded:
        assert loaded.engine.name == "thinker"
        assert loaded.notice == "thinker, the first of `ponder model list` that is installed"


async def test_files_of_a_folder_that_were_changed_are_not_opened(
    shipped: Path, tiny_path: Path, tmp_path: Path
) -> None:
    install(tiny_path, tmp_path, "tiny-good")
    for file, name in (("whole/model.gguf", "whole"), ("thinker/chat_template.jinja", "thinker")):
        with (tmp_path / "folders" / file).open("ab") as out:
            out.write(b"x")
        with pytest.raises(DataError, match="is damaged"):
            async with open_engine(name, options(shipped)):
                pass


# Adapters that are given.


@pytest.fixture
def valve(tmp_path: Path) -> Path:
    return write_adapter(tmp_path / "valve.gguf", seed=7)


def with_adapters(*adapters: Adapter) -> EngineOptions:
    return EngineOptions(threads=1, slots=2, context=128, adapters=adapters)


async def test_an_adapter_beside_a_file(tiny_path: Path, valve: Path) -> None:
    async with open_engine(str(tiny_path), with_adapters(Adapter("valve", valve, 0.5))) as loaded:
        assert loaded.engine.name == "llama.cpp:tiny+valve@0.5"
        assert loaded.notice == "tiny.gguf, as --model says, with the adapter valve at 0.5"
        on, named, off = await said(loaded.engine), await said(loaded.engine, ("valve", 0.5)), ("valve", 0.0)
        assert on == pytest.approx(named, abs=1e-4)
        without = await said(loaded.engine, off)
        assert abs(on[0] - without[0]) > 1e-3
    async with open_engine(str(tiny_path), with_adapters()) as loaded:
        assert loaded.engine.name == "llama.cpp:tiny"
        assert await said(loaded.engine) == pytest.approx(without, abs=1e-4)


async def test_a_folder_that_holds_the_gguf_beside_those_of_peft(tiny_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "both"
    folder.mkdir()
    write_adapter(folder / "adapter.gguf")
    async with open_engine(str(tiny_path), with_adapters(Adapter("both", folder))) as loaded:
        assert loaded.engine.name == "llama.cpp:tiny+both"


async def test_an_adapter_beside_a_model_with_adapters(
    shipped: Path, tiny_path: Path, tmp_path: Path, valve: Path
) -> None:
    install(tiny_path, tmp_path, "tiny-good")
    given = replace(options(shipped), adapters=(Adapter("valve", valve, 0.25), Adapter("more", valve)))
    async with open_engine("thinker", given) as loaded:
        assert loaded.engine.name == "thinker+valve@0.25+more"
        assert loaded.notice.endswith(", with the adapters valve at 0.25, more at 1")
        all_three = await said(loaded.engine, ("thinker", 1.0), ("valve", 0.25), ("more", 1.0))
        assert await said(loaded.engine) == pytest.approx(all_three, abs=1e-4)
    given = replace(options(shipped), adapters=(Adapter("thinker-short", valve),))
    with pytest.raises(OptionError, match="two adapters named 'thinker-short'"):
        async with open_engine("thinker", given):
            pass


async def test_a_weak_model_with_an_adapter_is_no_longer_what_the_catalogue_calls_weak(
    catalogue: Path, tiny_path: Path, tmp_path: Path, valve: Path
) -> None:
    install(tiny_path, tmp_path, "tiny-weak")
    async with open_engine("tiny-weak", replace(options(catalogue), adapters=(Adapter("valve", valve),))) as loaded:
        assert not loaded.weak
        assert loaded.notice == "tiny-weak, as --model says, with the adapter valve at 1"


async def test_the_adapter_is_in_the_name_of_the_tape(tiny_path: Path, valve: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.tape"
    async with open_engine(str(tiny_path), with_adapters(Adapter("valve", valve))) as loaded:
        recorder = Recorder(loaded.engine, path)
        text = (await Run(recorder, sampling=GREEDY).generate(ASK)).text
        recorder.close()
    replay = Replay(path)
    assert replay.name == "llama.cpp:tiny+valve"
    assert (await Run(replay, sampling=GREEDY).generate(ASK)).text == text
    replay.close()


async def test_adapters_that_do_not_fit_the_way(tiny_path: Path, valve: Path, tmp_path: Path) -> None:
    (tmp_path / "peft").mkdir()
    (tmp_path / "peft" / "adapter_config.json").write_text("{}")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    spec, peft = str(tiny_path), tmp_path / "peft"
    cases: list[tuple[str, Path, type[PonderError], str]] = [
        (spec, tmp_path / "gone.gguf", DataError, r"there is no adapter .*gone\.gguf"),
        (spec, peft, DataError, r"peft is a folder.*`ponder shrink export`"),
        (spec, tiny_path, DataError, r"tiny\.gguf is a model"),
        (str(tmp_path / "model"), valve, DataError, r"valve\.gguf is not a folder: .* takes a PEFT folder"),
        ("http://127.0.0.1:9#x", valve, OptionError, "http://127.0.0.1:9#x takes no --adapter"),
        ("echo", valve, OptionError, "echo takes no --adapter"),
        (f"tape:{tmp_path}/x", valve, OptionError, "takes no --adapter"),
        (str(peft), valve, DataError, r"peft is an adapter and no model; name its base with --model"),
    ]
    for model, path, error, words in cases:
        with pytest.raises(error, match=words):
            async with open_engine(model, with_adapters(Adapter("valve", path))):
                pass


@pytest.mark.parametrize(("name", "scale"), [("", 1.0), ("a b", 1.0), ("a", math.nan), ("a", math.inf)])
def test_an_adapter_has_a_plain_name_and_a_finite_scale(name: str, scale: float) -> None:
    with pytest.raises(OptionError, match=r"Adapter: (name|scale)"):
        Adapter(name, Path("a.gguf"), scale)

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ponder.core.engine import Think
from ponder.core.errors import DataError, EngineError, OptionError, PonderError
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.engines.open import EngineOptions, open_engine
from ponder.engines.tape import Recorder

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
        assert "tiny-weak, the best model that is installed; it is too weak" in loaded.notice
        assert "accuracy" in loaded.notice
    install(tiny_path, tmp_path, "tiny-good")
    async with open_engine(None, options(catalogue)) as loaded:
        assert not loaded.weak
        assert loaded.notice == "tiny-good, the best model that is installed"


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

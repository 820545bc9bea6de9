"""`--adapter` beside a transformers folder: what `open_engine` makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from lora_folders import save_lora
from tiny_llama import ask

from ponder.core.engine import Cap, Engine, Sampling
from ponder.core.errors import DataError, OptionError
from ponder.core.run import Run
from ponder.engines.open import Adapter, EngineOptions, open_engine

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")]


@pytest.fixture(scope="module")
def valve(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_lora(folder, tmp_path_factory.mktemp("lora") / "valve")


def given(*adapters: Adapter) -> EngineOptions:
    return EngineOptions(threads=1, slots=2, adapters=adapters)


async def said(engine: Engine, *adapters: tuple[str, float]) -> list[float]:
    sampling = Sampling(max_tokens=4, temperature=0, logprobs=1, adapters=adapters)
    return [entry.logprob for entry in (await Run(engine, sampling=sampling).generate(ask("hello"))).logprobs]


async def test_an_adapter_is_on_in_calls_that_name_none(folder: Path, valve: Path) -> None:
    async with open_engine(str(folder), given(Adapter("valve", valve, 0.5))) as loaded:
        assert loaded.engine.name == "torch:tiny-llama+valve@0.5"
        assert loaded.notice.endswith("with transformers, as --model says, with the adapter valve at 0.5")
        assert Cap.ADAPTER in loaded.engine.caps
        half = await said(loaded.engine)
        assert half == pytest.approx(await said(loaded.engine, ("valve", 0.5)), abs=1e-5)
        off, full = await said(loaded.engine, ("valve", 0.0)), await said(loaded.engine, ("valve", 1.0))
        assert len({round(values[0], 4) for values in (half, off, full)}) == 3
    async with open_engine(str(folder), given()) as loaded:
        assert await said(loaded.engine) == pytest.approx(off, abs=1e-5)


async def test_what_is_no_adapter_of_this_model(folder: Path, valve: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    gguf = tmp_path / "valve.gguf"
    gguf.write_bytes(b"GGUF")
    for path, words in ((tmp_path / "empty", "empty"), (gguf, r"valve\.gguf is not a folder: .*takes a PEFT folder")):
        with pytest.raises(DataError, match=words):
            async with open_engine(str(folder), given(Adapter("valve", path))):
                pass
    with pytest.raises(OptionError, match="names that differ"):
        async with open_engine(str(folder), given(Adapter("valve", valve), Adapter("valve", valve))):
            pass

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ponder.bench.session import FILE, Identity, default_folder, folders, prepare, sampling_config
from ponder.bench.store import Store
from ponder.core.engine import Sampling
from ponder.core.errors import DataError
from ponder.methods import catalogue
from ponder.methods.prompt.chain_of_draft import ChainOfDraft
from ponder.methods.vote.sample import Sample

IDENTITY = Identity("model", {}, sampling_config(Sampling(max_tokens=64, temperature=0.0)), None)


def test_a_run_keeps_its_identity_and_gathers_methods(tmp_path: Path) -> None:
    with Store(tmp_path / FILE) as store:
        prepare(store, IDENTITY, {"sample": Sample()}, catalogue())
        prepare(store, IDENTITY, {"chain_of_draft(words=3)": ChainOfDraft(words=3)}, catalogue())
        assert store.meta("methods") == {
            "sample": {"method": "sample"},
            "chain_of_draft(words=3)": {"method": "chain_of_draft", "words": 3},
        }


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (replace(IDENTITY, model="another"), "model"),
        (replace(IDENTITY, engines={"strong": "s"}), "engines"),
        (replace(IDENTITY, sampling=sampling_config(Sampling(max_tokens=65))), "sampling"),
        (replace(IDENTITY, seconds=3.0), "seconds"),
    ],
)
def test_what_differs_is_named_and_nothing_is_mixed(tmp_path: Path, other: Identity, named: str) -> None:
    with Store(tmp_path / FILE) as store:
        prepare(store, IDENTITY, {"sample": Sample()}, catalogue())
        with pytest.raises(DataError, match=rf"holds a run with {named} = .* --out"):
            prepare(store, other, {"sample": Sample()}, catalogue())


def test_the_default_folder_is_the_same_for_the_same_command() -> None:
    assert default_folder("gsm8k", "qwen") == Path("runs/gsm8k-qwen")
    assert default_folder("gsm8k,arithmetic:level=3", "/models/a b.gguf") == Path(
        "runs/gsm8k-arithmetic-level=3-a-b.gguf"
    )
    long = default_folder("x" * 300, "m")
    assert len(long.name) <= 100
    assert long != default_folder("x" * 301, "m")


def test_a_run_is_named_by_its_folder_or_by_its_file() -> None:
    assert folders([Path("a"), Path("b/run.sqlite")]) == [Path("a/run.sqlite"), Path("b/run.sqlite")]

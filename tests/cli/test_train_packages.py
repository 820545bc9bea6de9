"""Training without its packages ends in one sentence, before any file is looked at."""

from __future__ import annotations

import sys

import pytest
from support.command import Command

from ponder.cli.train_packages import need_packages
from ponder.core.errors import OptionError

PACKAGES = ("torch", "transformers", "trl", "peft")


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make packages as good as not installed."""
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


def show(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let packages be found, whether they are installed or not."""
    for name in names:
        module = type(sys)(name)
        module.__spec__ = sys.__spec__
        monkeypatch.setitem(sys.modules, name, module)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    show(monkeypatch, *PACKAGES, "gguf")
    need_packages()
    hide(monkeypatch, "trl", "gguf")
    with pytest.raises(OptionError, match=r"^training needs trl: pip install 'ponder\[train\]'"):
        need_packages()
    with pytest.raises(OptionError, match=r"^training needs trl, gguf: "):
        need_packages("gguf")


@pytest.mark.parametrize(
    "words",
    [("sft", "-m", "none", "--data", "none.jsonl"), ("base",)],
    ids=["sft", "base"],
)
@pytest.mark.parametrize("missing", [("torch",), ("trl", "peft"), PACKAGES], ids="-".join)
def test_the_command_says_it_in_one_sentence(
    ponder: Command, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    show(monkeypatch, *PACKAGES)
    hide(monkeypatch, *missing)
    ran = ponder("train", *words, "--out", "out")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"ponder: training needs {', '.join(missing)}: pip install 'ponder[train]'")
    assert ran.err.count("\n") == 1

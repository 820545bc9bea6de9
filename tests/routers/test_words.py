from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from ponder.core.errors import DataError
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.routers.state import TENSORS, TOML
from ponder.routers.words import SHIPPED, WordsRouter
from ponder.text.ngrams import BUCKETS, hashed
from ponder.text.sketches import PARADIGMS
from ponder.train.words import save


def weights(folder: Path, word: str = "pens", link: str = "sigmoid") -> Path:
    """Save a router that likes its second choice wherever it sees a word."""
    rows = np.zeros((2, BUCKETS))
    (bucket,) = set(hashed(word)) - set(hashed(word, words=False))
    rows[1, bucket] = 9.0
    save(folder, rows, ("weak", "strong"), link, {"made": "by hand"})  # type: ignore[arg-type]
    return folder


async def rate(router: WordsRouter, question: str) -> dict[str, float]:
    return dict(await router.rate(Problem.of(question), Run(Echo())))


async def test_a_sigmoid_rates_each_choice_by_itself(tmp_path: Path) -> None:
    router = WordsRouter(str(weights(tmp_path / "r")))
    assert await rate(router, "pens") == pytest.approx({"weak": 0.5, "strong": 1 / (1 + np.exp(-9))})
    assert await rate(router, "trees") == {"weak": 0.5, "strong": 0.5}


async def test_a_softmax_shares_one_among_the_choices(tmp_path: Path) -> None:
    router = WordsRouter(str(weights(tmp_path / "r", link="softmax")))
    found = await rate(router, "pens")
    assert found == pytest.approx({"weak": 1 / (1 + np.exp(9)), "strong": 1 / (1 + np.exp(-9))})


async def test_words_of_another_script_are_not_looked_at(tmp_path: Path) -> None:
    router = WordsRouter(str(weights(tmp_path / "r", "笔")))
    assert await rate(router, "笔") == {"weak": 0.5, "strong": 0.5}


@pytest.mark.parametrize("question", ["", "   ", "?", "二加三等于几？", "\ud800", "a" * 100_000])
async def test_the_shipped_weights_rate_any_question(question: str) -> None:
    found = await rate(WordsRouter(), question)
    assert set(found) == set(PARADIGMS)
    assert sum(found.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("question", "paradigm"),
    [
        ("A box holds 12 eggs. How many eggs are in 7 boxes, if 5 are broken?", "chunked_symbolism"),
        ("Could Aristotle have used a telephone?", "conceptual_chaining"),
        ("Which enzyme joins DNA fragments during replication of a cell?", "expert_lexicons"),
        ("3盒每盒12支，一共多少支笔？", "chunked_symbolism"),
    ],
)
async def test_the_shipped_weights_tell_the_paradigms_apart(question: str, paradigm: str) -> None:
    found = await rate(WordsRouter(), question)
    assert max(found, key=found.__getitem__) == paradigm


def test_the_shipped_card_says_how_it_was_trained() -> None:
    card = tomllib.loads((SHIPPED / "paradigm" / TOML).read_text("utf-8"))
    assert (card["router"], card["format"], card["link"]) == ("words", 1, "softmax")
    assert card["questions"] > 4000


async def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    import shutil

    router = WordsRouter(str(weights(tmp_path / "r")))
    assert (await rate(router, "trees"))["strong"] == 0.5
    shutil.rmtree(tmp_path / "r")
    weights(tmp_path / "r", "trees")
    assert (await rate(router, "trees"))["strong"] > 0.99


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format = 2, and this ponder reads format 1; train the router again"),
        ({"router": "factorisation"}, "router = 'factorisation' where words was asked for"),
        ({"link": "probit"}, "link = 'probit' must be one of softmax, sigmoid"),
        ({"choices": ["weak"]}, "must be at least two names"),
        ({"choices": ["a", "b", "c"]}, r"'weight' is of shape \(2, 4096\) and not 3x4096"),
    ],
)
async def test_a_file_of_another_kind_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    folder = weights(tmp_path / "r")
    card = tomllib.loads((folder / TOML).read_text("utf-8"))
    (folder / TOML).write_text(tomli_w.dumps({**card, **change}), "utf-8")
    with pytest.raises(DataError, match=said):
        await rate(WordsRouter(str(folder)), "pens")


@pytest.mark.parametrize("name", [TOML, TENSORS])
async def test_a_broken_or_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = weights(tmp_path / "r")
    (folder / name).write_bytes(b"\xff\xfe broken")
    with pytest.raises(DataError, match=name):
        await rate(WordsRouter(str(folder)), "pens")
    (folder / name).unlink()
    with pytest.raises(DataError, match=name):
        await rate(WordsRouter(str(folder)), "pens")


async def test_a_folder_that_is_not_there_is_named() -> None:
    for name in ("nowhere", "", "."):
        with pytest.raises(DataError, match=r"there is no .*router\.toml"):
            await rate(WordsRouter(name), "pens")

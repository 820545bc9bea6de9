"""The rehearsal: what could never answer is refused with its place and its file, and what may fail is not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scorer_cases import scorer_of
from support.bert import tiny_bert
from support.routed import trained

from ponder.core.engine import Cap
from ponder.core.errors import DataError, OptionError
from ponder.core.judge import Router
from ponder.core.method import Method
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.methods.route.auto import Auto
from ponder.methods.route.cascade import Cascade
from ponder.methods.route.confident_or_seek_stronger import ConfidentOrSeekStronger
from ponder.methods.route.routellm import RouteLLM
from ponder.methods.route.sketch_of_thought import SketchOfThought
from ponder.methods.route.thinking_route import ThinkingRoute
from ponder.methods.vote.sample import Sample
from ponder.methods.vote.self_consistency import SelfConsistency
from ponder.routers.causal import CausalClassifier
from ponder.routers.constant import ConstantRouter
from ponder.routers.ranking import Ranking
from ponder.routers.state import TOML
from ponder.routers.words import WordsRouter
from ponder.scorers.probe import Probe
from ponder.serve.rehearse import rehearse
from ponder.steer.calibration import Calibration, save
from ponder.train.routers.table import Table

NOWHERE = WordsRouter("nowhere")


@dataclass(frozen=True)
class Says:
    """A router that dies of what it is told."""

    error: Exception

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        return {}

    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        raise self.error


@pytest.mark.parametrize(
    ("method", "place"),
    [
        (ThinkingRoute(NOWHERE), "router"),
        (RouteLLM(NOWHERE), "router"),
        (RouteLLM(weak=SketchOfThought(router=NOWHERE)), "weak.router"),
        (SelfConsistency(3, ThinkingRoute(NOWHERE)), "inner.router"),
        (Cascade((Sample(), SelfConsistency(2, ThinkingRoute(NOWHERE)))), "rungs[1].inner.router"),
    ],
)
async def test_a_router_file_that_is_missing_is_told_with_its_place(method: Method, place: str) -> None:
    said = re.escape(f"[model.m] {place}: there is no ") + ".*nowhere/router.toml; path takes the folder"
    with pytest.raises(DataError, match=said):
        await rehearse(method, "[model.m]")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("format = 1", "format = 2", "router.toml: format = 2, and this ponder reads format 1"),
        ('router = "ranking"', 'router = "encoder"', "router = 'encoder' where ranking was asked for"),
        ("sha256 =", "sha255 =", "is not the file that router.toml was written with"),
        ('features = "words"', 'features = "smells"', "features = 'smells' must be words or encoder"),
    ],
)
async def test_a_router_file_that_is_no_use_is_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = routed(tmp_path)
    card = (path / TOML).read_text()
    assert old in card
    (path / TOML).write_text(card.replace(old, new))
    with pytest.raises(DataError, match=rf"^\[model\.m\] router: .*{said}"):
        await rehearse(RouteLLM(Ranking(str(path))), "[model.m]")


def routed(folder: Path) -> Path:
    table = Table(("weak", "strong"), ("one", "two", "three"), success=np.array([[0, 1], [1, 1], [0, 0]], float))
    return Path(trained("ranking", table, folder / "r"))


async def test_an_encoder_that_the_router_was_not_trained_with_is_told(tmp_path: Path) -> None:
    path = routed(tmp_path)
    card = (
        (path / TOML).read_text().replace('features = "words"', f'features = "encoder"\nencoder_sha256 = "{"0" * 64}"')
    )
    (path / TOML).write_text(card)
    router = Ranking(str(path), str(tiny_bert(tmp_path / "bert")))
    with pytest.raises(DataError, match=r"\[model\.m\] router: .*is not the encoder that"):
        await rehearse(RouteLLM(router), "[model.m]")


@pytest.mark.parametrize(
    "method",
    [ThinkingRoute(WordsRouter()), RouteLLM(ConstantRouter(("a", "b"))), SketchOfThought(router=ConstantRouter())],
)
async def test_choices_that_a_router_does_not_rate_are_told(method: Method) -> None:
    with pytest.raises(OptionError, match=r"^\[model\.m\] router: the router \w+ rates .*, and not '"):
        await rehearse(method, "[model.m]")


async def test_a_calibration_that_is_no_use_is_told(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    method = SelfConsistency(2, ConfidentOrSeekStronger(calibration=str(path)))
    with pytest.raises(DataError, match=r"^\[model\.m\] inner: .*c\.toml cannot be read"):
        await rehearse(method, "[model.m]")
    save(path, Calibration((0.1, 0.2), (0, 1)))
    assert await rehearse(method, "[model.m]") is None


async def test_a_probe_that_is_no_use_is_told(tmp_path: Path) -> None:
    method = Cascade(scorers=(Probe(str(tmp_path / "p")),))
    with pytest.raises(DataError, match=r"^\[model\.m\] scorers\[0\]: there is no .*p/probe\.toml"):
        await rehearse(method, "[model.m]")
    assert await rehearse(Cascade(scorers=(scorer_of("probe", tmp_path),)), "[model.m]") is None


@pytest.mark.parametrize("router", [Says(RuntimeError("out of luck")), CausalClassifier(), ConstantRouter()])
async def test_what_may_fail_or_asks_a_model_is_let_pass(router: Router) -> None:
    assert await rehearse(RouteLLM(router), "[model.m]") is None


@pytest.mark.parametrize("method", [Sample(), Auto(), SketchOfThought(), ConfidentOrSeekStronger()])
async def test_methods_without_files_of_a_user_pass(method: Method) -> None:
    assert await rehearse(method, "[model.m]") is None

"""The probe: its formula by hand, the state it reads, and what it cannot be used for."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from ponder.core.engine import Cap, Think
from ponder.core.errors import DataError, EngineError, Unsupported
from ponder.core.method import check
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.engines.echo import WIDTH, Echo
from ponder.methods.route.confident_or_seek_stronger import ConfidentOrSeekStronger
from ponder.methods.vote.best_of_n import BestOfN
from ponder.methods.vote.sample import Sample
from ponder.scorers.probe import Probe, last_state
from ponder.steer.draw import draw
from ponder.steer.score import scored
from ponder.text.answers import number
from ponder.train.probe import probe_of, save_probe

QUESTION = Problem.of("Between 12 and 99.")
ALL = frozenset(Cap)
ARRAYS = {
    "mean": np.array([1, 0], np.float32),
    "scale": np.array([2, 1], np.float32),
    "inner": np.array([[1, -1, 0], [0, 1, 2]], np.float32),
    "inner_bias": np.array([0, 0, 1], np.float32),
    "outer": np.array([1, 2, -1], np.float32),
    "outer_bias": np.array([0.5], np.float32),
}


def wide(first: float = 1.0) -> dict[str, np.ndarray]:
    """Weights for the scripted engine's states: the higher the first number, the likelier right."""
    arrays = {"mean": np.zeros(WIDTH), "scale": np.ones(WIDTH), "inner": np.eye(WIDTH) * first}
    arrays |= {"inner_bias": np.zeros(WIDTH), "outer": np.eye(WIDTH)[0], "outer_bias": np.zeros(1)}
    return {name: np.asarray(value, np.float32) for name, value in arrays.items()}


def saved(folder: Path, layer: int = -1) -> Probe:
    save_probe(folder, wide(), layer, {})
    return Probe(str(folder))


def block(*rows: list[list[float]]) -> memoryview:
    return memoryview(np.array(rows, np.float32))


def test_the_formula_by_hand() -> None:
    """(5, 2) is (2, 2) standardised; inside 2, 0 and 5; outside 2 + 0 - 5 + 0.5 = -2.5."""
    found = probe_of(ARRAYS).rate(np.array([[5, 2], [1, 0]], np.float32))
    assert found.tolist() == pytest.approx([1 / (1 + math.exp(2.5)), 1 / (1 + math.exp(0.5))])


def test_the_last_token_s_state_is_read() -> None:
    call = Call("answer", "m", (), 0, hidden=(block([[1, 2]], [[3, 4]]), block([[5, 6]])))
    state = last_state(call, -1)
    assert state is not None
    assert state.tolist() == [5, 6]
    deep = Call("answer", "m", (), 0, hidden=(block([[1, 2], [3, 4], [5, 6]]),))
    assert [list(last_state(deep, layer)) for layer in (0, 1, -1)] == [[1, 2], [3, 4], [5, 6]]  # type: ignore[arg-type]
    assert last_state(Call("answer", "m", (), 0), -1) is None


@pytest.mark.parametrize("layer", [0, 2, -1])
async def test_a_reply_is_scored_by_the_state_of_the_layer_that_was_trained_on(tmp_path: Path, layer: int) -> None:
    probe, run = saved(tmp_path / "p", layer), Run(Echo(caps=ALL), extract=number)
    assert probe.asks() == {"hidden": (layer,)}
    samples = [await draw(Sample(), QUESTION, run, i, n=2, asks=probe.asks()) for i in range(2)]
    before = run.trace.tokens
    scores = await probe.score(QUESTION, [sample.call for sample in samples], run)
    first = [float(np.asarray(sample.call.hidden[-1])[-1, 0, 0]) for sample in samples]
    assert [score.value for score in scores] == pytest.approx([1 / (1 + math.exp(-value)) for value in first])
    assert run.trace.tokens == before
    empty = await probe.score(QUESTION, [Call("answer", "m", (), 0)], run)
    assert empty[0].value == -math.inf


async def test_it_routes_in_a_cascade_and_chooses_among_samples(tmp_path: Path) -> None:
    probe = saved(tmp_path / "p")
    engines = {"main": Echo("so 1", think=Think(), caps=ALL), "strong": Echo("then 2", think=Think())}
    for threshold, answer in ((0.0, "so 1"), (1.0, "then 2")):
        plain = Sample(cot=False)
        method = ConfidentOrSeekStronger(plain, plain, "strong", probe, threshold)
        solution = await method.solve(QUESTION, Run(engines, extract=number))
        assert solution.answer == answer
        assert 0.5 < float(solution.evidence["score"]) < 1
    best = await BestOfN(3, scorer=probe).solve(QUESTION, Run(Echo(caps=ALL), extract=number))
    assert "score" in best.evidence


async def test_a_reply_of_several_calls_keeps_its_last_state(tmp_path: Path) -> None:
    from ponder.methods.stop.budget_forcing import BudgetForcing

    probe, run = saved(tmp_path / "p"), Run(Echo(caps=ALL), extract=number)
    sample = await draw(BudgetForcing(cap=3), QUESTION, run, 0, n=1, asks=probe.asks())
    (score,) = await probe.score(QUESTION, [sample.call], run)
    assert len(run.trace.calls) > 1
    assert 0 < score.value < 1


def test_an_engine_without_states_is_refused_before_the_first_token(tmp_path: Path) -> None:
    method = BestOfN(scorer=saved(tmp_path / "p"))
    with pytest.raises(Unsupported, match="HIDDEN"):
        check(method, {"main": Echo()})


async def test_replies_that_came_without_states_are_an_error(tmp_path: Path) -> None:
    run = Run(Echo(caps=ALL), extract=number)
    sample = await draw(Sample(), QUESTION, run, 0, n=1)
    with pytest.raises(EngineError, match="came without hidden states, which Probe scores by"):
        await scored(saved(tmp_path / "p"), QUESTION, [sample], run, "value")


async def test_files_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    for use in (Probe(str(tmp_path / "none")).asks, Probe(str(tmp_path / "none")).read_files):
        with pytest.raises(DataError, match=r"no .*probe\.toml; path takes the folder that `ponder train probe`"):
            use()
    other = saved(tmp_path / "old")
    card = tmp_path / "old" / "probe.toml"
    card.write_text(card.read_text().replace("format = 1", "format = 3"))
    with pytest.raises(DataError, match=r"format = 3, and this ponder reads format 1; train the probe again"):
        other.read_files()


async def test_states_of_another_model_are_told(tmp_path: Path) -> None:
    save_probe(tmp_path / "p", ARRAYS, -1, {})
    call = Call("answer", "mine", (), 0, hidden=(block([[1, 2, 3]]),))
    with pytest.raises(DataError, match=r"states of 2 numbers, those of mine have 3; train one on this model"):
        await Probe(str(tmp_path / "p")).score(QUESTION, [call], Run(Echo()))


async def test_a_probe_that_breaks_later_leaves_the_old_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    probe = saved(tmp_path / "p", 1)
    assert probe.asks() == {"hidden": (1,)}
    (tmp_path / "p" / "probe.toml").write_text("no TOML at all")
    assert probe.asks() == {"hidden": (1,)}
    assert "is not taken" in caplog.text

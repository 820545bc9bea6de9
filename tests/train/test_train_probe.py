"""Training a probe: slopes against differences, what can be learnt and what cannot, and the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ponder.core.errors import DataError
from ponder.scorers.probe import PROBES
from ponder.steer.calibration import auc
from ponder.train import probe
from ponder.train.probe import Settings, fit, folds, out_of_fold, probe_of, save_probe

WIDTH, ROWS = 6, 200
QUICK = Settings(epochs=20, rate=5e-3, hidden=8)


def states(seed: int = 0, rows: int = ROWS) -> np.ndarray:
    """States on scales of their own; the last number never changes."""
    found = np.random.default_rng(seed).normal(3, 1, (rows, WIDTH)) * [1, 10, 0.1, 1, 1, 0] + [0, 0, 0, 0, 0, 7]
    return found.astype(np.float32)


def bent(found: np.ndarray) -> list[int]:
    """Right where the first two numbers are both high or both low, which no straight line tells."""
    return ((found[:, 0] > 3) == (found[:, 1] > 30)).astype(int).tolist()


def test_slopes_are_those_of_the_cross_entropy() -> None:
    dice = np.random.default_rng(1)
    point = [dice.normal(size=shape) for shape in ((WIDTH, 3), (3,), (3,), (1,))]
    seen, truth = dice.normal(size=(7, WIDTH)), dice.integers(0, 2, 7).astype(float)

    def loss() -> float:
        chance = 1 / (1 + np.exp(-(np.maximum(seen @ point[0] + point[1], 0) @ point[2] + point[3])))
        return float(-np.mean(truth * np.log(chance) + (1 - truth) * np.log(1 - chance)))

    for part, slope in zip(point, probe._slopes(point, seen, truth), strict=True):
        for place in np.ndindex(part.shape):
            part[place] += 1e-6
            up = loss()
            part[place] -= 2e-6
            slanted = (up - loss()) / 2e-6
            part[place] += 1e-6
            assert slope[place] == pytest.approx(slanted, abs=1e-5)


def test_what_no_straight_line_tells_is_learnt() -> None:
    arrays = fit(states(), bent(states()), QUICK)
    fresh = states(9)
    assert auc(probe_of(arrays).rate(fresh).tolist(), bent(fresh)) > 0.85
    assert arrays["scale"][-1] == 1
    assert all(value.dtype == np.float32 for value in arrays.values())


def test_equal_seeds_give_equal_weights() -> None:
    first, again = (fit(states(), bent(states()), QUICK) for _ in range(2))
    assert all((first[name] == again[name]).all() for name in first)


def test_out_of_fold_nothing_is_seen_of_noise() -> None:
    noise = np.random.default_rng(5).integers(0, 2, ROWS).tolist()
    groups = folds(ROWS, 0)
    assert sorted(set(groups)) == ["0", "1", "2", "3", "4"]
    assert max(map(groups.count, "01234")) - min(map(groups.count, "01234")) <= 1
    assert auc(probe_of(fit(states(), noise, QUICK)).rate(states()).tolist(), noise) > 0.6
    assert abs(auc(out_of_fold(states(), noise, groups, QUICK), noise) - 0.5) < 0.12
    assert auc(out_of_fold(states(), bent(states()), groups, QUICK), bent(states())) > 0.8


def test_a_fold_whose_others_are_all_right_says_nothing() -> None:
    found = out_of_fold(states(rows=4), [1, 1, 1, 0], ["a", "a", "a", "b"], QUICK)
    assert found[3] == 0.5


@pytest.mark.parametrize(("right", "which"), [([1] * 4, "right"), ([0] * 4, "wrong")])
def test_one_class_alone_is_refused(right: list[int], which: str) -> None:
    with pytest.raises(DataError, match=f"all 4 replies are {which}: there is nothing to learn"):
        fit(states(rows=4), right, QUICK)


def test_a_probe_is_read_as_it_was_fitted(tmp_path: Path) -> None:
    arrays = fit(states(), bent(states()), QUICK)
    save_probe(tmp_path / "p", arrays, 3, {"model": "m"})
    found = PROBES.read(tmp_path / "p")
    assert (found.layer, found.width, found.state.text("model")) == (3, WIDTH, "m")
    assert found.rate(states()).tolist() == probe_of(arrays).rate(states()).tolist()
    with pytest.raises(DataError, match="not an empty folder"):
        save_probe(tmp_path / "p", arrays, 3, {})

"""Trained folders of any kind: what routers and probes share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ponder.core.errors import DataError
from ponder.weights.state import load_state, save_state

ARRAYS = {"w": np.array([1.0, 2.0], np.float32)}


def test_the_name_of_the_files_is_the_key_of_the_kind(tmp_path: Path) -> None:
    save_state(tmp_path / "p", "probe", {"probe": "perceptron", "layer": 3}, ARRAYS)
    assert sorted(file.name for file in (tmp_path / "p").iterdir()) == ["probe.safetensors", "probe.toml"]
    found = load_state(tmp_path / "p", "probe", "perceptron")
    assert (found.choices, found.number("layer", 0), found.array("w", 2).tolist()) == ((), 3.0, [1.0, 2.0])
    assert found.toml == tmp_path / "p" / "probe.toml"
    assert found.tensors == tmp_path / "p" / "probe.safetensors"


def test_errors_say_what_to_train(tmp_path: Path) -> None:
    save_state(tmp_path / "p", "probe", {"probe": "perceptron"}, ARRAYS)
    with pytest.raises(DataError, match="probe = 'perceptron' where other was asked for"):
        load_state(tmp_path / "p", "probe", "other")
    with pytest.raises(DataError, match=r"no .*router\.toml; path takes the folder that `ponder train router`"):
        load_state(tmp_path / "p", "router", "ranking")
    with pytest.raises(DataError, match="lacks 'v'; train the probe again"):
        load_state(tmp_path / "p", "probe", "perceptron").array("v", None)

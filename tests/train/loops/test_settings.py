"""Settings say at once which field is out of range."""

from __future__ import annotations

from typing import Any

import pytest

from ponder.core.errors import OptionError
from ponder.train.loops.settings import SFT


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", -1), ("lora", -1), ("save_every", -1), ("eval_every", -2), ("epochs", 0), ("batch", 0),
        ("learning_rate", 0.0), ("alpha", 0.0), ("max_grad_norm", 0.0), ("warmup", 1.0), ("weight_decay", -0.1),
        ("beta2", 1.0), ("max_length", 1), ("dtype", "float16"), ("schedule", "steep"), ("scheduler", "step"),
        ("save_dtype", "int8"),
    ],
)  # fmt: skip
def test_a_field_out_of_range(field: str, value: object) -> None:
    changed: dict[str, Any] = {field: value}
    with pytest.raises(OptionError, match=f"SFT: {field} = "):
        SFT(**changed)


def test_lengths_fall() -> None:
    assert SFT(schedule="progressive", lengths=(400, 200)).lengths == (400, 200)
    for lengths in ((200, 400), (200, 200), (100, 0)):
        with pytest.raises(OptionError, match="must fall from stage to stage"):
            SFT(schedule="progressive", lengths=lengths)
    with pytest.raises(OptionError, match="set schedule = progressive"):
        SFT(lengths=(400, 200))


def test_settings_are_a_value() -> None:
    assert SFT(seed=1) == SFT(seed=1)
    assert len({SFT(), SFT(), SFT(seed=1)}) == 2

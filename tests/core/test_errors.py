from __future__ import annotations

import pytest

from ponder.core.errors import (
    DataError,
    EngineError,
    OptionError,
    PonderError,
    TapeMiss,
    Unsupported,
    nearest,
    require,
)


def test_one_base_class_catches_them_all() -> None:
    assert all(issubclass(kind, PonderError) for kind in (OptionError, Unsupported, EngineError, TapeMiss, DataError))
    assert issubclass(TapeMiss, EngineError)


def test_an_engine_error_says_whether_another_try_may_help() -> None:
    error = EngineError("the server is busy", status=429, retry=True, retry_after=2.5)
    assert (str(error), error.status, error.retry, error.retry_after) == ("the server is busy", 429, True, 2.5)
    assert EngineError("gone").retry is False


def test_nearest_suggests_only_what_is_close() -> None:
    assert nearest("chain_of_daft", ["sample", "chain_of_draft"]) == "; did you mean 'chain_of_draft'?"
    assert nearest("zzz", ["sample"]) == ""
    assert nearest("x", []) == ""


class Box:
    pass


def test_require_names_owner_field_value_and_range() -> None:
    require(True, Box(), "n", 1, "at least 1")
    with pytest.raises(OptionError, match="Box: n = 0 is out of range; it must be at least 1"):
        require(False, Box(), "n", 0, "at least 1")

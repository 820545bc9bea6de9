"""Libraries are silent inside, and as loud as before outside; errors come through."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

pytest.importorskip("transformers")
pytestmark = pytest.mark.torch

from transformers.utils import logging  # noqa: E402

from ponder.train.loops.quiet import quiet  # noqa: E402


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    yield
    logging.set_verbosity(level)
    (logging.enable_progress_bar if shown else logging.disable_progress_bar)()


def test_nothing_is_said_inside(capfd: pytest.CaptureFixture[str]) -> None:
    logging.set_verbosity_info()
    logging.enable_progress_bar()
    with quiet():
        logging.get_logger("transformers.trainer").warning("beware")
        warnings.warn("beware", FutureWarning, stacklevel=1)
        list(logging.tqdm(range(3)))
    assert capfd.readouterr() == ("", "")
    with pytest.warns(FutureWarning, match="again"):
        warnings.warn("again", FutureWarning, stacklevel=1)


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("level", [logging.INFO, logging.ERROR])
def test_everything_is_as_before_even_after_an_error(shown: bool, level: int) -> None:
    logging.set_verbosity(level)
    (logging.enable_progress_bar if shown else logging.disable_progress_bar)()
    inside: list[object] = []

    def fail() -> None:
        with quiet():
            inside.extend((logging.get_verbosity(), logging.is_progress_bar_enabled()))
            raise ValueError("through")

    with pytest.raises(ValueError, match="through"):
        fail()
    assert inside == [logging.ERROR, False]
    assert logging.get_verbosity() == level
    assert logging.is_progress_bar_enabled() == shown


def test_one_inside_another_ends_with_the_outer_one() -> None:
    logging.enable_progress_bar()
    with quiet():
        with quiet():
            pass
        assert not logging.is_progress_bar_enabled()
        assert logging.get_verbosity() == logging.ERROR
    assert logging.is_progress_bar_enabled()

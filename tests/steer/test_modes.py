from __future__ import annotations

import pytest

from ponder.core.errors import OptionError
from ponder.core.problem import Thinking
from ponder.steer.ask import Wish
from ponder.steer.modes import check_modes, wish_for


@pytest.mark.parametrize(
    ("mode", "wish"),
    [
        ("off", Wish(Thinking.off())),
        ("on", Wish(Thinking.on())),
        ("512", Wish(Thinking.budget(512), 512)),
        ("none", Wish(Thinking.off(), 0)),
        ("low", Wish(Thinking.effort("low"), 1024)),
        ("max", Wish(Thinking.effort("max"), None)),
    ],
)
def test_a_word_is_a_wish(mode: str, wish: Wish) -> None:
    check_modes(object(), (mode,), 1)
    assert wish_for(mode) == wish


@pytest.mark.parametrize("mode", ["", "fast", "-1", "0", "00", "1.5", "٣", "OFF"])
def test_other_words_are_refused(mode: str) -> None:
    with pytest.raises(
        OptionError, match=r"modes = .* off, on, a number of tokens above 0, or one of none, minimal, low"
    ):
        check_modes(object(), (mode,), 1)


def test_there_is_one_for_each_choice() -> None:
    with pytest.raises(OptionError, match="3 of them, one for each choice"):
        check_modes(object(), ("off", "on"), 3)

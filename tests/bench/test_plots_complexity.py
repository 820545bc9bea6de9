from __future__ import annotations

import pytest
from support.complexities import arms, worked_out

from ponder.bench.complexity import token_complexity
from ponder.bench.plots import Plot
from ponder.bench.plots_complexity import complexity_plot


@pytest.fixture(scope="module")
def plot() -> Plot:
    return complexity_plot(token_complexity(worked_out()))


def test_every_method_is_named_and_the_words_say_how_far_it_is(plot: Plot) -> None:
    for label in ("short", "middle", "long", "best accuracy at these tokens"):
        assert f">{label}<" in plot.svg
    assert "middle: 50 tokens, 50.0 % of at most 75.0 %" in plot.alt
    assert plot.alt in plot.svg
    assert (plot.name, plot.png[:4]) == ("token-complexity", b"\x89PNG")


def test_the_picture_is_the_same_each_time(plot: Plot) -> None:
    assert complexity_plot(token_complexity(worked_out())) == plot


def test_the_axis_is_logarithmic_where_methods_are_far_apart(plot: Plot) -> None:
    assert "(logarithmic)" in plot.svg
    near = token_complexity(arms(one={"a": [(50, True)]}, two={"a": [(70, True)]}))
    assert "(logarithmic)" not in complexity_plot(near).svg


def test_a_task_that_nothing_solves_has_a_picture(plot: Plot) -> None:
    nothing = token_complexity(arms(one={"a": [(0, False)]}, two={"a": [(0, False)]}))
    assert "one: 0 tokens, 0.0 % of at most 0.0 %" in complexity_plot(nothing).alt

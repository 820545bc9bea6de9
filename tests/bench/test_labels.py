from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from ponder.bench import labels
from ponder.bench.labels import Box
from ponder.bench.metrics import Point

INSIDE = Box(0, 0, 1000, 700)


def test_overlap() -> None:
    box = Box(0, 0, 10, 4)
    assert box.area == 40
    assert box.overlap(Box(5, 2, 20, 20)) == 10
    assert box.overlap(Box(10, 0, 20, 4)) == 0
    assert box.overlap(box) == 40


def test_a_lone_name_stands_close_and_inside() -> None:
    found = labels.choose(500, 300, 80, 14, 1.0, INSIDE, [Box(495, 295, 505, 305)], [])
    assert found.radius < 12
    assert found.box.overlap(INSIDE) == found.box.area
    assert found.box.overlap(Box(495, 295, 505, 305)) == 0


def test_a_name_at_the_edge_turns_inward() -> None:
    for x, y in ((2, 2), (998, 2), (998, 698), (2, 698)):
        found = labels.choose(x, y, 80, 14, 1.0, INSIDE, [], [])
        assert found.box.overlap(INSIDE) >= 0.999 * found.box.area


def test_a_name_avoids_a_line() -> None:
    wall = [Box(500, i * 10.0, 503, i * 10.0 + 10) for i in range(70)]
    for x in (470, 530):
        found = labels.choose(x, 300, 80, 14, 1.0, INSIDE, wall, [])
        assert all(found.box.overlap(piece) == 0 for piece in wall)


@given(st.lists(st.tuples(st.integers(100, 900), st.integers(100, 600)), min_size=1, max_size=8, unique=True))
def test_names_do_not_cover_each_other(places: list[tuple[int, int]]) -> None:
    taken: list[Box] = []
    for x, y in places:
        taken.append(labels.choose(x, y, 60, 12, 1.0, INSIDE, [], taken).box)
    for i, box in enumerate(taken):
        assert sum(box.overlap(other) for other in taken[:i]) < 0.05 * box.area


def test_names_in_a_figure_avoid_each_other_and_the_points() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4))
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    points = [Point(100 + 3 * i, 0.5 + 0.01 * math.sin(i)) for i in range(7)]
    axes.plot([p.tokens for p in points], [p.accuracy for p in points], "o")
    labels.place(figure, axes, points, [(f"method {i}", "#000000") for i in range(7)])
    canvas.draw()
    boxes = [Box(*text.get_window_extent().extents) for text in axes.texts]
    assert len(boxes) == 7
    for i, box in enumerate(boxes):
        assert all(box.overlap(other) < 0.1 * box.area for other in boxes[:i])

from __future__ import annotations

import io
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from ponder.bench import plots
from ponder.bench.plots import Lengths, Plot
from ponder.bench.summary import Arm, Attempt, Row, summarize

SVG = "{http://www.w3.org/2000/svg}"
KINDS = {
    "sample": (0.6, 300),
    "concise_cot": (0.55, 180),
    "chain_of_draft": (0.4, 80),
    "no_thinking": (0.2, 30),
    "probing": (0.55, 200),
}


def arms(n: int = 40, task: str = "toy", names: tuple[str, ...] = tuple(KINDS)) -> dict[str, Arm]:
    rng = random.Random(0)
    made: dict[str, Arm] = {}
    for name in names:
        accuracy, tokens = KINDS[name]
        arm = made[name] = Arm(name, {}, "tiny", task)
        for i in range(n):
            spent = int(tokens * rng.uniform(0.6, 1.5))
            correct = rng.random() < accuracy
            roles = {"think": spent - 20, "answer": 10, "probe": 10} if name == "probing" else {"answer": spent}
            cut = not correct and rng.random() < 0.2
            arm.add(Attempt(f"{task}/{i}", 0, correct, spent, roles, 50, 0, cut, spent / 50, 0.1, True))
    return made


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return summarize(arms(), "sample")


@pytest.fixture(scope="module")
def pictures(rows: list[Row]) -> dict[str, Plot]:
    drawn = plots.tradeoff(rows)
    assert drawn is not None
    whole = [
        drawn,
        plots.roles(rows),
        plots.lengths([Lengths.of(k, a) for k, a in arms().items()]),
        plots.truncation(rows),
    ]
    return {plot.name: plot for plot in whole}


def texts(plot: Plot) -> list[str]:
    return ["".join(node.itertext()).strip() for node in ET.fromstring(plot.svg).iter(f"{SVG}text")]


def test_each_picture_is_svg_and_png(pictures: dict[str, Plot]) -> None:
    assert set(pictures) == {"accuracy-tokens", "tokens-by-role", "lengths", "truncation"}
    for plot in pictures.values():
        root = ET.fromstring(plot.svg)
        assert root.tag == f"{SVG}svg"
        assert root.get("viewBox")
        assert root.get("width") is None
        assert root.get("role") == "img"
        assert (root.get("aria-label") or "").startswith(plot.title)
        assert plot.png.startswith(b"\x89PNG\r\n")
        assert len(plot.svg) < 300_000


def test_every_method_is_named_in_every_picture(pictures: dict[str, Plot]) -> None:
    for plot in pictures.values():
        assert set(KINDS) <= set(texts(plot)), plot.name
        assert all(f"{name}: " in plot.alt for name in KINDS)


def test_the_tradeoff_shows_frontier_and_mixture(pictures: dict[str, Plot]) -> None:
    shown = texts(pictures["accuracy-tokens"])
    assert "frontier" in shown
    assert "sample and no_thinking mixed by chance" in shown
    assert "generated tokens a question" in shown


def test_without_the_constants_there_is_no_mixture_line() -> None:
    drawn = plots.tradeoff(summarize(arms(names=("sample", "concise_cot")), "sample"))
    assert drawn is not None
    assert not any("mixed by chance" in text for text in texts(drawn))


def test_lengths_far_apart_get_a_logarithmic_axis(rows: list[Row]) -> None:
    far = [*rows[:-1], replace(rows[-1], tokens=9000.0, tokens_interval=plots.stats.Interval(8000.0, 9900.0))]
    drawn = plots.tradeoff(far)
    assert drawn is not None
    assert "generated tokens a question (logarithmic)" in texts(drawn)
    assert "5,000" in texts(drawn)


def test_no_accuracy_no_tradeoff(rows: list[Row]) -> None:
    assert plots.tradeoff([replace(row, accuracy=None, accuracy_interval=None) for row in rows]) is None


def test_roles_names_only_what_was_used_and_marks_estimates(rows: list[Row]) -> None:
    shown = texts(plots.roles([replace(rows[0], exact=False), *rows[1:]]))
    assert {"think", "answer", "probe"} <= set(shown)
    assert "draft" not in shown
    assert f"≈ {rows[0].tokens:,.0f}" in shown
    assert f"{rows[1].tokens:,.0f}" in shown


def test_truncation_counts_attempts(rows: list[Row], pictures: dict[str, Plot]) -> None:
    assert any(row.truncated for row in rows)
    for row in rows:
        assert f"{row.truncated} of 40" in texts(pictures["truncation"])


def test_cut_answers_are_hatched_and_unknown_ones_drawn() -> None:
    tokens = np.array([10.0, 20, 30, 512, 512, 0])
    correct = np.array([1.0, 0, np.nan, 0, 1, np.nan])
    cut = np.array([False, False, False, True, True, False])
    drawn = plots.lengths([Lengths("one", tokens, correct, cut), Lengths("none", tokens[:0], correct[:0], cut[:0])])
    assert "<pattern" in drawn.svg
    assert plots.UNKNOWN in drawn.svg
    assert drawn.alt == "one: right median 261, wrong median 266, 2 cut; none: 0 cut"
    plain = plots.lengths([Lengths("one", tokens, correct, np.zeros(6, dtype=bool))])
    assert plain.svg.count("<pattern") < drawn.svg.count("<pattern")


def test_pictures_are_the_same_each_time(rows: list[Row], pictures: dict[str, Plot]) -> None:
    again = plots.tradeoff(rows)
    assert again is not None
    assert again.svg == pictures["accuracy-tokens"].svg
    assert again.png == pictures["accuracy-tokens"].png


def test_ids_of_two_pictures_differ(pictures: dict[str, Plot]) -> None:
    seen: set[str] = set()
    for plot in pictures.values():
        own = set(re.findall(r' id="([^"]+)"', plot.svg))
        assert not own & seen
        seen |= own
        used = set(re.findall(r"url\(#([^)]+)\)", plot.svg)) | set(re.findall(r'href="#([^"]+)"', plot.svg))
        assert used <= own


def test_themed_pictures_take_the_colours_of_their_page(pictures: dict[str, Plot]) -> None:
    themed = plots.themed(pictures["accuracy-tokens"].svg, "toy")
    assert f"var(--ink, {plots.INK})" in themed
    assert f"var(--muted, {plots.MUTED})" in themed
    ids = {node.get("id") for node in ET.fromstring(themed).iter() if node.get("id")}
    assert ids
    assert all(i and i.startswith("toy-accuracy-tokens-") for i in ids)
    assert set(re.findall(r"url\(#([^)]+)\)", themed)) <= ids


def test_names_are_text_and_safe(rows: list[Row]) -> None:
    odd = [replace(row, label=f"<b>{row.label}&\"'") for row in rows[1:3]] + [replace(rows[0], label="短思考")]
    for plot in (plots.tradeoff(odd), plots.roles(odd), plots.truncation(odd)):
        assert plot is not None
        assert "<b>" not in plot.svg
        assert "短思考" in texts(plot)


def test_models_side_by_side_are_named(rows: list[Row]) -> None:
    drawn = plots.roles([rows[0], replace(rows[0], model="large")])
    assert {"sample · tiny", "sample · large"} <= set(texts(drawn))


def test_one_method_and_many_methods(rows: list[Row]) -> None:
    assert plots.tradeoff(rows[:1]) is not None
    many = [replace(rows[i % 5], label=f"method {i}") for i in range(11)]
    drawn = plots.tradeoff(many)
    assert drawn is not None
    assert {row.label for row in many} <= set(texts(drawn))


def test_png_has_the_size_for_a_page(pictures: dict[str, Plot]) -> None:
    from matplotlib.image import imread

    height, width = imread(io.BytesIO(pictures["accuracy-tokens"].png)).shape[:2]
    assert width == pytest.approx(1184, abs=2)
    assert height == pytest.approx(736, abs=2)


def test_no_global_state_is_left() -> None:
    code = (
        "import numpy, matplotlib, matplotlib.pyplot\n"
        "from ponder.bench import plots\n"
        "before = dict(matplotlib.rcParams)\n"
        "one = numpy.array([5.0, 9.0])\n"
        "plots.lengths([plots.Lengths('m', one, one * 0, one > 7)])\n"
        "print(matplotlib.pyplot.get_fignums(), before == dict(matplotlib.rcParams))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "True"]


def test_without_matplotlib_one_sentence_names_the_remedy() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from ponder.bench import plots\n"
        "try:\n    plots.roles([])\nexcept plots.PlotsMissing as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "plots need matplotlib, which is not installed; pip install 'ponder[plots]'"

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ponder.bench import report
from ponder.bench.plots import Lengths
from ponder.bench.prices import Price
from ponder.bench.report import ReportData, build_report
from ponder.bench.stats import Interval
from ponder.bench.summary import Arm, Attempt, Row, summarize
from ponder.bench.traces import Segment, TraceView
from ponder.bench.trees import Twig
from ponder.core.errors import DataError

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\u2028 ' \" {{ 7 * 7 }} <!--"


def arms(task: str, n: int = 30) -> dict[str, Arm]:
    rng = random.Random(task)
    made: dict[str, Arm] = {}
    for name, accuracy, tokens in (("sample", 0.6, 300), ("concise_cot", 0.55, 150), ("no_thinking", 0.2, 30)):
        arm = made[name] = Arm(name, {}, "tiny", task)
        for i in range(n):
            spent = int(tokens * rng.uniform(0.6, 1.5))
            right = rng.random() < accuracy
            cut = not right and rng.random() < 0.3
            arm.add(Attempt(f"{task}/{i}", 0, right, spent, {"answer": spent}, 50, 0, cut, spent / 50, 0.1, True))
    return made


def trace(i: int = 0, **over: Any) -> TraceView:
    values: dict[str, Any] = {
        "task": "toy",
        "method": "sample",
        "seed": 0,
        "id": f"toy/{i}",
        "question": "What is 2 + 3?",
        "reference": "5",
        "extracted": "5",
        "correct": True,
        "tokens": 12,
        "exact": True,
        "finish": "stop",
        "truncated": False,
        "segments": (
            Segment("think", "two and three", 10),
            Segment("forced", "So:"),
            Segment("answer", "5", 2, "stop"),
        ),
        **over,
    }
    return TraceView(**values)


def data(tasks: tuple[str, ...] = ("toy",), **over: Any) -> ReportData:
    rows: list[Row] = []
    lengths: dict[str, list[Lengths]] = {}
    for task in tasks:
        made = arms(task)
        rows += summarize(made, "sample", price=Price(0.15, 0.6))
        lengths[task] = [Lengths.of(label, arm) for label, arm in made.items()]
    values: dict[str, Any] = {
        "model": "tiny",
        "rows": rows,
        "lengths": lengths,
        "traces": [trace()],
        "attempts": 90 * len(tasks),
        "settings": {"max_tokens": 512, "temperature": 0.0},
        "folder": "runs/toy",
        "version": "9.9",
        **over,
    }
    return ReportData(**values)


class Page(HTMLParser):
    """What a browser makes of the page: its tags, and the text outside scripts and pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, text: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += text
        elif not {"style", "svg"} & set(self.open):
            self.words.append(text)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_report(data(("toy", "gsm8k:level=2")), tmp_path_factory.mktemp("run"))


def test_page_and_plots_are_written_and_linked(built: Path) -> None:
    folder = built.parent
    names = [f"{task}-{name}" for task in ("toy", "gsm8k-level-2") for name in NAMES]
    assert {p.name for p in (folder / "plots").iterdir()} == {f"{n}.{kind}" for n in names for kind in ("svg", "png")}
    page = Page(built.read_text(encoding="utf-8"))
    links = {attrs["href"] for tag, attrs in page.tags if tag == "a"}
    assert {link for link in links if link and not link.startswith("#")} == {
        f"plots/{n}.{kind}" for n in names for kind in ("svg", "png")
    }
    assert all((folder / link).is_file() for link in links if link and not link.startswith("#"))
    anchors = {attrs.get("id") for _, attrs in page.tags}
    assert all(link[1:] in anchors for link in links if link and link.startswith("#"))
    assert not list(folder.glob("*.tmp"))


NAMES = ("accuracy-tokens", "lengths", "tokens-by-role", "truncation")


def test_the_page_needs_no_network(built: Path) -> None:
    text = built.read_text(encoding="utf-8")
    page = Page(text)
    for tag, attrs in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "img", "base"), tag
        assert not attrs.get("src")
        assert not any(name.startswith("on") for name in attrs)
        for name in ("href", "xlink:href"):
            assert not (attrs.get(name) or "").startswith(("http", "//", "javascript"))
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))


def test_the_policy_lets_only_our_script_run(built: Path) -> None:
    page = Page(built.read_text(encoding="utf-8"))
    policy = next(
        a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert "default-src 'none'" in policy
    digest = base64.b64encode(hashlib.sha256(page.scripts[-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert len(page.scripts) == 2


def test_rows_are_in_the_tables(built: Path) -> None:
    text = Page(built.read_text(encoding="utf-8")).text
    rows = data(("toy", "gsm8k:level=2")).rows
    for row in rows:
        assert report.percent(row.accuracy) in text
        assert report.span(row.accuracy_interval) in text
        assert report.number(row.tokens, 1) in text
        if row.label != row.baseline:
            assert report.percent(row.saving) in text
            assert report.span(row.saving_interval) in text
            assert report.span(row.accuracy_change_interval, signed=True) in text
            assert report.number(row.aes, 3) in text
        if row.mixture_interval is not None:
            assert report.span(row.mixture_interval, signed=True) in text
    assert "max_tokens 512" in text
    assert "Made by ponder 9.9" in text
    assert "Hypervolume of the frontier up to" in text


def traces_of(page: Path) -> list[dict[str, Any]]:
    script = Page(page.read_text(encoding="utf-8")).scripts[0]
    found: list[dict[str, Any]] = json.loads(script)
    return found


def test_what_models_write_stays_text(tmp_path: Path) -> None:
    evil = trace(
        question=EVIL,
        reference=EVIL,
        extracted=EVIL,
        id=EVIL,
        method=EVIL,
        segments=(Segment("think", EVIL, 3),),
        tree=(
            Twig(0, False, 0, "think", 3, 0.5, 0, "chosen", EVIL),
            Twig(1, True, 1, "think", 1, None, 0, "pruned", ""),
        ),
    )
    given = data(traces=[evil], model=EVIL, notes=[EVIL], settings={EVIL: EVIL}, folder=EVIL)
    rows = [
        replace(row, label=EVIL if row.label != "sample" else "sample", model=EVIL, options={EVIL: 1})
        for row in given.rows
    ]
    page = build_report(replace(given, rows=rows), tmp_path, draw=False)
    parsed = Page(page.read_text(encoding="utf-8"))
    assert len(parsed.scripts) == 2
    assert not any(tag == "img" or "onerror" in attrs for tag, attrs in parsed.tags)
    (found,) = traces_of(page)
    assert found["question"] == found["id"] == EVIL
    assert found["segments"] == [["think", EVIL, 3, ""]]
    assert found["tree"] == [["chosen", "● 3 tokens · 0.5 · chosen", EVIL], ["pruned", "├─× 1 token · pruned", ""]]
    assert "49" not in parsed.text.partition("Results")[0].replace("149", "")


def test_traces_keep_their_roles_and_forced_text(built: Path) -> None:
    (found,) = traces_of(built)
    assert found["segments"] == [
        ["think", "two and three", 10, ""],
        ["forced", "So:", None, ""],
        ["answer", "5", 2, "stop"],
    ]
    style = built.read_text(encoding="utf-8")
    for kind in ("think", "answer", "probe", "draft", "verify", "route", "forced"):
        assert f".{kind} {{ --role:" in style


def test_the_page_says_how_many_attempts_it_holds(built: Path, tmp_path: Path) -> None:
    text = Page(built.read_text(encoding="utf-8")).text
    assert "This page holds 1 of 180 attempts" in text
    assert "ponder show runs/toy QUESTION" in text
    whole = build_report(data(traces=[trace(i) for i in range(90)]), tmp_path, draw=False)
    assert "All 90 attempts." in Page(whole.read_text(encoding="utf-8")).text


def test_without_javascript_only_the_viewer_is_missing(built: Path) -> None:
    page = Page(built.read_text(encoding="utf-8"))
    assert any(attrs.get("id") == "viewer" and "hidden" in attrs for _, attrs in page.tags)
    assert "needs JavaScript" in page.text


def test_honest_lines(tmp_path: Path) -> None:
    given = data(weak=True, notes=["Stopped early: a limit."])
    rows = [replace(given.rows[0], unverifiable=3, exact=False), replace(given.rows[1], paired=27), given.rows[2]]
    text = Page(build_report(replace(given, rows=rows), tmp_path, draw=False).read_text(encoding="utf-8")).text
    assert "tiny is too weak for claims about accuracy" in text
    assert "Stopped early: a limit." in text
    assert "Attempts that cannot be judged: sample 3 of 30. They are counted apart, never as wrong." in text
    assert f"sample {rows[0].truncated} of 30" in text
    assert "concise_cot is compared with sample on the 27 of 30 questions" in text
    assert "≈ marks tokens that are estimated" in text
    assert f"≈ {rows[0].tokens:,.1f}" in text
    assert "30 questions are few" in text


def test_nothing_to_say_says_nothing() -> None:
    row = summarize(arms("toy"), "sample")[0]
    assert report.notices([replace(row, truncated=0)], data()) == []


def test_rows_without_accuracy_or_comparison(tmp_path: Path) -> None:
    made = Arm("sample", {}, "tiny", "mine")
    for i in range(5):
        made.add(Attempt(f"q{i}", 0, None, 100 + i, {"think": 100 + i}, 5, 0, False, 0.0, None, True))
    rows = summarize({"sample": made}, "sample")
    given = ReportData("tiny", rows, {"mine": [Lengths.of("sample", made)]}, attempts=5)
    page = build_report(given, tmp_path)
    text = Page(page.read_text(encoding="utf-8")).text
    assert "5 of 5" in text
    assert not (tmp_path / "plots" / "mine-accuracy-tokens.svg").exists()
    assert (tmp_path / "plots" / "mine-lengths.png").exists()


def test_other_models_stand_beside(tmp_path: Path) -> None:
    given = data()
    rows = [*given.rows, replace(given.rows[0], model="large")]
    text = Page(build_report(replace(given, rows=rows), tmp_path, draw=False).read_text(encoding="utf-8")).text
    assert "large" in text


def test_tasks_whose_names_look_alike_get_files_of_their_own(tmp_path: Path) -> None:
    page = Page(build_report(data(("a:b", "a b", "算术")), tmp_path, draw=False).read_text(encoding="utf-8"))
    found = [attrs["id"] for tag, attrs in page.tags if tag == "section"]
    assert found == ["a-b", "a-b-2", "task", "attempts"]
    assert not (tmp_path / "plots").exists()


def test_without_matplotlib_the_page_says_so(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "import test_report\n"
        "from ponder.bench.report import build_report\n"
        "build_report(test_report.data(), Path(sys.argv[1]))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)], check=True)
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "Plots need matplotlib, which is not installed; pip install 'ponder[plots]'" in text
    assert "Then `ponder report runs/toy` draws them." in text
    assert "Results" in text


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "report.tmp").mkdir()
    with pytest.raises(DataError, match=r"cannot be written to .*the results are kept"):
        build_report(data(), tmp_path, draw=False)
    assert not (tmp_path / "report.html").exists()


def test_a_page_is_the_same_each_time(tmp_path: Path) -> None:
    pages = [build_report(data(), tmp_path / name, draw=False).read_bytes() for name in "ab"]
    assert pages[0] == pages[1]


def test_figures_are_written_as_people_read_them() -> None:
    assert report.percent(0.123) == "12.3 %"
    assert report.percent(None) == "–"
    assert report.points_text(-0.05) == "−5.0"
    assert report.points_text(0.05) == "+5.0"
    assert report.points_text(-0.0001) == "0.0"
    assert report.span(Interval(-0.0512, 0.1)) == "[−5.1, 10.0]"
    assert report.span(Interval(1000, 2000.4), 1, 0) == "[1,000, 2,000]"
    assert report.span(None) == ""
    assert report.number(12345.6) == "12,346"
    assert [report.p_value(p) for p in (None, 0.0001, 0.0352, 0.5, 1.0)] == ["–", "< 0.001", "0.035", "0.50", "1.00"]
    assert [report.seconds(s) for s in (None, 1.234, 65.2)] == ["–", "1.23 s", "65 s"]


def test_verdicts_in_words() -> None:
    row = summarize(arms("toy"), "sample")[1]

    def judged(low: float, high: float, fine: bool) -> tuple[str, str]:
        return report.verdict(replace(row, accuracy_change_interval=Interval(low, high), non_inferior=fine))

    assert judged(0.01, 0.1, True) == ("good", "more accurate")
    assert judged(-0.04, 0.02, True) == ("good", "not worse by 5 points")
    assert judged(-0.2, 0.02, False)[0] == "open"
    assert judged(-0.2, -0.02, False) == ("bad", "less accurate")
    assert report.verdict(replace(row, accuracy_change_interval=None))[0] == "unknown"
    assert report.not_worse(replace(row, non_inferior=True)) == ("yes", None)
    lost = replace(row, non_inferior=False, accuracy_change_interval=Interval(-0.3, -0.06), questions_needed=9)
    assert report.not_worse(lost) == ("no", None)
    unsure = replace(lost, accuracy_change_interval=Interval(-0.3, 0.1))
    assert report.not_worse(unsure) == ("not shown", 9)


def test_headlines() -> None:
    row = summarize(arms("toy"), "sample")[1]
    assert report.headline(replace(row, saving=0.5)) == ("50.0 %", "fewer tokens than sample")
    assert report.headline(replace(row, saving=-0.25)) == ("25.0 %", "more tokens than sample")
    assert report.headline(replace(row, saving=-3.71)) == ("4.7 ×", "the tokens of sample")


def test_changes_share_one_axis() -> None:
    rows = summarize(arms("toy"), "sample")
    assert report.position(0, rows) == 50
    ends = [report.position(end, rows) for row in rows for end in row.accuracy_change_interval or ()]
    assert all(0 < end < 100 for end in ends)
    assert min(ends) == pytest.approx(1) or max(ends) == pytest.approx(99)


def test_prices_of_a_thousand_questions() -> None:
    row = summarize(arms("toy"), "sample", price=Price(0.15, 0.6))[0]
    assert report.money(replace(row, cost=0.0002)) == "0.200 USD"
    assert report.money(replace(row, cost=1.5)) == "1,500.00 USD"
    assert report.money(replace(row, cost=0.0)) == "0.00 USD"
    assert report.money(replace(row, cost=None)) == "–"

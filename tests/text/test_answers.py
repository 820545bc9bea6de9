from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.text.answers import after_marker, box_spans, boxed, boxes, choice, marked, number, stated, visible, yes_no


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("\\boxed{18}", "18"),
        ("\\boxed {18}", "18"),
        ("\\fbox{18}", "18"),
        ("so $\\boxed{\\frac{1}{2}}$.", "\\frac{1}{2}"),
        ("\\boxed{1} then \\boxed{2}", "2"),
        ("\\boxed{a_{b_{c}}}", "a_{b_{c}}"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed 5", "5"),
        ("\\boxed 5.", "5"),
        ("$\\boxed5$", None),
        ("\\boxed{}", None),
        ("\\boxed{  }", None),
        ("\\boxed{5} and \\boxed{}", "5"),
        ("\\boxed{5", None),
        ("\\boxed{5} and \\boxed{6", "5"),
        ("boxed{5}", None),
        ("\\boxedness{5}", None),
        ("", None),
    ],
)
def test_boxed(text: str, content: str | None) -> None:
    assert boxed(text) == content


def test_boxes_come_last_first() -> None:
    text = "\\boxed{1} \\boxed{} \\boxed{\\boxed{2}}"
    assert list(boxes(text)) == ["2", "\\boxed{2}", "1"]
    assert [text[start:end] for start, end, _ in box_spans(text)] == ["\\boxed{1}", "\\boxed{\\boxed{2}}", "\\boxed{2}"]


@given(
    st.recursive(
        st.text(alphabet="ab 1", min_size=1, max_size=4), lambda inner: inner.map(lambda s: f"x{{{s}}}y"), max_leaves=6
    )
)
def test_balanced_braces_come_back_whole(content: str) -> None:
    expected = content.strip() or None
    assert boxed(f"The answer is $\\boxed{{{content}}}$, I hope.") == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("#### 18", "18"),
        ("a #### 17\nb #### 18", "18"),
        ("Answer: 18", "18"),
        ("**Answer:** 18", "18"),
        ("**Answer**: 18", "18"),
        ("**Final Answer**\n\n18", "18"),
        ("Final Answer: 18 dollars", "18 dollars"),
        ("The answer is 18.", "18."),
        ("the final answer is: 18", "18"),
        ("The correct option is B", "B"),
        ("答案是18", "18"),
        ("答案为：18", "18"),
        ("答案：18", "18"),
        ("**答案**：18", "18"),
        ("最终答案是 **18**", "18"),
        ("答：一共18个。", "一共18个。"),
        ("故选：B", "B"),
        ("Answer:\n18", "18"),
        ("Answer: 17\nAnswer: 18\nBye", "18"),
        ("Answer:", None),
        ("I answered the phone", None),
        ("问答：18", None),
    ],
)
def test_marked_lines(text: str, line: str | None) -> None:
    assert after_marker(text) == line


def test_marked_yields_last_first() -> None:
    assert list(marked("Answer: 1\n#### 2")) == ["2", "1"]


def test_stated_ranks_boxes_before_marks_before_the_last_line() -> None:
    assert list(stated("Answer: 2\n\\boxed{1}\nlast")) == ["1", "2", "last"]
    assert list(stated("")) == []


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("plain", "plain"),
        ("<think>a</think>b", "b"),
        ("<think>\na\n</think>\n\nb", "b"),
        ("a</think>b", "b"),
        ("<think>a</think>b<think>c</think>d", "d"),
        ("<think>a", ""),
        ("x <think>a", "x "),
        ("<think>a</think>b<think>c", "b"),
        ("<thinking>a</thinking>b", "b"),
        ("<THINK>a</THINK>b", "b"),
        ("1 < 2", "1 < 2"),
    ],
)
def test_visible(text: str, rest: str) -> None:
    assert visible(text) == rest


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("\\boxed{18} but also 20", "18"),
        ("#### 18\n20 apples were left over", "18"),
        ("Answer: 18\n(20 apples were left)", "18"),
        ("first 18, then 20", "20"),
        ("\\boxed{eggs} and 18", "18"),
        ("\\boxed{9 \\times 2 = 18}", "18"),
        ("\\boxed{18 \\text{ dollars}}", "18"),
        ("\\boxed{x = -3}", "-3"),
        ("Answer: 18 dollars for 9 eggs", "18"),
        ("Answer: 9 × 2 = 18 dollars", "18"),
        ("Answer: She earns 18 dollars", "18"),
        ("#### Step 2\nso 9 * 2 = 18", "2"),
        ("It is **18**, since 9 + 9 is that", "18"),
        ("18 dollars (9 eggs)", "18"),
        ("(9 eggs)", "9"),
        ("72 clips.\n```python\nprint(48 + 24)\n```", "72"),
        ("```\n48\n```", "48"),
        ("\\boxed{18, 20}", None),
        ("\\boxed{18 \\text{ or } 20}", None),
        ("The answer is 18 or 20.", None),
        ("The answer is not 18.", None),
        ("<think>18", None),
        ("<think>18</think>20", "20"),
        ("nothing", None),
        ("", None),
        ("答案是：12个", "12"),
        ("所以3×4＝12。", "12"),
    ],
)
def test_number(text: str, found: str | None) -> None:
    assert number(text) == found


@given(
    st.integers(-(10**9), 10**9),
    st.sampled_from(["\\boxed{{{}}}", "7 eggs.\n#### {}", "Answer: {}", "答案是{}。", "so 3 + 4 = {}", "{}"]),
)
def test_number_in_every_style(answer: int, style: str) -> None:
    assert number(style.format(answer)) == str(answer)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("C", "C"),
        ("c", "C"),
        ("(C)", "C"),
        ("C.", "C"),
        ("C) 40", "C"),
        ("C) 40\nbecause of B", "C"),
        ("**C**", "C"),
        ("The answer is C", "C"),
        ("The answer is (C).", "C"),
        ("The answer is **C) 40**.", "C"),
        ("The correct option is C: 40", "C"),
        ("\\boxed{C}", "C"),
        ("\\boxed{\\textbf{(C)}}", "C"),
        ("\\boxed{C. 40}", "C"),
        ("Option C is correct.", "C"),
        ("So I choose option C", "C"),
        ("A) no\nB) no\nC) yes\n\nAnswer: C", "C"),
        ("答案是C", "C"),
        ("故选C", "C"),
        ("选项C是对的", "C"),
        ("F", None),
        ("Answer: F", None),
        ("A car drives home.", None),
        ("The answer is A car", None),
        ("Answer: B or C", None),
        ("Answer: not B", None),
        ("答案是A和B", None),
        ("", None),
    ],
)
def test_choice(text: str, letter: str | None) -> None:
    assert choice(text) == letter


def test_choice_knows_its_letters() -> None:
    assert choice("Answer: F", "ABCDEF") == "F"
    assert choice("Answer: E", "ABCD") is None


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("Yes", "yes"),
        ("no", "no"),
        ("**No**, it cannot.", "no"),
        ("True", "yes"),
        ("The claim is false.", "no"),
        ("\\boxed{yes}", "yes"),
        ("\\boxed{\\text{No}}", "no"),
        ("So the answer is no.", "no"),
        ("Answer: it can, so yes", "yes"),
        ("No? Well. The answer is yes", "yes"),
        ("It sank long ago. No", "no"),
        ("They said Yes at last, and it was done", "yes"),
        ("是", "yes"),
        ("是的。", "yes"),
        ("不是", "no"),
        ("否", "no"),
        ("对", "yes"),
        ("不对", "no"),
        ("没有", "no"),
        ("答案是肯定的", "yes"),
        ("答案是否定的", "no"),
        ("答案：是", "yes"),
        ("yes or no", None),
        ("Answer: yes and no", None),
        ("Nobody knows", None),
        ("Yesterday", None),
        ("是法国的首都", None),
        ("", None),
    ],
)
def test_yes_no(text: str, side: str | None) -> None:
    assert yes_no(text) == side


@given(st.text(max_size=200))
def test_no_text_breaks_the_readers(text: str) -> None:
    for read in (boxed, after_marker, number, choice, yes_no):
        found = read(text)
        assert found is None or found.strip()


def test_long_replies_stay_cheap() -> None:
    text = "\\boxed{" * 2_000 + "5" + "}" * 2_000
    assert boxed(text) == "5"
    assert number("a (" * 5_000 + "7") == "7"
    assert yes_no("no " * 20_000) == "no"

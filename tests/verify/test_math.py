from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from ponder.core.judge import Reference, Verdict
from ponder.verify import Math

MATH = Math()


def test_signs_and_numbers_need_no_algebra() -> None:
    program = (
        "import sys; from ponder.verify import Math; from ponder.core.judge import Reference\n"
        "assert Math()('\\\\boxed{\\\\dfrac{1}{2}}', Reference('\\\\frac12')).correct\n"
        "assert Math()('0.5', Reference('\\\\frac12')).correct\n"
        "assert Math()('\\\\boxed{3}', Reference('4')).correct is False\n"
        "assert 'sympy' not in sys.modules and 'math_verify' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize(
    ("answer", "gold", "correct"),
    [
        ("\\boxed{x^2+2x+1}", "(x+1)^2", True),
        ("\\boxed{x^2+2x}", "(x+1)^2", False),
        ("\\boxed{-2, 1}", "1,-2", True),
        ("\\boxed{(2,1)}", "(1,2)", False),
        ("\\boxed{(-\\infty,2)\\cup(3,\\infty)}", "(-\\infty, 2) \\cup (3, \\infty)", True),
        ("\\boxed{x > 2}", "(2,\\infty)", True),
        ("\\boxed{\\sqrt{8}}", "2\\sqrt2", True),
        ("\\boxed{2√2}", "\\sqrt{8}", True),
        ("\\boxed{\\text{north}}", "\\text{east}", False),
        ("so it is east, hence \\boxed{East}", "\\text{east}", True),
    ],
)
def test_algebra(answer: str, gold: str, correct: bool) -> None:
    assert MATH(answer, Reference(gold)).correct is correct


def test_quick_leaves_algebra_to_the_call() -> None:
    assert MATH.quick("\\boxed{x^2+2x+1}", Reference("(x+1)^2")) is None
    assert MATH.quick("\\boxed{5}", Reference("5")) == Verdict(True, "5")
    assert MATH.quick("", Reference("5")) == Verdict(False)


def test_same_is_quick_and_never_guesses() -> None:
    assert MATH.same("\\frac12", "0.5")
    assert not MATH.same("x^2+2x+1", "(x+1)^2")


def test_a_reference_that_algebra_cannot_read_gives_no_verdict() -> None:
    assert MATH("\\boxed{x+1}", Reference("\\frac{")) == Verdict(None, "x+1")


def test_no_signals_so_that_it_works_in_threads() -> None:
    verdicts: list[Verdict] = []
    thread = threading.Thread(target=lambda: verdicts.append(MATH("\\boxed{2x+x}", Reference("3x"))))
    thread.start()
    thread.join()
    assert verdicts == [Verdict(True, "2x+x")]


def test_references() -> None:
    assert MATH.check(Reference("\\frac{1}{2}")) is None
    assert "braces" in (MATH.check(Reference("\\frac{1}{2")) or "")
    assert not Math.cheap

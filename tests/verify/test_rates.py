from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ponder.core.errors import DataError
from ponder.core.judge import Reference, Verdict
from ponder.verify.rates import Pair, judge, read_pairs, table

PAIRS = Path(__file__).parent / "pairs.jsonl"
PAGE = Path(__file__).parents[2] / "docs" / "verify.md"


def test_the_page_prints_the_rates_as_they_are() -> None:
    pairs = list(read_pairs(PAIRS))
    assert len(pairs) >= 100
    assert len({(pair.kind, pair.answer, pair.reference) for pair in pairs}) == len(pairs)
    assert {pair.right for pair in pairs} == {True, False}
    assert sum(any("一" <= sign <= "鿿" for sign in pair.answer) for pair in pairs) >= 25
    printed = PAGE.read_text("utf-8").partition("<!-- rates -->")[2].partition("<!-- /rates -->")[0]
    remedy = "run: python -m ponder.verify.rates tests/verify/pairs.jsonl"
    assert table(pairs, asyncio.run(judge(pairs))) == printed.strip(), remedy


def test_the_table_counts_both_kinds_of_error() -> None:
    reference = Reference("5")
    pairs = [Pair("number", str(answer), reference, right) for answer, right in ((5, True), (6, True), (5, False))]
    verdicts = [Verdict(True, "5"), Verdict(False, "6"), Verdict(True, "5")]
    lines = table(pairs, verdicts).splitlines()
    assert "| number | 2 | 1 | 50.0 % | 1 | 1 | 100.0 % |" in lines
    assert "| math | 0 | 0 | - | 0 | 0 | - |" in lines
    assert '- number, reference `5`, read as `6`: `"6"`' in lines
    assert len([line for line in lines if line.startswith("- ")]) == 2


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"verifier": "number"}', '{"verifier": "taste", "answer": "", "gold": "", "right": true}']
)
def test_a_line_that_is_no_pair_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(f'{{"verifier": "number", "answer": "5", "gold": "5", "right": true}}\n{line}\n')
    with pytest.raises(DataError, match=r"pairs\.jsonl, line 2 is no pair"):
        list(read_pairs(path))

from __future__ import annotations

import gzip
import json
import random
from itertools import product
from pathlib import Path

import pytest

from ponder.text import loops
from ponder.text.loops import Loop, Loops

ROOT = Path(__file__).parents[2]
TRACES = ROOT / "tests" / "data" / "traces"


def watch(text: str, step: int = 7) -> tuple[Loop, int] | None:
    """Return the loop and how many characters were read until it was found."""
    seen = Loops()
    for at in range(0, len(text), step):
        if found := seen.feed(text[at : at + step]):
            return found, min(len(text), at + step)
    return None


# Exact repetition


def test_a_sentence_that_comes_again_and_again_is_a_loop_from_its_second_time_on() -> None:
    head, sentence = "We have 12 pens; ", "Wait, let me check that again: 12 + 30 = 42. "
    found = watch(head + sentence * 20)
    assert found is not None
    loop, read = found
    assert loop.kind == "exact"
    assert loop.period == 14
    # The seed that tells the distance is the beginning of the second time.
    assert (head + sentence * 20)[loop.start :].startswith(sentence[:20])
    assert loop.start == len(head) + len(sentence)
    assert read <= loop.start + loops.SHORT + len(sentence)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_saying_something_three_times_is_none(times: int) -> None:
    assert watch("First of all. " + "Let me read the question once more, slowly, and count the pens. " * times) is None


def test_a_long_passage_that_comes_a_third_time_is_a_loop() -> None:
    words = random.Random(3).sample([f"w{chr(97 + i)}{chr(97 + j)}" for i in range(26) for j in range(26)], 120)
    passage = " ".join(words) + ". "
    assert watch(passage * 2) is None
    found = watch(passage * 3 + passage)
    assert found is not None
    assert len(passage) * 2 <= found[1] <= len(passage) * 3 + 20


@pytest.mark.parametrize(("text", "period"), [("wait " * 400, 1), ("Wait, no. " * 200, 4), ("啊" * 900, 1)])
def test_one_word_has_to_come_often(text: str, period: int) -> None:
    found = watch(text)
    assert found is not None
    assert found[0].period == period
    assert loops.WORDS / 3 <= found[1] <= loops.WORDS + 20


def test_chinese_is_read_character_by_character() -> None:
    found = watch("首先。" + "让我再检查一遍这个结果。" * 40)
    assert found is not None
    assert found[0].period == 12


def test_the_number_of_an_item_is_none_of_its_content() -> None:
    found = watch("\n".join(f"{n}. Calculate the amount of coffee that is left after cooling." for n in range(1, 60)))
    assert found is not None
    assert found[0].kind == "exact"


@pytest.mark.parametrize("blank", ["\n", " ", " \n", "\t"])
def test_endless_white_space_is_a_loop(blank: str) -> None:
    found = watch("So: " + blank * 600)
    assert found is not None
    assert found[0].kind == "blank"
    assert found[0].start <= 4
    assert watch("So: " + blank * 200 + "x " + blank * 200) is None


@pytest.mark.parametrize("step", [1, 3, 64, 100_000])
def test_the_size_of_the_pieces_does_not_matter(step: int) -> None:
    text = "Let me see. " + "Hmm, that cannot be right, so I start over. " * 30
    loop = watch(text, step)
    assert loop is not None
    assert loop[0] == watch(text, 5)[0]  # type: ignore[index]


def test_once_found_it_stays_found() -> None:
    seen = Loops()
    first = seen.feed("Let me check this again. " * 40)
    assert first is not None
    assert seen.feed("And now to something else entirely.") is first
    assert seen.found is first


# Near repetition


def test_a_few_sentences_in_any_order_are_a_loop_in_the_end() -> None:
    said = [
        "Let me verify this once more.",
        "The total is 42 pens.",
        "So the answer must be 42.",
        "Hmm, I should double check the count.",
        "12 plus 30 gives 42.",
        "That seems right to me.",
    ]
    dice = random.Random(0)
    found = watch(" ".join(dice.choice(said) for _ in range(400)))
    assert found is not None
    assert found[0].kind == "near"


def test_cases_that_differ_by_a_number_are_no_loop() -> None:
    cases = (f"Case: is {n} divisible by 7? We divide and find that it is not, so we go on." for n in range(400))
    assert watch("\n".join(cases)) is None
    numbered = (f"{n}. Is {n} divisible by 7? We divide and find that it is not, so we go on." for n in range(400))
    assert watch("\n".join(numbered)) is None


# What is legitimate


def truth_table(words: tuple[str, str]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in product(words, repeat=6))


@pytest.mark.parametrize(
    "text",
    [
        truth_table(("T", "F")),
        truth_table(("True", "False")),
        "\n".join(" ".join("0" for _ in range(20)) for _ in range(20)),
        "x = [" + "None, " * 60 + "]",
        " + ".join(["1"] * 200) + " = 200",
        " + ".join(str(n) for n in range(1, 400)),
        "| item | price |\n" + "-" * 120 + "\n" + "\n".join(f"| pen {n} | {n * 3 % 7} |" for n in range(200)),
        "\n".join(f"{a} x {b} = {a * b}" for a in range(1, 20) for b in range(1, 20)),
        "\n".join(f"{n}. {word}" for n, word in enumerate(["apples", "pears", "plums", "figs"] * 10, 1)),
        "\n".join(f"- {chr(97 + n % 26)}{n}: the value of this entry is {n * n}" for n in range(200)),
        "\n".join(f"    def test_{n}(self):\n        self.assertEqual(f({n}), {n + 1})\n" for n in range(60)),
        "=" * 400,
    ],
    ids=["T/F", "True/False", "zeros", "None", "ones", "sum", "table", "products", "list", "entries", "code", "ruler"],
)
def test_lists_tables_sums_and_code_are_no_loops(text: str) -> None:
    assert watch(text) is None


def test_nothing_in_this_repositorys_own_sources_and_pages_is_a_loop() -> None:
    paths = sorted([*(ROOT / "ponder").rglob("*.py"), *(ROOT / "docs").rglob("*.md")])[::9]
    assert len(paths) > 10
    assert [path.name for path in paths if watch(path.read_text("utf-8")[:8000], 64)] == []


def test_of_real_thoughts_only_one_that_loops_is_called_a_loop() -> None:
    """302 recorded attempts of three models: the one that is found is wrong, and says the same six times over."""
    found = []
    for file in sorted(TRACES.glob("*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                for number, sample in enumerate(row["samples"][:4]):
                    if watch(sample["text"][:12_000], 64):
                        found.append(
                            (file.name, row["id"], number, sample["text"].count("So, reevaluating the equation"))
                        )
    assert [(name, id, number) for name, id, number, _ in found] == [("llama_3b_amc23_x50.jsonl.gz", "amc23-9", 1)]
    assert found[0][3] >= 4


def test_what_is_kept_of_each_piece_does_not_grow() -> None:
    seen = Loops()
    for n in range(4000):
        seen.feed(f"number {n * 7919 % 10007} ")
    near = seen._near
    assert len(near._window) == loops.WINDOW
    assert sum(near._vocabulary.values()) <= loops.WINDOW
    assert len(seen._tail) < 40
    assert seen.found is None

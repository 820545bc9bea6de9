from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ponder.bench import traces
from ponder.bench.store import Key, Record
from ponder.bench.traces import Segment


def call(role: str, thinking: str = "", answer: str = "", finish: str = "stop") -> dict[str, object]:
    return {
        "role": role,
        "thinking": thinking,
        "answer": answer,
        "think_tokens": len(thinking.split()),
        "answer_tokens": len(answer.split()),
        "latent": 0,
        "finish": finish,
    }


def record(calls: list[dict[str, object]], thinking: str = "", answer: str = "", **over: object) -> Record:
    trace = {
        "question": "2 + 3?",
        "reference": "5",
        "solution": {"thinking": thinking, "answer": answer, "finish": "stop", "evidence": {}},
        "calls": calls,
    }
    values: dict[str, object] = {
        "key": Key("toy", "sample", 0, "q1"),
        "correct": True,
        "extracted": "5",
        "finish": "stop",
        "truncated": False,
        "tokens": 7,
        "by_role": {},
        "prompt_tokens": 5,
        "cached_tokens": 0,
        "seconds": 1.0,
        "first_token_seconds": 0.1,
        "exact": True,
        "trace": json.dumps(trace),
        **over,
    }
    return Record(**values)  # type: ignore[arg-type]


def test_a_plain_reply_is_a_thought_and_an_answer() -> None:
    found = traces.view(record([call("think", "two and three", "5")], "two and three", "5"))
    assert found.segments == (Segment("think", "two and three", 3), Segment("answer", "5", 1, "stop"))
    assert (found.question, found.reference, found.extracted, found.correct) == ("2 + 3?", "5", "5", True)
    assert found.characters == len("2 + 3?") + len("two and three5")


def test_text_that_no_call_generated_is_forced() -> None:
    calls = [call("think", "first", finish="left"), call("probe", answer="maybe 5"), call("answer", " second", "5")]
    found = traces.view(record(calls, "Okay. first Wait second Done.", "Answer: 5"))
    assert found.segments == (
        Segment("forced", "Okay. "),
        Segment("think", "first", 1, "left"),
        Segment("probe", "maybe 5", 2, "stop"),
        Segment("forced", " Wait"),
        Segment("think", " second", 1),
        Segment("forced", "Answer: "),
        Segment("answer", "5", 1, "stop"),
        Segment("forced", " Done."),
    )


def test_a_thought_that_only_the_method_wrote_is_forced() -> None:
    found = traces.view(record([call("answer", "", "5")], "I have finished thinking.", "5"))
    assert found.segments == (Segment("forced", "I have finished thinking."), Segment("answer", "5", 1, "stop"))


def test_an_answer_that_only_the_method_wrote_comes_last() -> None:
    found = traces.view(record([call("think", "hm"), call("think", "oh")], "hmoh", "5"))
    assert [segment.kind for segment in found.segments] == ["think", "think", "forced"]
    assert found.segments[-1].text == "5"


def test_a_vote_forces_nothing() -> None:
    calls = [call("think", "a", "4"), call("think", "b", "5"), call("think", "c", "5")]
    found = traces.view(record(calls, "b", "5"))
    assert [segment.kind for segment in found.segments] == ["think", "answer"] * 3
    rewritten = traces.view(record(calls, "nothing of it", "none"))
    assert "forced" not in {segment.kind for segment in rewritten.segments}


def test_side_calls_join_their_channels() -> None:
    found = traces.view(record([call("verify", "hm", "good", "length")]))
    assert found.segments == (Segment("verify", "hm\ngood", 2, "length"),)


def test_a_search_has_a_tree_and_its_texts_count() -> None:
    places = [{"after": None, "score": 0.5, "fate": "open", "visits": 0}, {"after": 0, "score": None, "fate": "chosen"}]
    calls = [{**call("think", "two and\nthree", finish="left"), **places[0]}, {**call("think", "", "5"), **places[1]}]
    found = traces.view(record(calls, "two and\nthree", "5"))
    assert [(twig.text, twig.fate, twig.tokens) for twig in found.tree] == [
        ("two and three", "chosen", 3),
        ("5", "chosen", 1),
    ]
    assert found.characters == len("2 + 3?") + 2 * len("two and three5")
    long = traces.view(record([{**call("think", "", "x" * 500), **places[0]}]))
    assert [len(twig.text) for twig in long.tree] == [160]
    assert traces.view(record([call("think", "two", "5")])).tree == ()


def many(per_method: int, methods: int = 3) -> Iterator[Record]:
    for m in range(methods):
        for i in range(per_method):
            wrong, cut = i % 10 == 9, i % 25 == 24
            yield record([], key=Key("toy", f"m{m}", 0, f"q{i}"), correct=not wrong, truncated=cut)


def test_a_small_run_is_shown_whole() -> None:
    assert len(traces.choose(many(133), 399)) == 399
    assert len(traces.choose(many(200, 2), 400)) == 400


def test_a_large_run_shows_the_first_and_the_failed() -> None:
    chosen = traces.choose(many(400), 1200)
    assert len(chosen) == 150 + 3 * 42
    for m in range(3):
        own = [r for r in chosen if r.key.method == f"m{m}"]
        assert [r.key.question for r in own[:50]] == [f"q{i}" for i in range(50)]
        assert all(r.correct is False or r.truncated for r in own[50:])
    assert len(traces.choose(many(4000), 12_000)) == traces.ALL
    assert len(traces.choose(many(60, 20), 1200)) == 20 * 50


def test_long_texts_are_shortened_and_the_page_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "a" * traces.LONGEST + "b" * 1000 + "z"
    (short,) = traces.fit([traces.view(record([call("think", "", long)]))])
    text = short.segments[0].text
    assert text.startswith("a" * (traces.LONGEST // 2))
    assert "[... 1,001 characters left out ...]" in text
    assert text.endswith("z")
    one = traces.view(record([call("think", "", "x" * 100)]))
    monkeypatch.setattr(traces, "MOST_CHARACTERS", 10 * one.characters + 5)
    assert len(traces.fit([one] * 30)) == 10

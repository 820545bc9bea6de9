import math

import pytest

from ponder.bench.probing import TEXTS, Written, confidence, probe_texts, read_probe, spelt
from ponder.core.engine import Chunk, Logprob, Think
from ponder.core.errors import OptionError
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Call

MARKS = Think("<think>", "</think>")


def chunks(*pieces: tuple[str, int], marks: Think = MARKS) -> list[Chunk]:
    """Return chunks of (text, tokens), the marks as engines give them."""
    inside, found = marks.opened, []
    for number, (text, tokens) in enumerate(pieces):
        markup = text.strip() in (marks.open, marks.close) and bool(marks)
        channel = "think" if inside or markup else "answer"
        inside = (text.strip() == marks.open) if markup else inside
        found.append(Chunk(text, channel, tokens, (number,) * tokens, markup=markup))  # type: ignore[arg-type]
    return found


def written(*pieces: tuple[str, int], marks: Think = MARKS) -> Written:
    made = chunks(*pieces, marks=marks)
    call = Call("think", "echo", (), 0, think_tokens=sum(chunk.tokens for chunk in made))
    return Written.of(call, made, marks)


PLAIN = (("<think>", 1), ("So ", 1), ("12. ", 1), ("Wait, ", 1), ("no: ", 1), ("13.", 1), ("</think>", 1), ("13", 1))


def at(reply: Written, every: int, words: tuple[str, ...] = (), exit: int | None = None) -> list[int]:
    return [reply.sums[place] for place in reply.places(every, words, exit)]


def test_places_are_multiples_of_tokens_of_the_reply_within_the_thought() -> None:
    assert at(written(*PLAIN), 2) == [1, 2, 4, 6]
    assert at(written(*PLAIN), 3) == [1, 3, 6]
    assert at(written(*PLAIN), 100) == [1]


def test_words_and_the_oracles_exit_are_places_too() -> None:
    reply = written(*PLAIN)
    assert at(reply, 100, ("Wait",)) == [1, 3]
    assert reply.thinking == "So 12. Wait, no: 13."
    assert at(reply, 100, (), len("So 12.")) == [1, 3]
    assert at(reply, 100, (), len(reply.thinking)) == [1, 6]


def test_a_chunk_of_several_tokens_is_asked_behind_and_half_a_token_goes_along() -> None:
    assert at(written(("<think>", 1), ("a b c ", 3), ("d", 1), ("</think>", 1)), 2) == [1, 4]
    split = written(("<think>", 1), ("a", 1), ("b", 0), ("c", 1), ("</think>", 1))
    assert [split.prefix(Prompt(()), place).prefill for place in split.places(2)] == ["<think>", "<think>ab"]


def test_a_reply_without_a_thought_is_asked_nowhere_and_one_without_marks_everywhere() -> None:
    assert written(("13", 1), (".", 1)).places(1) == []
    assert written(("<think>", 1), ("</think>", 1), ("13", 1)).places(1) == []
    assert at(written(("So ", 1), ("13", 1), marks=Think()), 1) == [0, 1, 2]
    assert at(written(marks=Think()), 1) == [0]


def test_prefixes_keep_ids_where_all_are_known() -> None:
    reply, prompt = written(*PLAIN), Prompt.of(Problem.of("?"))
    assert reply.prefix(prompt, 3) == prompt + Call("think", "", (), 0, text="<think>So 12. ", token_ids=(0, 1, 2))
    loose = Written.of(reply.call, [chunk._replace(token_ids=()) for chunk in reply.chunks], MARKS)
    assert loose.prefix(prompt, 3).prefill_ids == ()


def test_other_marks_are_spelt_as_in_all_recordings() -> None:
    marks = Think("<thought>", "<end>")
    reply = written(("<thought>\n", 1), ("hm", 1), ("<end>", 1), ("13", 1), marks=marks)
    assert reply.text == "<think>\nhm</think>13"
    assert reply.pieces() == [8, 2, 8, 2]
    assert spelt(TEXTS["close"], marks, "hm") == "\n<end>\n\n\\boxed{"
    assert spelt(TEXTS["close"], marks, "hm\n") == "<end>\n\n\\boxed{"


def test_pieces_are_left_out_where_the_engine_counted_otherwise() -> None:
    reply = written(*PLAIN)
    assert reply.pieces() == [len(text) for text, _ in PLAIN]
    other = Written.of(Call("think", "", (), 0, think_tokens=99), reply.chunks, MARKS)
    assert other.pieces() is None
    assert written(("a b", 2), ("c", 1), ("", 1)).pieces() == [3, 0, 1, 0]


@pytest.mark.parametrize(
    ("said", "ended", "answer"),
    [
        ("42}", False, ("42", 2)),
        (" \\frac{1}{2} } is it", False, ("\\frac{1}{2}", 13)),
        ("}", False, ("", 0)),
        ("I do not know yet, so let me", False, ("", 0)),
        ("42", True, ("42", 2)),
        ("", True, ("", 0)),
        ("", False, ("", 0)),
    ],
)
def test_a_box_holds_what_stands_before_its_end(said: str, ended: bool, answer: tuple[str, int]) -> None:
    assert read_probe(TEXTS["sentence"], said, ended, lambda text: "never asked") == answer


def test_other_texts_are_read_by_the_task() -> None:
    assert read_probe("Answer now: ", "it is 7.", False, lambda text: "7") == ("7", 8)
    assert read_probe("Answer now: ", "no idea", False, lambda text: None) == ("", 7)


def test_confidence_is_the_geometric_mean_over_the_answers_tokens() -> None:
    tokens = [Logprob("4", math.log(0.9)), Logprob("2", math.log(0.4)), Logprob("}", math.log(0.01))]
    assert confidence(tokens, 2) == pytest.approx(0.6)
    assert confidence(tokens, 1) == pytest.approx(0.9)
    assert confidence([], 2) is None
    assert confidence([Logprob("4", -math.inf)], 1) == 0.0


def test_probe_texts_have_names_and_are_refused_where_they_make_no_sense() -> None:
    assert list(probe_texts([], MARKS)) == ["close", "sentence"]
    assert list(probe_texts([], Think())) == ["sentence"]
    assert probe_texts(["mine=So: "], MARKS) == {"mine": "So: "}
    for specs, said in (
        (["clos"], "did you mean 'close'"),
        (["close", "close"], "name of its own"),
        (["a="], "a text"),
    ):
        with pytest.raises(OptionError, match=said):
            probe_texts(specs, MARKS)
    with pytest.raises(OptionError, match="no mark for it"):
        probe_texts(["close"], Think())

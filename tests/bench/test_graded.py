from collections.abc import AsyncIterator

import pytest

from ponder.bench.graded import GradedProblem, Grader, Grading, name_of, split_reply, verifier_of
from ponder.bench.recorded import RecordedProblem, RecordedSample
from ponder.core.errors import OptionError
from ponder.core.judge import Verifier
from ponder.verify import Boxed, Math, Number, VerifierPool


def sample(text: str, **fields: object) -> RecordedSample:
    plain = RecordedSample(text, 10, True, False, None, None, None, None, (), {})
    if "prediction" in fields:
        fields["predicted"] = True
    return plain._replace(**fields)  # type: ignore[arg-type]


def problem(*samples: RecordedSample, answer: str | None = "4") -> RecordedProblem:
    return RecordedProblem("p", "2 + 2?", answer, samples, None, {})


@pytest.fixture
async def pool() -> AsyncIterator[VerifierPool]:
    async with VerifierPool() as pool:
        yield pool


async def graded(
    pool: VerifierPool, one: RecordedProblem, grading: Grading = "recorded", verifier: Verifier | None = None
) -> GradedProblem:
    grader = Grader(grading, verifier, pool)
    grader.look([one])
    return await grader.grade(one)


@pytest.mark.parametrize(
    ("text", "closed", "answer", "cut", "opened"),
    [
        ("plain", None, "plain", False, False),
        ("plain", True, "plain", False, False),
        ("<think>a</think>\n\nb", None, "b", False, False),
        ("a</think>b", None, "b", False, True),
        ("<think>a", None, "", True, False),
        ("a", False, "", True, True),
        ("Well: <think>a</think>b", None, "Well: b", False, False),
        ("<think>a</think>b<think>c</think>d", None, "bd", False, False),
        ("a</think>b<think>c</think>d", None, "bd", False, True),
    ],
)
def test_a_reply_is_split_as_the_engine_will(
    text: str, closed: bool | None, answer: str, cut: bool, opened: bool
) -> None:
    thought, said, was_cut, began = split_reply(sample(text, closed_thinking=closed))
    assert (said, was_cut, began) == (answer, cut, opened)
    assert thought == len(text) - len(answer)


async def test_the_sources_grading_is_taken_as_it_is(pool: VerifierPool) -> None:
    replies = (
        sample("\\boxed{4}", prediction="four", correct=False),
        sample("\\boxed{5}", prediction="4", correct=True),
        sample("\\boxed{4}", prediction=None, correct=False),
    )
    one = await graded(pool, problem(*replies))
    assert [(reply.stated, reply.correct, reply.by_source) for reply in one.replies] == [
        ("four", False, True),
        ("4", True, True),
        (None, False, True),
    ]
    assert not one.same("4", "4.0")
    assert one.same("4", "4")


async def test_our_grading_reads_and_judges_for_itself(pool: VerifierPool) -> None:
    replies = (sample("\\boxed{4.0}", prediction="x", correct=False), sample("<think>\\boxed{4}", correct=True))
    one = await graded(pool, problem(*replies), "ponder")
    assert [(reply.stated, reply.correct, reply.by_source) for reply in one.replies] == [
        ("4.0", True, False),
        (None, False, False),
    ]
    assert one.same("4", "4.0")


async def test_answers_in_tags_are_read_without_them(pool: VerifierPool) -> None:
    replies = (
        sample("<think>a</think>\n<answer>4</answer>"),
        sample("<think>a</think><answer>5</answer> no: <answer> 4 "),
        sample("<think><answer>4</answer></think>none"),
    )
    one = await graded(pool, problem(*replies), "ponder")
    assert [(reply.stated, reply.correct) for reply in one.replies] == [("4", True), ("4", True), ("none", False)]


async def test_what_needs_algebra_is_judged_in_the_pool(pool: VerifierPool) -> None:
    one = await graded(pool, problem(sample("\\boxed{(x+1)^2}"), answer="x^2+2x+1"), "ponder")
    assert one.replies[0].correct is True


async def test_what_the_source_did_not_grade_is_judged_by_boxes(pool: VerifierPool) -> None:
    replies = (sample("<think>so \\boxed{4} and"), sample("The answer is 4"), sample("\\boxed{\\dfrac{8}{2}}"))
    one = await graded(pool, problem(*replies))
    assert isinstance(one.verifier, Boxed)
    assert [reply.correct for reply in one.replies] == [True, False, False]
    assert [reply.inside for reply in one.replies] == [True, False, False]
    assert one.replies[0].answer == "4"
    assert one.extract("4") == "4"


async def test_without_boxes_and_grades_it_is_judged_by_value(pool: VerifierPool) -> None:
    one = await graded(pool, problem(sample("The answer is 4.0"), sample("#### 5")))
    assert isinstance(one.verifier, Math)
    assert [reply.correct for reply in one.replies] == [True, False]


async def test_predictions_without_grades_are_judged_by_themselves(pool: VerifierPool) -> None:
    one = await graded(pool, problem(sample("says 5", prediction="4.0"), sample("says 4", prediction="5")))
    assert [reply.correct for reply in one.replies] == [True, False]


async def test_a_verifier_that_is_named_is_used(pool: VerifierPool) -> None:
    one = await graded(pool, problem(sample("about \\boxed{1,004}"), answer="1004"), verifier=Number())
    assert isinstance(one.verifier, Number)
    assert one.replies[0].correct is True


@pytest.mark.parametrize("grading", ["recorded", "ponder"])
async def test_without_an_answer_nothing_is_wrong(pool: VerifierPool, grading: Grading) -> None:
    grader = Grader(grading, None, pool)
    one = await grader.grade(problem(sample("\\boxed{4}", correct=False), sample("\\boxed{5}"), answer=None))
    assert [reply.correct for reply in one.replies] == [None, None]
    assert (grader.by_source, grader.by_ponder, grader.unknown) == (0, 0, 2)
    assert await one.judge("\\boxed{4}", pool) is None


async def test_counts_say_who_judged(pool: VerifierPool) -> None:
    grader = Grader("recorded", None, pool)
    await grader.grade(problem(sample("\\boxed{4}", correct=True), sample("4"), sample("5")))
    assert (grader.by_source, grader.by_ponder, grader.unknown) == (1, 2, 0)


async def test_tokens_are_split_where_the_thought_ends(pool: VerifierPool) -> None:
    one = await graded(pool, problem(sample("<think>abc</think>12345678901234567890", tokens=38), sample("", tokens=0)))
    assert (one.replies[0].think_tokens, one.replies[0].answer_tokens) == (18, 20)
    assert (one.replies[1].think_tokens, one.replies[1].answer_tokens) == (0, 0)


async def test_an_answer_in_other_words_is_judged_as_the_reply_that_states_the_same(pool: VerifierPool) -> None:
    replies = (sample("It is \\boxed{4}", correct=False), sample("\\boxed{7}", correct=True))
    one = await graded(pool, problem(*replies))
    assert await one.judge("It is \\boxed{4}", pool) is False
    assert await one.judge("so \\boxed{7}", pool) is True
    assert await one.judge("so \\boxed{9}", pool) is False


def test_verifiers_by_name() -> None:
    for name in ("math", "number", "choice", "yes_no", "exact", "boxed"):
        assert name_of(verifier_of(name)) == name
    with pytest.raises(OptionError, match="there is no verifier 'maths'; did you mean 'math'"):
        verifier_of("maths")

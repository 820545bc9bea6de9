from __future__ import annotations

import json
import random

import numpy as np
import pytest

from ponder.bench import stats
from ponder.bench.prices import Price
from ponder.bench.summary import Arm, Attempt, Row, summarize
from ponder.core.errors import OptionError

BASE_RIGHT = [1, 1, 0, 1, 0, 1, 1, 0, 1, 1]
NEW_RIGHT = [1, 1, 1, 1, 0, 1, 0, 0, 1, 1]
BASE_TOKENS = [900, 700, 1500, 800, 2000, 650, 1200, 1800, 400, 550]
NEW_TOKENS = [500, 450, 900, 420, 1500, 300, 800, 1400, 260, 330]


def attempt(question: str, correct: bool | None, tokens: int, *, seed: int = 0, **over: object) -> Attempt:
    values: dict[str, object] = {
        "by_role": {"think": tokens - 10, "answer": 10},
        "prompt_tokens": 100,
        "cached_tokens": 40,
        "truncated": False,
        "seconds": tokens / 50,
        "first_token_seconds": 0.25,
        "exact": True,
        **over,
    }
    return Attempt(question=question, seed=seed, correct=correct, tokens=tokens, **values)  # type: ignore[arg-type]


def arm(name: str, right: list[int | None], tokens: list[int], *, start: int = 0, **over: object) -> Arm:
    made = Arm(name, {}, "tiny", "toy")
    for i, (c, t) in enumerate(zip(right, tokens, strict=True)):
        made.add(attempt(f"q{start + i}", None if c is None else bool(c), t, **over))
    return made


def toy() -> dict[str, Arm]:
    return {
        "sample": arm("sample", [*BASE_RIGHT], BASE_TOKENS),
        "concise_cot": arm("concise_cot", [*NEW_RIGHT], NEW_TOKENS),
    }


def by_label(rows: list[Row]) -> dict[str, Row]:
    return {row.label: row for row in rows}


def test_the_worked_example() -> None:
    base, new = summarize(toy(), "sample", seed=12345)
    assert (base.label, new.label) == ("sample", "concise_cot")
    assert base.accuracy == new.accuracy == pytest.approx(0.7)
    assert new.accuracy_interval == stats.wilson(7, 10)
    assert (base.tokens, new.tokens) == (1050, 686)
    assert new.saving == pytest.approx(1 - 0.6533, abs=5e-5)
    assert new.saving_interval == pytest.approx((1 - 0.712, 1 - 0.574), abs=5e-4)
    assert new.accuracy_change == pytest.approx(0)
    assert new.accuracy_change_interval == pytest.approx((-0.3, 0.3), abs=1e-9)
    assert (base.tokens_per_correct, new.tokens_per_correct) == pytest.approx((1500, 980))
    assert (new.only_baseline_right, new.only_this_right, new.mcnemar) == (1, 1, 1)
    assert new.non_inferior is False
    assert new.questions_needed == stats.questions_for_margin(0.05, 0.2)
    assert new.aes == pytest.approx(1 - 0.6533, abs=5e-5)
    assert new.paired == 10


def test_an_arm_against_itself() -> None:
    base = summarize(toy(), "sample")[0]
    assert (base.baseline, base.saving, base.accuracy_change, base.aes) == ("sample", 0, 0, 0)
    assert base.saving_interval == (0, 0)
    assert base.accuracy_change_interval == (0, 0)
    assert base.mcnemar is None
    assert base.non_inferior is None


def test_means_of_the_bill() -> None:
    row = summarize(toy(), "sample", price=Price(1.0, 2.0, 0.5, "EUR"))[1]
    assert row.tokens_by_role == pytest.approx({"think": 676, "answer": 10})
    assert sum(row.tokens_by_role.values()) == pytest.approx(row.tokens)
    assert row.prompt_tokens == 100
    assert row.cost == pytest.approx((60 * 1.0 + 40 * 0.5 + 686 * 2.0) / 1e6)
    assert row.currency == "EUR"
    assert row.latency.first_token == 0.25
    assert row.latency.p50 == pytest.approx(np.median(NEW_TOKENS) / 50)
    assert row.latency.p95 == pytest.approx(np.percentile(NEW_TOKENS, 95) / 50)
    assert row.tokens_median == np.median(NEW_TOKENS)
    assert row.tokens_right == pytest.approx(np.mean([t for t, c in zip(NEW_TOKENS, NEW_RIGHT, strict=True) if c]))
    assert row.tokens_wrong == pytest.approx(np.mean([1500, 800, 1400]))


def test_only_equal_questions_are_compared() -> None:
    arms = {
        "sample": arm("sample", [1, 0, None, 1], [100, 200, 300, 400]),
        "short": arm("short", [1, 1, 1, None], [50, 100, 150, 200], start=1),
    }
    base, short = summarize(arms, "sample")
    # q1 and q3 can be judged in both; q2 only in the short arm, q4 only there.
    assert (short.questions, short.paired) == (4, 2)
    assert short.saving == pytest.approx(1 - (50 + 150) / (200 + 400))
    assert short.accuracy_change == pytest.approx(1 - 0.5)
    assert (base.unverifiable, short.unverifiable) == (1, 1)
    assert base.accuracy == pytest.approx(2 / 3)
    assert base.tokens == 250
    # What a right answer costs leaves out the question that nobody can judge, tokens and all.
    assert base.tokens_per_correct == pytest.approx((100 + 200 + 400) / 2)


def test_questions_of_which_nobody_knows_the_answer_still_show_the_saving() -> None:
    arms = {"sample": arm("sample", [None] * 3, [100, 200, 300]), "short": arm("short", [None] * 3, [50, 100, 150])}
    short = summarize(arms, "sample")[1]
    assert (short.paired, short.saving) == (3, 0.5)
    assert short.saving_interval == (0.5, 0.5)
    assert short.accuracy is None
    assert short.accuracy_change is None
    assert short.pass_at == {}
    assert short.non_inferior is None


def test_arms_without_a_common_question_are_not_compared() -> None:
    arms = {"sample": arm("sample", [1], [100]), "short": arm("short", [1], [50], start=7)}
    short = summarize(arms, "sample")[1]
    assert (short.paired, short.saving, short.accuracy_change) == (0, None, None)
    assert short.accuracy == 1


def several(name: str, seeds: int, n: int = 40, shift: float = 0.0) -> Arm:
    rng = random.Random(3)
    made = Arm(name, {}, "tiny", "toy")
    for i in range(n):
        level = rng.random()
        for seed in range(seeds):
            made.add(attempt(f"q{i}", rng.random() < min(1, level + shift), 100 + int(50 * level), seed=seed))
    return made


def test_several_samples_of_a_question_are_one_cluster() -> None:
    arms = {"sample": several("sample", 8), "other": several("other", 8, shift=0.2)}
    base, other = summarize(arms, "sample", seed=5)
    assert (base.questions, base.attempts, base.seeds) == (40, 320, 8)
    means = np.array(stats.question_means(arms["sample"].columns().question, arms["sample"].columns().correct, 40))
    assert base.accuracy == pytest.approx(means.mean())
    expected = stats.percentile_interval(stats.resampled_means([means], seed=5))
    assert base.accuracy_interval == pytest.approx(expected)
    width = stats.wilson(160, 320)
    assert expected.high - expected.low > width.high - width.low
    assert list(base.pass_at) == ["1", "2", "4", "8"]
    assert base.pass_at["1"] == pytest.approx(base.accuracy)
    assert base.pass_at["8"] == pytest.approx((means > 0).mean())
    assert list(base.pass_at.values()) == sorted(base.pass_at.values())
    assert other.mcnemar is None
    assert other.accuracy_change is not None
    assert other.accuracy_change > 0


def test_pass_at_all_samples_of_an_odd_number() -> None:
    assert list(summarize({"sample": several("sample", 6)}, "sample")[0].pass_at) == ["1", "2", "4", "6"]
    assert list(summarize({"sample": several("sample", 1)}, "sample")[0].pass_at) == ["1"]


def test_few_questions_without_a_loss_claim_nothing() -> None:
    few = {"sample": arm("sample", [1] * 20, [100] * 20), "short": arm("short", [1] * 20, [50] * 20)}
    row = summarize(few, "sample")[1]
    assert row.accuracy_change_interval == (0, 0)
    assert row.non_inferior is False
    assert row.questions_needed == 73
    many = {"sample": arm("sample", [1] * 200, [100] * 200), "short": arm("short", [1] * 200, [50] * 200)}
    assert summarize(many, "sample")[1].non_inferior is True
    assert summarize(many, "sample", margin=0.01)[1].non_inferior is False


def test_few_clusters_without_a_loss_claim_nothing() -> None:
    arms = {name: Arm(name) for name in ("sample", "short")}
    for made in arms.values():
        for i in range(20):
            for seed in range(4):
                made.add(attempt(f"q{i}", True, 100, seed=seed))
    assert summarize(arms, "sample")[1].non_inferior is False


def mixture_arms(gain: float, n: int = 1500) -> dict[str, Arm]:
    """A method that is a coin between the constants, and above it by `gain`."""
    rng = random.Random(1)
    arms = {name: Arm(name) for name in ("sample", "no_thinking", "coin")}
    for i in range(n):
        question, level = f"q{i}", rng.random()
        cheap = attempt(question, level < 0.3, rng.randint(40, 60))
        dear = attempt(question, level < 0.8, rng.randint(240, 260))
        picked = dear if rng.random() < 0.5 else cheap
        lucky = bool(picked.correct) or rng.random() < gain
        arms["no_thinking"].add(cheap)
        arms["sample"].add(dear)
        arms["coin"].add(attempt(question, lucky, picked.tokens))
    return arms


def test_a_coin_does_not_beat_the_mixture_line() -> None:
    rows = by_label(summarize(mixture_arms(0.0), "sample"))
    coin = rows["coin"]
    assert coin.mixture == ("sample", "no_thinking")
    assert coin.beats_mixture is False
    assert coin.mixture_gain == pytest.approx(0, abs=0.03)
    assert coin.mixture_interval is not None
    assert coin.mixture_interval.low < 0 < coin.mixture_interval.high
    assert coin.saving is not None
    assert coin.saving > 0.3
    assert rows["sample"].mixture_gain is None


def test_a_method_above_the_line_beats_it() -> None:
    coin = by_label(summarize(mixture_arms(0.2), "sample"))["coin"]
    assert coin.beats_mixture is True
    assert coin.mixture_gain == pytest.approx(0.2 * 0.45, abs=0.03)


def test_the_mixture_line_needs_both_constants() -> None:
    arms = mixture_arms(0.2, 20)
    del arms["no_thinking"]
    assert all(row.mixture is None and row.beats_mixture is None for row in summarize(arms, "sample"))
    assert all(row.mixture is None for row in summarize(mixture_arms(0.2, 20), "sample", constants=None))


def test_p_values_are_corrected_for_the_number_of_methods() -> None:
    arms = {"sample": arm("sample", [0] * 6 + [1] * 14, [100] * 20)}
    arms["good"] = arm("good", [1] * 20, [100] * 20)
    arms["same"] = arm("same", [0] * 6 + [1] * 14, [100] * 20)
    rows = by_label(summarize(arms, "sample"))
    assert rows["good"].mcnemar == pytest.approx(2 / 64)
    assert rows["good"].mcnemar_holm == pytest.approx(4 / 64)
    assert rows["same"].mcnemar_holm == 1
    assert rows["sample"].mcnemar_holm is None


def test_truncated_estimated_and_untimed_are_told() -> None:
    made = Arm("sample", {"n": 3}, "tiny", "toy")
    made.add(attempt("a", False, 512, truncated=True, seconds=0.0, first_token_seconds=None))
    made.add(attempt("b", True, 90, exact=False, seconds=0.0, first_token_seconds=None, seed=4))
    row = summarize({"sample": made}, "sample")[0]
    assert (row.truncated, row.exact, row.seed, row.seeds) == (1, False, 0, 2)
    assert row.latency == (None, None, None)
    assert row.options == {"n": 3}


def test_json_has_every_documented_key_and_no_nan() -> None:
    rows = summarize(toy(), "sample", price=Price(1, 2))
    value = rows[1].to_json()
    documented = (
        "method options model task seed questions accuracy accuracy_interval tokens tokens_interval tokens_by_role "
        "prompt_tokens cost latency truncated unverifiable baseline saving saving_interval accuracy_change "
        "accuracy_change_interval pass_at"
    )
    assert set(documented.split()) <= set(value)
    text = json.dumps(value, allow_nan=False)
    assert json.loads(text) == value
    assert isinstance(value["saving_interval"], list)
    assert value["latency"] == pytest.approx({"first_token": 0.25, "p50": 9.5, "p95": 29.1})


def test_an_empty_arm_has_no_row_and_cannot_be_the_baseline() -> None:
    arms = {**toy(), "empty": Arm("empty")}
    assert [row.label for row in summarize(arms, "sample")] == ["sample", "concise_cot"]
    with pytest.raises(OptionError, match="'empty' has no results"):
        summarize(arms, "empty")
    with pytest.raises(OptionError, match=r"'smaple' has no results; did you mean 'sample'\?"):
        summarize(arms, "smaple")


def test_a_baseline_of_zero_tokens_has_no_saving() -> None:
    arms = {"sample": arm("sample", [1, 1], [0, 0]), "short": arm("short", [1, 0], [5, 5])}
    short = summarize(arms, "sample")[1]
    assert short.saving is None
    assert short.accuracy_change == -0.5


def test_columns_stay_small() -> None:
    made = Arm("sample")
    for i in range(2000):
        made.add(attempt(f"q{i}", True, 100))
    columns = [*made._whole.values(), *made._flags.values(), *made._times.values()]
    assert sum(c.itemsize for c in columns) < 100
    assert len(made) == 2000


def test_rows_do_not_depend_on_the_order_of_attempts() -> None:
    plain = summarize(toy(), "sample")
    mixed = Arm("concise_cot", {}, "tiny", "toy")
    for i in reversed(range(10)):
        mixed.add(attempt(f"q{i}", bool(NEW_RIGHT[i]), NEW_TOKENS[i]))
    assert summarize({**toy(), "concise_cot": mixed}, "sample") == plain

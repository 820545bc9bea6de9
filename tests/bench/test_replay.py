import asyncio
import csv
import gzip
import json
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.bench.replay import Replayed, ReplayPlan, plan_methods, replay
from ponder.bench.replayed import rows_of
from ponder.bench.summary import Row
from ponder.core.engine import Cap
from ponder.core.errors import DataError, OptionError, PonderError, TapeMiss
from ponder.core.method import Solution
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.methods import Catalogue, catalogue
from ponder.verify import Boxed

SLICES = Path(__file__).parents[1] / "data" / "traces"
QWEN, LLAMA, R1 = (
    SLICES / f"{name}.jsonl.gz" for name in ("qwen2.5_math_x8", "llama_3b_amc23_x50", "r1_distill_1.5b_math")
)
FULL = Path(os.environ.get("PONDER_TRACES") or Path(__file__).parents[3] / "shared" / "data")
needs_full = pytest.mark.skipif(
    not (FULL / "traces").is_dir(), reason="needs the full recorded sets: PONDER_TRACES=FOLDER with traces/ and tables/"
)


def run(path: Path, methods: str = "sample,self_consistency", **fields: object) -> tuple[dict[str, Row], Replayed]:
    plan = ReplayPlan(path, plan_methods(methods, catalogue()))
    result = asyncio.run(replay(replace(plan, **fields)))  # type: ignore[arg-type]
    return {row.label: row for row in rows_of(result)}, result


def lines(path: Path) -> list[dict[str, list[dict[str, object]]]]:
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def counted(path: Path, grade: str) -> tuple[float, float, float]:
    """Mean accuracy, share of right majorities (ties: first seen) and share with any right, by a plain count."""
    problems = lines(path)
    majority = 0.0
    for problem in problems:
        votes = Counter(s["prediction"] for s in problem["samples"] if s["prediction"] is not None)
        if votes:
            winner = votes.most_common(1)[0][0]
            majority += float(next(s[grade] for s in problem["samples"] if s["prediction"] == winner))  # type: ignore[arg-type]
    shares = [sum(bool(s[grade]) for s in p["samples"]) / len(p["samples"]) for p in problems]
    n = len(problems)
    return sum(shares) / n, majority / n, sum(share > 0 for share in shares) / n


@pytest.mark.parametrize(("path", "grade", "most"), [(QWEN, "correct", "8"), (LLAMA, "score", "50")])
@pytest.mark.parametrize("shortcuts", [True, False])
def test_slices_give_what_a_plain_count_gives(path: Path, grade: str, most: str, shortcuts: bool) -> None:
    mean, majority, any_right = counted(path, grade)
    rows, result = run(path, shortcuts=shortcuts)
    assert rows["sample"].accuracy == pytest.approx(mean)
    assert rows["self_consistency"].accuracy == pytest.approx(majority)
    assert rows["sample"].pass_at[most] == pytest.approx(any_right)
    assert rows["sample"].attempts == result.subsets[None].samples == result.by_source
    assert rows["self_consistency"].attempts == result.problems
    assert rows["self_consistency"].tokens == pytest.approx(rows["sample"].tokens * int(most))
    assert not rows["sample"].exact


def test_our_grading_of_a_slice_and_where_it_differs() -> None:
    rows, result = run(QWEN, grading="ponder", disagreements=True)
    recorded, _ = run(QWEN)
    assert [(d.id, d.sample, d.recorded, d.ours, d.extracted, d.gold) for d in result.disagreements] == [
        ("math100-72", 7, False, True, "10000", "10{,}000")
    ]
    one = 1 / 8 / result.problems
    assert rows["sample"].accuracy == pytest.approx((recorded["sample"].accuracy or 0) + one)
    assert (result.by_source, result.by_ponder) == (0, 8 * result.problems)


def test_subsets_of_samples_and_the_problems_they_share() -> None:
    problems = lines(R1)
    rows, result = run(R1, "sample", by="max_new_tokens", common=True)
    whole = [p for p in problems if len({s["max_new_tokens"] for s in p["samples"]}) == 3]
    assert list(rows) == [f"sample, max_new_tokens={limit}" for limit in (1500, 1800, 3600)]
    assert [row.questions for row in rows.values()] == [len(whole)] * 3
    assert (result.problems, result.left_out) == (len(whole), len(problems) - len(whole))
    for limit, subset in result.subsets.items():
        closed = sum(bool(s["closed_thinking"]) for p in whole for s in p["samples"] if s["max_new_tokens"] == limit)
        assert (subset.samples, subset.closed) == (len(whole), closed)
        assert rows[f"sample, max_new_tokens={limit}"].truncated == len(whole) - closed
    assert result.values["sample, max_new_tokens=1800"] == 1800
    apart, _ = run(R1, "sample", by="max_new_tokens")
    assert sum(row.attempts for row in apart.values()) == sum(len(p["samples"]) for p in problems)


def test_a_problem_without_answer_is_counted_apart() -> None:
    rows, result = run(R1)
    assert result.unanswered == 1
    assert rows["self_consistency"].unverifiable == 1
    assert rows["self_consistency"].questions == len(lines(R1))


@needs_full
class TestFullSets:
    """The figures that the sources' own data give."""

    def test_qwen(self) -> None:
        path = FULL / "traces" / "qwen2.5_math_x8_reward.jsonl.gz"
        rows, _ = run(path)
        assert rows["sample"].accuracy == pytest.approx(0.91)
        assert rows["self_consistency"].accuracy == pytest.approx(0.93)
        assert rows["sample"].pass_at["8"] == pytest.approx(0.96)
        ours, result = run(path, grading="ponder", disagreements=True)
        assert ours["sample"].accuracy == pytest.approx(0.91, abs=0.01)
        assert ours["self_consistency"].accuracy == pytest.approx(0.93, abs=0.01)
        wrong = sum(1 if d.ours else -1 for d in result.disagreements) / 800
        assert ours["sample"].accuracy == pytest.approx(0.91 + wrong)

    def test_llama(self) -> None:
        rows, _ = run(FULL / "traces" / "llama_3b_rl_amc23_x50.jsonl.gz")
        assert rows["sample"].accuracy == pytest.approx(0.1415)
        assert rows["self_consistency"].accuracy == pytest.approx(9 / 40)
        assert rows["sample"].pass_at["50"] == pytest.approx(26 / 40)
        ours, result = run(FULL / "traces" / "llama_3b_rl_amc23_x50.jsonl.gz", grading="ponder", disagreements=True)
        assert ours["sample"].accuracy == pytest.approx(0.1415, abs=0.01)
        # The source wants the bare number; we take `9 - 5 = 4` for 4.
        assert all(found.ours and not found.recorded for found in result.disagreements)

    def test_r1_by_limit(self) -> None:
        path = FULL / "traces" / "r1_distill_qwen_1.5b_math.jsonl.gz"
        rows, result = run(path, "sample", by="max_new_tokens", common=True)
        assert result.problems == 473
        accuracies = [row.accuracy for row in rows.values()]
        assert accuracies == pytest.approx([0.421, 0.499, 0.641], abs=0.01)
        closed = [100 * subset.closed / subset.samples for subset in result.subsets.values()]
        assert closed == pytest.approx([55.2, 62.4, 76.3], abs=0.05)

    def test_the_cut_of_concise_prompts(self) -> None:
        tokens: dict[tuple[str, str], list[int]] = defaultdict(list)
        with gzip.open(FULL / "tables" / "sc_jhu_concise_cot_x10.csv.gz", "rt") as file:
            for row in csv.DictReader(file):
                tokens[row["model"], row["prompt"]].append(int(row["output_tokens"]))
        mean = {key: sum(values) / len(values) for key, values in tokens.items()}
        cuts = [
            1 - mean[model, "concise"] / mean[model, "chain_of_thought"] for model in sorted({m for m, _ in tokens})
        ]
        assert [round(100 * cut, 2) for cut in cuts] == [47.62, 49.77]
        assert round(100 * sum(cuts) / 2, 2) in (48.69, 48.70)


ANSWERS = st.lists(
    st.tuples(
        st.sampled_from(["\\boxed{1}", "\\boxed{1.0}", "\\boxed{2}", "\\boxed{3}", "nothing", ""]),
        st.sampled_from(["{}", "<think>so {0}</think>{0}", "<think>so {}", "so</think> {}"]),
        st.integers(0, 30),
    ),
    min_size=1,
    max_size=7,
)


@settings(max_examples=40, deadline=None)
@given(ANSWERS, st.booleans(), st.sampled_from(["recorded", "ponder"]), st.integers(0, 3))
def test_the_shortcut_gives_what_the_methods_give(
    replies: list[tuple[str, str, int]], predicted: bool, grading: str, n: int
) -> None:
    samples = [{"text": form.format(answer), "tokens": tokens} for answer, form, tokens in replies]
    for sample, (answer, _, _) in zip(samples, replies, strict=True):
        if predicted:
            sample |= {"prediction": answer[7:-1] or None, "correct": "1" in answer}
    if len({json.dumps(sample) for sample in samples}) < len(samples) and predicted:
        samples = [dict(sample, text=f"{sample['text']} {i}") for i, sample in enumerate(samples)]
    size = f":n={n}" if 0 < n <= len(samples) else ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.jsonl"
        path.write_text(json.dumps({"id": "a", "question": "?", "answer": "1", "samples": samples}))
        methods = f"sample,self_consistency{size}"
        quick, _ = run(path, methods, grading=grading)
        real, _ = run(path, methods, grading=grading, shortcuts=False)
    for label, row in quick.items():
        assert replace(row, tokens_by_role={}) == replace(real[label], tokens_by_role={})
        assert row.tokens_by_role == pytest.approx(real[label].tokens_by_role)


def traces(path: Path, **fields: object) -> Path:
    texts = ["\\boxed{1}", "\\boxed{2}", "\\boxed{2}", "\\boxed{1}"]
    samples = [{"text": text, "limit": 10 * (i // 2 + 1)} for i, text in enumerate(texts)]
    path.write_text(json.dumps({"id": "a", "question": "?", "answer": "1", "samples": samples, **fields}))
    return path


def test_a_given_n_takes_as_many_samples_as_often_as_they_suffice(tmp_path: Path) -> None:
    rows, _ = run(traces(tmp_path / "t"), "sample,self_consistency:n=3,self_consistency:n=2")
    assert [(row.attempts, row.accuracy) for row in rows.values()] == [(4, 0.5), (1, 0.0), (2, 0.5)]
    eight = [{"text": "\\boxed{1}"}] * 16
    rows, _ = run(traces(tmp_path / "t", samples=eight), "self_consistency:n=8")
    assert [row.attempts for row in rows.values()] == [2]
    with pytest.raises(DataError, match="problem 'a' has 4 samples, and self_consistency takes 8; lower n"):
        run(traces(tmp_path / "t"), "self_consistency:n=8")


def test_a_tie_goes_to_the_answer_seen_first(tmp_path: Path) -> None:
    rows, _ = run(traces(tmp_path / "t"), "self_consistency")
    assert rows["self_consistency"].accuracy == 1


def test_exact_tokens_are_known_as_such(tmp_path: Path) -> None:
    rows, _ = run(traces(tmp_path / "t", samples=[{"text": "<think>ab</think>1", "tokens": 6}]), "sample")
    assert (rows["sample"].tokens, rows["sample"].exact) == (6, True)
    assert rows["sample"].tokens_by_role == {"think": 6}


def test_questions_may_be_left_out(tmp_path: Path) -> None:
    rows, _ = run(traces(tmp_path / "t", question=None), shortcuts=False)
    assert rows["sample"].accuracy == 0.5


@pytest.mark.parametrize(
    "method",
    ["concise_cot", "chain_of_draft", "no_thinking", "style", "think_for", "token_budget", "sample:cot=true"],
)
def test_methods_that_ask_in_other_words_are_refused(tmp_path: Path, method: str) -> None:
    with pytest.raises(PonderError, match="recorded replies to a"):
        run(traces(tmp_path / "t"), method)


def test_mistakes_are_named(tmp_path: Path) -> None:
    path = traces(tmp_path / "t")
    with pytest.raises(OptionError, match="name the field that tells them apart with --by"):
        run(path, common=True)
    with pytest.raises(OptionError, match="has a field 'limits'; did you mean 'limit'"):
        run(path, by="limits")
    more = {"id": "b", "answer": "1", "samples": [{"text": "1", "limit": 30}]}
    path.write_text(path.read_text() + "\n" + json.dumps(more))
    with pytest.raises(DataError, match=r"no problem of .* has samples with every limit \(10, 20, 30\)"):
        run(path, by="limit", common=True)
    with pytest.raises(OptionError, match="there is no method 'sampel'; did you mean 'sample'"):
        run(path, "sampel")


@dataclass(frozen=True)
class StopWhenSure:
    """Asks for the answer every few tokens and stops the thought when it is sure."""

    every: int = 4
    sure: float = 0.9

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        return {"main": frozenset({Cap.PREFILL})}

    async def solve(self, problem: Problem, run: Run) -> Solution:
        prompt = Prompt.of(problem)
        while True:
            call = await run.generate(prompt, max_tokens=self.every)
            prompt = prompt + call
            if call.finish == "stop":
                return Solution(prompt.prefill.partition("</think>")[2])
            try:
                probe = await run.generate(prompt + "</think>\\boxed{", "probe", logprobs=1)
            except TapeMiss:
                continue
            if probe.logprobs[0].logprob > -0.1054:
                return Solution(f"\\boxed{{{probe.text}}}", finish="exit")


def test_a_method_that_stops_early_is_replayed_from_probes(tmp_path: Path) -> None:
    text = "<think>9 x 7 = 56? No, 9 x 6 = 54, so 63. Sure? Yes, very sure.</think>\\boxed{63}"
    probes = [{"at": at, "answer": a, "p": p, "tokens": 3} for at, a, p in ((6, "56", 0.7), (12, "63", 0.95))]
    path = traces(tmp_path / "t", answer="63", samples=[{"text": text, "tokens": 40, "probes": probes}])
    table = Catalogue({"stop_when_sure": StopWhenSure, "sample": catalogue().find("sample")})
    plan = ReplayPlan(path, plan_methods("sample,stop_when_sure", table), verifier=Boxed())
    rows = {row.label: row for row in rows_of(asyncio.run(replay(plan)))}
    stopped = rows["stop_when_sure"]
    assert stopped.accuracy == 1
    assert stopped.tokens_by_role == {"think": 12, "probe": 6}
    assert stopped.saving == pytest.approx(1 - 18 / 40)


def test_a_method_that_writes_the_beginning_itself_is_billed_for_the_rest(tmp_path: Path) -> None:
    """No method is told that a thought of two pieces is one token, or none: `thinking_mode` may open it and end it."""
    text = "<think>\n9 x 7 = 56? No, 9 x 6 = 54, so 63. Sure? Yes, very sure.</think>\\boxed{63}"
    probes = [{"at": at, "answer": a, "p": 0.9, "tokens": 3} for at, a in ((6, "56"), (12, "63"))]
    path = traces(tmp_path / "t", answer="63", samples=[{"text": text, "tokens": 40, "probes": probes}])
    specs = "sample,thinking_mode,thinking_mode:mode=budget,tokens=8,constant_cut:tokens=8,constant_cut:tokens=14"
    plan = ReplayPlan(path, plan_methods(specs, catalogue()), verifier=Boxed())
    plain, on, bounded, cut, late = rows_of(asyncio.run(replay(plan)))
    assert 38 <= on.tokens <= plain.tokens == 40
    assert (bounded.accuracy, bounded.tokens) == (cut.accuracy, cut.tokens) == (0, 8 + 3)
    assert (late.accuracy, late.tokens) == (1, 14 + 3)

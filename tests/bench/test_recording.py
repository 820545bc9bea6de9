import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ponder.bench.probing import TEXTS
from ponder.bench.record import Grid
from ponder.bench.recorded import RecordedProblem, read_traces
from ponder.bench.recording import Recorded, RecordPlan, record
from ponder.core.engine import Cap, Sampling
from ponder.core.errors import DataError, Unsupported
from ponder.core.judge import Item, Score
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Call, Run
from ponder.engines.echo import CAPS, Echo, Fault
from ponder.scorers.agreement import Agreement
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.scorers.random_control import RandomControl
from ponder.scorers.verifier_prompt import VerifierPrompt
from ponder.tasks import load_task

GRID = Grid(4, TEXTS)


def plan(path: Path, **fields: object) -> RecordPlan:
    made = RecordPlan(load_task("arithmetic:level=2"), path, GRID, Sampling(max_tokens=64, temperature=0.7), limit=4)
    return replace(made, **fields)  # type: ignore[arg-type]


def run(made: RecordPlan, engine: Echo | None = None) -> tuple[Recorded, list[RecordedProblem]]:
    outcome = asyncio.run(record(made, engine or Echo()))
    return outcome, list(read_traces(made.path))


def test_a_recording_holds_what_the_engine_generated(tmp_path: Path) -> None:
    engine = Echo()
    outcome, problems = run(plan(tmp_path / "t.jsonl", samples=3, concurrency=2), engine)
    assert (outcome.questions, outcome.done, outcome.kept, outcome.failed, outcome.stopped) == (4, 4, 0, 0, None)
    assert outcome.spent == sum(outcome.bill.values()) == engine.generated
    assert outcome.samples == 12
    samples = [sample for problem in problems for sample in problem.samples]
    assert all(sample.exact and sample.predicted and sample.correct is not None for sample in samples)
    plain = sum(sample.tokens for sample in samples)
    probes = [probe for s in samples for found in s.fields["probes_by"].values() for probe in found]  # type: ignore[attr-defined]
    assert plain + sum(probe["tokens"] for probe in probes) == engine.generated
    assert outcome.bill["probe"] == sum(probe["tokens"] for probe in probes)
    assert len({sample.text for sample in problems[0].samples}) == 3


def test_a_probe_says_what_the_reply_would_say_there(tmp_path: Path) -> None:
    """The scripted engine has made up its mind from the start: every probe gives the answer that it ends with."""
    _, problems = run(plan(tmp_path / "t.jsonl"))
    for problem in problems:
        (sample,) = problem.samples
        assert [probe.at for probe in sample.probes] == [1, *range(4, sample.probes[-1].at + 1, 4)]
        assert {probe.answer for probe in sample.probes} <= {"4", "5", *map(str, range(1000))}
        raw = sample.fields["probes"]
        assert isinstance(raw, list)
        assert all(probe["p"] is not None and 0.5 <= probe["p"] <= 1 for probe in raw)
        assert sample.text.startswith("<think>")
        pieces = sample.fields["pieces"]
        assert isinstance(pieces, list)
        assert (len(pieces), sum(pieces)) == (sample.tokens, len(sample.text))


def test_the_same_seed_gives_the_same_file_whatever_the_concurrency(tmp_path: Path) -> None:
    def lines(name: str, **fields: object) -> list[str]:
        made = plan(tmp_path / name, samples=2, **fields)
        asyncio.run(record(made, Echo()))
        return sorted(made.path.read_text().splitlines())

    assert lines("a.jsonl", concurrency=1) == lines("b.jsonl", concurrency=16) != lines("c.jsonl", seed=1)


def test_a_recording_goes_on_and_may_ask_for_more(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl.gz"
    run(plan(path, limit=2))
    engine = Echo()
    outcome, problems = run(plan(path), engine)
    assert (outcome.done, outcome.kept, len(problems)) == (2, 2, 4)
    assert outcome.spent == engine.generated < sum(outcome.bill.values())
    again, _ = run(plan(path), engine := Echo())
    assert (again.done, again.kept, again.spent, engine.calls) == (0, 4, 0, 0)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_token_limit_loses_nothing_and_the_next_session_goes_on(tmp_path: Path, concurrency: int) -> None:
    path = tmp_path / "t.jsonl"
    whole, _ = run(plan(tmp_path / "whole.jsonl"))
    limit = sum(whole.bill.values()) * 2 // 3
    engine = Echo()
    outcome, problems = run(plan(path, max_tokens_total=limit, concurrency=concurrency), engine)
    assert outcome.stopped == f"the limit of {limit:,} generated tokens is reached"
    assert 0 < outcome.done == len(problems) < 4
    assert engine.generated == outcome.spent <= limit
    rest, problems = run(plan(path))
    assert (rest.stopped, len(problems)) == (None, 4)
    assert {problem.id: problem.samples for problem in problems} == {
        problem.id: problem.samples for problem in read_traces(tmp_path / "whole.jsonl")
    }


def test_the_deadline_in_the_middle_of_a_question_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    run(plan(path, limit=1))
    outcome, problems = run(plan(path, seconds=0.05), Echo(delay=0.02))
    assert outcome.stopped == "the 0.05 seconds are over"
    assert len(problems) == 1 + outcome.done < 4
    assert run(plan(path))[0].stopped is None


def test_failures_are_counted_and_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    outcome, problems = run(plan(path, concurrency=1), Echo(faults={0: Fault("error", 2), 5: Fault("cut", 0)}))
    assert (outcome.failed, len(problems)) == (2, 2)
    assert outcome.last_error is not None
    assert "broke off" in outcome.last_error
    assert run(plan(path))[0].done == 2


def test_a_model_that_is_gone_is_left_alone(tmp_path: Path) -> None:
    faults = {number: Fault("error") for number in range(1000)}
    outcome = asyncio.run(record(plan(tmp_path / "t.jsonl", limit=100, concurrency=1), Echo(faults=faults)))
    assert outcome.failed == 10
    assert outcome.stopped is not None
    assert outcome.stopped.startswith("10 questions failed in a row, the last one with: ")


@pytest.mark.parametrize("script", ["", "<think>", "<think></think>", "<think>\n\n</think>"])
def test_an_empty_reply_is_recorded_as_it_is(tmp_path: Path, script: str) -> None:
    outcome, problems = run(plan(tmp_path / "t.jsonl"), Echo(script))
    assert outcome.done == 4
    for problem in problems:
        (sample,) = problem.samples
        assert (sample.text, sample.prediction, sample.correct) == (script, None, False)
        assert sample.probes == ()


def test_a_probe_that_never_comes_to_an_answer_is_an_empty_one(tmp_path: Path) -> None:
    def mumble(prompt: Prompt, seed: int) -> str:
        return "and so on " * 50 if prompt.prefill else "<think>hm hm hm hm hm</think>\\boxed{7}"

    _, problems = run(plan(tmp_path / "t.jsonl"), Echo(mumble))
    for problem in problems:
        (sample,) = problem.samples
        assert [(probe.answer, probe.p, probe.tokens) for probe in sample.probes] == [("", None, 20)] * 2
        assert {probe["correct"] for probe in sample.fields["probes"]} == {False}  # type: ignore[attr-defined]


def test_a_reply_that_its_own_limit_cut_is_recorded_as_cut(tmp_path: Path) -> None:
    _, problems = run(plan(tmp_path / "t.jsonl", sampling=Sampling(max_tokens=3, temperature=0)))
    for problem in problems:
        (sample,) = problem.samples
        assert (sample.closed_thinking, sample.fields["finish"], sample.tokens) == (False, "length", 3)
        assert [probe.at for probe in sample.probes] == [1]


def test_the_oracles_exit_is_recorded_and_asked_at(tmp_path: Path) -> None:
    def oracle(item: Item, thinking: str) -> int | None:
        return thinking.find(" ") + 1 if "1" in item.problem.id else None

    _, problems = run(plan(tmp_path / "t.jsonl", grid=Grid(100, TEXTS, oracle=oracle)))
    for problem in problems:
        (sample,) = problem.samples
        known = "1" in problem.id
        assert sample.fields["exit"] == (2 if known else None)
        assert [probe.at for probe in sample.probes] == ([1, 2] if known else [1])


def test_engines_without_log_probabilities_give_answers_without_p(tmp_path: Path) -> None:
    _, problems = run(plan(tmp_path / "t.jsonl"), Echo(caps=CAPS - {Cap.LOGPROBS}))
    probes = [probe for problem in problems for sample in problem.samples for probe in sample.probes]
    assert probes
    assert all(probe.answer and probe.p is None for probe in probes)


def test_what_cannot_be_recorded_is_refused_before_the_first_token(tmp_path: Path) -> None:
    engine = Echo(caps=CAPS - {Cap.PREFILL})
    with pytest.raises(Unsupported, match=r"lacks PREFILL .* and a probe continues one"):
        run(plan(tmp_path / "t.jsonl"), engine)
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(DataError, match="none"):
        run(plan(tmp_path / "t.jsonl", task=load_task(f"jsonl:{tmp_path / 'none.jsonl'}")))
    assert engine.calls == 0
    assert not (tmp_path / "t.jsonl").exists()


def test_questions_without_an_answer_are_recorded_without_a_verdict(tmp_path: Path) -> None:
    questions = tmp_path / "q.jsonl"
    questions.write_text('{"question": "What is 3 + 4?", "answer": null}\n')
    _, (problem,) = run(plan(tmp_path / "t.jsonl", task=load_task(f"jsonl:{questions}")))
    assert problem.answer is None
    assert problem.samples[0].correct is None
    assert {probe["correct"] for probe in problem.samples[0].fields["probes"]} == {None}  # type: ignore[attr-defined]


SCORED = replace(GRID, scorers={"mean_logprob": MeanLogprob(), "agreement": Agreement(), "verify": VerifierPrompt()})


def test_scores_are_those_of_the_replies_and_their_calls_are_billed(tmp_path: Path) -> None:
    engine = Echo()
    outcome, problems = run(plan(tmp_path / "t.jsonl", samples=3, grid=SCORED), engine)
    assert outcome.spent == sum(outcome.bill.values()) == engine.generated
    assert outcome.bill["verify"] >= outcome.samples
    for problem in problems:
        scores = [sample.fields["scores"] for sample in problem.samples]
        assert all(list(one) == ["mean_logprob", "agreement", "verify"] for one in scores)  # type: ignore[call-overload]
        stated = [sample.prediction for sample in problem.samples]
        for sample, one in zip(problem.samples, scores, strict=True):
            assert one["mean_logprob"] < 0  # type: ignore[index]
            assert one["agreement"] == pytest.approx((stated.count(sample.prediction) - 1) / 2)  # type: ignore[index]


def test_scores_change_nothing_else_of_a_recording(tmp_path: Path) -> None:
    _, plain = run(plan(tmp_path / "plain.jsonl", samples=2))
    _, scored = run(plan(tmp_path / "scored.jsonl", samples=2, grid=SCORED))
    texts = [[sample.text for sample in problem.samples] for problem in plain]
    assert texts == [[sample.text for sample in problem.samples] for problem in scored]
    with pytest.raises(DataError, match="scorers"):
        run(plan(tmp_path / "plain.jsonl", samples=2, grid=SCORED))


def test_a_score_serves_as_the_reward(tmp_path: Path) -> None:
    made = plan(tmp_path / "t.jsonl", samples=3, grid=SCORED)
    run(made)
    for problem in read_traces(made.path, reward="mean_logprob"):
        assert [sample.reward for sample in problem.samples] == [
            sample.fields["scores"]["mean_logprob"]  # type: ignore[index]
            for sample in problem.samples
        ]
    with pytest.raises(DataError, match="no score 'reward'; scores are: mean_logprob, agreement, verify"):
        list(read_traces(made.path, reward="reward"))


def test_a_scorer_that_needs_more_than_the_engine_has_is_refused_before_the_first_token(tmp_path: Path) -> None:
    engine = Echo(caps=CAPS - {Cap.LOGPROBS})
    with pytest.raises(Unsupported, match="MeanLogprob needs an engine with LOGPROBS"):
        run(plan(tmp_path / "t.jsonl", grid=SCORED), engine)
    assert engine.calls == 0


@pytest.mark.parametrize("values", [[0.5], [0.5, math.nan]])
def test_a_scorer_that_gives_no_number_for_each_reply_is_named(tmp_path: Path, values: list[float]) -> None:
    class Odd(RandomControl):
        async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
            return [Score(value) for value in values]

    with pytest.raises(DataError, match="the scorer odd gave"):
        run(plan(tmp_path / "t.jsonl", samples=2, grid=replace(GRID, scorers={"odd": Odd()})))


def test_a_limit_in_the_middle_of_scoring_writes_no_half_question(tmp_path: Path) -> None:
    """A question whose last verdict did not fit is recorded by the next session; a written one has all of them."""
    whole, (problem,) = run(plan(tmp_path / "whole.jsonl", samples=2, grid=SCORED, limit=1))
    cut = 0
    for left in range(1, whole.bill["verify"] + 1):
        made = plan(tmp_path / f"{left}.jsonl", samples=2, grid=SCORED, limit=1, max_tokens_total=whole.spent - left)
        outcome = asyncio.run(record(made, Echo()))
        lines = made.path.read_text().splitlines()[1:]
        assert len(lines) == outcome.done
        if lines:
            assert json.loads(lines[0])["samples"] == [dict(sample.fields) for sample in problem.samples]
        else:
            cut += 1
            assert outcome.stopped == f"the limit of {whole.spent - left:,} generated tokens is reached"
    assert cut


def test_a_reply_that_could_not_be_scored_counts_as_the_worst(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"id": 1, "answer": "1", "samples": [{"text": "", "scores": {"x": null}}]}\n')
    (problem,) = read_traces(path, reward="x")
    assert problem.samples[0].reward == -math.inf

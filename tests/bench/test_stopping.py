"""Each rule on all thoughts at once gives what its method gives on the engine that goes along one thought."""

import asyncio
import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ponder.bench import stopping
from ponder.bench.along import AlongPlan, points, read_thoughts
from ponder.bench.recorded import read_traces
from ponder.bench.stopping import FAR, Stops, outcome
from ponder.bench.thoughts import Asked, Line, Thoughts, pieces_of
from ponder.core.engine import Sampling, Think
from ponder.core.method import Method
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.along import Along, Probe, Thought
from ponder.methods.stop.answer_convergence import AnswerConvergence
from ponder.methods.stop.constant_cut import ConstantCut
from ponder.methods.stop.deer import Deer
from ponder.methods.stop.dynasor import Dynasor
from ponder.verify import Math

WORDS = ("so ", "then ", "7 + 5 ", "is ", "12. ", "Wait, ", "no. ", "Alternatively, ", "hmm ", "waiting ")
MARKS = Think("<think>", "</think>")


def sample(rng: random.Random, cut: bool) -> dict[str, object]:
    """Return a made-up recorded reply, token by token, with probes on an uneven grid."""
    words = [rng.choice(WORDS) for _ in range(rng.randint(1, 60))]
    tokens = ["<think>", *words] if cut else ["<think>", *words, "</think>", "it is ", "\\boxed{12}"]
    places = sorted({1, *(rng.randint(1, len(words) + 1) for _ in range(rng.randint(0, 12)))})
    probes = [
        {
            "at": at,
            "answer": rng.choice(("12", "12.0", "13", "", "no idea", "12")),
            "p": rng.choice((0.3, 0.9, 0.95, 0.97, 0.99)),
            "tokens": rng.randint(1, 5),
        }
        for at in places
    ]
    text, sizes = "".join(tokens), [len(token) for token in tokens]
    return {"text": text, "tokens": len(tokens), "pieces": sizes, "probes": probes, "closed_thinking": not cut}


@dataclass
class Case:
    path: Path
    thoughts: Thoughts
    every: int


@pytest.fixture(scope="module", params=[False, True], ids=["whole", "cut"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    rng = random.Random(5)
    path = tmp_path_factory.mktemp("traces") / "t.jsonl"
    lines = [
        {"id": f"q{i}", "question": "7 + 5?", "answer": "12", "samples": [sample(rng, request.param)]}
        for i in range(40)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    found = asyncio.run(read_thoughts(AlongPlan(path, "ponder", Math())))
    return Case(path, found.thoughts, found.every)


async def solved(path: Path, method: Method) -> list[tuple[int, str, int]]:
    """Return tokens, the answer and the tokens of probes of each thought, as the method itself gives them."""
    found = []
    for problem in read_traces(path):
        (one,) = problem.samples
        probes = [Probe(*probe) for probe in one.probes]
        thought = Thought(pieces_of(one), tuple(probes), finish="stop" if one.closed_thinking else "length")
        sampling = Sampling(max_tokens=2**31 - 1)
        run = Run(Along([thought], think=MARKS), sampling=sampling, extract=Math().extract, same=Math().same)
        solution = await method.solve(Problem.of("7 + 5?"), run)
        found.append((run.trace.tokens, solution.answer, run.trace.tokens_by_role.get("probe", 0)))
    return found


def assert_agrees(case: Case, stops: Stops, method: Method) -> None:
    found = outcome(case.thoughts, stops)
    tokens = (found.think + found.probe + found.answer).tolist()
    right = found.right.tolist()
    for row, (spent, answer, probes) in enumerate(asyncio.run(solved(case.path, method))):
        line = case.thoughts.lines[row]
        said = (row, method, line)
        assert found.probe[row] == probes, said
        assert tokens[row] == spent, said
        boxed = answer if "boxed" in answer else f"\\boxed{{{answer}}}"
        assert right[row] == float(Math().extract(boxed) in ("12", "12.0")), (answer, said)


@pytest.mark.parametrize("every", [1, 4, 7, 64])
def test_dynasor(case: Case, every: int) -> None:
    counts = (1, 2, 3, 50)
    for count, stops in zip(counts, stopping.dynasor(case.thoughts, every, counts), strict=True):
        assert_agrees(case, stops, Dynasor(every=every, count=count))
    for after in (3, 20):
        (stops,) = stopping.dynasor(case.thoughts, every, [2], after)
        assert_agrees(case, stops, Dynasor(every=every, count=2, after=after))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_answer_convergence(case: Case, count: int) -> None:
    thresholds = (-1.0, 0.5, 0.9, 0.95, 0.99)
    for every in (2, 5):
        found = stopping.answer_convergence(case.thoughts, every, count, thresholds)
        for threshold, stops in zip(thresholds, found, strict=True):
            assert_agrees(case, stops, AnswerConvergence(every=every, count=count, threshold=threshold))


def test_deer(case: Case) -> None:
    thresholds = (-1.0, 0.0, 0.5, 0.9, 0.95, 0.97, 0.99, 1.0)
    for threshold, stops in zip(thresholds, stopping.deer(case.thoughts, thresholds), strict=True):
        assert_agrees(case, stops, Deer(threshold=threshold))


def test_constant_cut(case: Case) -> None:
    for tokens in (1, 2, 10, 30, 100):
        assert_agrees(case, stopping.fixed(case.thoughts, [tokens] * len(case.thoughts)), ConstantCut(tokens=tokens))


def line(*probes: tuple[int, int, float], tokens: int = 100, end: int = 90, right: float = 1.0) -> Line:
    asked = tuple(Asked(at, kind, p, 3, float(kind == 1), False) for at, kind, p in probes)
    return Line("q", tokens, end, right, False, False, True, None, asked, ())


def test_worked_by_hand() -> None:
    """Probes 7, 12, 12, none, 12, 12, 12 with count 3 stop at the seventh alone (2412.20993)."""
    kinds = [0, 1, 1, -1, 1, 1, 1]
    thoughts = Thoughts([line(*((10 * (i + 1), kind, 0.9) for i, kind in enumerate(kinds)))])
    (stops,) = stopping.dynasor(thoughts, 10, [3])
    assert (stops.thought.tolist(), stops.place.tolist(), stops.probes.tolist()) == ([70], [6], [21])
    found = outcome(thoughts, stops)
    assert [int(column[0]) for column in (found.think, found.probe, found.answer)] == [70, 21, 3]
    # Behind the last probe its answer stands for every look: the eighth one agrees, and nine looks fit.
    four, never = stopping.dynasor(thoughts, 10, [4, 8])
    assert (four.thought.tolist(), four.probes.tolist()) == ([80], [24])
    assert outcome(thoughts, never).probe.tolist() == [27]


def test_a_rule_that_never_stops_leaves_the_reply_as_it_is() -> None:
    thoughts = Thoughts([line((10, 1, 0.9), right=0.0), line((10, 1, 0.9))])
    for stops in (stopping.full(thoughts), stopping.fixed(thoughts, [None, 91])):
        found = outcome(thoughts, stops)
        assert stops.thought.tolist() == [FAR, FAR]
        assert (found.think + found.probe + found.answer).tolist() == [100, 100]
        assert found.right.tolist() == [0.0, 1.0]


def test_chance_stops_as_often_as_it_says_and_the_same_each_time() -> None:
    thoughts = Thoughts([line((10, 1, 0.9)) for _ in range(4000)])
    (stops,) = stopping.by_chance(thoughts, 30, [0.3])
    shares = [float((stops.thought == at).mean()) for at in (30, 60, 90)]
    assert shares == pytest.approx([0.3, 0.21, 0.147], abs=0.025)
    (again,) = stopping.by_chance(thoughts, 30, [0.3])
    assert np.array_equal(stops.thought, again.thought)
    assert stops.probes.sum() == 0


def test_no_probe_yet_is_no_look() -> None:
    thoughts = Thoughts([line((50, 1, 0.9))])
    (stops,) = stopping.dynasor(thoughts, 20, [1])
    assert (stops.thought.tolist(), stops.probes.tolist()) == ([60], [3])


def test_a_thousand_thoughts_at_a_hundred_thresholds() -> None:
    rng = random.Random(1)
    lines = [
        line(*((8 * i, rng.randint(0, 2), rng.random()) for i in range(1, 40)), tokens=400, end=380)
        for _ in range(1000)
    ]
    assert len(list(points(Thoughts(lines), 8))) > 60

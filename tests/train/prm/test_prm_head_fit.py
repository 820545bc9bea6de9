"""The head is read, split, fitted and measured: no question is in both halves, and it beats its controls."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ponder.core.engine import Cap, Think
from ponder.core.errors import DataError
from ponder.engines.echo import Echo
from ponder.scorers.prm_head import HEADS
from ponder.train.prm.head import Seen, look, measure, parted, save_head, train, used
from ponder.train.prm.questions import load_questions
from ponder.train.prm.rows import Reply, Step
from ponder.train.probe import Settings

QUICK = Settings(epochs=20, rate=5e-3, hidden=8, batch=32, seed=3)
STEPS = (Step(3, 1.0, "right", -0.1), Step(7, 1.0, "useless", -0.3), Step(11, 0.0, "wrong", -0.2))


def reply(key: str = "q", sample: int = 0, correct: bool | None = True) -> Reply:
    return Reply(key, sample, "one\ntwo\nsix", correct, 3, 0, STEPS)


def seen(questions: int = 60, seed: int = 0) -> list[Seen]:
    """Steps whose worth stands in their states' first number, among noise."""
    dice, found = np.random.default_rng(seed), list[Seen]()
    for number in range(questions):
        key = f"q{number}"
        states = dice.normal(size=(3, 5)).astype(np.float32)
        steps = [
            Step(3 + 4 * n, float(state[0] > 0), "right" if state[0] > 0 else "wrong") for n, state in enumerate(states)
        ]
        whole = Reply(key, 0, "one\ntwo\nsix", bool(steps[-1].value), 3, 0, tuple(steps))
        found += [Seen(whole, step, n, state) for n, (step, state) in enumerate(zip(steps, states, strict=True))]
    return found


def test_a_head_learns_from_every_step_and_of_outcomes_from_the_end_of_whole_replies() -> None:
    assert used(reply(), outcome=False) == [(0, STEPS[0]), (1, STEPS[1]), (2, STEPS[2])]
    assert used(reply(), outcome=True) == [(2, STEPS[2]._replace(value=1.0))]
    assert used(reply(correct=False), outcome=True)[0][1].value == 0.0
    assert used(reply(correct=None), outcome=True) == []


async def test_states_are_read_behind_each_step() -> None:
    asked = load_questions(["lab:modular:links=2"], 1, 1)[0]
    engine = Echo(think=Think(), caps=frozenset(Cap))
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))

    replies = [reply(asked.key, sample) for sample in range(2)]
    found, cost = await look(engine, {asked.key: asked}, replies, -1, False, progress)
    assert [(one.reply.sample, one.place) for one in found] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert (found[0].state == found[3].state).all()
    assert not (found[0].state == found[1].state).all()
    assert (cost.calls, engine.generated, told[-1]) == (6, 6, (2, 2))
    assert cost.told()["positions"] > 0


def test_questions_are_held_out_whole() -> None:
    keys = [f"q{n % 20}" for n in range(200)]
    held = parted(keys, 0.25, 1)
    assert len(held) == 5
    assert held == parted(reversed(keys), 0.25, 1)
    assert held != parted(keys, 0.25, 2)
    assert len(parted(keys, 1.0, 1)) == 19
    assert len(parted(keys, 0.0, 1)) == 1
    with pytest.raises(DataError, match="one question alone"):
        parted(["q"], 0.25, 1)


def test_what_can_be_learnt_beats_the_controls() -> None:
    steps = seen()
    held = parted((one.reply.key for one in steps), 0.3, 1)
    arrays, found = train(steps, held, QUICK)
    assert found.questions == 18
    assert found.steps == 54
    assert found.areas["head"].low > 0.8
    assert found.areas["decided"] == found.areas["head"]
    assert found.areas["random"].low < 0.5 < found.areas["random"].high
    assert "mean_logprob" not in found.areas
    assert found.replies["last"].auc > 0.8
    assert found.calibration.ece < 0.3
    assert arrays["inner"].shape == (5, 8)


def test_the_lab_s_own_chains_are_learnt_from_and_never_measured_with() -> None:
    steps = seen()
    made = [Seen(Reply(one.reply.key, -1, "", None, 0, 0, ()), one.step, one.place, one.state) for one in steps]
    held = parted((one.reply.key for one in steps), 0.3, 1)
    assert train([*steps, *made], held, QUICK)[1].steps == train(steps, held, QUICK)[1].steps


def test_nothing_to_learn_from_is_told() -> None:
    steps = seen()
    with pytest.raises(DataError, match="no step is left to learn from"):
        train(steps, frozenset(one.reply.key for one in steps), QUICK)
    same = [Seen(one.reply, one.step._replace(value=1.0), one.place, one.state) for one in steps]
    with pytest.raises(DataError, match="there is nothing to learn"):
        train(same, frozenset(["q0"]), QUICK)


def test_any_scores_of_steps_are_measured_alike() -> None:
    """Whole replies: q0 is right and scored above q1 by its last step and its mean, and below it by its least."""
    rows = [(reply("q0"), step, n) for n, step in enumerate(STEPS)]
    rows += [(reply("q1", correct=False), step, n) for n, step in enumerate(STEPS)]
    found = measure(rows, [0.9, 0.1, 0.8, 0.3, 0.2, 0.4])
    among = {"last_within": 0.5, "min_within": 0.5, "mean_within": 0.5}
    wanted = {"last": 1.0, "min": 0.0, "mean": 1.0}
    # One reply a question leaves nothing to choose among.
    assert {name: area.auc for name, area in found.replies.items()} == wanted | among
    twice = [(replace(one, key="q", sample=int(one.key[1:])), step, n) for one, step, n in rows]
    found = measure(twice, [0.9, 0.1, 0.8, 0.3, 0.2, 0.4])
    assert {name: area.auc for name, area in found.replies.items()} == wanted | {
        f"{name}_within": auc for name, auc in wanted.items()
    }
    assert found.areas["mean_logprob"].auc == pytest.approx(0.5)
    assert found.areas["place"].auc == 1.0
    assert found.areas["decided"].auc == pytest.approx(0.5)
    assert found.good == pytest.approx(2 / 3)


def test_soft_values_are_learnt(tmp_path: Path) -> None:
    dice = random.Random(1)
    steps = [
        Seen(one.reply, one.step._replace(value=0.75 if one.state[0] > 0 else 0.25, kind=""), one.place, one.state)
        for one in seen()
    ]
    dice.shuffle(steps)
    held = parted((one.reply.key for one in steps), 0.3, 1)
    arrays, found = train(steps, held, QUICK)
    # Each step is good to one part and bad to the rest: no score can do better than tell the parts apart.
    assert found.areas["head"].auc == pytest.approx(0.75, abs=0.06)
    assert found.calibration.ece < 0.15
    assert "decided" not in found.areas
    save_head(tmp_path / "p", arrays, 2, "\n\n", False, {"model": "m"})
    head = HEADS.read(tmp_path / "p")
    assert (head.net.layer, head.delimiter, head.outcome) == (2, "\n\n", False)

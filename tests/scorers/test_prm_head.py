"""The head on hidden states: its formula, which states it reads, what is billed, and what it cannot be used for."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest

from ponder.core.engine import Cap, Sampling, Think
from ponder.core.errors import DataError, Unsupported
from ponder.core.method import check
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.engines.echo import WIDTH, Echo
from ponder.methods.search.beam_search import BeamSearch
from ponder.methods.vote.best_of_n import BestOfN
from ponder.scorers.prm_head import HEADS, SHIPPED, PrmHead, states_behind
from ponder.scorers.stepwise import asked
from ponder.text.answers import number
from ponder.train.prm.head import save_head

QUESTION = Problem.of("What is 3 + 4?")
ALL = frozenset(Cap)
PLAIN = Think()


def arrays(bias: float = 0.0, first: float = 1.0, width: int = WIDTH) -> dict[str, np.ndarray]:
    """A head whose logit is the first number of a state, times `first`, plus `bias`."""
    found = {"mean": np.zeros(width), "scale": np.ones(width), "inner": np.eye(width) * first}
    found |= {"inner_bias": np.zeros(width), "outer": np.eye(width)[0], "outer_bias": np.array([bias])}
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


def saved(folder: Path, *, outcome: bool = False, layer: int = -1, bias: float = 0.0, first: float = 1.0) -> str:
    save_head(folder, arrays(bias, first), layer, "\n", outcome, {"model": "torch:mine"})
    return str(folder)


def reply(text: str) -> Call:
    return Call("answer", "m", (), 0, text, "", text)


def engine() -> Echo:
    return Echo(caps=ALL, think=PLAIN)


async def first_number(text: str, layer: int = -1) -> float:
    """The first number of the state behind a text, as the engine itself tells it."""
    run = Run(engine())
    call = await run.generate(asked(QUESTION, run.engine) + text, max_tokens=1, temperature=0.0, hidden=(layer,))
    return float(np.asarray(call.hidden[0])[0, 0, 0])


async def test_the_logit_of_seven_tenths(tmp_path: Path) -> None:
    """The notes: sigmoid(0.8473) = 0.7, whatever the state, where the head has nothing but a bias."""
    head = PrmHead(saved(tmp_path / "p", bias=0.8473, first=0.0))
    (score,) = await head.score(QUESTION, [reply("3+4=7")], Run(engine()))
    assert score.value == pytest.approx(0.7, abs=1e-5)


@pytest.mark.parametrize("layer", [0, 2, -1])
async def test_the_state_behind_the_last_step_is_read(tmp_path: Path, layer: int) -> None:
    head, run = PrmHead(saved(tmp_path / "p", layer=layer)), Run(engine())
    found = await head.score(QUESTION, [reply("a \nb \n"), reply("a \nc ")], run)
    logits = [await first_number("a \nb", layer), await first_number("a \nc", layer)]
    assert [score.value for score in found] == pytest.approx([1 / (1 + math.exp(-value)) for value in logits])
    assert [score.steps for score in found] == [(), ()]
    assert run.trace.tokens_by_role == {"verify": 2}


async def test_every_step_is_scored_where_that_is_asked_for(tmp_path: Path) -> None:
    head, run = PrmHead(saved(tmp_path / "p"), each=True), Run(engine())
    (score,) = await head.score(QUESTION, [reply("a \nb \n\nc ")], run)
    logits = [await first_number(text) for text in ("a", "a \nb", "a \nb \n\nc")]
    assert score.steps == pytest.approx([1 / (1 + math.exp(-value)) for value in logits])
    assert score.value == score.steps[-1]
    assert run.trace.tokens_by_role == {"verify": 3}


async def test_a_head_of_outcomes_scores_the_end_alone(tmp_path: Path) -> None:
    head, run = PrmHead(saved(tmp_path / "p", outcome=True), each=True), Run(engine())
    (score,) = await head.score(QUESTION, [reply("a \nb ")], run)
    assert score.steps == ()
    assert run.trace.tokens == 1


async def test_another_engine_may_be_the_one_that_reads(tmp_path: Path) -> None:
    head = PrmHead(saved(tmp_path / "p"), engine="prm")
    assert head.needs() == {"prm": frozenset({Cap.HIDDEN, Cap.PREFILL})}
    run = Run({"main": Echo(think=PLAIN), "prm": engine()})
    (score,) = await head.score(QUESTION, [reply("a")], run)
    assert 0.5 < score.value < 1
    assert {call.engine for call in run.trace.calls} == {"echo"}


async def test_nothing_is_read_of_a_reply_without_a_word_nor_behind_a_limit(tmp_path: Path) -> None:
    head = PrmHead(saved(tmp_path / "p"))
    for run, text in (
        (Run(engine()), " \n"),
        (Run(engine(), budget=0), "a"),
        (Run(engine(), deadline=time.monotonic() - 1), "a"),
    ):
        (score,) = await head.score(QUESTION, [reply(text)], run)
        assert score.value == -math.inf
        assert run.trace.tokens == 0


async def test_client_s_stop_strings_do_not_end_the_reading(tmp_path: Path) -> None:
    run = Run(engine(), sampling=Sampling(stop=("so",), top_k=1, min_p=0.5, logit_bias=((1, 2.0),)))
    (state,) = await states_behind(asked(QUESTION, run.engine), "a", [1], run.quiet(0), -1)
    assert state is not None
    assert len(state) == WIDTH
    assert run.sampling.stop == ("so",)


async def test_a_model_of_another_width_is_refused_by_name(tmp_path: Path) -> None:
    save_head(tmp_path / "p", arrays(width=3), -1, "\n", False, {"model": "torch:mine"})
    with pytest.raises(DataError, match=r"trained on states of torch:mine, of 3 numbers; those of echo have 4; train"):
        await PrmHead(str(tmp_path / "p")).score(QUESTION, [reply("a")], Run(engine()))


async def test_a_score_that_is_no_number_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ponder.scorers.prm_head.last_state", lambda call, layer: np.full(WIDTH, np.nan, np.float32))
    head = PrmHead(saved(tmp_path / "p"))
    with pytest.raises(DataError, match=r"scores NaN on a state of echo; train the prm again"):
        await head.score(QUESTION, [reply("a")], Run(engine()))


def test_files_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no .*prm\.toml; path takes the folder that `ponder train prm` wrote"):
        PrmHead(str(tmp_path / "none")).read_files()
    folder = tmp_path / "p"
    saved(folder)
    card = folder / "prm.toml"
    card.write_text(card.read_text().replace('scores = "steps"', 'scores = "words"'))
    with pytest.raises(DataError, match="scores = 'words' must be steps or outcome"):
        PrmHead(str(folder)).read_files()


def test_a_head_knows_what_it_was_trained_on(tmp_path: Path) -> None:
    saved(tmp_path / "p", outcome=True, layer=3)
    head = HEADS.read(tmp_path / "p")
    assert (head.model, head.delimiter, head.outcome, head.net.layer) == ("torch:mine", "\n", True, 3)


def test_an_engine_without_states_is_refused_before_the_first_token(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="HIDDEN"):
        check(BestOfN(scorer=PrmHead(saved(tmp_path / "p"))), {"main": Echo()})


async def test_a_beam_search_pays_one_token_for_each_new_step(tmp_path: Path) -> None:
    main = Echo("one \ntwo \n\\boxed{3}", think=PLAIN, caps=ALL)
    head = PrmHead(saved(tmp_path / "p"))
    search = BeamSearch(n=2, width=2, scorer=head, delimiter="\n", temperature=0.7)
    solution = await search.solve(QUESTION, run := Run(main, extract=number))
    assert "3" in solution.answer
    assert run.trace.tokens_by_role["verify"] == 2 * int(solution.evidence["steps"])
    assert run.trace.tokens == main.generated


@pytest.mark.parametrize(("name", "outcome"), [("tiny-reasoner", False), ("tiny-reasoner-outcome", True)])
def test_heads_ship_for_the_tiny_reasoner(name: str, outcome: bool) -> None:
    PrmHead(name).read_files()
    head = HEADS.read(SHIPPED / name)
    assert (head.model, head.net.width, head.outcome) == ("torch:tiny-reasoner", 128, outcome)
    with pytest.raises(DataError, match=r"there is no .*prm\.toml"):
        PrmHead("").read_files()


def test_a_folder_of_ones_own_may_have_the_name_of_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "tiny-reasoner", bias=0.5)
    PrmHead("tiny-reasoner").read_files()
    shipped, mine = HEADS.read(SHIPPED / "tiny-reasoner"), HEADS.read(tmp_path / "tiny-reasoner")
    assert PrmHead("tiny-reasoner")._head() is shipped
    assert PrmHead("./tiny-reasoner")._head() is mine
    assert PrmHead("tiny-reasoner/")._head() is mine
    with pytest.raises(DataError, match="there is no"):
        PrmHead("..").read_files()

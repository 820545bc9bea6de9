"""A reward model that is a small network on the states of a language model, read behind each step (2501.19324)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ponder.core.engine import Cap, SamplingArgs
from ponder.core.errors import DataError
from ponder.core.files import Files
from ponder.core.gather import gather
from ponder.core.judge import Score
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Call, Run
from ponder.scorers.probe import KIND, Perceptron, last_state
from ponder.scorers.stepwise import asked, marks, view, written
from ponder.text.steps import step_ends
from ponder.weights.state import load_state
from ponder.weights.tensors import Array

STEM = "prm"
SHIPPED = Path(__file__).parent / "shipped"


class Head:
    """A perceptron, what it was trained on, and whether it knows steps or whole replies alone."""

    def __init__(self, folder: Path) -> None:
        self.state = load_state(folder, STEM, KIND)
        self.net = Perceptron(self.state)
        self.model, self.delimiter = self.state.text("model"), self.state.text("delimiter")
        scores = self.state.text("scores")
        if scores not in ("steps", "outcome") or not self.delimiter:
            raise DataError(f"{self.state.toml}: scores = {scores!r} must be steps or outcome, and delimiter a text")
        self.outcome = scores == "outcome"


HEADS = Files(Head)


@dataclass(frozen=True)
class PrmHead:
    """How good the last step is, in 0 to 1, from the state that the engine is in behind it.

    It knows the model that it was trained on and no other. A head of outcomes scores the reply as far as it is written.
    Minus infinity for a reply without a word, and where a limit ends the run before the state is known.
    """

    path: str
    """The folder that `ponder train prm` wrote, or a head that is shipped: `tiny-reasoner`, `tiny-reasoner-outcome`."""
    engine: str = "main"
    """Whose states are read: the model that the head was trained on."""
    each: bool = False
    """Score every step, with a call for each: for `steps=min` and the like. By default the last step alone."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Hidden states behind a half-written reply."""
        return {self.engine: frozenset({Cap.HIDDEN, Cap.PREFILL})}

    def asks(self) -> SamplingArgs:
        """Nothing of the replies themselves."""
        return {}

    def read_files(self) -> None:
        """Read the head. Raises `DataError` for files that cannot be used."""
        self._head()

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        """Read one state a step. Raises `DataError` for states of another width, and for those that are no numbers."""
        head = self._head()
        return await gather(self._score(head, problem, call, run, index) for index, call in enumerate(calls))

    async def _score(self, head: Head, problem: Problem, call: Call, run: Run, index: int) -> Score:
        text = written(call, run.engine.think).rstrip()
        if not text:
            return Score(-math.inf)
        each = self.each and not head.outcome
        ends = step_ends(text, head.delimiter, marks(run.engine.think)) if each else []
        branch = view(run, self.engine).quiet(index)
        prompt = asked(problem, branch.engine)
        states = await states_behind(prompt, text, ends or [len(text)], branch, head.net.layer)
        values = [_value(head, state, branch.engine.name) for state in states]
        return Score(values[-1], tuple(values) if each else ())

    def _head(self) -> Head:
        # A name alone is a shipped one: with a slash before or in it, it is a folder of the user's own.
        shipped = SHIPPED / self.path
        known = Path(self.path).name == self.path and (shipped / f"{STEM}.toml").is_file()
        return HEADS.read(shipped if known else Path(self.path).expanduser().resolve())


def _value(head: Head, state: Array | None, engine: str) -> float:
    """Return what a state is worth. Raises `DataError` for one of another model, and for a value that is no number."""
    if state is None:
        return -math.inf
    if len(state) != head.net.width:
        raise DataError(
            f"{head.state.toml} was trained on states of {head.model}, of {head.net.width} numbers; those of "
            f"{engine} have {len(state)}; train one on this model"
        )
    value = float(head.net.rate(state[None])[0])
    if math.isnan(value):
        raise DataError(f"{head.state.toml} scores NaN on a state of {engine}; train the prm again")
    return value


async def states_behind(prompt: Prompt, text: str, ends: Sequence[int], branch: Run, layer: int) -> list[Array | None]:
    """Return the states (width) of an engine that has read `text` up to each of `ends` as the beginning of its reply.

    It is the state that the next token is drawn from, so one token is drawn, and billed, for each. None where a limit
    of the run came first. The last end is read first: what it leaves in the cache serves the others.
    """
    if not ends:
        return []

    async def behind(end: int) -> Array | None:
        view = branch.quiet(end)
        view.sampling = replace(view.sampling, stop=(), top_p=1.0, top_k=0, min_p=0.0, logit_bias=())
        call = await view.generate(prompt + text[:end], "verify", max_tokens=1, temperature=0.0, hidden=(layer,))
        return last_state(call, layer)

    last = await behind(ends[-1])
    return [*await gather(behind(end) for end in ends[:-1]), last]

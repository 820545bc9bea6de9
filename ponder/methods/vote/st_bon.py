"""ST-BoN: soon after several samples part, the one whose states are the most ordinary is kept (2503.01422)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ponder.core.engine import ALL_LAYERS, Cap, Chunk, SamplingArgs
from ponder.core.errors import require
from ponder.core.gather import gather
from ponder.core.method import Solution
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Call, Run
from ponder.steer.chain import course, most_ordinary
from ponder.steer.draw import heat
from ponder.steer.elect import check_samples
from ponder.steer.lockstep import Lane, Lockstep
from ponder.text.prompts import STEP_BY_STEP


@dataclass(frozen=True)
class StBoN:
    """`n` samples are written side by side until all of them differ, and a while longer; then one is written on."""

    n: int = 8
    """How many samples; one is plain sampling."""
    window: float = 1.0
    """How long the samples are watched once they differ, in lengths of the part up to there."""
    cap: int = 256
    """Tokens after which samples are taken to differ: equal ones would otherwise all be written to their ends."""
    temperature: float | None = None
    """Of the samples. By default the run's own, or 0.7 for several samples of a greedy run."""
    cot: bool | None = None
    """Ask for step-by-step reasoning; by default only where the model does not think by itself."""

    def __post_init__(self) -> None:
        check_samples(self, self.n, self.temperature)
        require(0 <= self.window <= 100, self, "window", self.window, "0 to 100")
        require(self.cap >= 1, self, "cap", self.cap, "at least 1")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """The hidden states of every layer."""
        return {"main": frozenset({Cap.HIDDEN})}

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Read the samples a token at a time, leave all but one, and stream that one to its end."""
        cot = self.cot if self.cot is not None else not run.engine.think
        prompt = Prompt.of(problem, STEP_BY_STEP.to(problem.question) if cot else "")
        choice = _Choice(self.window, self.cap)
        race = Lockstep(self.n, choice)
        if self.n == 1:
            race.winner = 0
        read = await gather(self._read(index, prompt, run, race) for index in range(self.n))
        call, held = read[race.winner or 0]
        _show(run, held)
        return Solution.of(call, {"n": self.n, **choice.evidence})

    async def _read(self, index: int, prompt: Prompt, run: Run, race: Lockstep) -> tuple[Call, list[Chunk]]:
        """Read one sample as far as it goes; return its call, and what of it was not shown."""
        view = run if self.n == 1 else run.quiet(index)
        over: SamplingArgs = {"temperature": heat(run.sampling.temperature, self.temperature, self.n)}
        if self.n > 1:
            over["hidden"] = ALL_LAYERS
        held: list[Chunk] = []
        async with view.stream(prompt, **over) as live:
            race.lanes[index].live = live
            async for chunk in live:
                held.append(chunk)
                await race.arrive(index, chunk)
                if race.winner == index:
                    _show(run, held)
                    held.clear()
                elif race.winner is not None:
                    break
            race.end(index)
        return live.call, held


@dataclass
class _Choice:
    """Decides when the samples differ, and after the window which of them goes on."""

    window: float
    cap: int
    parted: int | None = None
    """The first length at which all samples differ, or one has ended."""
    votes: int = 0

    @property
    def watched(self) -> int:
        """How many tokens longer the samples are watched."""
        return max(1, int(self.window * (self.parted or 0)))

    @property
    def evidence(self) -> dict[str, float | str]:
        """Where the samples parted, how long they were watched, and how many of those tokens voted for the winner."""
        return {"parted": self.parted, "window": self.watched, "votes": self.votes} if self.parted else {}

    def __call__(self, lanes: list[Lane], length: int) -> int | None:
        if self.parted is None:
            over = any(lane.ended and len(lane.tokens) <= length for lane in lanes)
            if over or length >= self.cap or len({tuple(lane.tokens[:length]) for lane in lanes}) == len(lanes):
                self.parted = length
        if self.parted is None or length < self.parted + self.watched:
            return None
        states = [lane.live.call.hidden if lane.live else () for lane in lanes]
        winner, self.votes = most_ordinary([course(one, self.parted + 1, length) for one in states])
        return winner


def _show(run: Run, chunks: list[Chunk]) -> None:
    for chunk in chunks:
        if not chunk.markup:
            run.show(chunk.text, chunk.channel)

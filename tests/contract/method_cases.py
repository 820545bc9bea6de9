"""What the contract tests run over: every method of the table, as it comes and with no field as it comes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ponder.core.engine import Cap, Chunk, Sampling
from ponder.core.method import Method
from ponder.core.problem import Prompt
from ponder.engines.echo import CAPS, Echo
from ponder.methods import METHODS, catalogue
from ponder.methods.prompt.chain_of_draft import ChainOfDraft
from ponder.methods.prompt.concise_cot import ConciseCoT
from ponder.methods.prompt.no_thinking import NoThinking
from ponder.methods.prompt.style import Style
from ponder.methods.prompt.think_for import ThinkFor
from ponder.methods.prompt.token_budget import TokenBudget
from ponder.methods.route.auto import Auto
from ponder.methods.route.cascade import Cascade
from ponder.methods.route.confident_or_seek_stronger import ConfidentOrSeekStronger
from ponder.methods.route.routellm import RouteLLM
from ponder.methods.route.self_ref import SelfRef
from ponder.methods.route.sketch_of_thought import SketchOfThought
from ponder.methods.route.thinking_route import ThinkingRoute
from ponder.methods.search.beam_search import BeamSearch
from ponder.methods.search.dpts import Dpts
from ponder.methods.search.mcts import Mcts
from ponder.methods.search.rsd import Rsd
from ponder.methods.search.speculative_rejection import SpeculativeRejection
from ponder.methods.stop.answer_convergence import AnswerConvergence
from ponder.methods.stop.budget_forcing import BudgetForcing
from ponder.methods.stop.constant_cut import ConstantCut
from ponder.methods.stop.deer import Deer
from ponder.methods.stop.dynasor import Dynasor
from ponder.methods.stop.infty_think import InftyThink
from ponder.methods.stop.loop_stop import LoopStop
from ponder.methods.stop.no_wait import NoWait
from ponder.methods.stop.thinking_mode import ThinkingMode
from ponder.methods.vote.adaptive_consistency import AdaptiveConsistency
from ponder.methods.vote.best_of_n import BestOfN
from ponder.methods.vote.early_stopping_self_consistency import EarlyStoppingSelfConsistency
from ponder.methods.vote.length_filtered_vote import LengthFilteredVote
from ponder.methods.vote.sample import Sample
from ponder.methods.vote.self_certainty import SelfCertainty
from ponder.methods.vote.self_consistency import SelfConsistency
from ponder.methods.vote.st_bon import StBoN
from ponder.methods.vote.weighted_vote import WeightedVote
from ponder.routers.random import RandomRouter
from ponder.scorers.agreement import Agreement
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.scorers.self_certainty import MeanCertainty

ON_MODELS = {("rsd", "by")}
"""Fields that no echo can serve: models alone score a given text (tests/methods/search/test_search_models.py)."""
VARIANTS: dict[str, Method] = {
    "sample": Sample(cot=True),
    "no_thinking": NoThinking(),
    "concise_cot": ConciseCoT(words=45, cot=False, wording="paper", example="brief", inner=SelfConsistency(n=2)),
    "chain_of_draft": ChainOfDraft(words=3, shots=2, separator=True, inner=NoThinking()),
    "style": Style(template="word_limit", limit=50, frame=True, inner=NoThinking()),
    "token_budget": TokenBudget(fallback=40, most=7, inner=SelfConsistency(n=2)),
    "think_for": ThinkFor(tokens=40, most=True, inner=NoThinking(), cot=True),
    "self_consistency": SelfConsistency(n=3, temperature=0.9, inner=ChainOfDraft(words=7)),
    "best_of_n": BestOfN(
        n=4, inner=ChainOfDraft(words=7), scorer=MeanCertainty(), temperature=0.9, steps="mean", stop_at=0.5
    ),
    "weighted_vote": WeightedVote(
        n=3, inner=NoThinking(), scorer=Agreement(), temperature=0.9, steps="min", weight="softmax", power=0.5
    ),
    "early_stopping_self_consistency": EarlyStoppingSelfConsistency(
        n=7, window=2, patience=4, temperature=0.9, inner=ConciseCoT()
    ),
    "adaptive_consistency": AdaptiveConsistency(
        n=9, rule="dirichlet", threshold=0.8, batch=2, patience=4, temperature=0.9, inner=ChainOfDraft(words=7)
    ),
    "length_filtered_vote": LengthFilteredVote(
        n=6, keep=1, unit="tokens", width=3, bins=2, smallest=1, temperature=0.9, inner=ConciseCoT()
    ),
    "self_certainty": SelfCertainty(n=3, inner=ChainOfDraft(words=7), temperature=0.9, power=1.2),
    "st_bon": StBoN(n=3, window=2.0, cap=5, temperature=0.9, cot=True),
    "budget_forcing": BudgetForcing(cap=9, waits=2, word="Hmm", final=False),
    "loop_stop": LoopStop(answers=False),
    "dynasor": Dynasor(
        every=3, count=2, agree=0.5, after=4, ask="close", probe=5, temperature=0.4, top_p=0.9, conclude=False
    ),
    "deer": Deer(
        threshold=0.6,
        marks=("hmm", "maybe"),
        mean="arithmetic",
        skip_first=True,
        trials=2,
        trial=5,
        parallel=2,
        alpha=0.5,
        share=0.5,
        after=3,
        ask="close",
    ),
    "answer_convergence": AnswerConvergence(every=3, count=1, threshold=0.6, after=4, probe=5, ask="close"),
    "no_wait": NoWait(words=("wait", "hmm")),
    "infty_think": InftyThink(segment=7, summary=4, rounds=3, trained=True),
    "constant_cut": ConstantCut(tokens=5, share=0.5, typical=12),
    "cascade": Cascade(
        rungs=(NoThinking(), ChainOfDraft(words=7), Sample()),
        on=("main", "strong"),
        scorers=(Agreement(), MeanLogprob()),
        thresholds=(0.6, -0.3),
        samples=2,
        temperature=0.9,
    ),
    "confident_or_seek_stronger": ConfidentOrSeekStronger(
        weak=NoThinking(),
        strong=ChainOfDraft(words=7),
        strong_on="strong",
        scorer=Agreement(),
        threshold=0.6,
        calibration=str(Path(__file__).with_name("calibration.toml")),
        share=0.4,
        samples=2,
    ),
    "self_ref": SelfRef(
        weak=NoThinking(),
        strong=ChainOfDraft(words=7),
        strong_on="strong",
        threshold=0.6,
        confident="2",
        unconfident="3",
    ),
    "thinking_route": ThinkingRoute(
        router=RandomRouter(("low", "middle", "high")),
        threshold=0.6,
        choices=("low", "middle", "high"),
        modes=("5", "low", "on"),
        fallback="weak",
    ),
    "sketch_of_thought": SketchOfThought(
        paradigm="expert_lexicons", router=RandomRouter(), fallback="conceptual_chaining", shots=1, inner=NoThinking()
    ),
    "auto": Auto(mode="budget", tokens=7, effort="low"),
    "routellm": RouteLLM(
        router=RandomRouter(("small", "middle", "large"), salt=3),
        threshold=0.6,
        weak=NoThinking(),
        between=(ChainOfDraft(words=7),),
        strong=ConciseCoT(words=9),
        choices=("small", "middle", "large"),
        engines=("main", "middle", "large"),
        fallback="weak",
    ),
    "thinking_mode": ThinkingMode(mode="budget", tokens=6, effort="low", sentence=True),
    "beam_search": BeamSearch(
        n=4,
        width=2,
        diverse=True,
        distinct=True,
        scorer=MeanCertainty(),
        steps="mean",
        delimiter="wait ",
        step=5,
        depth=6,
        choose="majority",
        temperature=0.9,
        cot=True,
    ),
    "speculative_rejection": SpeculativeRejection(
        n=5, alpha=0.3, first=3, scorer=MeanCertainty(), steps="mean", temperature=0.9, cot=True
    ),
    "dpts": Dpts(
        parallel=2,
        width=2,
        share=0.6,
        early=0.7,
        seek=0.9,
        enough=2,
        most=4,
        nodes=12,
        scorer=MeanCertainty(),
        steps="mean",
        choose="majority",
        delimiter="wait ",
        step=5,
        depth=4,
        temperature=0.9,
        cot=True,
    ),
    "rsd": Rsd(
        draft="strong",
        threshold=0.5,
        scorer=MeanCertainty(),
        part="reply",
        steps="last",
        patience=3,
        delimiter="wait ",
        step=4,
        depth=7,
        cot=True,
    ),
    "mcts": Mcts(
        simulations=7,
        width=2,
        rule="puct",
        c=0.5,
        value="step",
        scorer=MeanCertainty(),
        steps="mean",
        choose="visits",
        parallel=3,
        delimiter="wait ",
        step=4,
        depth=5,
        temperature=0.9,
        cot=True,
    ),
}
"""For each method of the table one value in which no field has its default. A new method adds one line."""


def cases() -> Iterator[tuple[str, Method]]:
    """Yield (label, method) for every method of the table, as it comes and as its variant."""
    table = catalogue()
    for name in METHODS:
        yield name, table.build(name)
        if name in VARIANTS and VARIANTS[name] != table.build(name):
            yield f"{name}-variant", VARIANTS[name]


CASES = dict(cases())


class Scripted(Echo):
    """The scripted engine with all that a method of the table may need of it, made up where it must be."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"caps": CAPS | {Cap.FULL_LOGPROBS, Cap.HIDDEN}, **options})


@dataclass
class Jittery:
    """An engine whose tokens take their time, decided by `seed`: before each token is made, and before it is handed on.

    What is lost when a stream is left while a token waits to be handed on is what a real server loses, too.
    """

    inner: Echo
    seed: int
    most: int = 3
    _streams: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.name, self.caps, self.think = self.inner.name, self.inner.caps, self.inner.think

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        self._streams += 1
        dice = random.Random(self.seed * 1000 + self._streams)
        async with self.inner.stream(prompt, sampling) as chunks:
            yield self._late(chunks, dice)

    async def _late(self, chunks: AsyncIterator[Chunk], dice: random.Random) -> AsyncIterator[Chunk]:
        async for chunk in chunks:
            for _ in range(dice.randint(0, self.most)):
                await asyncio.sleep(0)
            yield chunk

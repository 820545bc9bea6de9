"""Reward-guided speculative decoding: a small model drafts, a large one rewrites the poor steps (2501.19324)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf, isnan
from typing import Literal

from ponder.core.engine import Cap, Engine, SamplingArgs
from ponder.core.errors import Unsupported, require
from ponder.core.judge import Scorer
from ponder.core.method import Finish, Solution, merge_needs
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.steer.branch import WHOLE, Branch, Cut, grow, root, since, steppable
from ponder.steer.likelihood import read_logprob
from ponder.steer.places import place_of, prune
from ponder.steer.score import Steps
from ponder.steer.search import Stage, check_steps, limited, plain, rate, spare


@dataclass(frozen=True)
class Rsd:
    """Steps of the engine `draft` that score at least `threshold`, and the main engine's in place of the others."""

    draft: str = "draft"
    """The engine that drafts."""
    threshold: float | None = None
    """The least score of a step that is kept: -inf is the draft alone, inf the main engine alone. By default -0.357 for
    the usual scorer, -0.05 for likelihoods, and 0.7 for any other scorer, which is right for some in 0 to 1."""
    by: Literal["score", "likelihood"] = "score"
    """What is held against the threshold: what the scorer says, or the mean log-probability that the main engine gives
    to the drafted step. It reads the step at once, and generates nothing."""
    scorer: Scorer = field(default_factory=MeanLogprob)
    """Says how good a step is."""
    part: Literal["step", "reply"] | None = None
    """What the scorer is handed: the drafted step, or all that is written up to its end. By default the usual scorer
    gets the step, and any other one the reply."""
    steps: Steps = "value"
    """The score: the scorer's own value, or the least, the product, the last or the mean of the steps."""
    patience: int = 5
    """After so many rejected steps in a row the main engine writes on alone."""
    delimiter: str = "\n\n"
    """Ends a step. On a command line, write a new line as backslash and n."""
    step: int = 256
    """The most tokens of a step: the delimiter may never come."""
    depth: int = 100
    """How many steps at most; the last one is the main engine's, to the end of the reply."""
    cot: bool | None = None
    """Ask for step-by-step reasoning; by default only where the model does not think by itself."""

    def __post_init__(self) -> None:
        require(self.draft not in ("", "main"), self, "draft", self.draft, "the name of another engine")
        require(not isnan(self.threshold or 0), self, "threshold", self.threshold, "a number, -inf or inf")
        require(self.patience >= 1, self, "patience", self.patience, "at least 1")
        check_steps(self, self.delimiter, self.step, self.depth)

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Two engines that go on with a half-written reply, and what the scorer needs where a score decides; or a
        main engine that scores a given text.
        """
        own = frozenset({Cap.PREFILL})
        if abs(self._least) == inf:
            return {"main": own, self.draft: own}
        if self.by == "likelihood":
            return {"main": own | {Cap.FORCE, Cap.LOGPROBS}, self.draft: own}
        judged = self.scorer.needs()
        own |= judged.get("main", frozenset())
        return merge_needs({"main": own, self.draft: own}, judged)

    def refuse(self, engines: Mapping[str, Engine]) -> None:
        """Raise `Unsupported` for models that mark their thoughts differently: neither could read the other's steps."""
        if engines["main"].think != engines[self.draft].think:
            raise Unsupported(
                f"Rsd: {engines['main'].name} and {engines[self.draft].name} mark their thinking differently, so that "
                f"neither can go on with the other's reply; take two models with equal marks"
            )

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Draft, score, keep or rewrite. What is kept is shown, what is rewritten as it comes."""
        stage, reply = Stage(run), root(problem, run, self.cot)
        small, theirs = run.on(self.draft).quiet(0), reply.prompt
        kept = rewritten = rejected = 0
        limit: Finish | None = None
        if abs(self._least) < inf:
            # Their tokenizers may differ, and no engine tells its own: what one wrote is text to the other.
            run.note("draft and main engine read each other's steps as text")
        while not reply.ended and not limit:
            last = kept + rewritten + 1 >= self.depth
            drafts = self._drafts(run, reply, rejected, last)
            cut = Cut(plain(self.delimiter), self.step) if drafts and not last else WHOLE
            if drafts:
                sure = stage.lead(reply) if self._least == -inf else None
                drafted = await grow(replace(reply, prompt=theirs), small, cut, self._over, sure, "draft")
                limit = limited([drafted])
                view = run.quiet(1).quiet(kept + rewritten)
                good = None if limit else await self._good(problem, reply, drafted, view)
                limit = limit or ("deadline" if good is None else None)
                if limit or good:
                    # Each engine goes on from its own ids where it wrote them, and from the other's text.
                    mine = reply.prompt + drafted.call.text[len(reply.call.text) :]
                    kept, rejected, theirs = kept + 1, 0, drafted.prompt
                    reply = replace(drafted, prompt=mine)
                    stage.commit([reply])
                    continue
                prune(run, [drafted], [])
            before = reply
            reply = await grow(before, run, cut, self._over, stage.lead(before))
            rewritten, rejected = rewritten + 1, rejected + 1
            theirs += reply.call.text[len(before.call.text) :]
            limit = limited([reply])
        return stage.close(reply, {"kept": kept, "rewritten": rewritten}, limit)

    @property
    def _least(self) -> float:
        if self.threshold is not None:
            return self.threshold
        return -0.05 if self.by == "likelihood" else -0.357 if isinstance(self.scorer, MeanLogprob) else 0.7

    @property
    def _over(self) -> SamplingArgs:
        return self.scorer.asks() if abs(self._least) < inf and self.by == "score" else {}

    def _drafts(self, run: Run, reply: Branch, rejected: int, last: bool) -> bool:
        """Say whether a draft is worth while: not where none is kept, nor where the budget must do for the rest."""
        if abs(self._least) == inf:
            return self._least < 0
        # A draft that is a whole reply leaves a second one to be paid for.
        paid = spare(run, reply.prompt, Cut(tokens=self.step), answered=False) > (not steppable(reply.prompt))
        return rejected < self.patience and not last and paid

    async def _good(self, problem: Problem, before: Branch, after: Branch, view: Run) -> bool | None:
        """Say whether a drafted step is kept; None where the deadline passes first."""
        new = since(before, after)
        if self._least == -inf:
            return True
        if not new.call.text.strip() or (new.call.tokens <= 1 and not new.call.logprobs and self._over):
            # There is nothing to score: an end is as good as the answer before it.
            return after.ended and view.extract(after.call.answer) is not None
        if self.by == "likelihood":
            score = await read_logprob(before.prompt, new.call.text, view)
            place_of(view, after.at).score = score
            return score >= self._least
        alone = self.part == "step" or (self.part is None and isinstance(self.scorer, MeanLogprob))
        found = await rate(self.scorer, problem, [new if alone else after], view, self.steps)
        return None if found is None else (found[0].score or 0.0) >= self._least

"""FastMCTS: right replies from a tree of whole rollouts, branched where the answer hangs in doubt (2502.11476)."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from math import sqrt
from random import Random

from ponder.core.engine import Cap, Engine
from ponder.core.errors import OptionError, Unsupported, require
from ponder.core.judge import Reference
from ponder.core.problem import Message, MessageRole, Problem, Prompt
from ponder.core.run import Call, Run, derive_seed
from ponder.core.train import Example, Row
from ponder.text.prompts import STEP_BY_STEP
from ponder.text.think import split
from ponder.train.data.reserve import End, Node, Pair, pairs, reserve, select, steps_of
from ponder.train.loops.messages import Conversation

Judge = Callable[[str, Reference], Awaitable[bool | None]]
"""(answer, reference) to whether it is right; None where this cannot be told."""


class Cut(Exception):
    """A limit of the whole run ended a rollout: what there is of the question is no tree."""


@dataclass(slots=True)
class Tree:
    """What became of one question: the tree, and the generated tokens that it took."""

    row: Row
    root: Node = field(default_factory=Node)
    ends: list[Node] = field(default_factory=list)
    """Where each rollout ended."""
    tokens: int = 0

    @property
    def rollouts(self) -> int:
        """How many there were."""
        return len(self.ends)

    @property
    def right(self) -> list[Node]:
        """The different right replies, in the order in which they were found."""
        return [node for node in dict.fromkeys(self.ends) if "right" in node.ends]


@dataclass(frozen=True)
class FastMcts:
    """Rollouts that begin where earlier ones were often wrong and sometimes right, or the other way round."""

    judge: Judge = field(repr=False, compare=False)
    rollouts: int = 16
    """How many rollouts a question gets."""
    tokens: int | None = None
    """After so many generated tokens a question gets no further rollout."""
    low: float = 0.25
    """A node that led to the right answer at most so often, but did, is where the next rollout begins."""
    high: float = 0.75
    """A node that led to the right answer at least so often, but not always, is one, too."""
    c: float = sqrt(2)
    """How much is given to what is little explored; it is multiplied by a node's score."""
    plain: bool = False
    """Begin every rollout anew: rejection sampling, to compare with."""
    delimiter: str = "\n\n"
    """Ends a step."""
    shots: int = 0
    """How many of `pool` each rollout is shown before the question, drawn anew for each."""
    pool: tuple[Conversation, ...] = field(default=(), repr=False)
    keep: int | None = None
    """The most right replies of a question that become examples, the first ones that were found; easy questions
    have many."""
    seed: int = 0
    """Of the choice of branching points and examples shown."""
    cot: bool | None = None
    """Ask for step-by-step reasoning; by default only where the model does not think by itself."""

    def __post_init__(self) -> None:
        require(1 <= self.rollouts <= 10_000, self, "rollouts", self.rollouts, "1 to 10,000")
        require(self.tokens is None or self.tokens >= 1, self, "tokens", self.tokens, "at least 1")
        require(0 <= self.low <= 1, self, "low", self.low, "0 to 1")
        require(self.low < self.high <= 1, self, "high", self.high, "above low, and at most 1")
        require(0 <= self.c < float("inf"), self, "c", self.c, "a number of at least 0")
        require(bool(self.delimiter), self, "delimiter", self.delimiter, "a text that ends a step")
        require(0 <= self.shots <= len(self.pool), self, "shots", self.shots, "0 to the number of examples to show")
        require(self.keep is None or self.keep >= 1, self, "keep", self.keep, "at least 1")

    def check(self, engine: Engine) -> None:
        """Raise `Unsupported` for an engine that cannot go on with a half-written reply, unless all begin anew."""
        if not self.plain and Cap.PREFILL not in engine.caps:
            raise Unsupported(
                f"{engine.name} lacks {Cap.PREFILL.name} ({Cap.PREFILL.value}), and a branch continues one; use an "
                f"engine that has it, or begin every rollout anew (--plain)"
            )

    async def build(self, rows: AsyncIterable[Row], run: Run | None) -> AsyncIterator[Example]:
        """Yield the right replies to each row, and then the pairs, whose `meta["rejected"]` is the wrong one."""
        if run is None:
            raise OptionError("FastMcts: rollouts need a model; hand build() a run")
        async for row in rows:
            # The place of a question in the data is no part of its seeds.
            tree = await self.grow(row, run.quiet(derive_seed(0, (), 0, row.problem.id)))
            for example in (*self.paths(tree), *self.preferences(tree)):
                yield example

    async def grow(self, row: Row, run: Run) -> Tree:
        """Return the tree of one question. Raises `Cut` where a limit of the run ends a rollout."""
        tree = Tree(row)
        while tree.rollouts < self.rollouts and (self.tokens is None or tree.tokens < self.tokens):
            dice = Random(f"{self.seed}/{row.problem.id}/{tree.rollouts}")
            node = tree.root if self.plain else select(tree.root, self.low, self.high, self.c, dice)
            pieces, call = await self._rollout(row.problem, node, run.quiet(tree.rollouts), dice)
            tree.tokens += call.tokens
            end = await self._end(row.reference, node.text, call, run)
            tree.ends.append(reserve(node, steps_of(pieces, self.delimiter), end))
        return tree

    async def _rollout(
        self, problem: Problem, node: Node, view: Run, dice: Random
    ) -> tuple[list[tuple[str, int]], Call]:
        """Write from a node to the end of the reply."""
        prompt = self._prompt(problem, view, dice)
        left = max(1, view.sampling.max_tokens - node.tokens)
        pieces: list[tuple[str, int]] = []
        async with view.stream(prompt + node.text if node.text else prompt, "think", max_tokens=left) as live:
            async for chunk in live:
                pieces.append((chunk.text, chunk.tokens + chunk.latent))
        if live.call.finish in ("budget", "deadline"):
            raise Cut(live.call.finish)
        return pieces, live.call

    def _prompt(self, problem: Problem, view: Run, dice: Random) -> Prompt:
        """Return the question, behind examples of how others were answered."""
        steps = self.cot if self.cot is not None else not view.engine.think
        prompt = Prompt.of(problem, STEP_BY_STEP.to(problem.question) if steps else "")
        # An example that asks the very question would give its answer away.
        others = [shot for shot in self.pool if ("user", problem.question) not in shot.messages]
        drawn = dice.sample(others, min(self.shots, len(others)))
        shown = [message for shot in drawn for message in _turns(shot)]
        systems = sum(message.role == "system" for message in prompt.messages[:1])
        messages = (*prompt.messages[:systems], *shown, *prompt.messages[systems:])
        return replace(prompt, messages=messages)

    async def _end(self, reference: Reference, before: str, call: Call, run: Run) -> End:
        if call.finish != "stop":
            return "cut"
        marks = run.engine.think
        right = await self.judge(split(before + call.text, marks.open, marks.close, marks.opened)[1], reference)
        return "unjudged" if right is None else "right" if right else "wrong"

    def paths(self, tree: Tree) -> list[Example]:
        """Return the different right replies to a question, up to `keep`."""
        messages = tree.row.problem.messages
        return [Example(messages, node.text, meta={"tokens": str(node.tokens)}) for node in tree.right[: self.keep]]

    def preferences(self, tree: Tree) -> list[Example]:
        """Return a right and a wrong reply for each branching point that has both; `meta["shared"]` counts the
        characters that they have in common.
        """
        return [_preference(tree.row.problem, pair) for pair in pairs(tree.root)]


def _preference(problem: Problem, pair: Pair) -> Example:
    shared = str(len(pair.shared.text))
    return Example(problem.messages, pair.chosen.text, meta={"rejected": pair.rejected.text, "shared": shared})


def _turns(shot: Conversation) -> list[Message]:
    """Return an example as turns of a conversation, without its system message."""
    roles: dict[str, MessageRole] = {"user": "user", "assistant": "assistant"}
    return [Message.of(roles[role], text) for role, text in shot.messages if role in roles]

"""One question, recorded: full replies, and the answers that they would have given at places on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, isnan
from typing import cast

from ponder.bench.probing import Written, confidence, read_probe, spelt
from ponder.core.engine import Cap, Chunk, Logprob, SamplingArgs
from ponder.core.errors import DataError
from ponder.core.gather import gather
from ponder.core.judge import Item, Reference, Scorer, Verifier
from ponder.core.problem import Prompt
from ponder.core.run import Call, Run
from ponder.text.certainty import brace_end
from ponder.text.prompts import STEP_BY_STEP
from ponder.verify import VerifierPool

Oracle = Callable[[Item, str], int | None]
"""(question, thought) to the characters after which an oracle would stop it, or None where it cannot tell."""

Json = dict[str, object]


class Cut(Exception):
    """A limit of the whole recording ended a call: what there is of the question is no recording."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Where each thought is asked for its answer, and how."""

    every: int
    """Tokens of the reply between two probes."""
    texts: Mapping[str, str]
    """Name to probe text; the first one's answers are those that a replay takes unless told otherwise."""
    words: tuple[str, ...] = ()
    """Ask before each of these words, too."""
    tokens: int = 20
    """The most tokens of a probe."""
    oracle: Oracle | None = field(default=None, compare=False)
    scorers: Mapping[str, Scorer] = field(default_factory=dict)
    """Name to what also says how good each full reply is."""

    @property
    def asks(self) -> SamplingArgs:
        """What the scorers want a reply to carry."""
        wanted: SamplingArgs = {}
        for asked in (scorer.asks() for scorer in self.scorers.values()):
            rivals = max(wanted.get("logprobs", 0), asked.get("logprobs", 0))
            wanted = {**wanted, **asked, "logprobs": rivals}
        return wanted


async def record_item(
    item: Item, verifier: Verifier, run: Run, samples: int, grid: Grid, pool: VerifierPool
) -> dict[str, object]:
    """Return one line of a recording: `samples` full replies with their probes and scores.

    Raises `Cut` where a limit ends it, and `DataError` for a scorer that gives something else than a number for each.
    """
    found = await gather(_Sample(item, verifier, run.quiet(i), grid, pool).line() for i in range(samples))
    lines = [line for line, _ in found]
    await _score(item, run, grid.scorers, [call for _, call in found], lines)
    trace = run.trace
    return {
        "id": item.problem.id,
        "question": item.problem.question,
        "answer": item.reference.text if item.reference else None,
        "samples": lines,
        "tokens_by_role": dict(trace.tokens_by_role),
        "prompt_tokens": trace.prompt_tokens,
        "cached_tokens": trace.cached_tokens,
        "exact": trace.exact,
    }


async def _score(
    item: Item, run: Run, scorers: Mapping[str, Scorer], calls: Sequence[Call], lines: Sequence[Json]
) -> None:
    """Add to each line what the scorers say of its reply; a score that JSON cannot hold is written as null."""
    for place, (name, scorer) in enumerate(scorers.items()):
        view = run.quiet(len(calls) + place)
        values = [score.value for score in await scorer.score(item.problem, calls, view)]
        for call in view.calls:
            _whole(call)
        if len(values) != len(calls) or any(map(isnan, values)):
            raise DataError(f"the scorer {name} gave {values} for {len(calls)} replies; it must give each one a number")
        for line, value in zip(lines, values, strict=True):
            cast(Json, line.setdefault("scores", {}))[name] = value if isfinite(value) else None


@dataclass(frozen=True, slots=True)
class _Sample:
    """What one reply is recorded with."""

    item: Item
    verifier: Verifier
    run: Run
    grid: Grid
    pool: VerifierPool

    async def line(self) -> tuple[Json, Call]:
        """Draw the reply, then ask along it; return what is written of it, and the reply."""
        written, prompt = await self._draw()
        call, sampling = written.call, self.run.sampling
        exit = self.grid.oracle(self.item, written.thinking) if self.grid.oracle else None
        places = written.places(self.grid.every, self.grid.words, exit)
        asked = await gather(self._probes(written, prompt, places, text) for text in self.grid.texts.values())
        verdict = await self.pool.judge(self.verifier, call.answer, self.item.reference)
        pieces = written.pieces()
        line: Json = {
            "text": written.text,
            "tokens": call.tokens,
            "exact": call.exact,
            "finish": call.finish,
            "closed_thinking": call.finish != "length",
            "prediction": self.verifier.extract(call.answer),
            "correct": verdict.correct,
            "temperature": sampling.temperature,
            "max_new_tokens": sampling.max_tokens,
            "probes": asked[0],
        }
        further = dict(zip(self.grid.texts, asked, strict=True))
        if len(further) > 1:
            line["probes_by"] = further
        if pieces is not None:
            line["pieces"] = pieces
        if self.grid.oracle:
            line["exit"] = None if exit is None else written.sums[written.at_character(exit)]
        return line, call

    async def _draw(self) -> tuple[Written, Prompt]:
        """Return the full reply, and the prompt that it answers: that of plain `sample`."""
        engine, problem = self.run.engine, self.item.problem
        prompt = Prompt.of(problem, "" if engine.think else STEP_BY_STEP.to(problem.question))
        chunks: list[Chunk] = []
        async with self.run.stream(prompt, **self.grid.asks) as live:
            async for chunk in live:
                chunks.append(chunk)
        return Written.of(_whole(live.call), chunks, engine.think), prompt

    async def _probes(self, written: Written, prompt: Prompt, places: Sequence[int], text: str) -> list[Json]:
        """Ask at all places: they share the prompt and the reply's beginning, so a cache of prefixes pays for most."""
        found = await gather(self._probe(written.prefix(prompt, place), text) for place in places)
        verdicts: dict[str, bool | None] = {}
        for answer, _, _ in found:
            if answer not in verdicts:
                verdicts[answer] = await self._right(answer, text)
        return [
            {
                "at": written.sums[place],
                "answer": answer,
                "p": None if p is None else round(p, 6),
                "tokens": tokens,
                "correct": verdicts[answer],
            }
            for place, (answer, p, tokens) in zip(places, found, strict=True)
        ]

    async def _probe(self, prompt: Prompt, text: str) -> tuple[str, float | None, int]:
        """Return the answer at one place, its probability, and the tokens that it cost; greedy, up to its end."""
        engine = self.run.engine
        rivals = 1 if Cap.LOGPROBS in engine.caps else 0
        said, logprobs = "", list[Logprob]()
        asked = prompt + spelt(text, engine.think, prompt.prefill)
        async with self.run.stream(
            asked, "probe", max_tokens=self.grid.tokens, temperature=0.0, logprobs=rivals
        ) as live:
            async for chunk in live:
                said += chunk.text
                logprobs += chunk.logprobs
                if text.endswith("{") and brace_end(said) is not None:
                    break
        call = _whole(live.call)
        answer, characters = read_probe(text, said, call.finish == "stop", self.verifier.extract)
        return answer, confidence(logprobs, characters) if answer else None, call.tokens

    async def _right(self, answer: str, text: str) -> bool | None:
        """Judge a probe's answer as the reply that it would have become; no answer is no right one."""
        reference: Reference | None = self.item.reference
        if reference is None or not answer:
            return None if reference is None else False
        reply = f"\\boxed{{{answer}}}" if text.endswith("{") else answer
        return (await self.pool.judge(self.verifier, reply, reference)).correct


def _whole(call: Call) -> Call:
    """Return the call, unless a limit of the whole recording ended it."""
    if call.finish in ("budget", "deadline"):
        raise Cut(call.finish)
    return replace(call, finish="stop") if call.finish == "tool_calls" else call

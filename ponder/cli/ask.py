"""`ponder ask`: one question, streamed, with its bill."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Unpack

import click

from ponder.bench.specs import build_methods, check_limits
from ponder.cli.engines import EngineArgs, EngineKwargs, engine_args, engine_options
from ponder.cli.output import console, print_json
from ponder.cli.ranges import MOST, Finite
from ponder.core.engine import Channel, Sampling
from ponder.core.errors import OptionError
from ponder.core.method import Method, Solution, check
from ponder.core.problem import Problem
from ponder.core.run import Run, Trace
from ponder.methods import catalogue


@click.command()
@click.argument("question")
@click.option(
    "--method", "method_spec", default="sample", show_default=True, help="A method, such as self_consistency:n=5."
)
@click.option("-o", "options", multiple=True, metavar="KEY=VALUE", help="An option of the method.")
@engine_options
@click.option("--system", metavar="TEXT", help="A system message.")
@click.option("--max-tokens", type=click.IntRange(1, MOST), default=1024, show_default=True)
@click.option("--temperature", type=Finite(0), default=0.0, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--seconds", type=Finite(0, min_open=True), help="Time limit.")
@click.option("--budget", type=click.IntRange(1, MOST), help="Most tokens that all calls together may generate.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def ask(
    question: str,
    method_spec: str,
    options: tuple[str, ...],
    system: str | None,
    max_tokens: int,
    temperature: float,
    seed: int,
    seconds: float | None,
    budget: int | None,
    as_json: bool,
    **engine: Unpack[EngineKwargs],
) -> None:
    """Answer QUESTION (or standard input, for "-"), stream the answer, and print the bill.

    Example: ponder ask "2+3=?" --method concise_cot
    """
    if question == "-":
        question = sys.stdin.read() if sys.stdin is not None else ""
    if not question.strip():
        raise OptionError('the question is empty; try ponder ask "2+3=?"')
    for what, text in (("the question", question), ("--system", system or "")):
        if not _is_sound(text):
            raise OptionError(f"{what} holds bytes that are not UTF-8; give it as UTF-8 text")
    methods = build_methods(method_spec, catalogue(), options)
    if len(methods) > 1:
        raise OptionError("ponder ask takes one method; `ponder bench` compares several")
    (method,) = methods.values()
    check_limits(methods, max_tokens)
    sampling = Sampling(max_tokens=max_tokens, temperature=temperature)
    problem = Problem.of(question, system=system)
    asyncio.run(_ask(engine_args(**engine), method, problem, sampling, seed, seconds, budget, as_json))


def _is_sound(text: str) -> bool:
    """Whether a text can be written: Python keeps bytes that are no UTF-8 as halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


async def _ask(
    models: EngineArgs,
    method: Method,
    problem: Problem,
    sampling: Sampling,
    seed: int,
    seconds: float | None,
    budget: int | None,
    as_json: bool,
) -> None:
    from ponder.verify import Math

    async with models.open() as (engines, main):
        if not as_json:
            console(stderr=True).print(main.notice, style="dim", markup=False)
        check(method, engines)
        screen = _Screen(quiet=as_json)
        run = Run(
            engines,
            sampling=sampling,
            seed=seed,
            deadline=None if seconds is None else time.monotonic() + seconds,
            budget=budget,
            extract=Math().extract,
            same=Math().same,
            on_show=screen.show,
            on_note=screen.note,
        )
        solution = await method.solve(problem, run)
    if as_json:
        print_json(ask_json(solution, run.trace))
        return
    screen.finish(solution)
    _print_bill(run.trace, solution)
    if refused := solution.evidence.get("refused"):
        console(stderr=True).print(
            f"{type(method).__name__} could not do its work: {refused}.", style="yellow", markup=False, soft_wrap=True
        )
    if not solution.answer.strip() and solution.finish in ("length", "budget", "deadline"):
        raise SystemExit(1)  # no answer at all is no success


class _Screen:
    """Writes what a method commits as it comes: thinking dimmed, the answer plain."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = console()
        self._answered = False
        self._channel: Channel | None = None

    def show(self, text: str, channel: Channel) -> None:
        if self._quiet:
            return
        if self._channel == "think" and channel == "answer":
            self._console.print("\n")
        self._channel = channel
        self._answered = self._answered or channel == "answer"
        self._console.print(text, end="", style="dim" if channel == "think" else None, markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        if not self._quiet:
            console(stderr=True).print(text, style="dim", markup=False)

    def finish(self, solution: Solution) -> None:
        """Print the answer where the method showed nothing while it worked."""
        if not self._answered:
            self._console.print(solution.answer, markup=False, soft_wrap=True, end="")
        self._console.print()


def ask_json(solution: Solution, trace: Trace) -> dict[str, object]:
    """Return the object that `ponder ask --json` prints; `docs/json.md` describes it."""
    from ponder.bench.runner import calls_json

    return {
        "schema": 1,
        "answer": solution.answer,
        "thinking": solution.thinking,
        "finish": solution.finish,
        "evidence": dict(solution.evidence),
        "tokens_by_role": dict(trace.tokens_by_role),
        "prompt_tokens": trace.prompt_tokens,
        "exact": trace.exact,
        "calls": calls_json(trace),
    }


def _print_bill(trace: Trace, solution: Solution) -> None:
    roles = ", ".join(f"{role} {tokens:,}" for role, tokens in trace.tokens_by_role.items())
    estimate = "" if trace.exact else " (estimated)"
    seconds = max((call.seconds for call in trace.calls), default=0.0)
    bill = f"{trace.tokens:,} tokens{estimate}: {roles or 'none'} · prompt {trace.prompt_tokens:,}"
    if trace.cached_tokens:
        bill += f" ({trace.cached_tokens:,} cached)"
    calls = "1 call" if len(trace.calls) == 1 else f"{len(trace.calls)} calls"
    cut = "" if solution.finish in ("stop", "exit", "tool_calls") else f" · cut by {solution.finish}"
    console(stderr=True).print(f"{bill} · {calls} · {seconds:.1f} s{cut}", style="cyan", soft_wrap=True)

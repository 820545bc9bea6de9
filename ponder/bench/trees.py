"""The tree of replies in a stored trace: which call goes on from which, how each scored, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

Fate = Literal["chosen", "kept", "ended", "pruned", "open"]
"""Of the answer; gone on with; come to its end; dropped for good; left where it was."""

MARKS: Mapping[Fate, str] = {"chosen": "●", "kept": "○", "ended": "◆", "pruned": "×", "open": "·"}
EXCERPT = 160
"""Characters of a step that a tree shows; the whole text stands with its call."""


@dataclass(frozen=True, slots=True)
class Twig:
    """One step of a tree, as one line shows it: `depth` is how far to indent it, `call` its number in the trace.

    `begins` says that it begins a branch; otherwise it goes on from the nearest line above of the same depth.
    """

    depth: int
    begins: bool
    call: int
    role: str
    tokens: int
    score: float | str | None
    visits: int
    fate: Fate
    text: str


def twigs(calls: Sequence[Mapping[str, object]]) -> list[Twig]:
    """Return the tree of a trace line by line, or nothing where no call has a place in one.

    Branches are indented. What leads to the answer, or is the only step that follows, is not: so a long reply stays in
    its column, behind the branches that were left on its way. Calls that say nothing, such as a mark, are counted with
    what follows.
    """
    parents = {number: _after(call, number) for number, call in enumerate(calls) if "fate" in call}
    children: dict[int | None, list[int]] = {}
    for number, parent in parents.items():
        children.setdefault(parent if parent in parents else None, []).append(number)
    answer = _answer(calls, parents)
    found: list[Twig] = []
    waiting: list[tuple[int, int, bool, int]] = []  # number, depth, begins, tokens before it

    def follow(below: Sequence[int], depth: int, alone: bool, before: int = 0, begins: bool = False) -> None:
        main = next((child for child in below if child in answer), below[0] if alone and len(below) == 1 else None)
        waiting.extend([(main, depth, begins, before)] if main is not None else [])
        waiting.extend((child, depth + 1, True, 0) for child in reversed(below) if child != main)

    follow(children.get(None, []), 0, alone=False)
    while waiting:
        number, depth, begins, before = waiting.pop()
        below, twig = children.get(number, []), _twig(calls[number], number)
        total = before + twig.tokens
        if twig.text or len(below) != 1:
            fate = "chosen" if number in answer else "kept" if below else twig.fate
            found.append(replace(twig, depth=depth, begins=begins, tokens=total, fate=fate))
            follow(below, depth, alone=True)
        else:
            follow(below, depth, alone=True, before=total, begins=begins)
    return found


def shortened(twig: Twig, most: int) -> Twig:
    """Return a line whose text is one, and has at most so many characters."""
    text = " ".join(twig.text.split())
    return replace(twig, text=text if len(text) <= most else f"{text[: max(0, most - 1)]}…")


def rails(twig: Twig) -> str:
    """Return what indents a line: it shows which branch it belongs to, and whether it begins one."""
    return "" if not twig.depth else "│ " * (twig.depth - 1) + ("├─" if twig.begins else "│ ")


def facts(twig: Twig) -> str:
    """Return what is known of a step: its mark, role, tokens, score, visits and fate."""
    said = [twig.role] if twig.role not in ("think", "answer") else []
    said.append(f"{twig.tokens:,} token{'' if twig.tokens == 1 else 's'}")
    if twig.score is not None:
        said.append(twig.score if isinstance(twig.score, str) else f"{twig.score:.3g}")
    if twig.visits:
        said.append(f"{twig.visits:,} visit{'' if twig.visits == 1 else 's'}")
    return f"{MARKS[twig.fate]} {' · '.join([*said, twig.fate])}"


def _after(call: Mapping[str, object], number: int) -> int | None:
    """Return which call it goes on from; only one that had ended by then can be that."""
    after = call.get("after")
    return after if isinstance(after, int) and 0 <= after < number else None


def _answer(calls: Sequence[Mapping[str, object]], parents: Mapping[int, int | None]) -> set[int]:
    """Return the calls that wrote the answer."""
    found: set[int] = set()
    for number in parents:
        step: int | None = number if calls[number]["fate"] == "chosen" else None
        while step is not None and step not in found:
            found.add(step)
            step = parents.get(step)
    return found


def _twig(call: Mapping[str, object], number: int) -> Twig:
    tokens = sum(cast(int, call[key]) for key in ("think_tokens", "answer_tokens", "latent"))
    text = f"{call['thinking']}\n{call['answer']}".strip()
    score, visits = cast("float | str | None", call.get("score")), cast(int, call.get("visits", 0))
    return Twig(0, False, number, str(call["role"]), tokens, score, visits, cast(Fate, call["fate"]), text)

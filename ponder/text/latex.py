"""Give a formula one spelling as far as its signs alone can tell, and find the formula that a reply ends with."""

from __future__ import annotations

import re

from ponder.text.answers import boxed, marked, visible
from ponder.text.numbers import canonical, equal, normalize

_WRAPS = ((r"\(", r"\)"), (r"\[", r"\]"), ("$$", "$$"), ("$", "$"))
_INLINE = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_JOINED = re.compile(r"\\boxed\s*\{[^{}]*\}(?:\$?\s*(?:,|and|or|or\s+else|和|或)\s*\$?\\boxed\s*\{[^{}]*\})+")
_UNIT = re.compile(
    r"(?<=[\d})!])\s*(?:\\(?:text|mbox|mathrm)\s*\{\s*(?:[^{}\d]*)\s*\}(?:\^\{?[23]\}?)?"
    r"|(?:degrees?|cents?|dollars?|units?|cm|inches|feet|meters|hours?|minutes?|square\s+units?)(?:\^\{?[23]\}?)?)\s*$"
)
_SIGNS = (
    (re.compile(r"\\(?:left|right|displaystyle|limits)(?![A-Za-z])"), ""),
    (re.compile(r"\\[dtc]frac"), r"\\frac"),
    (re.compile(r"\\frac\s*(\d)\s*(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\frac\s*(\d)\s*\{"), r"\\frac{\1}{"),
    (re.compile(r"(\\frac\s*\{[^{}]*\})\s*(\d)"), r"\1{\2}"),
    (re.compile(r"\\sqrt\s*(\w)"), r"\\sqrt{\1}"),
    (re.compile(r"(?<![\w)}])\(?([a-z]?\d*)\)?/(\d+)(?![\w(])"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\(?:text|mbox|mathrm|textbf|mathbf|operatorname)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\^\s*\{?\s*\\circ\s*\}?|°|\\degree"), ""),
    (re.compile(r"\\(?:[!,;:% $]|quad|qquad)|[\s$~]"), ""),
    (re.compile(r"([_^])\{(\w)\}"), r"\1\2"),
    (re.compile(r"_\{(\d+)\}"), r"_\1"),
    (re.compile(r"\\(?:cdot|times)"), "*"),
    (re.compile(r"\\infin(?![a-z])"), r"\\infty"),
)
_NAMED = re.compile(r"^(?:[a-zA-Z]|[a-z]\([a-z]\))(?:=|\\in)(?!=)")
_WORDS = re.compile(r"(?:\\(?:text|mbox|mathrm|textbf)\s*\{\s*)?\(?[A-Za-z][A-Za-z ]*\)?\s*\}?\.?")


def formula(text: str) -> str | None:
    """Return the formula that a reply states, or None.

    That is its last box (or boxes joined by `and`), else what a marked line says, else the last formula between dollar
    signs, else the last line.
    """
    text = visible(text).strip()
    joined = _JOINED.findall(text)
    if joined and text.rfind(joined[-1]) + len(joined[-1]) > text.rfind("\\boxed"):
        return ", ".join(re.findall(r"\\boxed\s*\{([^{}]*)\}", joined[-1]))
    box = boxed(text)
    if box is not None:
        return box
    line = next(marked(text), None)
    inside = list(_INLINE.finditer(text if line is None else line))
    if inside:
        return "".join(group or "" for group in inside[-1].groups()).strip() or None
    if line is None:
        *_, line = ["", *text.splitlines()]
    return _bare(line) or None


def _bare(line: str) -> str:
    line = line.strip().strip("*`").strip()
    for start, end in _WRAPS:
        if line.startswith(start) and line.endswith(end) and len(line) > len(start) + len(end):
            line = line[len(start) : -len(end)].strip()
    return line.rstrip(".。").strip()


def spelling(formula: str) -> str:
    """Return the formula without what carries no meaning: spaces, sizes of brackets, units, text marks."""
    plain = _bare(formula)
    if not _WORDS.fullmatch(plain):
        plain = _UNIT.sub("", plain)
    for pattern, sign in _SIGNS:
        plain = pattern.sub(sign, plain)
    return plain.rstrip(".")


def is_words(formula: str) -> bool:
    r"""Say whether a formula is no mathematics: `\text{east}`, `(C)`, `Evelyn`; a lone small letter is a variable."""
    plain = _bare(formula)
    return bool(_WORDS.fullmatch(plain)) and not re.fullmatch(r"[a-z]", plain)


def alike(a: str, b: str) -> bool | None:
    """Say whether two formulas are equal as far as signs and plain numbers tell; None where algebra must decide."""
    left, right = spelling(a), spelling(b)
    if left == right:
        return True
    if bool(_NAMED.match(left)) != bool(_NAMED.match(right)):
        left, right = _NAMED.sub("", left), _NAMED.sub("", right)
        if left == right:
            return True
    first, second = _number(a, left), _number(b, right)
    if first is not None and second is not None:
        return equal(first, second)
    if is_words(a) or is_words(b):
        return left.strip("()").casefold() == right.strip("()").casefold()
    return None


def _number(formula: str, spelled: str) -> str | None:
    """Return the formula as a number where it is one, units and a leading `x =` left out."""
    return canonical(formula) or canonical(spelled.replace("\\frac", " \\frac"))


def readable(formula: str) -> str | None:
    """Return what is wrong with the brackets of a formula as one phrase, or None."""
    depth = 0
    for sign in re.findall(r"(?<!\\)[{}]", normalize(formula)):
        depth += 1 if sign == "{" else -1
        if depth < 0:
            break
    if depth:
        return f"{formula!r} has braces that do not match"
    if not re.search(r"\w", formula):
        return f"{formula!r} holds nothing to compare"
    if re.findall(r"\\begin\{(\w+)\}", formula) != re.findall(r"\\end\{(\w+)\}", formula):
        return f"{formula!r} has a \\begin without its \\end"
    return None

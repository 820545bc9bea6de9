"""Give a formula one spelling as far as its signs alone can tell, and find the formula that a reply ends with."""

from __future__ import annotations

import re

from ponder.text.answers import box_spans, marked, visible
from ponder.text.numbers import canonical, equal, normalize, numbers

_WRAPS = ((r"\(", r"\)"), (r"\[", r"\]"), ("$$", "$$"), ("$", "$"))
_INLINE = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_JOINT = re.compile(r"[\s$\\()]*(?:,|;|，|、|\band\b|\bor\b|和|或)\s*(?:and\b|or\b)?[\s$\\()]*", re.IGNORECASE)
_IS = re.compile(r"\b(?:is|are|was|equals?|be|to)\b[:\s]*|=|[是为]", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]{2,}|[一-鿿]+")
_UNIT = re.compile(
    r"(?<=[\d})!])(?:\s|~|\\[,;: ])*(?:\\(?:text|mbox|mathrm)\s*\{\s*(?:[^{}\d]*)\s*\}(?:\^\{?[23]\}?)?"
    r"|(?:degrees?|cents?|dollars?|units?|cm|inches|feet|meters|hours?|minutes?|square\s+units?)(?:\^\{?[23]\}?)?)\s*$"
)
_SIGNS = (
    (re.compile(r"(?<=\d)(?:\{,\}|,\\!|\\,|\\!)\s*(?=\d{3})"), ""),
    (re.compile(r"\\(?:text|mbox)\s*\{\s*(?:and|or)\s*\}"), ","),
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
_COUNTED = re.compile(r"(?<=\d)\s+(?!(?:sqrt|sin|cos|tan|log|mod|and|or)\b)[A-Za-z]{3,}(?:\s+[A-Za-z]+)*$")
_CHARACTERS = (
    (re.compile(r"√\s*(\d+(?:\.\d+)?|[A-Za-z])"), r"\\sqrt{\1}"),
    (re.compile(r"√\s*\(([^()]*)\)"), r"\\sqrt{\1}"),
    (re.compile("π"), r"\\pi "),
    (re.compile("θ"), r"\\theta "),
    (re.compile("∞"), r"\\infty "),
    (re.compile("≤"), r"\\le "),
    (re.compile("≥"), r"\\ge "),
    (re.compile("∪"), r"\\cup "),
    (re.compile("∈"), r"\\in "),
    (re.compile("±"), r"\\pm "),
    (re.compile("[×·]"), r"\\cdot "),
    (re.compile("[−–]"), "-"),
    (re.compile("²"), "^2"),
    (re.compile("³"), "^3"),
)
_BASED = re.compile(r"(\d{1,400})_(\d{1,2})")
_NAMED = re.compile(r"^(?:[a-zA-Z]|[a-z]\([a-z]\))(?:=|\\in)(?!=)")
_WORDS = re.compile(r"(?:\\(?:text|mbox|mathrm|textbf)\s*\{\s*)?\(?[A-Za-z][A-Za-z ]*\)?\s*\}?\.?")


def formula(text: str) -> str | None:
    """Return the formula that a reply states, or None.

    That is its last box (or boxes joined by `and`), else what a marked line says, else the last formula between dollar
    signs, else the last line.
    """
    text = visible(text).strip()
    box = _box(text)
    if box is not None:
        return box
    line = next(marked(text), None)
    inside = list(_INLINE.finditer(text if line is None else line))
    if inside:
        return "".join(group or "" for group in inside[-1].groups()).strip() or None
    if line is None:
        *_, line = ["", *text.splitlines()]
    return _of_prose(_bare(line)) or None


def _box(text: str) -> str | None:
    """Return the last box, with those before it that only a comma or an `and` parts from it."""
    found = box_spans(text)
    if not found:
        return None
    parts = [found[-1][2]]
    for (_, end, content), (start, _, after) in zip(found[-2::-1], found[:0:-1], strict=True):
        if not _JOINT.fullmatch(text[end:start]) or content == after:
            break
        parts.insert(0, content)
    return ", ".join(parts)


def _of_prose(line: str) -> str:
    """Return what a sentence says: what follows its last `is`, or its one number; any other line as it stands."""
    if "\\" in line or len(_WORD.findall(line)) < 2:
        return line
    tail = _bare(_IS.split(line)[-1])
    if tail != line and len(_WORD.findall(tail)) < 2:
        return tail
    found = numbers(normalize(line))
    return found[0][2] if len(found) == 1 else line


def _bare(line: str) -> str:
    line = line.strip().strip("*`").strip()
    for start, end in _WRAPS:
        if line.startswith(start) and line.endswith(end) and len(line) > len(start) + len(end):
            line = line[len(start) : -len(end)].strip()
    return line.rstrip(".。").strip()


def latex(formula: str) -> str:
    """Return a formula with the mathematical characters of plain text as LaTeX: `11√2`, `2π`, `x ≤ 3`."""
    if formula.isascii():
        return formula
    for pattern, sign in _CHARACTERS:
        formula = pattern.sub(sign, formula)
    return formula


def spelling(formula: str) -> str:
    """Return the formula without what carries no meaning: spaces, sizes of brackets, units, text marks."""
    plain = latex(_bare(formula))
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
    if a == b:
        return True
    if a.isdecimal() and b.isdecimal():
        return equal(a, b)
    left, right = spelling(a), spelling(b)
    if left == right:
        return True
    if bool(_NAMED.match(left)) != bool(_NAMED.match(right)):
        left, right = _NAMED.sub("", left), _NAMED.sub("", right)
        if left == right:
            return True
    based = _BASED.fullmatch(left), _BASED.fullmatch(right)
    if based[0] and based[1]:
        return int(based[0][1]) == int(based[1][1]) and int(based[0][2]) == int(based[1][2])
    first, second = _number(a, left), _number(b, right)
    if first is not None and second is not None:
        return equal(first, second)
    if is_words(a) or is_words(b):
        return left.strip("()").casefold() == right.strip("()").casefold()
    return None


def _number(formula: str, spelled: str) -> str | None:
    """Return the formula as a number where it is one, units and a leading `x =` left out."""
    plain = _COUNTED.sub("", _bare(formula))
    return canonical(plain) or canonical(spelled.replace("\\frac", " \\frac"))


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

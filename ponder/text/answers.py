"""Find the final answer that a reply states: a box, else a marked line, else what stands last."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ponder.text.numbers import canonical, last_number, normalize, numbers

__all__ = [
    "after_marker",
    "boxed",
    "boxes",
    "canonical",
    "choice",
    "last_number",
    "number",
    "stated",
    "visible",
    "yes_no",
]

_BOX = re.compile(r"\\(?:boxed|fbox)\b\s*")
_BOLD = re.compile(r"\*\*([^*]+)\*\*")
_CODE = re.compile(r"```.*?(?:```|$)", re.DOTALL)
_ASIDE = re.compile(r"(?<!\\)[(（][^()（）]*[)）]")
_DENIES = re.compile(r"[\s*]*(?:not\b|n't\b|不是)", re.IGNORECASE)
_EITHER_NUMBER = re.compile(r"\d[^\d=.;。；]{0,12}(?:\bor\b|或者?)[^\d=.;。；]{0,12}\d", re.IGNORECASE)
_BARE = re.compile(r"[^\s$\\{}]+")
_BRACE = re.compile(r"(?<!\\)[{}]")
_KEY = re.compile("####|Answer|answer|ANSWER|Choice|choice|Option|option|答案|结果|选项|答|选")
"""Where a mark may stand: a cheap search, so that `_MARK` is tried at few places of a long reply."""
_MARK = re.compile(
    r"####"
    r"|(?<![A-Za-z])(?:answer|choice|option)(?:\s+(?:to\s+\w+\s+\w+|choice|option))?\*{0,2}\s*"
    r"(?:(?:is|are|=|would\s+be|must\s+be)(?![A-Za-z])\s*[:：]?|[:：])\*{0,2}"
    r"|(?<![A-Za-z])answer\s*\*\*(?=\s*[\n\d$\\(-])"
    r"|(?:答案|结果|选项)\s*\*{0,2}\s*(?:应该是|应为|就是|是|为|等于|[:：=])\s*[:：]?\*{0,2}"
    r"|(?<![问解回])答\s*[:：]|选(?:择)?(?:项)?\s*[:：]?(?=\s*[（(]?[A-Z])",
    re.IGNORECASE,
)
_HEDGE = re.compile(r"\s*(?:,|;|、|\bor\b|\band\b|或者?|和)\s*", re.IGNORECASE)
_CLOSES = re.compile(r"</(?:think|thinking|thought|reasoning)>\s*", re.IGNORECASE)
_OPENS = re.compile(r"<(?:think|thinking|thought|reasoning)>", re.IGNORECASE)


def visible(text: str) -> str:
    """Return the reply without its thinking: what follows the last closing mark, and nothing of an open thought."""
    if "<" not in text:
        return text
    *_, end = [0, *(match.end() for match in _CLOSES.finditer(text))]
    opened = _OPENS.search(text, end)
    return text[end : opened.start()] if opened else text[end:]


def boxes(text: str) -> Iterator[str]:
    r"""Yield what stands in each `\boxed{...}` or `\fbox{...}` that is not empty, last first."""
    for _, _, content in reversed(box_spans(text)):
        yield content


def box_spans(text: str) -> list[tuple[int, int, str]]:
    """Return the boxes that are not empty as (start, end, content), in order."""
    found: list[tuple[int, int, str]] = []
    for match in _BOX.finditer(text):
        end = _closing(text, match.end())
        if end is not None:
            content = text[match.end() : end].removeprefix("{").removesuffix("}").strip()
            found.append((match.start(), end, content))
    return [box for box in found if box[2]]


def boxed(text: str) -> str | None:
    r"""Return what stands in the last `\boxed{...}`, or behind a bare `\boxed 5`; None if there is none."""
    return next(boxes(text), None)


def _closing(text: str, start: int) -> int | None:
    """Return where the box content that begins at `start` ends, its braces included; None for an open brace."""
    if not text.startswith("{", start):
        bare = _BARE.match(text, start)
        return start + len(bare[0].rstrip(".,。，")) if bare else None
    depth = 0
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.end()
    return None


def marked(text: str) -> Iterator[str]:
    """Yield the line behind each answer mark (`####`, `Answer:`, `the answer is`, `答案是` ...), last first."""
    for key in reversed(list(_KEY.finditer(text))):
        match = _MARK.match(text, key.start())
        if match is None:
            continue
        line = text[match.end() :].lstrip(" \t*:：\n\r").partition("\n")[0]
        if line.strip(" *#`"):
            yield line.strip().strip("*").strip()


def after_marker(text: str) -> str | None:
    """Return the line behind the last answer mark, or None if there is none."""
    return next(marked(text), None)


def stated(text: str) -> Iterator[str]:
    """Yield what a reply may state as its answer, best first: boxes, marked lines, its last line."""
    text = visible(text)
    yield from boxes(text)
    yield from marked(text)
    *_, line = ["", *text.strip().splitlines()]
    if line:
        yield line


def number(text: str) -> str | None:
    """Return the number that a reply gives as its answer, in its one spelling, or None.

    The last box with a number in it counts, else the last marked line with one, else a bold number in the last line,
    else the last number that stands outside brackets and code. A box that holds several numbers side by side states no
    answer.
    """
    plain = canonical(text)
    if plain is not None:
        return plain
    text = visible(text)
    for box in boxes(text):
        if _hedged(box):
            return None
        stated = _of_statement(box)
        if stated is not None:
            return stated
    for line in marked(text):
        if _DENIES.match(line) or _EITHER_NUMBER.search(normalize(line)):
            return None
        stated = _of_statement(line)
        if stated is not None:
            return stated
    return _last_outside(text)


def _last_outside(text: str) -> str | None:
    """Return the last number of a reply that marks none, asides left out as long as a number remains."""
    prose = _CODE.sub("", text)
    *_, line = ["", *(line for line in prose.splitlines() if line.strip())]
    bold = [found for found in map(canonical, _BOLD.findall(line)) if found is not None]
    if bold:
        return bold[-1]
    if any(sign in line for sign in "(（"):
        found = last_number(_ASIDE.sub("", line))
        if found is not None:
            return found
    return last_number(prose) or last_number(text)


def _hedged(box: str) -> bool:
    whole = canonical(box)
    parts = _HEDGE.split(normalize(box)) if whole is None else []
    return len(parts) > 1 and all(canonical(part) is not None for part in parts)


def _of_statement(line: str) -> str | None:
    """Return the number that a short statement is about: what follows `=`, what it begins with, else its last one."""
    whole = canonical(line)
    if whole is not None:
        return whole
    line = normalize(line)
    head, equals, tail = line.rpartition("=")
    found = numbers(tail if equals else line)
    if equals and not found:
        found = numbers(head)
    if not found:
        return None
    leads = not line[: found[0][0]].strip(" $*(:`约≈") or bool(equals)
    return found[0][2] if leads else found[-1][2]


def choice(text: str, letters: str = "ABCDE") -> str | None:
    """Return the letter of `letters` that a reply chooses, or None.

    The last box that names a letter counts, else the last marked line that does, else a reply that begins with one,
    else the last line that names exactly one.
    """
    text = visible(text)
    several = re.compile(
        rf"(?<![A-Za-z])[{letters}][)）]?\s*(?:,|、|/|&|\bor\b|\band\b|或者?|和)\s*[(（]?[{letters}](?![A-Za-z])"
    )
    for short in (*boxes(text), *marked(text)):
        if _DENIES.match(short) or several.search(short):
            return None
        found = _letter(short, letters)
        if found:
            return found
    plain = text.strip()
    begins = re.match(rf"[*(\[（]*([{letters}])(?:[)\]）.:：、*]|\s*$|\n)", plain)
    if begins:
        return begins[1]
    if re.fullmatch(rf"\(?[{letters}]\)?\.?", plain, re.IGNORECASE):
        return plain.strip("().").upper()
    for line in reversed(plain.splitlines()):
        named = {match[1] or match[2] for match in _named(letters).finditer(line)}
        if named:
            return named.pop() if len(named) == 1 else None
    return None


def _named(letters: str) -> re.Pattern[str]:
    """Match letters that stand for a choice anywhere in a line: `(C)`, `C)`, `**C**`, `option C`."""
    return re.compile(
        rf"(?<![A-Za-z])(?:[(（]|\*\*|(?i:option|choice|answer)\s+\(?|选项?\s*)?(?<![A-Za-z'])([{letters}])(?:[)）]|\*\*|[.:]\s|\.?$)"
        rf"|(?:(?i:option|choice)\s+|选)([{letters}])(?![A-Za-z])"
    )


def _letter(short: str, letters: str) -> str | None:
    """Return the letter in a box or behind a mark."""
    plain = normalize(short).strip().strip("$").strip()
    alone = re.fullmatch(rf"[*(\[\"'`\s]*([{letters}])[*)\]\"'`.。,\s]*", plain, re.IGNORECASE)
    if alone:
        return alone[1].upper()
    leads = re.match(
        rf"[*(\[\"'`\s]*(?:(?i:option|choice)\s+|选项?\s*)?[(\[]?([{letters}])(?![A-Za-z0-9'])(?!\s(?!because|since|as\b|with)[a-z])",
        plain,
    )
    if leads:
        return leads[1]
    named = {match[1] or match[2] for match in _named(letters).finditer(plain)}
    return named.pop() if len(named) == 1 else None


_YES = (
    r"yes\b|yeah\b|true\b|affirmative\b|是的|是(?=$|[,，。.!！ ])|对的?(?=$|[,，。.!！ ])|正确|肯定"
    r"|真(?=$|[,，。.!！ ])|会(?=$|[的,，。.])|可以|能(?=$|[,，。.])"
)
_NO = r"no\b|nope\b|not\b|false\b|negative\b|否|不|没有|没$|错|假(?=$|[,，。.])"
_BEGINS = re.compile(rf"[\s*\"'“(（`#]*(?:(?P<no>{_NO})|(?P<yes>{_YES}))", re.IGNORECASE)
_WORD = re.compile(r"(?P<yes>\b(?:yes|true)\b)|(?P<no>\b(?:no|false)\b)", re.IGNORECASE)
_BOTH = re.compile(
    r"\b(?:yes|no|true|false)\s*(?:/|\bor\b|\band\b)\s*(?:yes|no|true|false)\b|是[或和]否", re.IGNORECASE
)
_LOUD = re.compile(r"(?P<yes>\b(?:Yes|YES|TRUE)\b)|(?P<no>\b(?:No|NO|FALSE)\b)")


def yes_no(text: str) -> str | None:
    """Return `yes` or `no` as a reply answers, in English or Chinese, or None.

    The last box counts, else the last marked line, else how the reply begins, else how its last line ends, else the
    last Yes or No with a capital letter.
    """
    text = visible(text)
    for short in (*boxes(text), *marked(text)):
        plain = normalize(short).strip().strip("$").strip()
        if _BOTH.search(plain):
            return None
        found = _side(_BEGINS.match(plain)) or _side(_last(_WORD, plain))
        if found:
            return found
    *_, line = ["", *text.strip().splitlines()]
    if _BOTH.search(line):
        return None
    found = _side(_BEGINS.match(text))
    if found:
        return found
    ends = re.search(r"\b(?:(?P<yes>yes|true)|(?P<no>no|false))\b[\s.!*\"'”)]*$", line, re.IGNORECASE)
    return _side(ends) or _side(_last(_LOUD, text))


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    *_, match = [None, *pattern.finditer(text)]
    return match


def _side(match: re.Match[str] | None) -> str | None:
    if match is None:
        return None
    return "yes" if match["yes"] else "no"

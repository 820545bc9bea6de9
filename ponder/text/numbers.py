"""Read numbers as people and models write them, and give each value one spelling."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?![\d,]*\d)|\d+)(?:\.\d+)?|\.\d+"
_POWER = r"(?:e[+-]?\d{1,4}(?![\w.])|\s*[x×*·]\s*10\s*(?:\^|\*\*)\s*\{?\s*[+-]?\d{1,4}\s*\}?)"
_PLAIN = rf"(?:{_DIGITS})(?:{_POWER})?"
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w).!\]}])[-+](?:\s?(?=[$€£¥₹]))?)?(?:[$€£¥₹](?P<minus>-)?\s?)?"
    r"(?<![A-Za-z_^.\d])(?<![A-Za-z]-)"
    rf"(?:(?P<whole>\d+)\s+(?P<over>\d+)/(?P<under>\d+)(?![\d/])"
    rf"|(?P<top>{_PLAIN})\s?/\s?(?P<bottom>\d+(?:\.\d+)?)(?![\d/])"
    rf"|(?P<plain>{_PLAIN}))"
    r"(?P<scale>\s*(?:thousand|million|billion|trillion|百万|万|亿)(?![a-z]))?"
    r"(?P<percent>\s?(?:%|percent\b|per cent\b))?",
    re.IGNORECASE,
)
_SCALES = {
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "万": 10**4,
    "百万": 10**6,
    "亿": 10**8,
}
_VULGAR = re.compile("[¼-¾⅐-⅞]")
_SUPER = re.compile("[⁰¹²³⁴-⁹]+")
_SIMPLE = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_LATEX = (
    (re.compile(r"\\[dtc]frac"), r"\\frac"),
    (re.compile(r"(?<=\d)(?:\{,\}|,\\!|\\,|\\!)\s*(?=\d{3})"), ","),
    (re.compile(r"\\[!,;:]|\\(?:left|right)(?![a-z])"), ""),
    (re.compile(r"\\\$"), "$"),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\ |~|\\quad"), " "),
    (re.compile(r"\\times|\\cdot"), "×"),
    (re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox|mathit)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\frac\s*\{\s*(-?[\d.,]+)\s*\}\s*\{\s*([\d.,]+)\s*\}"), r" \1/\2 "),
    (re.compile(r"\\frac\s*(\d)\s*(\d)"), r" \1/\2 "),
    (re.compile(r"\\frac\s*(?:(\d)\s*\{\s*(\d+)\s*\}|\{\s*(\d+)\s*\}\s*(\d))"), r" \1\3/\2\4 "),
    (re.compile(r"-\s+(?=\d+/\d)"), "-"),
    (re.compile(r"\^\s*\{?\s*\\circ\s*\}?|°"), " "),
)
_MAX_DIGITS = 400


def normalize(text: str) -> str:
    """Return `text` with full-width forms, minus signs, vulgar fractions and LaTeX of numbers written plainly."""
    if not text.isascii():
        text = _VULGAR.sub(lambda match: " " + unicodedata.normalize("NFKC", match[0]).replace("⁄", "/"), text)
        text = _SUPER.sub(lambda match: "^" + unicodedata.normalize("NFKC", match[0]), text)
        text = unicodedata.normalize("NFKC", text).replace("−", "-").replace("⁄", "/").replace("°", " ")
        text = re.sub("[–—](?=[$€£¥₹]?\\d)(?<!\\d[–—])", "-", text)
    if "\\" in text or "{" in text or "~" in text:
        for pattern, plain in _LATEX:
            text = pattern.sub(plain, text)
    return text


def numbers(text: str) -> list[tuple[int, int, str]]:
    """Return every number in normalized `text` as (start, end, spelling), in order."""
    found: list[tuple[int, int, str]] = []
    for match in _NUMBER.finditer(text):
        spelled = _spell(match)
        if spelled is not None:
            found.append((match.start(), match.end(), spelled))
    return found


def last_number(text: str) -> str | None:
    """Return the last number in `text` in its one spelling, or None if there is none; no number spans two lines."""
    for line in reversed(text.splitlines()):
        found = numbers(normalize(line))
        if found:
            return found[-1][2]
    return None


def canonical(text: str) -> str | None:
    """Return the one spelling of a text that is a number and nothing else (`$1,234.50` gives `1234.5`), or None."""
    plain = text.strip()
    if len(plain) > _MAX_DIGITS:
        return None
    if _SIMPLE.fullmatch(plain):
        return plain if plain != "-0" else "0"
    plain = normalize(plain).strip().strip("*").strip()
    plain = plain.strip("$").strip().rstrip(".。").strip()
    if re.fullmatch(r"[-+]?\d{1,3}(?: \d{3})+", plain):
        plain = plain.replace(" ", "")
    match = _NUMBER.fullmatch(plain)
    return _spell(match) if match else None


def value(spelled: str) -> Fraction | None:
    """Return the value of a spelling that `canonical` or `last_number` gave, per cent signs left out of account."""
    try:
        return Fraction(spelled.removesuffix("%"))
    except (ValueError, ZeroDivisionError):
        return None


def equal(a: str, b: str) -> bool:
    """Say whether two spellings mean one number.

    `50%` equals both `50` and `0.5`. A decimal with three places or more equals the endless fraction that it rounds or
    cuts off, as 0.333 does 1/3; everything else is exact.
    """
    if a == b:
        return True
    if _SIMPLE.fullmatch(a) and _SIMPLE.fullmatch(b):
        return False
    left, right = value(a), value(b)
    if left is None or right is None:
        return False
    if left == right:
        return True
    if a.endswith("%") != b.endswith("%"):
        return left == right * 100 if a.endswith("%") else right == left * 100
    return _rounds(a, left, right) or _rounds(b, right, left)


def _rounds(spelled: str, decimal: Fraction, fraction: Fraction) -> bool:
    places = len(spelled.removesuffix("%").partition(".")[2])
    return places >= 3 and not _ends(fraction) and abs(decimal - fraction) < Fraction(1, 10**places)


def _ends(number: Fraction) -> bool:
    """Whether a fraction has finitely many decimal places."""
    rest = number.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _spell(match: re.Match[str]) -> str | None:
    if match.end() - match.start() > _MAX_DIGITS:
        return None
    parts = match.groupdict()
    if _SIMPLE.fullmatch(match[0]):
        return match[0] if match[0] != "-0" else "0"
    try:
        if parts["whole"] is not None:
            number = Fraction(parts["whole"]) + Fraction(f"{parts['over']}/{parts['under']}")
        elif parts["top"] is not None:
            number = _plain(parts["top"]) / _plain(parts["bottom"])
        else:
            number = _plain(parts["plain"])
    except (ValueError, ZeroDivisionError):
        return None
    if parts["scale"]:
        number *= _SCALES[parts["scale"].strip().lower()]
    if (parts["sign"] or "").strip() == "-" or parts["minus"]:
        number = -number
    return spell(number) + ("%" if parts["percent"] else "")


def _plain(text: str) -> Fraction:
    digits, power = text.lower(), ""
    scaled = re.fullmatch(r"([\d.,]+)(?:e|\s*[x×*·]\s*10\s*(?:\^|\*\*)\s*\{?\s*)([+-]?\d+)\s*\}?", digits)
    if scaled:
        digits, power = scaled[1], scaled[2]
    if power and abs(int(power)) > _MAX_DIGITS:
        raise ValueError("an exponent out of all proportion")
    return Fraction(digits.replace(",", "")) * (Fraction(10) ** int(power or 0))


def spell(number: Fraction) -> str:
    """Return the one spelling of a value: an integer, a finite decimal without trailing zeros, or `p/q`."""
    if number.denominator == 1:
        return str(number.numerator)
    if not _ends(number):
        return f"{number.numerator}/{number.denominator}"
    places, rest = 0, number
    while rest.denominator != 1:
        rest, places = rest * 10, places + 1
    digits = str(abs(rest.numerator)).rjust(places + 1, "0")
    return f"{'-' if number < 0 else ''}{digits[:-places]}.{digits[-places:]}"

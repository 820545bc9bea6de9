"""Requests that are not worth a thought, known by their wording: chores of chat programs, greetings."""

from __future__ import annotations

import re

_GREETING = re.compile(
    r"(?:hi|hello|hey|hiya|howdy|good (?:morning|afternoon|evening|night)|greetings|thanks|thank you|many thanks|bye|"
    r"goodbye|see you|hallo|guten (?:morgen|tag|abend)|danke|bonjour|bonsoir|merci|hola|buenos d[ií]as|gracias|ciao|"
    r"grazie|ol[áa]|obrigad[oa]|你好|您好|早上好|晚上好|谢谢|多谢|再见|こんにちは|ありがとう)"
    r"(?:[ ,]+(?:there|all|everyone|again|so much|very much|a lot|then))?[ .!,~。！👋🙂😊]*",
    re.IGNORECASE,
)

_DO = (
    r"(?:^|[.:\n#*-])\s*(?:please |you are to |your (?:task|job) is to )?"
    r"(?:generate|create|write|provide|give|suggest|propose|come up with|produce|output|reply with|return)\b"
    r"[^.\n]{0,60}\b"
)
_CHORES = {
    "title": re.compile(_DO + r"title\b(?! (?:screen|bar|page|tag|slide))", re.IGNORECASE),
    "tags": re.compile(_DO + r"(?:tags|topic labels)\b", re.IGNORECASE),
    "follow-ups": re.compile(
        _DO + r"(?:follow[- ]?ups?\b|(?:next|further) (?:questions|replies|prompts))", re.IGNORECASE
    ),
    "search query": re.compile(_DO + r"search (?:query|queries|terms)\b", re.IGNORECASE),
    "emoji": re.compile(_DO + r"emojis?\b", re.IGNORECASE),
}
_ABOUT = re.compile(
    r"\b(?:chat|conversation|message|dialog(?:ue)?)[ _]history\b|<(?:chat|conversation|messages)\b|"
    r"\b(?:the|this|our|a|following|above|entire|whole) (?:chat|conversation|dialog(?:ue)?|thread|discussion)"
    r"(?=\s*[.,:;!?\n]|\s*$| (?:above|below|so far|between|with|using|in|and|that|is|based)\b)",
    re.IGNORECASE,
)
_NAMER = re.compile(
    r"\b(?:title generator|generat\w+ (?:\w+ ){0,3}(?:thread|chat|conversation) titles?)\b", re.IGNORECASE
)
_READ, _FIRST = 600, 200
"""Characters that are read of a question, behind which the conversation stands, and of a system message."""


def chore(question: str, system: str = "") -> str | None:
    """Return which chore of a chat program is asked for, or None: a title, tags, follow-ups, a search query, an emoji.

    The question must begin with the instruction, and it must be about a conversation. A system message counts only
    where it makes the model nothing but a namer of conversations: other ones speak of many things.
    """
    if _NAMER.search(system[:_FIRST]):
        return "title"
    if not _ABOUT.search(question):
        return None
    return next((name for name, pattern in _CHORES.items() if pattern.search(question[:_READ])), None)


def trivial(question: str) -> str | None:
    """Return `greeting` for a question that is nothing else, or None.

    No question with a right answer is trivial, a sum neither: a small model that adds rightly in its thoughts does not
    without them.
    """
    text = question.strip()
    if len(text) > 60:
        return None
    return "greeting" if _GREETING.fullmatch(text) else None

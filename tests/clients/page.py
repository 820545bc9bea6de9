"""The blocks of docs/serve-clients.md, with the addresses of a test put in."""

from __future__ import annotations

import re

from serving import ROOT

PAGE = ROOT / "docs/serve-clients.md"
GATEWAY, SERVER, MODEL = "http://127.0.0.1:8088", "http://127.0.0.1:8000/v1", "qwen3"


def blocks(language: str, within: str = "") -> list[str]:
    """Return the blocks of one language, of a section or of the whole page."""
    text = PAGE.read_text("utf-8")
    if within:
        text = text.partition(f"\n## {within}\n")[2].partition("\n## ")[0]
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found, f"{PAGE.name} has no {language} under {within or 'any heading'}"
    return found


def command(within: str) -> str:
    """Return the one command of a section, on one line."""
    (block,) = blocks("sh", within)
    return block.replace("\\\n", " ")

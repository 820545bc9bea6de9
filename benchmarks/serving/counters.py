"""What a vLLM server counts of itself, so that nobody has to be believed about tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass

import aiohttp

COUNTS = ("generation_tokens", "prompt_tokens", "prefix_cache_hits")


@dataclass(frozen=True)
class Counters:
    """The counters of the server at `url`."""

    url: str
    client: aiohttp.ClientSession

    async def read(self) -> dict[str, int]:
        """Return them. Ends the program where there are none: then it is no vLLM."""
        async with self.client.get(self.url.removesuffix("/").removesuffix("/v1") + "/metrics") as reply:
            text = await reply.text() if reply.status == 200 else ""
        found = {name: re.findall(rf"^vllm:{name}_total(?:{{.*}})? (\S+)$", text, re.MULTILINE) for name in COUNTS}
        if not all(found.values()):
            raise SystemExit(f"{self.url} counts no tokens at /metrics; this needs a vLLM server")
        return {name: round(sum(map(float, values))) for name, values in found.items()}

    async def positions(self) -> int:
        """Return how many positions went through the model: prompts but for what its cache had, and what it wrote."""
        now = await self.read()
        return now["prompt_tokens"] - now["prefix_cache_hits"] + now["generation_tokens"]

"""Votes by its_hub's own client: messages as a line of JSON in, the winner's text as a line of JSON out.

Runs in its_hub's environment: python its_hub_votes.py URL MODEL N MAX_TOKENS TEMPERATURE
"""

from __future__ import annotations

import asyncio
import json
import sys

from its_hub import OpenAICompatibleLanguageModel, SelfConsistency
from its_hub.api import ChatMessage
from its_hub.core.algorithms.self_consistency import create_regex_projection_function


async def main(url: str, model: str, n: str, tokens: str, temperature: str) -> None:
    """Answer until the input ends."""
    lm = OpenAICompatibleLanguageModel(
        url, "none", model, max_completion_tokens=int(tokens), temperature=float(temperature)
    )
    # The projection of its documentation for mathematics.
    vote = SelfConsistency(create_regex_projection_function(r"\\boxed\{([^}]+)\}"))
    for line in sys.stdin:
        messages = [ChatMessage.from_dict(message) for message in json.loads(line)]
        result = await vote.ainfer(lm, messages, budget=int(n), return_response_only=False)
        reply = {"text": result.the_one["content"], "tokens": result.usage.completion_tokens}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

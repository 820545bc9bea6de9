"""How likely one model finds what another one wrote: it reads the text, and generates nothing."""

from __future__ import annotations

import math

from ponder.core.problem import Prompt
from ponder.core.run import Run


async def read_logprob(prompt: Prompt, text: str, view: Run) -> float:
    """Return the mean log-probability of the tokens of `text` behind `prompt`, of the model that `view` runs.

    The model spells the text in its own tokens. Minus infinity where a limit of the run comes first.
    """
    call = await view.generate(prompt, "verify", force=(text,), max_tokens=0, logprobs=1)
    return math.fsum(one.logprob for one in call.logprobs) / len(call.logprobs) if call.logprobs else -math.inf

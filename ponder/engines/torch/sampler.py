"""Draws tokens with noise that is a function of (seed, position), so that a thought cut in pieces equals the uncut one.

Each token takes one uniform number and inverts the cumulative distribution in the order of the vocabulary.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

import torch

from ponder.core.engine import Logprob, Sampling

FLOOR = -100.0
"""The least log-probability that counts in a certainty. No float32 holds so small a probability, and the minus infinity
of a token that the model itself rules out would make the mean infinite."""


def noise(seed: int, position: int) -> float:
    """Return a number in (0, 1) that depends on the two arguments alone."""
    digest = hashlib.blake2b(f"{seed}/{position}".encode(), digest_size=6).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2**48


def seed_of(sampling: Sampling) -> int:
    """Return the seed that the noise of a call comes from: the branch's, else the call's own, else 0."""
    if sampling.branch_seed is not None:
        return sampling.branch_seed
    return sampling.seed or 0


def draw(logits: torch.Tensor, rows: Sequence[tuple[Sampling, float]]) -> list[int]:
    """Return one token for each row.

    `logits` is (rows, vocabulary) in float32; each row comes with its sampling and its uniform number in (0, 1). What a
    row gets depends on nothing in the others. Temperature comes first, then top-k, top-p and min-p, as in transformers.
    """
    biases = [(row, *bias) for row, (sampling, _) in enumerate(rows) for bias in sampling.logit_bias]
    if biases:
        places = torch.tensor([bias[:2] for bias in biases], device=logits.device)
        values = torch.tensor([bias[2] for bias in biases], device=logits.device)
        logits = logits.index_put((places[:, 0], places[:, 1]), values, accumulate=True)
    best = logits.argmax(dim=-1).tolist()
    hot = [index for index, (sampling, _) in enumerate(rows) if sampling.temperature > 0]
    if not hot:
        return [int(token) for token in best]
    heat = torch.tensor([[rows[index][0].temperature] for index in hot], device=logits.device)
    # The largest logit is taken off first: dividing by a tiny temperature would overflow.
    chosen = logits[hot] if len(hot) < len(rows) else logits
    scaled = (chosen - chosen.amax(dim=-1, keepdim=True)) / heat
    for row, index in enumerate(hot):
        sampling = rows[index][0]
        if sampling.top_k or sampling.top_p < 1 or sampling.min_p > 0:
            scaled[row] = _filtered(scaled[row], sampling)
    mass = torch.softmax(scaled, dim=-1).cumsum(dim=-1, dtype=torch.float64)
    points = torch.tensor([[rows[index][1]] for index in hot], dtype=torch.float64, device=logits.device) * mass[:, -1:]
    drawn = torch.searchsorted(mass, points, right=True).squeeze(-1).tolist()
    for index, token in zip(hot, drawn, strict=True):
        best[index] = token
    return [int(token) for token in best]


def _filtered(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Return the logits of one row, minus infinity where a filter forbids the token."""
    if sampling.top_k and sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k).values[-1]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if sampling.top_p < 1:
        order = logits.sort(descending=True, stable=True)
        share = torch.softmax(order.values, dim=-1)
        # A token stays if what is likelier than it does not yet fill top-p; so the likeliest one always stays.
        beyond = (share.cumsum(dim=-1) - share) >= sampling.top_p
        beyond[0] = False
        logits = logits.masked_fill(torch.zeros_like(beyond).scatter(0, order.indices, beyond), -torch.inf)
    if sampling.min_p > 0:
        share = torch.softmax(logits, dim=-1)
        logits = logits.masked_fill(share < sampling.min_p * share.max(), -torch.inf)
    return logits


def certainty(logits: torch.Tensor, spelled: int) -> torch.Tensor:
    """Return how far each distribution is from the uniform one: KL(U || p), the mean of -ln(V p) (2502.18581).

    `logits` is (..., vocabulary) in float32; what comes lacks the last dimension. V is `spelled`: rows that only fill
    the vocabulary up are left out of U and of p. The figures are the model's own: temperature 1, before bias and
    filters. Log-probabilities below `FLOOR` count as `FLOOR`.
    """
    words = logits[..., :spelled]
    every = words - words.logsumexp(dim=-1, keepdim=True)
    return -every.clamp(min=FLOOR).mean(dim=-1) - math.log(words.shape[-1])


def logprob(
    logits: torch.Tensor, token: int, rivals: int, spell: Callable[[int], str], sure: float | None = None
) -> Logprob:
    """Return the log-probability of `token` and of the `rivals` likeliest ones, most likely first.

    `logits` is one row, (vocabulary,). The figures are the model's own: temperature 1, before bias and filters. With
    `rivals` at the vocabulary's size the distribution is whole. `sure` is the certainty, where it is asked for.
    """
    every = torch.log_softmax(logits.float(), dim=-1)
    top = every.topk(min(rivals, every.shape[-1]))
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return Logprob(spell(token), float(every[token]), tuple((spell(index), value) for index, value in pairs), sure)

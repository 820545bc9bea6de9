"""Scorers: how good a reply is, without its reference. The one table of them, and how one is found by name."""

from __future__ import annotations

import importlib
from typing import cast

from ponder.core.errors import OptionError, nearest
from ponder.core.judge import Scorer

SCORERS: dict[str, str] = {
    "mean_logprob": "ponder.scorers.mean_logprob:MeanLogprob",
    "self_certainty": "ponder.scorers.self_certainty:MeanCertainty",
    "agreement": "ponder.scorers.agreement:Agreement",
    "verifier_prompt": "ponder.scorers.verifier_prompt:VerifierPrompt",
    "mean_probability": "ponder.scorers.mean_probability:MeanProbability",
    "verbalised": "ponder.scorers.verbalised:Verbalised",
    "jaccard": "ponder.scorers.jaccard:Jaccard",
    "confidence_token": "ponder.scorers.confidence_token:ConfidenceToken",
    "probe": "ponder.scorers.probe:Probe",
    "prm": "ponder.scorers.prm:Prm",
    "prm_head": "ponder.scorers.prm_head:PrmHead",
    "rule": "ponder.scorers.rule:Rule",
    "random_control": "ponder.scorers.random_control:RandomControl",
}
"""Name to class. A new scorer is one file and one line here."""


def find_scorer(name: str) -> type[Scorer]:
    """Return the class of a scorer. Raises `OptionError` if there is none of that name."""
    if name not in SCORERS:
        raise OptionError(f"there is no scorer {name!r}{nearest(name, SCORERS)}; there are {', '.join(SCORERS)}")
    module, _, cls = SCORERS[name].partition(":")
    return cast(type[Scorer], getattr(importlib.import_module(module), cls))

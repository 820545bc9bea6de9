"""Routers: how hard a question is, before it is answered. The one table of them, and how one is found by name."""

from __future__ import annotations

import importlib
from typing import cast

from ponder.core.errors import OptionError, nearest
from ponder.core.judge import Router

ROUTERS: dict[str, str] = {
    "constant": "ponder.routers.constant:ConstantRouter",
    "random": "ponder.routers.random:RandomRouter",
    "words": "ponder.routers.words:WordsRouter",
    "ranking": "ponder.routers.ranking:Ranking",
    "factorisation": "ponder.routers.factorisation:Factorisation",
    "encoder": "ponder.routers.encoder:EncoderClassifier",
    "causal": "ponder.routers.causal:CausalClassifier",
    "category": "ponder.routers.category:CategoryRouter",
}
"""Name to class. A new router is one file and one line here."""


def find_router(name: str) -> type[Router]:
    """Return the class of a router. Raises `OptionError` if there is none of that name."""
    if name not in ROUTERS:
        raise OptionError(f"there is no router {name!r}{nearest(name, ROUTERS)}; there are {', '.join(ROUTERS)}")
    module, _, cls = ROUTERS[name].partition(":")
    return cast(type[Router], getattr(importlib.import_module(module), cls))

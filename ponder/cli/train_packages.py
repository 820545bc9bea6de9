"""Whether what training takes is installed, asked before anything is loaded."""

from __future__ import annotations

from importlib.util import find_spec

from ponder.core.errors import OptionError

_TRAINERS = ("torch", "transformers", "trl", "peft")


def need_packages(*more: str) -> None:
    """Raise `OptionError` unless the packages that training takes, and `more`, are installed; none is loaded."""
    if missing := [name for name in (*_TRAINERS, *more) if find_spec(name) is None]:
        raise OptionError(
            f"training needs {', '.join(missing)}: pip install 'ponder[train]' (without a GPU, install PyTorch's "
            "smaller CPU build first)"
        )

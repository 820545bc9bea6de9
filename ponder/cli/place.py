"""Where a long command will write: better told before the work than behind it."""

from __future__ import annotations

from pathlib import Path

from ponder.core.errors import OptionError


def check_folder(out: Path) -> None:
    """Raise `OptionError` for a folder that is not empty, and `DataError` where nothing can be written."""
    from ponder.weights.staged import check_place

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OptionError(f"--out {out} exists and is not an empty folder; name another, or remove it first")
    check_place(out)


def check_picture(plot: Path | None) -> None:
    """Raise `OptionError` for a picture of another kind, and `DataError` where it cannot be written."""
    from ponder.weights.staged import check_place

    if plot is not None:
        if plot.suffix not in (".svg", ".png"):
            raise OptionError(f"--plot {plot} must end in .svg or .png")
        check_place(plot)

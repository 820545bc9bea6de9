"""`ponder completion SHELL`: the script that completes commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ponder.core.errors import OptionError


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    For bash, add this line to ~/.bashrc:  eval "$(ponder completion bash)"
    """
    from ponder.cli import cli

    found = get_completion_class(shell)
    if found is None:
        raise OptionError(f"there is no completion for {shell!r}; choose bash, zsh or fish")
    click.echo(found(cli, {}, "ponder", "_PONDER_COMPLETE").source())

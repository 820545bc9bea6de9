"""The command line: parses, calls, prints; one file for each command, loaded when it is used."""

from __future__ import annotations

import importlib
import io
import os
import sys
from typing import cast

import click

from ponder.core.errors import PonderError

COMMANDS: dict[str, str] = {
    "ask": "Answer one question, and print the bill.",
    "serve": "Run the gateway: an OpenAI-compatible server that shortens reasoning.",
    "bench": "Compare methods on a benchmark: accuracy, tokens, intervals, plots.",
    "record": "Record full thoughts with answers asked on the way.",
    "replay": "Run methods on recorded traces, at no cost.",
    "calibrate": "Choose the threshold of a cascade from the scores of a run.",
    "compare": "Put runs side by side.",
    "show": "Print the trace of one question in a run.",
    "report": "Write a run's report and export again.",
    "methods": "List the methods, or explain one.",
    "tasks": "List the benchmarks.",
    "model": "List, get and find models.",
    "data": "Make what models are trained on and tested with.",
    "train": "Train a model on this machine.",
    "merge": "Combine two models, or a base and an adapter, at a weight.",
    "shrink": "Make models smaller, or write them for llama.cpp.",
    "doctor": "Say what a model server really does, by asking it.",
    "tape": "Inspect and purge recorded runs.",
    "completion": "Print the shell completion script.",
}
"""Name to one line of help; the command is `ponder.cli.NAME:NAME`."""


class Commands(click.Group):
    """A group that imports a command only when it is called, so that `ponder --help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"ponder.cli.{cmd_name}")
        return cast(click.Command, vars(module)[cmd_name])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is asked for, or say which one may have been meant."""
        from ponder.core.errors import nearest

        name = args[0] if args else ""
        if name not in COMMANDS and not name.startswith("-"):
            raise click.UsageError(f"there is no command {name!r}{nearest(name, COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ponder", prog_name="ponder")
def cli() -> None:
    """Make a model think exactly as long as each question needs, and prove what that saved and what it cost."""


def main() -> None:
    """Run the command line; every error is one sentence on standard error and an exit code other than 0."""
    _be_lenient()
    # numpy's products here are of a few thousand numbers: several threads would wait for each other, for minutes where
    # the cores are busy. It reads this when it is loaded, which no command has done yet.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        code = cli.main(prog_name="ponder", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except PonderError as error:
        _complain(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        _drop_output()
        sys.exit(141)
    except OSError as error:
        what = error.filename if error.filename is not None else "the output"
        _complain(f"{what} cannot be used ({error.strerror or error}); check its path, its rights and the free space")
        if error.filename is None:
            _drop_output()
        sys.exit(1)


def _be_lenient() -> None:
    """Let a terminal that lacks a character show a question mark for it, and a closed stream take everything."""
    sys.stdout = sys.stdout or io.TextIOWrapper(io.FileIO(os.devnull, "w"))
    sys.stderr = sys.stderr or io.TextIOWrapper(io.FileIO(os.devnull, "w"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _drop_output() -> None:
    """Discard what is not written yet: Python would complain once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(text: str) -> None:
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    click.echo(click.style("ponder: ", fg="red", bold=True) + text if colour else f"ponder: {text}", err=True)

"""`ponder serve`: the gateway, from a file or from two options."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ponder.cli.output import console
from ponder.core.errors import OptionError

if TYPE_CHECKING:
    from ponder.serve.settings import Settings


@click.command()
@click.argument("file", required=False, metavar="[PONDER.TOML]", type=click.Path(path_type=Path))
@click.option(
    "--model", "-m", metavar="MODEL", help="Without a file: a GGUF file, a name, URL#NAME for a server, echo."
)
@click.option("--method", metavar="METHOD", help="Without a file: the method, such as auto or chain_of_draft.")
@click.option("--key-env", metavar="VARIABLE", help="The environment variable that holds the model server's key.")
@click.option("--dialect", metavar="NAME", help="How the server speaks: vllm, llama.cpp, openai ... Default: asked.")
@click.option("--host", metavar="ADDRESS", help="Where to listen. Default: 127.0.0.1, this machine alone.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default: 8088; 0 takes a free one.")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes that share the port. Default: 1.")
@click.option("--check", is_flag=True, help="Read the file, say what it makes, and end.")
@click.option("--new-key", metavar="NAME", help="Make an API key for a client, print it with its table, and end.")
@click.option("--hash-key", is_flag=True, help="Read an API key from standard input, print its hash, and end.")
def serve(
    file: Path | None,
    model: str | None,
    method: str | None,
    key_env: str | None,
    dialect: str | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    check: bool,
    new_key: str | None,
    hash_key: bool,
) -> None:
    """Serve an OpenAI-compatible API in front of a model, and shorten its reasoning.

    Without a file it serves --model, or the first installed model of `ponder model list`.

    Example: ponder serve --model http://127.0.0.1:8000/v1#qwen3 --method auto
    """
    if new_key is not None:
        _print_key(new_key)
        return
    if hash_key:
        _print_hash()
        return
    settings = _settings(file, model, method, key_env, dialect)
    server = settings.server
    server = replace(server, host=host or server.host, workers=workers or server.workers)
    server = replace(server, port=server.port if port is None else port)
    settings = replace(settings, server=server)
    if check:
        _print_models(settings)
        return
    _run(settings)


def _settings(
    file: Path | None, model: str | None, method: str | None, key_env: str | None, dialect: str | None
) -> Settings:
    """Read the file, or make the settings of one model."""
    from ponder.serve.settings import DEFAULT_METHOD, Upstream, for_model, load

    if file is not None:
        given = {"--model": model, "--method": method, "--key-env": key_env, "--dialect": dialect}
        said = [name for name, value in given.items() if value is not None]
        if said:
            raise OptionError(f"{said[0]} and a file do not go together: say it in {file}")
        return load(file)
    upstream = replace(Upstream.of(model), key_env=key_env, dialect=dialect)
    return for_model(upstream, {"method": method or DEFAULT_METHOD})


def _run(settings: Settings) -> None:
    import asyncio

    from ponder.serve.watch import watched
    from ponder.serve.workers import check_shareable, run_worker, serve, supervise

    check_shareable(settings)
    _policies(settings)

    def ready(url: str) -> None:
        console(stderr=True).print(_notice(settings, url), markup=False, soft_wrap=True)

    if settings.server.workers > 1:
        raise SystemExit(supervise(settings, ready=ready, work=run_worker))
    with watched() as observers:
        asyncio.run(serve(settings, ready=ready, observers=observers))


def _notice(settings: Settings, url: str) -> str:
    """Return the line that says where the gateway is, and who may use it."""
    workers = f", {settings.server.workers} workers" if settings.server.workers > 1 else ""
    loopback = settings.server.host in ("127.0.0.1", "::1", "localhost")
    open_door = "" if loopback or settings.keys else "; anybody who can reach it may use it: add a [[key]]"
    return f"ponder serves {', '.join(settings.models)} at {url}/v1{workers}{open_door}"


def _policies(settings: Settings) -> None:
    """Refuse methods that do not exist, and router files that are no use, before a port is opened.

    It is this process that looks, and none of several workers: one that is begun anew while a file is broken must live.
    """
    import asyncio

    from ponder.methods import catalogue
    from ponder.serve.policies import Policies

    asyncio.run(Policies(settings, catalogue(tuple(map(Path, settings.server.plugins)))).rehearse())


def _print_models(settings: Settings) -> None:
    from ponder.cli.output import options_text

    _policies(settings)
    for name, model in settings.models.items():
        options = options_text(model.method)
        engine = settings.engines[model.engine].spec or "the first installed model"
        click.echo(f"{name}: {model.method['method']}{f' ({options})' if options else ''} on {engine}")


def _print_key(name: str) -> None:
    import json

    from ponder.serve.access import hash_key, new_key

    key = new_key()
    click.echo(f"{key}\n", err=False)
    click.echo(f"[[key]]\nname = {json.dumps(name, ensure_ascii=False)}\nhash = {json.dumps(hash_key(key))}")
    console(stderr=True).print("Give the first line to the client, and put the rest into ponder.toml.", style="dim")


def _print_hash() -> None:
    from ponder.serve.access import hash_key

    key = (sys.stdin.readline() if sys.stdin is not None else "").strip()
    if len(key) < 24:
        raise OptionError(
            "a key of fewer than 24 characters can be guessed; let `ponder serve --new-key NAME` make one"
        )
    click.echo(hash_key(key))

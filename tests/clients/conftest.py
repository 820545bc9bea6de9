"""The gateway that all clients share. Nothing is collected without the clients' packages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from serving import Upstream

CLIENTS = ("langchain_deepseek", "langchain_openai", "litellm", "lm_eval", "openai", "schemathesis", "serving")
collect_ignore_glob = [] if all(map(find_spec, CLIENTS)) else ["test_*.py"]


@dataclass(frozen=True)
class Gateway:
    """A running gateway: its address, the key that it asks for, why a model is not there, and where vLLM listens."""

    url: str
    key: str
    missing: dict[str, str]
    real: str | None

    @property
    def base(self) -> str:
        return f"{self.url}/v1"


@pytest.fixture(scope="session")
def scripted_server() -> Iterator[Upstream]:
    from serving import Upstream

    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(scripted_server: Upstream) -> Iterator[Upstream]:
    """The server behind the model `scripted`."""
    scripted_server.reset()
    yield scripted_server
    scripted_server.reset()


@pytest.fixture(scope="session")
def gateway(scripted_server: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway over every engine that can be had here."""
    from serving import PONDER, embedded_model, run, serving, settings, vllm

    folder = tmp_path_factory.mktemp("gateway")
    missing: dict[str, str] = {}
    made = run([PONDER, "serve", "--new-key", "tests"])
    key, hash = made.stdout.split()[0], made.stdout.split('hash = "')[1].split('"')[0]
    with ExitStack() as stack:
        local = real = None
        try:
            local = embedded_model()
        except LookupError as error:
            missing["embedded"] = str(error)
        python, weights = os.environ.get("PONDER_VLLM"), os.environ.get("PONDER_VLLM_MODEL")
        if python and weights:
            real = stack.enter_context(vllm(python, weights, folder / "vllm.log"))
        else:
            missing["vllm"] = "PONDER_VLLM names no Python with vLLM, or PONDER_VLLM_MODEL no folder of weights"
        file = folder / "ponder.toml"
        file.write_text(settings(hash, scripted_server.server.url, local, real), "utf-8")
        url = stack.enter_context(serving(folder / "gateway.log", str(file)))
        yield Gateway(url, key, missing, real)
        assert key not in (folder / "gateway.log").read_text("utf-8"), "the log holds a client's key"


@pytest.fixture(params=["echo", "embedded", "vllm"])
def model(request: pytest.FixtureRequest, gateway: Gateway) -> str:
    """Each model that really generates, one after the other."""
    name: str = request.param
    if name in gateway.missing:
        pytest.skip(gateway.missing[name])
    return name

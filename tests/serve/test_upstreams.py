from __future__ import annotations

import pytest
from support.server import FakeServer, until

from ponder.core.errors import DataError, EngineError
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.engines.open import Loaded
from ponder.serve.settings import Upstream
from ponder.serve.upstreams import Upstreams, options_of


async def test_engines_open_in_the_background_and_close_together() -> None:
    async with FakeServer("vllm") as server:
        upstreams = Upstreams({"main": Upstream(url=server.url), "echo": Upstream(model="echo")})
        upstreams.start()
        assert upstreams.states() == {"main": "opening", "echo": "opening"}
        assert upstreams.opened("main") is None
        loaded = await upstreams.get("main")
        assert loaded.engine.name.startswith("toy@")
        assert upstreams.opened("main") is loaded
        await until(lambda: set(upstreams.states().values()) == {"ready"})
        assert set(await upstreams.engines("main", {"strong": "echo"})) == {"main", "strong"}
        await upstreams.close()


async def test_a_server_that_was_down_is_tried_again() -> None:
    server = FakeServer("vllm")
    async with server:
        url = server.url
    upstreams = Upstreams({"main": Upstream(url=url)})
    upstreams.start()
    with pytest.raises(EngineError, match="cannot be reached"):
        await upstreams.get("main")
    assert "cannot be reached" in upstreams.states()["main"]
    assert not upstreams.broken.done(), "a server may come back"
    with pytest.raises(EngineError):
        await upstreams.get("main")
    await upstreams.close()


async def test_what_can_never_open_is_said_at_once() -> None:
    upstreams = Upstreams({"main": Upstream(model="no/such/file.gguf")})
    upstreams.start()
    with pytest.raises(EngineError) as caught:
        await upstreams.get("main")
    assert caught.value.status == 503
    assert isinstance(upstreams.broken.exception(), DataError)
    await upstreams.close()


async def test_given_engines_are_used_as_they_are() -> None:
    given = Loaded(Echo(), 4, "given")
    upstreams = Upstreams({"main": Upstream(url="http://127.0.0.1:9")}, {"main": given})
    upstreams.start()
    assert await upstreams.get("main") is given
    assert upstreams.states() == {"main": "ready"}
    await upstreams.close()


async def test_a_further_engine_that_is_down_fails_once_it_is_asked_and_the_main_one_at_once() -> None:
    upstreams = Upstreams({"down": Upstream(url="http://127.0.0.1:9")}, {"main": Loaded(Echo(), 4, "given")})
    upstreams.start()
    engines = await upstreams.engines("main", {"router": "down"})
    assert engines["router"].name == "down"
    assert (await Run(engines).generate(Prompt.of(Problem.of("hi")))).finish == "stop"
    with pytest.raises(EngineError, match="cannot be reached"):
        await Run(engines).on("router").generate(Prompt.of(Problem.of("hi")))
    with pytest.raises(EngineError, match="cannot be reached"):
        await upstreams.engines("down", {})
    await upstreams.close()


async def test_closing_does_not_wait_for_what_never_opens() -> None:
    upstreams = Upstreams({"main": Upstream(url="http://10.255.255.1:9/v1")})
    upstreams.start()
    await upstreams.close()
    assert upstreams.states() == {"main": "opening"}


def test_options_of_the_file_reach_the_engine() -> None:
    options = options_of(Upstream(model="a.gguf", context=99, threads=2, think_close="</t>", concurrency=3, retries=1))
    assert (options.context, options.threads, options.concurrency, options.retries) == (99, 2, 3, 1)
    assert options.think is not None
    assert options.think.close == "</t>"

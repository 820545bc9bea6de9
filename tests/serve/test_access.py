from __future__ import annotations

import asyncio

import pytest
from support.server import until

from ponder.serve.access import Gate, Keys, Origins, hash_key, new_key
from ponder.serve.fail import ApiError
from ponder.serve.settings import Key, Limits


def test_a_key_is_drawn_and_only_its_hash_is_kept() -> None:
    one, other = new_key(), new_key()
    assert one != other
    assert len(one) > 40
    assert hash_key(one) == hash_key(one) != hash_key(other)
    assert one not in hash_key(one)
    Key("a", hash_key(one))


def test_without_keys_everybody_may_ask() -> None:
    assert Keys([]).client("") is None
    assert Keys([]).client("Bearer anything") is None


def test_a_known_key_names_its_client() -> None:
    keys = Keys([Key("ann", hash_key("a" * 32)), Key("bob", hash_key("b" * 32))])
    for words, api_key in (("Bearer " + "b" * 32, ""), ("bearer  " + "b" * 32, ""), ("", "b" * 32)):
        found = keys.client(words, api_key)
        assert found is not None
        assert found.name == "bob"


@pytest.mark.parametrize("words", ["", "Bearer ", "Bearer nobody", "Basic " + "a" * 32, "a" * 32, "Bearer \udcff"])
def test_anything_else_is_a_401_that_repeats_nothing(words: str) -> None:
    with pytest.raises(ApiError) as caught:
        Keys([Key("ann", hash_key("a" * 32))]).client(words)
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    assert "nobody" not in caught.value.message


@pytest.mark.parametrize(
    "origin", ["", "http://localhost:3000", "http://127.0.0.1", "https://[::1]:8", "https://ours.example"]
)
def test_pages_of_this_machine_and_named_ones_may_ask(origin: str) -> None:
    assert Origins(["https://ours.example/"]).check(origin) == origin


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", "file://"])
def test_other_pages_may_not(origin: str) -> None:
    with pytest.raises(ApiError) as caught:
        Origins([]).check(origin)
    assert caught.value.status == 403
    assert Origins(["*"]).check(origin) == origin


async def test_places_are_given_in_the_order_of_asking() -> None:
    gate, order = Gate(Limits(concurrency=1, queue=5)), []

    async def work(name: int) -> None:
        async with gate.place():
            order.append(name)
            await asyncio.sleep(0)

    async with gate.place():
        tasks = [asyncio.create_task(work(i)) for i in range(4)]
        await until(lambda: gate.waiting == 4)
        assert gate.active == 1
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3]
    assert gate.active == gate.waiting == 0


async def test_beyond_the_queue_is_a_429_with_a_time_to_come_back() -> None:
    gate = Gate(Limits(concurrency=1, queue=0))
    async with gate.place():
        with pytest.raises(ApiError) as caught:
            async with gate.place():
                pass
    assert (caught.value.status, caught.value.headers()) == (429, {"x-should-retry": "true", "Retry-After": "1"})
    async with gate.place():
        assert gate.active == 1


async def test_who_waits_too_long_is_sent_away() -> None:
    gate = Gate(Limits(concurrency=1, queue=1, queue_seconds=0.02))
    async with gate.place():
        with pytest.raises(ApiError) as caught:
            async with gate.place():
                pass
        assert caught.value.status == 429
        assert gate.waiting == 0


async def test_who_leaves_while_waiting_holds_nothing() -> None:
    gate = Gate(Limits(concurrency=1, queue=5))

    async def work() -> None:
        async with gate.place():
            await asyncio.sleep(60)

    async with gate.place():
        waiting = asyncio.create_task(work())
        await until(lambda: gate.waiting == 1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert gate.waiting == 0
    assert gate.active == 0


async def test_a_place_that_comes_at_the_moment_of_leaving_goes_on() -> None:
    gate = Gate(Limits(concurrency=1, queue=5))
    got: list[int] = []

    async def work(name: int) -> None:
        async with gate.place():
            got.append(name)

    place = gate.place()
    await place.__aenter__()
    first, second = asyncio.create_task(work(1)), asyncio.create_task(work(2))
    await until(lambda: gate.waiting == 2)
    await place.__aexit__(None, None, None)
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert got == [2]
    assert gate.active == 0

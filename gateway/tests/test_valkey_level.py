"""The level that replicas share, on a real Valkey that is slow, holds nonsense, or is somebody else's."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from time import monotonic

import pytest
from valkey import Valkey as Client

from gateway.cache import Entry, Tombstone
from gateway.valkey_level import ValkeyLevel
from infra.local.servers import Servers
from infra.local.valkey import Valkey

DATABASE = 1000
TASK = "/tasks/1"
LIFE = 2.0


@pytest.fixture
def valkey(servers: Servers) -> Iterator[Valkey]:
    """Empty, and thawed at the end."""
    with Client.from_url(servers.valkey.url(DATABASE)) as client:
        client.flushdb()
    yield servers.valkey
    servers.valkey.thaw()
    servers.valkey.wait_ready()


@pytest.fixture
async def level(valkey: Valkey) -> AsyncIterator[ValkeyLevel]:
    level = await probed(ValkeyLevel(valkey.url(DATABASE), LIFE))
    yield level
    await level.close()


async def probed(level: ValkeyLevel) -> ValkeyLevel:
    await level.dependency.probe_once()
    assert level.dependency.up
    return level


def an_entry(version: int, asked_at: float | None = None) -> Entry:
    return Entry(version, ("ann", "ben"), b'{"a":\n1}', monotonic() if asked_at is None else asked_at)


async def written(level: ValkeyLevel, what: Entry | Tombstone) -> None:
    level.put(TASK, what)
    assert level.writing is not None
    await level.writing


async def test_an_entry_comes_back_as_it_was_and_no_younger(level: ValkeyLevel) -> None:
    put = an_entry(3, monotonic() - 1)

    await written(level, put)

    got = await level.get(TASK)
    assert got is not None
    assert (got.version, got.visible_to, got.body) == (put.version, put.visible_to, put.body)
    assert put.asked_at - 0.1 < got.asked_at <= put.asked_at


async def test_a_tombstone_and_an_older_entry_leave_nothing_to_serve(level: ValkeyLevel) -> None:
    await written(level, an_entry(1))
    await written(level, Tombstone(2, monotonic()))
    await written(level, an_entry(1))

    assert await level.get(TASK) is None


async def test_what_a_frozen_valkey_reads_late_dies_when_it_would_have(
    level: ValkeyLevel, valkey: Valkey
) -> None:
    await written(level, Tombstone(1, monotonic()))  # so that it knows the script

    valkey.freeze()
    entry = an_entry(2)
    await written(level, entry)
    assert not level.dependency.up
    await asyncio.sleep(entry.asked_at + LIFE - monotonic())
    valkey.thaw()
    await probed(level)

    assert await level.get(TASK) is None


async def test_replicas_with_other_lives_do_not_share(level: ValkeyLevel, valkey: Valkey) -> None:
    longer = await probed(ValkeyLevel(valkey.url(DATABASE), 10 * LIFE))
    await written(longer, an_entry(1))

    assert await level.get(TASK) is None
    assert await longer.get(TASK) is not None
    await longer.close()


@pytest.mark.parametrize("life", [None, 10_000])
async def test_what_would_outlive_its_life_is_not_served(
    level: ValkeyLevel, valkey: Valkey, life: int | None
) -> None:
    await written(level, an_entry(1))
    with Client.from_url(valkey.url(DATABASE)) as client:
        [key] = client.keys()
        client.set(key, client.get(key), px=life)

    assert await level.get(TASK) is None

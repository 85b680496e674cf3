"""Reading through two gateways: what was answered shows at once, what was heard soon, Valkey or not."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import aio_pika
import httpx2
import pytest

from tests.amqp import client
from tests.system import Replica, System, eventually, found_in_valkey

LIFE = "2"
"""Seconds that an entry lives here, and that a new gateway leaves the shared level alone."""


@pytest.fixture(scope="module")
async def one(system: System, task_service: Replica) -> AsyncIterator[httpx2.AsyncClient]:
    async with system.http(await system.start("gateway", cache_seconds=LIFE)) as http:
        yield http


@pytest.fixture(scope="module")
async def other(system: System, task_service: Replica) -> AsyncIterator[httpx2.AsyncClient]:
    async with system.http(await system.start("gateway", cache_seconds=LIFE)) as http:
        yield http


async def a_task(http: httpx2.AsyncClient, title: str = "Buy milk") -> str:
    return str((await http.post("/tasks", json={"title": title})).headers["location"])


async def how(http: httpx2.AsyncClient, address: str, **headers: str) -> str:
    """What the gateway says of where an answer came from (RFC 9211)."""
    return str((await http.get(address, headers=headers)).headers["cache-status"])


def shows(http: httpx2.AsyncClient, address: str, version: int) -> Callable[[], Awaitable[bool]]:
    async def shown() -> bool:
        answer = await http.get(address)
        return answer.is_success and bool(answer.json()["version"] >= version)

    return shown


async def metric(http: httpx2.AsyncClient, name: str) -> float:
    lines = (await http.get("/metrics")).text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(name))


async def test_a_write_is_read_from_memory_through_the_gateway_that_answered_it(
    one: httpx2.AsyncClient,
) -> None:
    task = await a_task(one)
    changed = await one.patch(task, json={"title": "Buy bread"})

    read = await one.get(task)

    assert read.content == changed.content
    assert read.headers["cache-status"] == "conveyor; hit; detail=memory"
    assert read.headers["etag"] == changed.headers["etag"] == '"2"'


async def test_another_gateway_finds_it_in_valkey_and_hears_of_changes(
    one: httpx2.AsyncClient, other: httpx2.AsyncClient
) -> None:
    await eventually(lambda: found_in_valkey(one, other), "the new gateway trusts in Valkey")
    task = await a_task(one)
    assert (await other.get(task)).json()["version"] == 1

    await one.patch(task, json={"title": "Buy bread"})

    await eventually(shows(other, task, 2), "the other gateway shows the change")
    assert await metric(other, "event_delay_seconds_count") > 0


async def test_a_client_that_wants_no_cache_is_answered_by_the_owner(one: httpx2.AsyncClient) -> None:
    task = await a_task(one)

    assert await how(one, task, **{"cache-control": "no-cache"}) == "conveyor; fwd=request"
    assert await how(one, task) == "conveyor; hit; detail=memory"


async def test_what_the_client_has_already_is_304_from_the_cache_too(one: httpx2.AsyncClient) -> None:
    task = await a_task(one)

    read = await one.get(task, headers={"if-none-match": '"1"'})

    assert read.status_code == httpx2.codes.NOT_MODIFIED
    assert read.headers["cache-status"] == "conveyor; hit; detail=memory"


async def test_what_was_removed_is_gone_through_every_gateway(
    one: httpx2.AsyncClient, other: httpx2.AsyncClient
) -> None:
    task = await a_task(one)
    await other.get(task)

    async def gone() -> bool:
        return (await other.get(task)).status_code == httpx2.codes.NOT_FOUND

    assert (await one.delete(task)).status_code == httpx2.codes.NO_CONTENT
    assert (await one.get(task)).status_code == httpx2.codes.NOT_FOUND
    await eventually(gone, "the other gateway knows that the task is gone")


async def test_a_repeated_answer_is_not_taken_for_the_present(one: httpx2.AsyncClient) -> None:
    key = {"idempotency-key": f'"{uuid4()}"'}
    task = (await one.post("/tasks", json={"title": "first"}, headers=key)).headers["location"]
    await one.patch(task, json={"title": "second"})

    again = await one.post("/tasks", json={"title": "first"}, headers=key)

    assert again.json()["title"] == "first"
    assert (await one.get(task)).json()["title"] == "second"


async def test_everything_that_a_command_changed_is_shown_after_its_answer(
    system: System, one: httpx2.AsyncClient
) -> None:
    await system.start("waste_service")
    await one.post("/waste/kinds", json={"code": "bio", "title": "bio"})
    await one.post("/waste/organizations", json={"name": "office"})
    storage = await one.post("/waste/storages", json={"name": "near", "capacity": {"bio": 1000}})
    await one.post("/waste/roads", json={"from": "office", "to": "near", "metres": 10})

    for version in range(2, 52):
        await one.post("/waste/organizations/office/waste", json={"amounts": {"bio": 1}})
        assert (await one.get(storage.headers["location"])).json()["version"] == version


async def test_a_repeated_answer_tells_what_else_the_command_had_changed(
    system: System, one: httpx2.AsyncClient
) -> None:
    storage = (await one.get("/waste/storages/near")).json()
    body = {"organization": "office", "amounts": {"bio": 1}}
    told = []
    async with client(system) as amqp:
        for _ in range(2):
            await amqp.publish("waste.generate_waste", body, message_id="placed-once", answered=True)
            answer = await asyncio.wait_for(amqp.replies.get(), 30)
            told.append(json.loads(str(answer.headers["versions"])))

    assert told == [{f"/waste/storages/{storage['id']}": storage["version"] + 1}] * 2


async def test_an_event_that_cannot_be_read_empties_the_cache(
    system: System, one: httpx2.AsyncClient
) -> None:
    task = await a_task(one)
    assert await how(one, task) == "conveyor; hit; detail=memory"

    connection = await system.connect()
    async with connection:
        channel = await connection.channel()
        events = await channel.get_exchange("events")
        await events.publish(aio_pika.Message(b"{}"), "tasks.task_changed")

        async def forgotten() -> bool:
            return "fwd=miss" in await how(one, task)

        await eventually(forgotten, "the cache is empty")


async def test_what_is_asked_for_by_name_is_asked_of_the_owner(
    system: System, one: httpx2.AsyncClient
) -> None:
    await one.post("/waste/organizations", json={"name": "by name"})

    assert [await how(one, "/waste/organizations/by name") for _ in range(2)] == ["conveyor; fwd=miss"] * 2


@pytest.mark.parametrize("harm", ["freeze", "kill"])
async def test_without_valkey_all_goes_on(
    system: System, one: httpx2.AsyncClient, other: httpx2.AsyncClient, harm: str
) -> None:
    valkey = system.servers.valkey
    getattr(valkey, harm)()
    try:
        task = await a_task(one)

        assert await how(one, task) == "conveyor; hit; detail=memory"
        assert (await other.get(task)).json()["version"] == 1
        assert (await other.get("/health/ready")).status_code == httpx2.codes.OK
    finally:
        await asyncio.to_thread(back, system, harm)


def back(system: System, harm: str) -> None:
    if harm == "freeze":
        system.servers.valkey.thaw()
    else:
        system.servers.valkey.process.end()
        system.servers.valkey.start()
    system.servers.valkey.wait_ready()


async def test_no_read_goes_back_behind_a_write_whatever_is_cut(
    system: System, one: httpx2.AsyncClient, other: httpx2.AsyncClient
) -> None:
    """Two gateways, a random history, connections closed and Valkey frozen, emptied and thawed meanwhile."""
    replicas = [one, other]
    addresses = [await a_task(one, str(number)) for number in range(5)]
    answered = {(http, address): 0 for http in replicas for address in addresses}
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    reads = writes = 0

    async def step() -> None:
        nonlocal reads, writes
        http, address = chance.choice(replicas), chance.choice(addresses)
        at_least = answered[http, address]
        if chance.random() < 0.3:
            answer = await http.patch(address, json={"title": uuid4().hex})
            writes += answer.is_success
        else:
            answer = await http.get(address)
            reads += answer.is_success
        if answer.status_code == httpx2.codes.OK:
            version = answer.json()["version"]
            assert version >= at_least, f"seed {seed}: {version} after {at_least} was answered"
            if answer.request.method == "PATCH":
                answered[http, address] = max(version, answered[http, address])

    async def walk() -> None:
        for _ in range(250):
            await step()

    async def harm() -> None:
        valkey = system.servers.valkey
        while True:
            await asyncio.sleep(chance.uniform(0.05, 0.4))
            what = chance.choice([valkey.freeze, valkey.thaw, valkey.thaw, None, None])
            await asyncio.to_thread(what) if what else await close_a_connection(system, chance)

    harming = asyncio.create_task(harm())
    try:
        await asyncio.gather(*(walk() for _ in range(8)))
    finally:
        harming.cancel()
        system.servers.valkey.thaw()
    assert min(reads, writes) > 100, "the harm left too little to see"

    for address in addresses:
        newest = max(answered[http, address] for http in replicas)
        for http in replicas:
            await eventually(shows(http, address, newest), "all gateways show the newest version")


async def close_a_connection(system: System, chance: random.Random) -> None:
    async with system.management() as page:
        connections: list[Any] = (await page.get(f"/api/vhosts/{system.name}/connections")).json()
        ours = [one["name"] for one in connections if one["user"] == "gateway"]
        if ours:
            await page.delete(f"/api/connections/{quote(chance.choice(ours), safe='')}")

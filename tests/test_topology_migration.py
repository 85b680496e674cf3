"""A queue gets new arguments under its service and its publishers, and nothing that was in it is lost."""

import asyncio
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiormq
import httpx2
import pytest
from aiormq.abc import AbstractChannel
from aiormq.exceptions import AMQPError
from pamqp.commands import Basic

from tests import topology
from tests.amqp import client
from tests.system import ROOT, Replica, System, eventually
from tests.topology import arguments_of, declared, depth, make_anew, migrate

QUEUE = "tasks.create_task"


@pytest.fixture
async def channel(system: System) -> AsyncIterator[AbstractChannel]:
    connection = await aiormq.connect(system.broker_url("operator"))
    yield await connection.channel()
    await connection.close()


@pytest.fixture
async def spoiled(channel: AbstractChannel) -> AbstractChannel:
    """The queue has other arguments, and nobody consumes it."""
    await make_anew(channel, QUEUE, x_delivery_limit=5)
    return channel


class Publishing:
    """Careful AMQP programs: a publish that was not confirmed is repeated under its message id."""

    def __init__(self, system: System):
        self.system = system
        self.confirmed: list[str] = []
        self.stopped = False

    async def keep_publishing(self, name: str) -> None:
        number = 0
        while not self.stopped:
            try:
                async with client(self.system) as amqp:
                    while not self.stopped:
                        message_id = f"{name} {number}"
                        await asyncio.wait_for(
                            amqp.publish(QUEUE, {"title": message_id}, message_id=message_id), 5
                        )
                        self.confirmed.append(message_id)
                        number += 1
                        await asyncio.sleep(0.02)
            except (AMQPError, OSError, RuntimeError, TimeoutError):
                await asyncio.sleep(0.05)

    async def until(self, number: int) -> None:
        async def enough() -> bool:
            return len(self.confirmed) >= number

        await eventually(enough, f"{number} are confirmed")


@asynccontextmanager
async def publishing(system: System) -> AsyncIterator[Publishing]:
    made = Publishing(system)
    tasks = [asyncio.create_task(made.keep_publishing(f"{system.name}-{number}")) for number in range(3)]
    await made.until(60)
    yield made
    await made.until(len(made.confirmed) + 20)
    made.stopped = True
    await asyncio.gather(*tasks)


async def ids_in(system: System) -> Counter[str]:
    """The message ids in the queue, which is empty then."""
    connection = await aiormq.connect(system.broker_url("operator"))
    channel = await connection.channel()
    ids: Counter[str] = Counter()
    while (message := await channel.basic_get(QUEUE, no_ack=True)).delivery_tag:
        ids[str(message.header.properties.message_id)] += 1
    await connection.close()
    return ids


async def nothing_is_left_behind(system: System) -> None:
    assert await depth(system, f"{QUEUE}.moving") is None
    assert (await arguments_of(system, QUEUE)) == declared(QUEUE).arguments
    async with system.management() as page:
        exchanges = [one["name"] for one in (await page.get(f"/api/exchanges/{system.name}")).json()]
        users = [user["name"] for user in (await page.get("/api/users")).json()]
        limits = (await page.get(f"/api/vhost-limits/{system.name}")).json()
    assert f"{QUEUE}.moving" not in exchanges
    assert not [name for name in users if name.startswith("topology")]
    assert [one for one in limits if one["value"]] == []


async def test_what_waits_and_what_is_published_meanwhile_is_in_the_new_queue(
    system: System, spoiled: AbstractChannel
) -> None:
    async with publishing(system) as running:
        await migrate(system, QUEUE)

    ids = await ids_in(system)
    assert set(running.confirmed) <= ids.keys()
    await nothing_is_left_behind(system)


async def test_what_a_consumer_had_in_hand_is_in_the_new_queue(
    system: System, spoiled: AbstractChannel
) -> None:
    for number in range(20):
        await system.publish_by_hand(QUEUE, "{}", message_id=f"held {number}")
    held = [await spoiled.basic_get(QUEUE) for _ in range(20)]

    await migrate(system, QUEUE)

    assert {str(one.header.properties.message_id) for one in held} == (await ids_in(system)).keys()


@pytest.mark.parametrize("where", ["messages moved", "nobody else may connect", "made anew", "at once"])
async def test_a_migration_that_is_killed_is_gone_on_with(
    system: System, spoiled: AbstractChannel, where: str
) -> None:
    async with publishing(system) as running:
        await asyncio.to_thread(_kill_after, system, where)
        await migrate(system, QUEUE)

    ids = await ids_in(system)
    assert set(running.confirmed) <= ids.keys()
    await nothing_is_left_behind(system)


def _kill_after(system: System, line: str) -> None:
    command = [*topology.COMMAND, "--migrate", QUEUE]
    with subprocess.Popen(
        command, cwd=ROOT, env=topology.settings(system), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        said = "" if line != "at once" else line
        while line not in said:
            said = process.stdout.readline()
            assert said, "it ended before it was killed"
        process.kill()


async def test_messages_keep_their_properties_whoever_published_them(
    system: System, spoiled: AbstractChannel
) -> None:
    headers: dict[str, Any] = {"actor": "ann", "share": 0.1, "list": [1, {"deep": None}], "big": 2**40}
    gateway = await aiormq.connect(system.broker_url("gateway"))
    properties = Basic.Properties(
        content_type="application/json",
        content_encoding="utf-8",
        headers={**headers, "at": datetime(2026, 1, 1, tzinfo=UTC), "raw": bytearray(b"\xff\x00")},
        delivery_mode=2,
        priority=3,
        correlation_id="talk",
        reply_to="answers",
        expiration="86400000",
        message_id="one",
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        message_type="CreateTask",
        user_id="gateway",
        app_id="gateway",
    )
    await (await gateway.channel()).basic_publish(b"\x00body", routing_key=QUEUE, properties=properties)
    await gateway.close()
    await system.publish_by_hand(QUEUE, '{"title": "typed"}')
    before = await both(spoiled)

    await migrate(system, QUEUE)

    connection = await aiormq.connect(system.broker_url("operator"))
    assert await both(await connection.channel()) == before
    assert before[0][1]["user_id"] == "gateway" and before[1][1]["message_id"] is None
    await connection.close()
    await ids_in(system)


async def test_a_message_with_a_time_of_its_own_does_not_expire_where_it_waits(
    system: System, spoiled: AbstractChannel
) -> None:
    properties = Basic.Properties(expiration="5000", message_id="hurried", delivery_mode=2)
    await spoiled.basic_publish(b"{}", routing_key=QUEUE, properties=properties)

    await migrate(system, QUEUE)  # which takes longer

    dead = await system.get_messages("dead_letters")
    ids = {one["properties"].get("message_id") for one in dead} | (await ids_in(system)).keys()
    assert "hurried" in ids


async def test_a_delayed_copy_keeps_the_name_of_the_queue_that_it_goes_back_to(
    system: System, channel: AbstractChannel
) -> None:
    level = "delay.600s"
    await channel.queue_delete(level)
    await channel.queue_declare(level, durable=True, arguments={"x-queue-type": "quorum"})
    await channel.queue_bind(level, level)
    await channel.basic_publish(b"{}", exchange=level, routing_key=QUEUE)

    await migrate(system, level)

    connection = await aiormq.connect(system.broker_url("operator"))
    copy = await (await connection.channel()).basic_get(level, no_ack=True)
    assert (copy.body, copy.routing_key) == (b"{}", QUEUE)
    await connection.close()


async def both(channel: AbstractChannel) -> list[tuple[bytes, dict[str, Any]]]:
    """The two messages of the queue as they are; they stay in it."""
    messages = [await channel.basic_get(QUEUE) for _ in range(2)]
    await channel.basic_nack(messages[-1].delivery_tag or 0, multiple=True)
    return [
        (one.body, {name: getattr(one.header.properties, name) for name in Basic.Properties.attributes()})
        for one in messages
    ]


async def reason(replica: Replica) -> str:
    async with httpx2.AsyncClient() as http:
        try:
            queues = (await http.get(f"{replica.url}/health/ready")).json()["dependencies"]["queues"]
        except httpx2.TransportError:
            return ""
    return str(queues.get("reason", ""))


def told_of_it(replica: Replica) -> list[dict[str, Any]]:
    return [line for line in replica.lines() if "other arguments" in line["event"]]


@pytest.mark.parametrize("running", [True, False], ids=["while it runs", "when it starts"])
async def test_a_service_says_in_one_line_which_argument_differs_and_goes_on_by_itself(
    system: System, channel: AbstractChannel, running: bool
) -> None:
    if running:
        service = await system.start("task_service")
        await make_anew(channel, QUEUE, x_delivery_limit=5)
    else:
        await make_anew(channel, QUEUE, x_delivery_limit=5)
        await system.migrate("task_service")
        service = system.launch("task_service")

    async def waits() -> bool:
        return "x-delivery-limit" in await reason(service)

    await eventually(waits, "the service waits")
    said = f"queue {QUEUE}: 'x-delivery-limit' is '5', declared '20'; make topology MIGRATE={QUEUE}"
    assert await reason(service) == said
    await system.publish_by_hand(QUEUE, '{"title": "waited"}', message_id=f"waited {running}")
    lines = len(service.lines())
    await asyncio.sleep(5)
    assert len(service.lines()) - lines <= 1
    assert [line["reason"] for line in told_of_it(service)] == [said]

    await migrate(system, QUEUE)

    await system.until_ready(service)
    assert await eventually(lambda: tasks(system), "the command that waited is done")
    assert len(told_of_it(service)) == 1 and service.process.exit_code is None
    service.process.end()


async def tasks(system: System) -> list[Any]:
    return await system.fetch("task_service", "SELECT 1 FROM tasks WHERE title = 'waited'")

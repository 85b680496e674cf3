"""The publisher's three endings, and a connection that comes back."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import uuid4

import aiormq
import pytest
import uvloop
from pamqp import commands
from pamqp.frame import marshal

from infra.local.servers import Servers
from shared.amqp.connection import Connection
from shared.amqp.content import Properties, Unsendable
from shared.amqp.link import Link, hosts
from shared.bus import BrokerAway, Publisher, Unconfirmed, Unroutable
from tests.system import System, _async, eventually


def properties(message_id: str | None = None) -> Properties:
    return Properties(message_id=message_id or uuid4().hex)


@pytest.fixture
async def queue(system: System) -> AsyncIterator[str]:
    connection = await aiormq.connect(system.broker_url("operator"))
    channel = await connection.channel()
    name = f"test.{uuid4().hex[:8]}"
    await channel.queue_declare(name, durable=True)
    await connection.close()
    yield name


@pytest.fixture
def written(queue: str, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is written to connections from here on, a write each."""
    writes: list[bytes] = []
    write = Connection.write

    def noted(connection: Connection, frames: bytes) -> None:
        writes.append(frames)
        write(connection, frames)

    monkeypatch.setattr(Connection, "write", noted)
    return writes


async def depth(system: System, queue: str) -> int:
    connection = await aiormq.connect(system.broker_url("operator"))
    declared = await (await connection.channel()).queue_declare(queue, passive=True)
    await connection.close()
    assert declared.message_count is not None
    return declared.message_count


async def test_a_thousand_published_at_once_are_confirmed_each_once(
    system: System, publisher: Publisher, queue: str
) -> None:
    await asyncio.gather(
        *(publisher.publish("", queue, b"x", properties(), mandatory=True) for _ in range(1000))
    )

    assert await depth(system, queue) == 1000


async def test_what_is_published_in_one_turn_leaves_in_one_write(
    publisher: Publisher, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bytes] = []
    connection = publisher.link.connection
    assert connection is not None
    write = connection.write

    def noted(frames: bytes) -> None:
        writes.append(frames)
        write(frames)

    monkeypatch.setattr(connection, "write", noted)

    await asyncio.gather(
        *(publisher.publish("", queue, b"x", properties(), mandatory=True) for _ in range(64))
    )

    assert [one.count(queue.encode()) for one in writes] == [64]


async def test_a_body_larger_than_a_frame_arrives_whole(
    system: System, publisher: Publisher, queue: str
) -> None:
    body = bytes(range(256)) * 4096
    await publisher.publish("", queue, body, properties(), mandatory=True)

    connection = await aiormq.connect(system.broker_url("operator"))
    message = await (await connection.channel()).basic_get(queue, no_ack=True)
    await connection.close()
    assert message.body == body


async def test_more_than_the_connection_takes_at_once_waits_its_turn(
    system: System, publisher: Publisher, queue: str
) -> None:
    async def some() -> None:
        for _ in range(20):
            await publisher.publish("", queue, b"x" * 50_000, properties(), mandatory=True)

    await asyncio.gather(*(some() for _ in range(20)))

    assert await depth(system, queue) == 400


async def test_unroutable_is_an_error_when_mandatory_and_a_success_when_not(publisher: Publisher) -> None:
    with pytest.raises(Unroutable):
        await publisher.publish("", "nowhere", b"", properties(), mandatory=True)
    await publisher.publish("", "nowhere", b"", properties(), mandatory=False)


async def test_two_unroutable_ones_with_one_id_both_fail(publisher: Publisher) -> None:
    published = [publisher.publish("", "nowhere", b"", properties("same"), mandatory=True) for _ in range(2)]

    results = await asyncio.gather(*published, return_exceptions=True)

    assert [type(result) for result in results] == [Unroutable, Unroutable]


async def test_nothing_is_remembered_of_what_was_confirmed(publisher: Publisher, queue: str) -> None:
    await asyncio.gather(
        *(publisher.publish("", queue, b"x", properties(), mandatory=True) for _ in range(500))
    )

    assert not publisher.confirms.unconfirmed
    assert not publisher.mandatory


async def test_what_cannot_be_encoded_fails_alone_and_costs_no_confirmation(
    publisher: Publisher, queue: str
) -> None:
    unsendable = Properties(message_id="u", headers={"h": 2**64})
    before = publisher.publish("", queue, b"x", properties(), mandatory=True)
    broken = publisher.publish("", queue, b"x", unsendable, mandatory=True)
    after = publisher.publish("", queue, b"x", properties(), mandatory=True)

    with pytest.raises(Unsendable):
        await broken
    await asyncio.gather(before, after)
    await publisher.probe()


async def test_what_is_alone_is_written_at_once_behind_what_waits(
    system: System, publisher: Publisher, queue: str, written: list[bytes]
) -> None:
    ends: list[Exception | None] = []
    publisher.send("", queue, b"first", properties(), ends.append, mandatory=True)
    publisher.send("", queue, b"second", properties(), ends.append, mandatory=True, alone=True)

    (together,) = written
    assert 0 < together.index(b"first") < together.index(b"second")
    publisher.answer(queue, b"third", properties(), alone=True)
    assert b"third" in written[-1]
    await eventually(_async(lambda: ends == [None, None]), "both are confirmed")

    async def all_there() -> bool:
        return await depth(system, queue) == 3

    await eventually(all_there, "the answer is there too")


async def test_what_is_alone_waits_with_the_others_while_there_is_no_room(
    publisher: Publisher, queue: str
) -> None:
    ends: list[Exception | None] = []
    connection = publisher.link.connection
    assert connection is not None
    connection.pause_writing()
    flushing = set()
    for alone in (False, True, True):
        publisher.send("", queue, b"x", properties(), ends.append, mandatory=True, alone=alone)
        flushing.add(publisher.flushing)
    await asyncio.sleep(0)  # in which the first would have been written
    assert (len(publisher.pending), flushing) == (3, {None, publisher.flushing})

    connection.resume_writing()
    await eventually(_async(lambda: ends == [None, None, None]), "all are confirmed")


async def test_what_is_sent_by_who_hears_of_a_failure_goes_behind_what_was_sent_before(
    publisher: Publisher, queue: str, written: list[bytes]
) -> None:
    """The broker numbers what it confirms in the order in which it reads."""
    ends: list[Exception | None] = []
    unsendable = Properties(message_id="x", headers={"x": object()})

    def instead(_: Exception | None) -> None:
        publisher.send("", queue, b"instead", properties(), ends.append, mandatory=True, alone=True)

    before = publisher.publish("", queue, b"before", properties(), mandatory=True)
    publisher.send("", queue, b"x", unsendable, instead, mandatory=False)
    await before
    await eventually(_async(lambda: ends == [None]), "it is confirmed")
    assert 0 < b"".join(written).index(b"before") < b"".join(written).index(b"instead")


async def test_what_was_not_sent_since_its_asker_had_left_is_not_called_confirmed(
    system: System, publisher: Publisher, queue: str
) -> None:
    ends: list[Exception | None] = []
    left = asyncio.get_running_loop().create_future()
    publisher.send("", queue, b"x", properties(), ends.append, mandatory=True, waiting=left)
    left.cancel()

    await publisher.probe()  # its turn has been written by now

    assert [type(end) for end in ends] == [BrokerAway]
    assert await depth(system, queue) == 0


async def test_what_a_broker_that_reads_nothing_is_sent_fails_after_a_while(
    publisher: Publisher, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.bus.CONFIRM_SECONDS", 0.2)
    connection = publisher.link.connection
    assert connection is not None
    connection.pause_writing()
    unsent = publisher.publish("", queue, b"x", properties(), mandatory=True)
    with pytest.raises(BrokerAway):
        await unsent

    connection.resume_writing()
    await publisher.publish("", queue, b"x", properties(), mandatory=True)


async def test_without_a_connection_publishing_fails_at_once() -> None:
    publisher = Publisher("amqp://guest:guest@127.0.0.1:1/", "test")

    with pytest.raises(BrokerAway):
        await publisher.publish("", "q", b"", properties(), mandatory=True)


async def test_under_an_alarm_publishing_fails_at_once_and_afterwards_it_goes_on(
    servers: Servers, publisher: Publisher, queue: str
) -> None:
    await publisher.publish("", queue, b"x", properties(), mandatory=True)  # who never did is not told
    await asyncio.to_thread(servers.rabbitmq.control, "set_vm_memory_high_watermark", "0.00001")
    try:
        stuck = publisher.publish("", queue, b"x", properties(), mandatory=True)  # the broker says it then
        await eventually(_async(lambda: not publisher.connected), "the broker has said that it blocks")
        with pytest.raises(BrokerAway):
            await publisher.publish("", queue, b"x", properties(), mandatory=True)
    finally:
        await asyncio.to_thread(servers.rabbitmq.control, "set_vm_memory_high_watermark", "0.4")
    await eventually(_async(lambda: publisher.connected), "the broker takes messages again")
    await stuck  # it had left, and is confirmed at last

    await publisher.publish("", queue, b"x", properties(), mandatory=True)


async def test_what_an_alarm_meets_unconfirmed_waits_unless_it_is_hurried_and_nothing_is_published_twice(
    publisher: Publisher, queue: str, system: System
) -> None:
    connection = publisher.link.connection
    assert connection is not None
    ends: list[Exception | None] = []
    sent = publisher.publish("", queue, b"x", properties(), mandatory=True)
    publisher.send("", queue, b"x", properties(), ends.append, mandatory=True, hurried=True)
    publisher._flush()
    connection.data_received(marshal(commands.Connection.Blocked("memory"), 0))
    [end] = ends
    assert isinstance(end, Unconfirmed)
    assert "alarm" in str(end)
    await sent  # it had left by then, and here the broker reads on
    with pytest.raises(BrokerAway):
        await publisher.publish("", queue, b"x", properties(), mandatory=True)

    connection.data_received(marshal(commands.Connection.Unblocked(), 0))
    await publisher.publish("", queue, b"x", properties(), mandatory=True)
    await publisher.drained()
    assert await depth(system, queue) == 3


async def test_what_an_alarm_outlasts_has_its_whole_time_afterwards(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker reads what has gathered only then; what was given up meanwhile would be sent twice."""
    connection, channel, seconds = publisher.link.connection, publisher.confirms.channel, 0.5
    assert connection is not None
    assert channel is not None
    monkeypatch.setattr("shared.bus.CONFIRM_SECONDS", seconds)
    monkeypatch.setattr(channel, "confirmed", lambda *_: None)  # as if the broker read on very late
    ends: list[float] = []
    ended = lambda _: ends.append(publisher.loop.time())  # noqa: E731
    publisher.send("", publisher.probe_queue, b"x", properties(), ended, mandatory=True)
    publisher._flush()

    connection.data_received(marshal(commands.Connection.Blocked("memory"), 0))
    await asyncio.sleep(1.3 * seconds)
    assert ends == []
    connection.data_received(marshal(commands.Connection.Unblocked(), 0))
    await eventually(_async(lambda: bool(ends)), "it is given up")

    assert ends[0] > connection.unblocked_at + 0.9 * seconds


def test_each_host_of_a_list_has_a_url_of_its_own() -> None:
    assert hosts("amqp://a:b%40c@one:1,two:2/v") == ["amqp://a:b%40c@one:1/v", "amqp://a:b%40c@two:2/v"]
    assert hosts("amqp://one/") == ["amqp://one/"]


async def test_a_service_told_of_several_hosts_finds_the_one_that_is_there(system: System) -> None:
    nowhere = f"127.0.0.1:{system.ports.choose_any()}"
    url = system.broker_url("task_service").replace("@", f"@{nowhere},")

    replica = await system.start("task_service", rabbitmq_url=url)
    gateway = await system.start("gateway", rabbitmq_url=url.replace("task_service", "gateway"))

    async with system.http(gateway) as http:
        assert (await http.post("/tasks", json={"title": "by any host"})).status_code == 201
    assert replica.process.exit_code is None


def test_what_takes_a_connection_and_ends_it_without_a_greeting_is_tried_again() -> None:
    """As a port handed on does while the broker behind it starts."""
    uvloop.run(_meet_what_ends_at_once())  # asyncio's own loop hears of the end a turn later


async def _meet_what_ends_at_once() -> None:
    door = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []
    threading.Thread(target=_take_and_end, args=(door, taken), daemon=True).start()
    link = Link(f"amqp://a:b@127.0.0.1:{door.getsockname()[1]}/", "test", _nothing)
    trying = asyncio.create_task(link.keep_open())
    while len(taken) < 3 and not trying.done():
        time.sleep(0.05)  # noqa: ASYNC251 a busy loop: the end has come by the time that it looks
        await asyncio.sleep(0)

    assert not trying.done()

    trying.cancel()
    await asyncio.gather(trying, return_exceptions=True)
    for one in [door, *taken]:
        one.close()


def _take_and_end(door: socket.socket, taken: list[socket.socket]) -> None:
    with suppress(OSError):  # it is closed at the end
        while True:
            connection, _ = door.accept()
            connection.shutdown(socket.SHUT_WR)
            taken.append(connection)


async def _nothing(connection: Connection) -> None:
    pass


async def test_connections_closed_on_the_page_come_back_and_publishing_goes_on(
    system: System, publisher: Publisher, queue: str
) -> None:
    first = publisher.link.connection
    assert first is not None

    async def closed() -> bool:
        """The page shows a connection up to 5 s late, and others before."""
        async with system.management() as page:
            connections = (await page.get(f"/api/vhosts/{system.name}/connections")).json()
            for connection in connections:
                await page.delete(f"/api/connections/{connection['name']}")
        return first.gone.done()

    async def another() -> bool:
        return publisher.link.connection not in {None, first}

    await eventually(closed, "the page has closed the publisher's connection")

    await eventually(another, "the publisher is connected again")
    await publisher.publish("", queue, b"x", properties(), mandatory=True)

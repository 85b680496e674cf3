"""What was said leaves once and in its order, events with others, commands at once. Through a real broker."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pamqp import commands, frame

from shared import holding
from shared.amqp.connection import connect
from shared.amqp.content import Incoming, published
from shared.bus import Publisher
from shared.delivery import this_moment
from shared.journal import Envelope, Outbox, Said
from tests.system import System, _async, eventually

EXCHANGE = "amq.topic"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Listener:
    """An outbox, what it has published so far, and what came to one queue."""

    def __init__(self, publisher: Publisher, queue: str):
        journal: Any = None  # in which nothing is cleared here
        self.outbox = Outbox(journal, publisher, "test")
        self.queue = queue
        self.heard: list[str] = []
        self.sent: list[str] = []
        self.send = publisher.send
        publisher.send = self._send  # type: ignore[method-assign]

    def _send(self, *message: Any, **how: Any) -> None:
        self.sent.append(message[3].message_id)
        self.send(*message, **how)

    def take(self, raw: Incoming) -> None:
        self.heard.append(str(raw.message_id))

    def event(self) -> Said:
        return self.said(EXCHANGE, self.queue)

    def command(self) -> Said:
        return self.said("", self.queue)

    def said(self, exchange: str, routing_key: str) -> Said:
        return Said(str(uuid4()), exchange, routing_key, "Said", "c", "x", "", b"{}", this_moment())

    async def has_heard(self, said: list[Said]) -> None:
        await eventually(_async(lambda: len(self.heard) == len(said)), "all are heard")
        assert self.heard == [one.id for one in said]
        await eventually(_async(lambda: not self.outbox.under_way), "all are confirmed")
        assert self.outbox.arrived == self.heard


@pytest.fixture
async def listener(system: System, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listener]:
    publisher = Publisher(system.broker_url("operator"), "test")
    open_ = asyncio.create_task(publisher.link.keep_open())
    await asyncio.wait_for(publisher.link.back.wait(), 30)
    monkeypatch.setattr(holding, "QUIET_SECONDS", 0.5)  # more than what a test does meanwhile takes
    monkeypatch.setattr(holding, "LATEST_SECONDS", 0.5)
    connection = await connect(system.broker_url("operator"), "test")
    channel = await connection.channel()
    queue = f"test.{uuid4().hex[:8]}"
    await channel.call(commands.Queue.Declare(queue=queue, exclusive=True))
    await channel.call(commands.Queue.Bind(queue=queue, exchange=EXCHANGE, routing_key=queue))
    listener = Listener(publisher, queue)
    await channel.consume(queue, listener.take, name="test", no_ack=True)
    yield listener
    await connection.close()
    open_.cancel()


async def test_what_was_said_leaves_in_its_order_and_a_command_takes_events_along(listener: Listener) -> None:
    said = [listener.event(), listener.event(), listener.command(), listener.event()]

    listener.outbox.send(said[:1])
    listener.outbox.send(said[1:2])
    assert listener.sent == []
    listener.outbox.send(said[2:3])
    assert listener.sent == [one.id for one in said[:3]]
    listener.outbox.send(said[3:])

    await listener.has_heard(said)


async def test_nobody_sends_what_is_held_a_second_time(listener: Listener) -> None:
    held = listener.event()
    stranded = listener.event()

    class Journal:
        async def backlog(self) -> tuple[int, float]:
            return 2, 3600.0

        async def stranded(self, older_than: timedelta) -> list[Said]:
            return [held, stranded]

    listener.outbox.journal = Journal()  # type: ignore[assignment]
    listener.outbox.send([held])
    await listener.outbox.relay()
    assert listener.sent == [
        held.id,
        stranded.id,
    ]  # what is late waits no longer, and takes along what is held

    await listener.has_heard([held, stranded])


@pytest.mark.parametrize("trace", ["", TRACE])
@pytest.mark.parametrize(
    ("exchange", "own"),
    [
        (
            "events",
            {
                "cloudEvents_specversion": "1.0",
                "cloudEvents_id": "0199d6c0-5c1e-7a53-9c1b-8f2f6f0e4b11",
                "cloudEvents_source": "/task_service",
                "cloudEvents_type": "tasks.something",
                "cloudEvents_time": "2026-03-01T12:00:00.120000+00:00",
            },
        ),
        ("", {"actor": "task_service"}),
    ],
    ids=["event", "command"],
)
def test_another_implementation_reads_the_envelope_of_what_is_said(
    exchange: str, own: dict[str, str], trace: str
) -> None:
    time = datetime(2026, 3, 1, 12, 0, 0, 120_000, UTC)
    identity = "0199d6c0-5c1e-7a53-9c1b-8f2f6f0e4b11"
    said = Said(identity, exchange, "tasks.something", "Something", "разговор", "причина", trace, b"{}", time)

    envelope = Envelope(said, "task_service", "tasks")
    data = published(1, exchange, said.routing_key, said.body, envelope, 4096, mandatory=False)

    size, _, _ = frame.unmarshal(data)
    header: Any = frame.unmarshal(data[size:])[2]
    told = {name: value for name, value in header.properties if value}
    assert header.body_size == len(said.body)
    assert told == {
        "content_type": "application/json",
        "delivery_mode": 2,
        "correlation_id": "разговор",
        "message_id": identity,
        "timestamp": time.replace(microsecond=0),
        "message_type": "Something",
        "user_id": "tasks",
        "app_id": "task_service",
        "headers": own | {"causation-id": "причина"} | ({"traceparent": trace} if trace else {}),
    }

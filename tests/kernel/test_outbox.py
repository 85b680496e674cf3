"""What was said leaves once and in its order, events with others, commands at once. Through a real broker."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from pamqp import commands

from shared import holding
from shared.amqp.connection import connect
from shared.amqp.content import Incoming
from shared.bus import Publisher
from shared.delivery import this_moment
from shared.journal import Outbox, Said
from tests.system import System, _async, eventually

EXCHANGE = "amq.topic"


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

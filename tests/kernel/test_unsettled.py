"""Acknowledgements: few, and never of what is not settled. On a real broker, as a consumer sees it."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from pamqp import commands

from shared import holding
from shared.amqp.channel import Channel
from shared.amqp.connection import Connection, connect
from shared.amqp.content import Incoming, Properties, published
from shared.holding import MOST_HELD
from shared.unsettled import Unsettled
from tests.system import System, _async, eventually


class Consumer:
    """What a queue has delivered, and what was acknowledged of it."""

    def __init__(self, connection: Connection, channel: Channel, queue: str):
        self.connection = connection
        self.channel = channel
        self.queue = queue
        self.unsettled = Unsettled()
        self.deliveries: list[Any] = []
        self.prepare: object = None
        self.frames: list[tuple[int, bool]] = []
        self.ack = channel.ack
        channel.ack = self._ack  # type: ignore[method-assign]

    def take(self, raw: Incoming) -> None:
        handler = SimpleNamespace(prepare=self.prepare)
        delivery: Any = SimpleNamespace(raw=raw, channel=self.channel, handler=handler)
        self.unsettled.add(delivery)
        self.deliveries.append(delivery)

    def _ack(self, tag: int, *, multiple: bool = False) -> None:
        self.frames.append((tag, multiple))
        self.ack(tag, multiple=multiple)

    async def has_taken(self, number: int, message_id: str = "x") -> None:
        properties = Properties(message_id=message_id or None)
        most = self.connection.frame_max
        for _ in range(number):
            self.connection.write(
                published(self.channel.number, "", self.queue, b"", properties, most, mandatory=True)
            )
        await self.channel.consume(self.queue, self.take, name="test")
        await eventually(_async(lambda: len(self.deliveries) == number), f"{number} have arrived")

    async def has_acknowledged(self, frames: list[tuple[int, bool]]) -> None:
        await eventually(_async(lambda: len(self.frames) >= len(frames)), "it is acknowledged")
        assert self.frames == frames

    async def comes_again(self) -> list[int]:
        """Which of the messages the broker gives to somebody else once the channel is closed."""
        self.channel.close()
        await self.channel.gone
        other = await self.connection.channel()
        found = await other.call(commands.Queue.Declare(queue=self.queue, passive=True))
        return [one.tag for _ in range(found.message_count) if (one := await other.get(self.queue))]


@pytest.fixture
async def consumer(system: System, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Consumer]:
    monkeypatch.setattr(holding, "LATEST_SECONDS", 0.5)  # more than what a test does meanwhile takes
    connection = await connect(system.broker_url("operator"), "test")
    channel = await connection.channel()
    queue = f"test.{uuid4().hex[:8]}"
    await channel.call(commands.Queue.Declare(queue=queue, exclusive=True))
    yield Consumer(connection, channel, queue)
    await connection.close()


async def test_what_is_settled_within_a_moment_is_acknowledged_together(consumer: Consumer) -> None:
    await consumer.has_taken(3)

    for delivery in consumer.deliveries:
        consumer.unsettled.settle([delivery])

    await consumer.has_acknowledged([(3, True)])
    assert await consumer.comes_again() == []


async def test_what_is_not_settled_is_not_acknowledged_with_what_came_after_it(consumer: Consumer) -> None:
    await consumer.has_taken(5)
    one, two, three, _, five = consumer.deliveries

    consumer.unsettled.settle([five])
    consumer.unsettled.settle([two, one])
    await consumer.has_acknowledged([(2, True), (5, False)])

    consumer.unsettled.settle([three])
    await consumer.has_acknowledged([(2, True), (5, False), (3, True)])
    assert len(await consumer.comes_again()) == 1


async def test_nobody_waits_where_many_are_settled(consumer: Consumer) -> None:
    await consumer.has_taken(MOST_HELD + 1)

    consumer.unsettled.settle(consumer.deliveries[: MOST_HELD - 1])
    assert consumer.frames == []
    consumer.unsettled.settle(consumer.deliveries[MOST_HELD - 1 : MOST_HELD])
    assert consumer.frames == [(MOST_HELD, True)]

    consumer.unsettled.settle(consumer.deliveries[MOST_HELD:])
    await consumer.has_acknowledged([(MOST_HELD, True), (MOST_HELD + 1, True)])


@pytest.mark.parametrize(("message_id", "prepare"), [("", None), ("x", "takes long")])
async def test_what_should_not_come_again_does_not_wait(
    consumer: Consumer, message_id: str, prepare: object
) -> None:
    consumer.prepare = prepare
    await consumer.has_taken(1, message_id)

    consumer.unsettled.settle(consumer.deliveries)

    assert consumer.frames == [(1, True)]


async def test_what_is_given_back_meanwhile_comes_again_and_nothing_else(consumer: Consumer) -> None:
    await consumer.has_taken(3)

    consumer.unsettled.settle([consumer.deliveries[0], consumer.deliveries[2]])
    consumer.unsettled.hand_back(consumer.deliveries[1])
    await eventually(_async(lambda: len(consumer.deliveries) == 4), "it comes again")
    await consumer.has_acknowledged([(3, True)])

    assert consumer.deliveries[3].raw.redelivered
    assert len(await consumer.comes_again()) == 1


async def test_what_was_settled_on_a_channel_that_has_gone_is_forgotten(consumer: Consumer) -> None:
    await consumer.has_taken(2)

    consumer.unsettled.settle(consumer.deliveries)
    again = await consumer.comes_again()
    consumer.unsettled.held.leave()

    assert len(again) == 2
    assert consumer.unsettled.held.things == []

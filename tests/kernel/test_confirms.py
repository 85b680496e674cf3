"""A channel on which something was refused is left for another, and confirms what has left on it."""

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import aiormq
import pytest

from shared.amqp.channel import Channel
from shared.amqp.content import Properties
from shared.bus import Publisher, Undelivered
from shared.confirms import ANOTHER_SECONDS, Confirms
from tests.system import System, _async, eventually


@pytest.fixture
async def full(system: System) -> str:
    """A queue that takes one message and no more."""
    connection = await aiormq.connect(system.broker_url("operator"))
    channel = await connection.channel()
    name = f"full.{uuid4().hex[:8]}"
    arguments: Any = {"x-max-length": 1, "x-overflow": "reject-publish"}
    await channel.queue_declare(name, durable=True, arguments=arguments)
    await connection.close()
    return name


async def publish(publisher: Publisher, queue: str, number: int = 1) -> list[BaseException | None]:
    """What each of so many ended with."""
    sent = [
        publisher.publish("", queue, b"x", Properties(message_id=uuid4().hex), mandatory=True)
        for _ in range(number)
    ]
    return await asyncio.gather(*sent, return_exceptions=True)


async def test_after_refusals_others_leave_on_another_channel_and_the_former_is_closed(
    publisher: Publisher, full: str
) -> None:
    former, connection = publisher.confirms.channel, publisher.link.connection
    assert former and connection
    assert await publish(publisher, full) == [None]

    async def left() -> bool:
        [refused] = await publish(publisher, full)
        assert isinstance(refused, Undelivered)
        return publisher.confirms.channel is not former

    await eventually(left, "others leave on another channel")
    await eventually(_async(lambda: former.is_closed), "the former channel is closed")
    assert publisher.link.connection is connection
    assert await publish(publisher, publisher.probe_queue, 100) == [None] * 100


async def test_while_a_queue_is_full_channels_are_few(publisher: Publisher, full: str) -> None:
    connection = publisher.link.connection
    assert connection
    opened: list[Channel] = []
    opens = connection.channel

    async def noted(**how: bool) -> Channel:
        opened.append(await opens(**how))
        return opened[-1]

    connection.channel = noted  # type: ignore[method-assign]
    began = publisher.loop.time()
    while len(opened) < 2:
        await publish(publisher, full, 10)

    assert len(opened) <= publisher.loop.time() - began + 1
    await eventually(_async(lambda: opened[0].is_closed), "the one between is closed")
    assert len(connection.channels) == 2


class Stub:
    """A channel, as far as `Confirms` knows it."""

    def __init__(self, connection: Any):
        self.connection = connection
        self.closed = False

    async def confirm(self) -> None:
        """Some turns of the loop later."""
        await self.connection.answers.wait()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def told() -> list[Any]:
    return []


@pytest.fixture
async def confirms(told: list[Any]) -> Any:
    """Two channels: "a" and "b" have left on the first, "c" and "d" on the second."""
    made: Any = Confirms(lambda message, taken: told.append((message, taken)), lambda returned: None)
    connection = SimpleNamespace(loop=asyncio.get_running_loop(), answers=asyncio.Event(), opened=[])
    connection.answers.set()

    async def channel(*, vital: bool) -> Stub:
        stub = Stub(connection)
        connection.opened.append(stub)
        return stub

    connection.channel = channel
    for messages in ("a", "b"), ("c", "d"):
        await made.open(connection)
        for message in messages:
            made.add(message)
    return made


async def test_each_channel_confirms_its_own(confirms: Any, told: list[Any]) -> None:
    [[_, former]] = confirms.former

    confirms.channel.confirmed(2, True, True)
    assert told == [("c", True), ("d", True)]
    former.confirmed(1, False, True)
    assert not former.closed

    former.confirmed(2, True, True)
    assert told[2:] == [("a", True), ("b", True)]
    assert former.closed
    assert not confirms.unconfirmed


async def test_the_former_is_closed_when_what_it_has_not_confirmed_is_nobodys_any_more(confirms: Any) -> None:
    [[_, former]] = confirms.former
    for number in list(confirms.unconfirmed)[:2]:
        assert not former.closed
        confirms.forget(number)

    assert former.closed
    former.confirmed(2, True, True)
    assert list(confirms.unconfirmed.values()) == ["c", "d"]


@pytest.fixture
def refusing(confirms: Any) -> Any:
    """Its channels are old enough to be left, and the broker answers no more."""
    confirms.opened_at -= ANOTHER_SECONDS
    confirms.channel.connection.answers.clear()
    confirms.told = lambda message, taken: None
    confirms.unconfirmed = {n: SimpleNamespace(routing_key="full") for n in confirms.unconfirmed}
    return confirms


async def test_what_a_former_channel_refuses_makes_nobody_leave_the_next(refusing: Any) -> None:
    refusing.former[0][1].confirmed(2, True, False)

    assert refusing.opening is None


async def test_one_channel_is_opened_at_a_time_and_none_when_the_connection_has_gone(refusing: Any) -> None:
    connection = refusing.channel.connection
    for tag in (1, 2):
        refusing.channel.confirmed(tag, False, False)
        await asyncio.sleep(0)
    assert len(connection.opened) == 3

    assert len(refusing.clear()) == 2
    connection.answers.set()
    await asyncio.wait([refusing.opening])
    assert refusing.channel is None

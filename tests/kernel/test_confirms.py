"""A channel on which something was refused is left for another, and confirms what has left on it."""

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import aiormq
import pytest

from shared.amqp.content import Properties
from shared.bus import Publisher, Undelivered
from shared.confirms import Confirms
from tests.kernel.test_bus import publisher
from tests.system import System, _async, eventually

__all__ = ["publisher"]


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


async def test_after_a_refusal_others_leave_on_another_channel_and_the_former_is_closed(
    publisher: Publisher, full: str
) -> None:
    [former, connection] = publisher.channel, publisher.link.connection
    assert former and connection
    assert await publish(publisher, full) == [None]
    assert publisher.channel is former

    [refused] = await publish(publisher, full)

    assert isinstance(refused, Undelivered)
    await eventually(_async(lambda: former.is_closed), "the former channel is closed")
    assert publisher.channel is not former
    assert publisher.link.connection is connection
    assert await publish(publisher, publisher.probe_queue, 100) == [None] * 100


async def test_while_a_queue_is_full_channels_are_few(publisher: Publisher, full: str) -> None:
    connection = publisher.link.connection
    assert connection
    opened: list[int] = []
    opens = connection.channel

    async def noted(**how: bool) -> Any:
        opened.append(1)
        return await opens(**how)

    connection.channel = noted  # type: ignore[method-assign]
    began = publisher.loop.time()
    for _ in range(50):
        results = await publish(publisher, full, 10)

    assert all(isinstance(result, Undelivered) for result in results)
    assert 1 <= len(opened) <= 1 + publisher.loop.time() - began


class Stub:
    """A channel, as far as `Confirms` knows it."""

    def __init__(self, connection: Any):
        self.connection = connection
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False

    async def confirm(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def told() -> list[Any]:
    return []


@pytest.fixture
async def confirms(told: list[Any]) -> Any:
    """Two channels: "a" and "b" have left on the first, "c" and "d" on the second."""
    made: Any = Confirms(lambda message, taken: told.append((message, taken)), lambda returned: None)
    connection = SimpleNamespace(loop=asyncio.get_running_loop(), dropped=[])

    async def channel() -> Stub:
        return Stub(connection)

    connection.channel = channel
    connection.drop = connection.dropped.append
    for message in ("a", "b", "", "c", "d"):
        if message in {"a", ""}:
            await made.open(connection)
        if message:
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
    assert not confirms.waiting


async def test_the_former_is_closed_when_what_it_has_not_confirmed_is_nobodys_any_more(confirms: Any) -> None:
    [[_, former]] = confirms.former
    for number in list(confirms.waiting)[:2]:
        assert not former.closed
        confirms.forget(number)

    assert former.closed
    former.confirmed(2, True, True)
    assert list(confirms.waiting.values()) == ["c", "d"]


async def test_the_connection_ends_with_the_last_channel_alone(confirms: Any) -> None:
    [[_, former]] = confirms.former
    dropped = confirms.channel.connection.dropped
    former.gone.set_result(None)
    await asyncio.sleep(0)
    assert dropped == []

    confirms.channel.gone.set_result(None)
    await asyncio.sleep(0)
    assert dropped == [None]

"""Connections that come back by themselves, and publishing that is confirmed.

Everything published in one turn of the event loop leaves in ONE write on one channel: a write a message
costs a fifth of a busy process, here and in the broker. A publish ends in one of three ways: confirmed;
`PublishError` (mandatory, and no queue to take it); `Unconfirmed` (nobody knows, so repeat it with its id).
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import aiormq
from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from pamqp import frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from yarl import URL

log = logging.getLogger(__name__)

CONFIRM_SECONDS = 10.0
PROBE_SECONDS = 2.0


class Unconfirmed(Exception):
    """The broker has not said that it took the message; it may have."""


class Unsendable(Exception):
    """The message cannot be put on the wire: a header that AMQP cannot hold, or more than a frame of them."""


class BrokerAway(Unconfirmed):
    """There is no connection at the moment; nothing was sent."""


def user_of(url: str) -> str:
    """The broker user that a URL logs in as: RabbitMQ lets nobody else stand in a message's `user_id`."""
    return unquote(urlsplit(url).username or "guest")


def hosts(url: str) -> list[str]:
    """A URL for each host of one that lists several, with commas."""
    parts = urlsplit(url)
    user, at, places = parts.netloc.rpartition("@")
    return [parts._replace(netloc=f"{user}{at}{place}").geturl() for place in places.split(",")]


def named(url: str, name: str) -> str:
    """The URL with a name for the management page, and heartbeats that notice a dead peer soon."""
    return str(URL(url).update_query(heartbeat="10", name=name))


class Link:
    """One connection with one channel, named for people who look at the management page.

    `opened` is called with each new channel (declare, consume); `lost` when a channel has gone.
    """

    def __init__(
        self,
        url: str,
        name: str,
        opened: Callable[[Channel], Awaitable[None]],
        lost: Callable[[Channel], None] = lambda channel: None,
    ):
        self.urls = [named(one, name) for one in hosts(url)]
        self.name = name
        self.opened = opened
        self.lost = lost
        self.channel: Channel | None = None
        self.back = asyncio.Event()

    async def keep_open(self) -> None:
        """Connect, and connect again whenever the connection is lost, until cancelled.

        To any of the hosts: the one that was lost may be gone for long.
        """
        delay = 0.1
        while True:
            connection = aiormq.Connection(random.choice(self.urls))
            try:
                async with asyncio.timeout(10):
                    await connection.connect(client_properties={"connection_name": self.name})
                    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                    assert isinstance(channel, Channel)
                    await self.opened(channel)
                self.channel = channel
                self.back.set()
                delay = 0.1
                log.info("connected to the broker", extra={"fields": {"link": self.name}})
                ends = (connection.closing, channel.closing)
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            except (Exception, asyncio.CancelledError) as error:  # aiormq brings either; ours is not to last
                if is_cancelled():
                    raise
                log.warning(
                    "the broker is not to be had, trying again",
                    extra={"fields": {"link": self.name, "reason": repr(error)[:200]}},
                )
            finally:
                self.back.clear()
                gone, self.channel = self.channel, None
                if gone:
                    self.lost(gone)
                await _close(connection)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, 2.0)


def is_cancelled() -> bool:
    """Whether it is this task that is to end: aiormq cancels what waits for a lost connection, too."""
    task = asyncio.current_task()
    return bool(task and task.cancelling())


async def _close(connection: aiormq.abc.AbstractConnection) -> None:
    try:
        async with asyncio.timeout(2):
            await connection.close()
    except Exception as error:  # a connection that cannot even be closed is gone, which is what was wanted
        log.debug("closing a connection: %r", error)


@dataclass(slots=True)
class _Outgoing:
    exchange: str
    routing_key: str
    body: bytes
    properties: Basic.Properties
    mandatory: bool
    confirmed: "asyncio.Future[None]"


class Publisher:
    """The one publisher of a process, on a connection of its own (an alarm blocks a connection whole)."""

    def __init__(self, url: str, process: str):
        self.user = user_of(url)
        self.process = process
        self.link = Link(url, f"{process} publishes", self._opened, self._lost)
        self.loop = asyncio.get_running_loop()
        self.pending: list[_Outgoing] = []
        self.returnable: dict[str, asyncio.Future[None]] = {}
        self.flushing: asyncio.Task[None] | None = None
        self.probe_queue = f"probe.{process}.{uuid4().hex[:8]}"

    @property
    def connected(self) -> bool:
        """Whether the broker takes what is published: not while an alarm makes it block who publishes."""
        channel = self.link.channel
        return channel is not None and not channel.is_closed and not is_blocked(channel)

    def publish(
        self, exchange: str, routing_key: str, body: bytes, properties: Basic.Properties, *, mandatory: bool
    ) -> "asyncio.Future[Any]":
        """Send with the rest of this loop turn; the future ends as the module says. Set `message_id`."""
        confirmed = self.loop.create_future()
        confirmed.add_done_callback(retrieve)
        self._submit(_Outgoing(exchange, routing_key, body, properties, mandatory, confirmed))
        return confirmed

    def _submit(self, outgoing: _Outgoing) -> None:
        if not self.connected:
            _fail(outgoing.confirmed, BrokerAway("no connection to the broker"))
            return
        if outgoing.mandatory and not self._first_of_its_id(outgoing):
            return
        if not self.pending and self.flushing is None:
            self.loop.call_soon(self._flush)
        self.pending.append(outgoing)

    def _first_of_its_id(self, outgoing: _Outgoing) -> bool:
        """A returned message is known by its id alone, so a second one with that id waits for the first."""
        message_id = str(outgoing.properties.message_id)
        if earlier := self.returnable.get(message_id):
            earlier.add_done_callback(lambda _: self._submit(outgoing))
            return False
        self.returnable[message_id] = outgoing.confirmed
        outgoing.confirmed.add_done_callback(lambda _: self.returnable.pop(message_id, None))
        return True

    async def drained(self) -> None:
        """Wait until all that was published is confirmed or lost."""
        while self.pending or (self.link.channel and self.link.channel.confirmations):
            await asyncio.sleep(0.01)

    async def probe(self) -> None:
        """A confirmed publish to an own queue, since a frozen broker looks connected. Else `Unconfirmed`."""
        properties = Basic.Properties(message_id=uuid4().hex, delivery_mode=1)
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self.publish("", self.probe_queue, b"", properties, mandatory=True)
        except TimeoutError:
            raise Unconfirmed("the broker did not confirm a probe in time") from None

    async def _opened(self, channel: Channel) -> None:
        await channel.queue_declare(
            self.probe_queue, exclusive=True, auto_delete=True, arguments={"x-max-length": 1}
        )

    def _lost(self, channel: Channel) -> None:
        if self.flushing:
            self.flushing.cancel()
            self.flushing = None
        unsent, self.pending = self.pending, []
        for outgoing in unsent:
            _fail(outgoing.confirmed, BrokerAway("the connection to the broker was lost before sending"))
        for confirmation in list(channel.confirmations.values()):
            _fail(confirmation, Unconfirmed("the connection to the broker was lost before it confirmed"))
        channel.confirmations.clear()

    def _flush(self) -> None:
        channel = self.link.channel
        if channel is None or not self.pending:
            return  # _lost has failed what was pending
        if channel.write_queue.full():
            self.flushing = self.loop.create_task(self._flush_when_there_is_room(channel))
        else:
            channel.write_queue.put_nowait(self._marshal(channel))

    async def _flush_when_there_is_room(self, channel: Channel) -> None:
        """The connection's own write queue is short: while it is full, what is published gathers here."""
        try:
            while self.pending:
                await channel.write_queue.put(self._marshal(channel))
        finally:
            if self.flushing is asyncio.current_task():
                self.flushing = None

    def _marshal(self, channel: Channel) -> ChannelFrame:
        """Encode what is pending. Only what can be encoded takes a tag: the broker counts what it gets."""
        parts: list[bytes] = []
        sent: list[asyncio.Future[None]] = []
        outgoing_now, self.pending = self.pending, []
        for outgoing in outgoing_now:
            if outgoing.confirmed.done():
                continue  # whoever asked has left
            try:
                parts.append(_encoded(outgoing, channel))
            except Unsendable as error:
                _fail(outgoing.confirmed, error)
                continue
            channel.delivery_tag += 1
            channel.confirmations[channel.delivery_tag] = outgoing.confirmed
            if outgoing.mandatory:
                _expect_return(outgoing, channel, channel.delivery_tag)
            sent.append(outgoing.confirmed)
        self.loop.call_later(CONFIRM_SECONDS, _expire, sent)
        return ChannelFrame(payload=b"".join(parts), should_close=False)


def is_blocked(channel: Channel) -> bool:
    """Whether the broker has said that it reads no more of this connection for now."""
    unblocked: asyncio.Event = getattr(channel.connection, "_Connection__connection_unblocked")  # noqa: B009
    return not unblocked.is_set()


def _encoded(outgoing: _Outgoing, channel: Channel) -> bytes:
    header = ContentHeader(properties=outgoing.properties, body_size=len(outgoing.body))
    publish = Basic.Publish(
        exchange=outgoing.exchange, routing_key=outgoing.routing_key, mandatory=outgoing.mandatory
    )
    size: int = channel.max_content_size
    bodies = (outgoing.body[start : start + size] for start in range(0, len(outgoing.body), size))
    try:
        encoded = frame.marshal(header, channel.number)
        method = frame.marshal(publish, channel.number)
    except Exception as error:  # pamqp raises whatever the value at fault makes it raise
        raise Unsendable(f"{type(error).__name__}: {error}") from error
    if len(encoded) > size:
        raise Unsendable("its headers do not fit into a frame")
    return b"".join((method, encoded, *(frame.marshal(ContentBody(body), channel.number) for body in bodies)))


def _expect_return(outgoing: _Outgoing, channel: Channel, tag: int) -> None:
    """aiormq finds a returned message's confirmation by its message id."""
    tags: dict[str, int] = channel.message_id_delivery_tag
    message_id = str(outgoing.properties.message_id)
    tags[message_id] = tag

    def forget(_: object) -> None:
        if tags.get(message_id) == tag:
            del tags[message_id]

    outgoing.confirmed.add_done_callback(forget)


def _fail(future: "asyncio.Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _expire(futures: list["asyncio.Future[None]"]) -> None:
    for future in futures:
        _fail(future, Unconfirmed(f"the broker did not confirm within {CONFIRM_SECONDS:.0f} s"))


def retrieve(future: "asyncio.Future[Any]") -> None:
    """A done-callback for futures whose failure nobody may be waiting for: asyncio would log it as lost."""
    if not future.cancelled():
        future.exception()

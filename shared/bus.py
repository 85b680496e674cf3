"""Publishing that is confirmed.

Everything published in one turn of the event loop leaves in ONE write on one channel: a write a message
costs a fifth of a busy process. What is `alone` waits for no others. A publish ends in one of four ways:
confirmed; `Unroutable` (mandatory, no queue takes it); `Undelivered` (refused); `Unconfirmed` (nobody knows:
repeat it with its id).
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from pamqp.commands import Queue

from shared.amqp.channel import Channel
from shared.amqp.connection import Connection
from shared.amqp.content import Headed, Incoming, Properties, Unsendable, published
from shared.amqp.fields import Table
from shared.amqp.link import Link
from shared.confirms import Confirms, Outgoing

log = logging.getLogger(__name__)

CONFIRM_SECONDS = 10.0
PROBE_SECONDS = 2.0
MOST_UNSENT = 20_000
"""Messages that gather here while the broker reads more slowly than is published."""


class Undelivered(Exception):
    """The broker has not taken the message, and says so."""


class Unroutable(Undelivered):
    """It was mandatory, and there is no queue for it."""


class Unconfirmed(Exception):
    """The broker has not said that it took the message; it may have."""


class BrokerAway(Unconfirmed):
    """There is no connection at the moment; nothing was sent."""


def user_of(url: str) -> str:
    """The broker user that a URL logs in as: RabbitMQ lets nobody else stand in a message's `user_id`."""
    return unquote(urlsplit(url).username or "guest")


class Publisher:
    """The one publisher of a process, on a connection of its own (an alarm blocks a connection whole)."""

    def __init__(self, url: str, process: str):
        self.user = user_of(url)
        self.process = process
        self.link = Link(url, f"{process} publishes", self._opened, self._lost)
        self.loop = asyncio.get_running_loop()
        self.confirms = Confirms(self._confirmed, self._returned)
        self.unconfirming: Channel | None = None
        self.pending: list[Outgoing] = []
        self.answers: list[bytes] = []
        self.mandatory: dict[str, Outgoing] = {}
        self.flushing: asyncio.Task[None] | None = None
        self.expiring: asyncio.TimerHandle | None = None
        self.probe_queue = f"probe.{process}.{uuid4().hex[:8]}"

    @property
    def connected(self) -> bool:
        """Whether the broker takes what is published: not while an alarm makes it block who publishes."""
        channel = self.confirms.channel
        return channel is not None and not channel.is_closed and not channel.connection.blocked

    @property
    def blocked(self) -> bool:
        """Whether an alarm, for want of memory or disk, keeps the broker from reading: maybe for hours."""
        channel = self.confirms.channel
        return channel is not None and channel.connection.blocked

    @property
    def is_full(self) -> bool:
        """Whether as much waits for the broker to read as ever should."""
        return len(self.pending) + len(self.answers) >= MOST_UNSENT

    def publish(
        self, exchange: str, routing_key: str, body: bytes, properties: Headed, *, mandatory: bool
    ) -> "asyncio.Future[None]":
        """Send with the rest of this loop turn; the future ends as the module says. Set `message_id`."""
        confirmed: asyncio.Future[None] = self.loop.create_future()
        confirmed.add_done_callback(retrieve)
        ended = partial(_settle, confirmed)
        self.send(exchange, routing_key, body, properties, ended, mandatory=mandatory, waiting=confirmed)
        return confirmed

    def send(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: Headed,
        ended: Callable[[Exception | None], None],
        *,
        mandatory: bool,
        waiting: "asyncio.Future[Any] | None" = None,
        hurried: bool = False,
        alone: bool = False,
    ) -> None:
        """As `publish`, for those who wait for something else: `ended` is called with None or the error.

        Once `waiting` is done, what was not sent yet is not sent any more. Under an alarm only the `hurried`
        is given up where it has left: all else is confirmed when that is over, and need not be sent again.
        `alone`: no other is about to follow, so it leaves now.
        """
        message = exchange, routing_key, body, properties
        self._submit(Outgoing(*message, mandatory, ended, waiting, hurried), alone=alone)

    def answer(self, queue: str, body: bytes, properties: Properties, *, alone: bool) -> None:
        """Send to who asked, unconfirmed: whoever misses an answer asks again."""
        channel = self.unconfirming
        if channel is None or not self.connected or self.is_full:
            return
        number, most = channel.number, channel.connection.frame_max
        try:
            self.answers.append(published(number, "", queue, body, properties, most, mandatory=False))
        except Unsendable as error:
            log.warning("an answer cannot be sent", extra={"fields": {"reason": str(error)}})
        else:
            self._note_pending(alone)

    def _submit(self, outgoing: Outgoing, *, alone: bool = False) -> None:
        if not self.connected:
            outgoing.ended(BrokerAway("no connection to the broker"))
            return
        if self.is_full:
            outgoing.ended(BrokerAway("the broker reads too slowly, too much waits to be sent"))
            return
        if outgoing.mandatory:
            earlier = self.mandatory.setdefault(str(outgoing.properties.message_id), outgoing)
            if earlier is not outgoing:  # a returned message is known by its id alone: one at a time
                earlier.behind = [*(earlier.behind or ()), outgoing]
                return
        self.pending.append(outgoing)
        self._note_pending(alone)

    def _note_pending(self, alone: bool) -> None:
        """Have it written in the next turn of the loop, which begins with asking the kernel; or now."""
        if alone:
            self._flush()
        elif len(self.pending) + len(self.answers) == 1:
            self.loop.call_soon(self._flush)

    async def drained(self) -> None:
        """Wait until all is confirmed or given up."""
        while self.pending or self.answers or self.confirms.unconfirmed:
            await asyncio.sleep(0.01)

    async def probe(self) -> None:
        """A confirmed publish to an own queue, since a frozen broker looks connected. Else `Unconfirmed`."""
        properties = Properties(message_id=uuid4().hex, delivery_mode=1)
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self.publish("", self.probe_queue, b"", properties, mandatory=True)
        except TimeoutError:
            raise Unconfirmed("the broker did not confirm a probe in time") from None

    async def _opened(self, connection: Connection) -> None:
        self.unconfirming = await connection.channel(vital=True)
        shortest: Table = {"x-max-length": 1}
        await self.unconfirming.call(
            Queue.Declare(queue=self.probe_queue, exclusive=True, auto_delete=True, arguments=shortest)
        )
        connection.on_blocked = self._give_hurried_up
        await self.confirms.open(connection)

    def _lost(self) -> None:
        self.unconfirming = None
        if self.flushing:
            self.flushing.cancel()
            self.flushing = None
        self._give_up("the connection to the broker was lost", self.confirms.clear())

    def _give_hurried_up(self) -> None:
        hurried = [one for one in self.confirms.unconfirmed.values() if one.hurried]
        self._give_up("an alarm blocks the broker", hurried)

    def _give_up(self, why: str, unconfirmed: list[Outgoing]) -> None:
        """What has left may have been taken all the same."""
        self._give_unsent_up(why)
        for outgoing in unconfirmed:
            self._end(outgoing, Unconfirmed(f"{why} before it confirmed"))

    def _flush(self) -> None:
        channel = self.confirms.channel
        if channel is None or self.flushing or not (self.pending or self.answers):
            return  # _lost has failed what was pending
        if channel.connection.room.is_set():
            self._write(channel)
        else:
            self.flushing = self.loop.create_task(self._flush_when_there_is_room(channel))

    async def _flush_when_there_is_room(self, channel: Channel) -> None:
        """While the broker reads more slowly than is published, that gathers here, for a while."""
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                await channel.connection.room.wait()
        except TimeoutError:
            self.flushing = None
            self._give_unsent_up("the broker reads nothing of what is published")
            return
        self.flushing = None
        self._flush()

    def _give_unsent_up(self, why: str) -> None:
        unsent, self.pending, self.answers = self.pending, [], []
        for outgoing in unsent:
            self._end(outgoing, BrokerAway(why))

    def _write(self, channel: Channel) -> None:
        """Encode what is pending. Only what can be encoded takes a tag: the broker counts what it gets."""
        number, most, now = channel.number, channel.connection.frame_max, self.loop.time()
        outgoing_now, parts = self.pending, self.answers
        self.pending, self.answers = [], []
        failed: list[tuple[Outgoing, Exception]] = []
        for one in outgoing_now:
            try:
                if one.waiting and one.waiting.done():
                    raise BrokerAway("whoever asked has left before it was sent")
                message = one.exchange, one.routing_key, one.body, one.properties
                parts.append(published(number, *message, most, mandatory=one.mandatory))
            except (BrokerAway, Unsendable) as error:
                failed.append((one, error))
                continue
            self.confirms.add(one)
            one.sent_at = now
        channel.connection.write(b"".join(parts))
        for one, why in failed:  # who hears of it may send something
            self._end(one, why)
        if self.expiring is None and self.confirms.unconfirmed:
            self.expiring = self.loop.call_later(CONFIRM_SECONDS, self._expire)

    def _confirmed(self, outgoing: Outgoing, taken: bool) -> None:
        self._end(outgoing, _outcome(outgoing, taken))

    def _returned(self, message: Incoming) -> None:
        """The confirmation comes behind it."""
        if outgoing := self.mandatory.get(str(message.message_id)):
            outgoing.returned = True

    def _end(self, outgoing: Outgoing, error: Exception | None) -> None:
        if outgoing.is_over:
            return
        outgoing.is_over = True
        outgoing.ended(error)
        if outgoing.mandatory:
            del self.mandatory[str(outgoing.properties.message_id)]
            for one in outgoing.behind or ():
                self._submit(one)

    def _expire(self) -> None:
        """Tell those who have waited too long."""
        self.expiring = None
        now = self.loop.time()
        channel = self.confirms.channel
        free_since = now if self.blocked else channel.connection.unblocked_at if channel else 0.0
        for number, outgoing in list(self.confirms.unconfirmed.items()):
            since = max(outgoing.sent_at, free_since)  # the time of an alarm does not count
            if since > now - CONFIRM_SECONDS:
                self.expiring = self.loop.call_at(since + CONFIRM_SECONDS, self._expire)
                break
            self.confirms.forget(number)
            self._end(outgoing, Unconfirmed(f"the broker did not confirm within {CONFIRM_SECONDS:.0f} s"))


def _outcome(outgoing: Outgoing, taken: bool) -> Undelivered | None:
    if outgoing.returned:
        return Unroutable(f"no queue for {outgoing.routing_key!r} of exchange {outgoing.exchange!r}")
    return None if taken else Undelivered("the broker refuses it: its queue is full, or has no leader")


def _settle(future: "asyncio.Future[Any]", error: Exception | None) -> None:
    if future.done():
        return
    if error:
        future.set_exception(error)
    else:
        future.set_result(None)


def retrieve(future: "asyncio.Future[Any]") -> None:
    """A done-callback for futures whose failure nobody may be waiting for: asyncio would log it as lost."""
    if not future.cancelled():
        future.exception()

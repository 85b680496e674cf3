"""The channel that messages leave on, and which of them the broker has not confirmed yet.

One on which something was refused is left for another, since nobody can tell why it was. A channel whose
first message to a quorum queue met the death of its leader's node is refused all that it sends there by
RabbitMQ before 3.12.5, until that node is back (`{badrpc, nodedown}` in `rabbit_fifo_client`).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import dropwhile, takewhile

from shared.amqp.channel import Channel
from shared.amqp.connection import Connection
from shared.amqp.content import Headed, Incoming
from shared.amqp.errors import AmqpError

log = logging.getLogger(__name__)

ANOTHER_SECONDS = 1.0
"""How old a channel is at least that is left: a queue that is full refuses on whichever."""


@dataclass(slots=True, eq=False)
class Outgoing:
    """`ended` is told once what became of it: None, or the error. `returned`: no queue took it.

    `waiting` is done when nobody waits any more. `behind`: those with the same id, which go after it.
    """

    exchange: str
    routing_key: str
    body: bytes
    properties: Headed
    mandatory: bool
    ended: Callable[[Exception | None], None]
    waiting: "asyncio.Future[None] | None" = None
    hurried: bool = False
    sent_at: float = 0.0
    returned: bool = False
    is_over: bool = False
    behind: "list[Outgoing] | None" = None


class Confirms:
    """`told(message, taken)` hears what becomes of each; before it `returned` hears what no queue takes.

    `unconfirmed` has them in the order in which they left, by numbers that go on from channel to channel.
    """

    def __init__(self, told: Callable[[Outgoing, bool], None], returned: Callable[[Incoming], None]):
        self.told = told
        self.returned = returned
        self.channel: Channel | None = None
        self.unconfirmed: dict[int, Outgoing] = {}
        self.number = 0
        self.former: deque[tuple[int, Channel]] = deque()
        self.opening: asyncio.Task[None] | None = None
        self.opened_at = 0.0

    async def open(self, connection: Connection) -> None:
        """What leaves from here on leaves on a new channel."""
        channel = await connection.channel(vital=True)
        await channel.confirm()
        channel.confirmed, channel.returned = partial(self._confirmed, channel, self.number), self.returned
        if self.channel:
            self.former.append((self.number, self.channel))
        self.channel, self.opened_at = channel, connection.loop.time()
        self._close_former()

    def add(self, message: Outgoing) -> None:
        """It leaves now."""
        self.number += 1
        self.unconfirmed[self.number] = message

    def forget(self, number: int) -> None:
        """A confirmation that comes after all is nobody's any more."""
        del self.unconfirmed[number]
        self._close_former()

    def clear(self) -> list[Outgoing]:
        """What nobody will confirm: the connection has gone, and the channels with it."""
        given_up = list(self.unconfirmed.values())
        if self.opening:
            self.opening.cancel()
        self.channel = None
        self.unconfirmed.clear()
        self.former.clear()
        return given_up

    def _confirmed(self, channel: Channel, before: int, tag: int, multiple: bool, taken: bool) -> None:
        """Each channel counts by itself; `before` its first message was the number of the last one."""
        last = before + tag
        for number in self._up_to(before, last) if multiple else (last,):
            if message := self.unconfirmed.pop(number, None):
                self.told(message, taken)
                if not taken and channel is self.channel:
                    self._leave(channel, message)
        if self.former:
            self._close_former()

    def _up_to(self, before: int, last: int) -> list[int]:
        return list(takewhile(last.__ge__, dropwhile(before.__ge__, self.unconfirmed)))

    def _leave(self, channel: Channel, refused: Outgoing) -> None:
        loop = channel.connection.loop
        under_way = self.opening is not None and not self.opening.done()
        if not under_way and loop.time() >= self.opened_at + ANOTHER_SECONDS:
            why = {"routing_key": refused.routing_key}
            log.warning("a message was refused; others leave on another channel", extra={"fields": why})
            self.opening = loop.create_task(self._open_another(channel.connection))

    async def _open_another(self, connection: Connection) -> None:
        with suppress(AmqpError):  # it has gone
            await self.open(connection)

    def _close_former(self) -> None:
        """Those of whose messages none is unconfirmed."""
        while self.former and self.former[0][0] < next(iter(self.unconfirmed), self.number + 1):
            self.former.popleft()[1].close()

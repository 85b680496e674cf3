"""The channel that messages leave on, and which of them the broker has not confirmed yet.

One on which something was refused is left for another, since nobody can tell why it was: RabbitMQ 3.9 to 3.12
goes on refusing for a quorum queue that was first published to in the moment in which its leader had died.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import dropwhile, takewhile
from typing import Any

from shared.amqp.channel import Channel
from shared.amqp.connection import Connection
from shared.amqp.content import Headed, Incoming
from shared.amqp.errors import AmqpError

log = logging.getLogger(__name__)

ANOTHER_SECONDS = 1.0
"""How soon after another a channel is left. A queue that is full refuses whatever comes on whichever."""


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

    `waiting`: those that have left, in order, by numbers that go on from channel to channel.
    """

    def __init__(self, told: Callable[[Outgoing, bool], None], returned: Callable[[Incoming], None]):
        self.told = told
        self.returned = returned
        self.channel: Channel | None = None
        self.waiting: dict[int, Outgoing] = {}
        self.left = 0
        self.former: deque[tuple[int, Channel]] = deque()
        self.another: asyncio.Task[None] | None = None
        self.another_at = 0.0

    async def open(self, connection: Connection) -> None:
        """What leaves from here on leaves on a new channel, without which the connection ends."""
        channel = await connection.channel()
        channel.gone.add_done_callback(partial(self._gone, channel))
        await channel.confirm()
        channel.confirmed, channel.returned = partial(self._confirmed, self.left), self.returned
        if self.channel:
            self.former.append((self.left, self.channel))
        self.channel = channel
        self._close_former()

    def add(self, message: Outgoing) -> None:
        """It leaves now."""
        self.left += 1
        self.waiting[self.left] = message

    def forget(self, number: int) -> None:
        """A confirmation that comes after all is nobody's any more."""
        del self.waiting[number]
        self._close_former()

    def clear(self) -> list[Outgoing]:
        """What waits in vain: the connection has gone, and the channels with it."""
        waited = list(self.waiting.values())
        self.channel = None
        self.waiting.clear()
        self.former.clear()
        return waited

    def _confirmed(self, before: int, tag: int, multiple: bool, taken: bool) -> None:
        """Each channel counts by itself; `before` its first message so many had left."""
        last = before + tag
        for number in self._up_to(before, last) if multiple else (last,):
            if message := self.waiting.pop(number, None):
                self.told(message, taken)
                if not taken and self.channel:
                    self._leave(self.channel.connection, message)
        if self.former:
            self._close_former()

    def _up_to(self, before: int, last: int) -> list[int]:
        return list(takewhile(last.__ge__, dropwhile(before.__ge__, self.waiting)))

    def _leave(self, connection: Connection, refused: Outgoing) -> None:
        now = connection.loop.time()
        if now > self.another_at:
            self.another_at = now + ANOTHER_SECONDS
            log.warning("the broker refuses a message", extra={"fields": {"queue": refused.routing_key}})
            self.another = connection.loop.create_task(self._open_another(connection))

    async def _open_another(self, connection: Connection) -> None:
        with suppress(AmqpError):  # it has gone
            await self.open(connection)

    def _close_former(self) -> None:
        """Those for which nothing waits any more."""
        while self.former and self.former[0][0] < next(iter(self.waiting), self.left + 1):
            self.former.popleft()[1].close()

    def _gone(self, channel: Channel, gone: "asyncio.Future[Any]") -> None:
        if channel is self.channel:
            channel.connection.drop(gone.result())

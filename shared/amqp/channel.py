"""A channel: calls, consuming, and what is published on it confirmed or returned.

Nothing here waits but `call` and what uses it: messages, confirmations and returns are handed to functions in
the turn of the event loop in which they are read.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pamqp import frame
from pamqp.commands import Basic, Confirm
from pamqp.commands import Channel as Method

from shared.amqp import content
from shared.amqp.content import FRAME, METHOD_FRAME, Incoming
from shared.amqp.errors import AmqpError, ConnectionLost, closed

if TYPE_CHECKING:
    from shared.amqp.connection import Connection

Take = Callable[[Incoming], None]
DELIVER, RETURN, GET_OK, ACK, NACK = 0x3C_003C, 0x3C_0032, 0x3C_0047, 0x3C_0050, 0x3C_0078
CANCEL, CLOSE = 0x3C_001E, 0x14_0028


class Channel:
    """A numbered stream of a connection. `gone` is done when it is no more, with the reason if it has one.

    `confirmed(tag, multiple, taken)` and `returned(message)` hear what becomes of what was published.
    """

    def __init__(self, connection: "Connection", number: int):
        self.connection = connection
        self.number = number
        self.gone: asyncio.Future[AmqpError | None] = connection.loop.create_future()
        self.confirmed: Callable[[int, bool, bool], None] = lambda tag, multiple, taken: None
        self.returned: Take = lambda message: None
        self._awaited: deque[asyncio.Future[Any]] = deque()
        self._consumers: dict[str, tuple[Take, Callable[[], None]]] = {}
        self._message: Incoming | None = None
        self._take: Take = self._pass
        self._closing = False
        self._missing = 0
        self._pieces: list[bytes] = []

    @property
    def is_closed(self) -> bool:
        return self.gone.done()

    async def call(self, method: Any) -> Any:
        """Send a method and wait for the broker's answer to it; a call that is cancelled may have been done.

        Raises `ChannelClosed` when the broker refuses, which ends the channel, and `ConnectionLost`.
        """
        return await self._send(method)

    def _send(self, method: Any) -> "asyncio.Future[Any]":
        if self.gone.done():
            raise self.gone.result() or ConnectionLost("the channel is closed")
        marshalled = frame.marshal(method, self.number)
        answered: asyncio.Future[Any] = self.connection.loop.create_future()
        self._awaited.append(answered)
        self.connection.write(marshalled)
        return answered

    async def confirm(self) -> None:
        """Have what is published from here on confirmed."""
        await self.call(Confirm.Select())

    async def consume(
        self,
        queue: str,
        take: Take,
        *,
        name: str,
        cancelled: Callable[[], None] = lambda: None,
        no_ack: bool = False,
    ) -> str:
        """Have each message handed to `take`; the consumer's tag, which begins with `name`.

        `cancelled` is called when the broker ends it, as it does with a queue that is deleted.
        """
        tag = f"{name}.{uuid4().hex[:8]}"
        self._consumers[tag] = take, cancelled
        await self.call(Basic.Consume(queue=queue, consumer_tag=tag, no_ack=no_ack))
        return tag

    async def get(self, queue: str) -> Incoming | None:
        """One message, to be acknowledged; None where none waits."""
        found = await self.call(Basic.Get(queue=queue))
        return found if isinstance(found, Incoming) else None

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """Settle a delivery, or all up to it. On a channel that has gone they come again."""
        if not self.gone.done():
            self.connection.write(content.acknowledged(self.number, tag, multiple=multiple))

    def reject(self, tag: int, *, requeue: bool) -> None:
        """Give a delivery back."""
        if not self.gone.done():
            self.connection.write(content.rejected(self.number, tag, requeue=requeue))

    def close(self) -> None:
        """Have it closed; nobody has to wait for that."""
        if not self.gone.done() and not self._closing:
            self._closing = True
            self._send(Method.Close(200, "", 0, 0)).add_done_callback(lambda done: done.exception())

    # What the connection reads, in the order of its arrival.

    def read_method(self, method: int, data: bytes, at: int, end: int) -> None:
        if method == DELIVER:
            tag, self._message = content.delivered(self, data, at + 4)
            self._take = self._consumers[tag][0] if tag in self._consumers else self._pass
        elif method in (ACK, NACK):
            self.confirmed(
                int.from_bytes(data[at + 4 : at + 12], "big"), data[at + 12] & 1 == 1, method == ACK
            )
        elif method == RETURN:
            self._message, self._take = content.returned(self, data, at + 4), self.returned
        elif method == GET_OK:
            self._message, self._take = content.fetched(self, data, at + 4), self._answer
        else:
            head = FRAME.pack(METHOD_FRAME, self.number, end - at)
            _, _, made = frame.unmarshal(head + data[at:end] + content.FRAME_END)
            self._read_rare(method, made)

    def _read_rare(self, method: int, made: Any) -> None:
        if method == CANCEL:
            if consumer := self._consumers.pop(made.consumer_tag, None):
                consumer[1]()
        elif method == CLOSE:
            self.connection.write(frame.marshal(Method.CloseOk(), self.number))
            self.end(closed(made.reply_code, made.reply_text))
        elif isinstance(made, Method.CloseOk):
            if self._closing:  # else it is for an earlier channel of this number
                self._answer(made)
                self.end(None)
        elif not isinstance(made, Method.Flow):
            if isinstance(made, Basic.CancelOk):
                self._consumers.pop(made.consumer_tag or "", None)
            self._answer(made)

    def read_header(self, data: bytes, at: int) -> None:
        if self._message:
            self._missing = self._message.read_header(data, at)
            if not self._missing:
                self._complete()

    def read_body(self, piece: bytes) -> None:
        if self._message:
            self._pieces.append(piece)
            self._missing -= len(piece)
            if not self._missing:
                self._message.body = b"".join(self._pieces) if len(self._pieces) > 1 else piece
                self._pieces = []
                self._complete()

    def _complete(self) -> None:
        message, self._message = self._message, None
        assert message is not None
        self._take(message)

    def _pass(self, message: Incoming) -> None:
        """Of a consumer that was cancelled meanwhile: it comes again elsewhere when the channel closes."""

    def _answer(self, answer: Any) -> None:
        awaited = self._awaited.popleft()
        if not awaited.done():
            awaited.set_result(answer)

    def end(self, reason: AmqpError | None) -> None:
        """It is gone: whoever waits for an answer hears why."""
        if self.gone.done():
            return
        self.connection.channels.pop(self.number, None)
        self.gone.set_result(reason)
        for awaited in self._awaited:
            if not awaited.done():
                awaited.set_exception(reason or ConnectionLost("the channel was closed"))
        self._awaited.clear()

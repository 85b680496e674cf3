"""A connection to RabbitMQ that reads and writes as much in one turn of the event loop as there is.

Written for this system and no more: every frame that arrives is handed on in the turn in which it was read,
and nothing reconnects by itself (`shared/amqp/link.py` does).
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from itertools import count
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from pamqp import commands, frame

from shared.amqp.channel import Channel
from shared.amqp.content import BODY_FRAME, FRAME, FRAME_END, HEADER_FRAME, HEARTBEAT_FRAME, METHOD_FRAME
from shared.amqp.errors import AmqpError, ConnectionLost, closed

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10
"""A peer that says nothing for twice as long is gone."""
CONNECT_SECONDS = 10
CLOSE_SECONDS = 1
MOST_UNWRITTEN = 1 << 20
"""Bytes that wait to be written before those who write are asked to wait."""
_HEARTBEAT = FRAME.pack(HEARTBEAT_FRAME, 0, 0) + FRAME_END
_CAPABILITIES = (
    *("publisher_confirms", "consumer_cancel_notify", "basic.nack"),
    *("connection.blocked", "authentication_failure_close"),
)


class Connection(asyncio.Protocol):
    """Made by `connect`. `gone` is done when it is no more, with the reason if it has one.

    `blocked`: the broker reads no more of what is published here for now; `on_blocked` is called then. `room`
    is clear while more waits to be written than should.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[AmqpError | None] = self.loop.create_future()
        self.channels: dict[int, Channel] = {}
        self.blocked = False
        self.unblocked_at = 0.0
        self.on_blocked: Callable[[], None] = lambda: None
        self.room = asyncio.Event()
        self.room.set()
        self.frame_max = 4096
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._silent = 0
        self._beat: asyncio.TimerHandle | None = None
        self._said: asyncio.Queue[Any] = asyncio.Queue()

    async def channel(self, *, vital: bool = False) -> Channel:
        """A new channel. When the broker ends a `vital` one, the whole connection ends, to be made anew."""
        if self.gone.done():
            raise self.gone.result() or ConnectionLost("the connection is closed")
        number = next(number for number in count(1) if number not in self.channels)
        made = self.channels[number] = Channel(self, number)
        await made.call(commands.Channel.Open())
        if vital:
            made.gone.add_done_callback(self._drop_too)
        return made

    def _drop_too(self, gone: "asyncio.Future[AmqpError | None]") -> None:
        if reason := gone.result():
            self.drop(reason)

    def drop(self, reason: AmqpError) -> None:
        """End it without a goodbye: something that it cannot do without has gone."""
        self._end(reason)

    def write(self, frames: bytes) -> None:
        """Send; what is written in one turn of the loop leaves together. Nothing, once it is gone."""
        if self._transport and not self.gone.done():
            self._transport.write(frames)

    async def close(self) -> None:
        """Say goodbye, wait a moment for the answer, and go."""
        if not self.gone.done():
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    self.write(frame.marshal(commands.Connection.Close(200, "", 0, 0), 0))
                    await asyncio.shield(self.gone)
            except TimeoutError:
                log.debug("the broker does not answer a goodbye")
            finally:
                self._end(None)

    # asyncio's protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is of another family
        self._transport.set_write_buffer_limits(high=MOST_UNWRITTEN)

    def data_received(self, data: bytes) -> None:
        self._silent = 0
        if self._rest:
            data = self._rest + data
        try:
            at = self._read(data)
        except Exception as error:
            log.exception("the connection cannot go on")
            self._end(ConnectionLost(f"what came could not be read: {error!r}"))
            return
        self._rest = data[at:] if at < len(data) else b""

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(ConnectionLost(str(error) if error else "the broker has ended the connection"))

    def _read(self, data: bytes) -> int:
        """Hand on all whole frames; where the rest begins."""
        at, size = 0, len(data)
        while size - at >= 8:
            kind, number, length = FRAME.unpack_from(data, at)
            start = at + 7
            end = start + length
            if end >= size:
                break
            at = end + 1
            if data[end] != 0xCE:
                raise ConnectionLost("a frame without its end")
            channel = self.channels.get(number)
            if channel is None:  # the connection's own, or of a channel that is closed
                if number == 0 and kind == METHOD_FRAME:
                    self._read_own(data[start - 7 : at])
            elif kind == METHOD_FRAME:
                channel.read_method(int.from_bytes(data[start : start + 4], "big"), data, start, end)
            elif kind == HEADER_FRAME:
                channel.read_header(data, start)
            elif kind == BODY_FRAME:
                channel.read_body(data[start:end])
        return at

    def _read_own(self, whole: bytes) -> None:
        _, _, made = frame.unmarshal(whole)
        if isinstance(made, commands.Connection.Blocked):
            self.blocked = True
            self.on_blocked()
        elif isinstance(made, commands.Connection.Unblocked):
            self.blocked, self.unblocked_at = False, self.loop.time()
        elif isinstance(made, commands.Connection.Close):
            self.write(frame.marshal(commands.Connection.CloseOk(), 0))
            self._end(closed(made.reply_code, made.reply_text))
        elif isinstance(made, commands.Connection.CloseOk):
            self._end(None)
        else:
            self._said.put_nowait(made)

    def _end(self, reason: AmqpError | None) -> None:
        if self.gone.done():
            return
        self.gone.set_result(reason)
        if self._beat:
            self._beat.cancel()
        for channel in list(self.channels.values()):
            channel.end(reason or ConnectionLost("the connection was closed"))
        self.room.set()
        if self._transport:
            self._transport.close()
            self.loop.call_later(CLOSE_SECONDS, self._transport.abort)  # a frozen peer reads no goodbye

    # The handshake

    async def greet(self, user: str, password: str, virtual_host: str, name: str) -> None:
        """From the protocol's header to an open connection."""
        self.write(b"AMQP\x00\x00\x09\x01")
        await self._heard(commands.Connection.Start)
        capabilities: Any = dict.fromkeys(_CAPABILITIES, True)
        properties: Any = {"product": "Conveyor", "connection_name": name, "capabilities": capabilities}
        start = commands.Connection.StartOk(properties, "PLAIN", f"\0{user}\0{password}", "en_US")
        self.write(frame.marshal(start, 0))
        tune = await self._heard(commands.Connection.Tune)
        self.frame_max = tune.frame_max or 131_072
        heartbeat = min(HEARTBEAT_SECONDS, tune.heartbeat or HEARTBEAT_SECONDS)
        self.write(frame.marshal(commands.Connection.TuneOk(tune.channel_max, self.frame_max, heartbeat), 0))
        self.write(frame.marshal(commands.Connection.Open(virtual_host), 0))
        await self._heard(commands.Connection.OpenOk)
        self._beat = self.loop.call_later(heartbeat / 2, self._keep_alive, heartbeat / 2)

    async def _heard(self, expected: type) -> Any:
        said = asyncio.ensure_future(self._said.get())
        try:
            await asyncio.wait([said, self.gone], return_when=asyncio.FIRST_COMPLETED)
            if not said.done():
                raise self.gone.result() or ConnectionLost("closed while connecting")
        finally:
            said.cancel()
        if not isinstance(said.result(), expected):
            raise ConnectionLost(f"the broker said {said.result()!r} where {expected.__name__} belongs")
        return said.result()

    def _keep_alive(self, seconds: float) -> None:
        """Each half heartbeat. Turns are counted, not seconds: what was frozen has not read yet."""
        self._silent += 1
        if self._silent > 4:
            self._end(ConnectionLost(f"the broker has said nothing for {4 * seconds:.0f} s"))
            return
        self.write(_HEARTBEAT)
        self._beat = self.loop.call_later(seconds, self._keep_alive, seconds)


async def connect(url: str, name: str) -> Connection:
    """An open connection, shown under that name on the management page; within `CONNECT_SECONDS`.

    `amqp://` or `amqps://`, with `cafile`, `certfile` and `keyfile` as the query of the latter. Raises
    `AmqpError`, OSError, TimeoutError; ValueError for a URL that is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("amqp", "amqps"):
        raise ValueError(
            f"{parts.scheme or 'no scheme'}: the address of a broker begins with amqp:// or amqps://"
        )
    secure = parts.scheme == "amqps"
    port = parts.port or (5671 if secure else 5672)
    user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
    virtual_host = unquote(parts.path[1:]) or "/"
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(CONNECT_SECONDS):
        _, connection = await loop.create_connection(
            Connection, parts.hostname or "127.0.0.1", port, ssl=_tls(parts.query) if secure else None
        )
        try:
            await connection.greet(user, password, virtual_host, name)
        except BaseException:
            connection._end(None)
            raise
    return connection


def _tls(query: str) -> ssl.SSLContext:
    given = {name: values[-1] for name, values in parse_qs(query).items()}
    context = ssl.create_default_context(cafile=given.get("cafile"))
    if "certfile" in given:
        context.load_cert_chain(given["certfile"], given.get("keyfile"))
    return context

"""A message on the wire: its properties, how it is published and how it arrives.

These are the frames that a busy process handles thousands of a second, so they are put together and taken
apart here, by hand; all other methods go through pamqp.
"""

import struct
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

from shared.amqp.fields import (
    Table,
    decoded_short,
    decoded_table,
    encoded_table,
    known_short,
    seconds,
    short,
    time_of,
)

METHOD_FRAME, HEADER_FRAME, BODY_FRAME, HEARTBEAT_FRAME = 1, 2, 3, 8
FRAME_END = b"\xce"
FRAME = struct.Struct(">BHI")
"""Type, channel, size of the payload."""
FRAME_OVERHEAD = 8
HEADER = struct.Struct(">HHQH")
"""Class, weight, body size, which properties there are."""
BASIC = 60
_PUBLISH = b"\x00\x3c\x00\x28\x00\x00"
LONG_LONG = struct.Struct(">Q")
_ACK = struct.Struct(">BHIHHQ?B")
_REJECT = struct.Struct(">BHIHHQ?B")


class Unsendable(Exception):
    """The message cannot be put on the wire: a header that AMQP cannot hold, or more than a frame of them."""


class Headed(Protocol):
    """What is published with a body."""

    @property
    def message_id(self) -> str | None: ...

    def header(self, size: int) -> bytes:
        """The payload of the content header of a body of that size."""


@dataclass(slots=True)
class Properties:
    """A message's properties, by the names that AMQP gives them. `expiration` is in milliseconds, as text."""

    content_type: str | None = None
    content_encoding: str | None = None
    headers: Table | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: datetime | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None

    def header(self, size: int) -> bytes:  # noqa: PLR0912  one branch a property
        """The payload of the content header of a body of that size."""
        flags = 0
        parts = [b""]
        if self.content_type is not None:
            flags |= 0x8000
            parts.append(known_short(self.content_type))
        if self.content_encoding is not None:
            flags |= 0x4000
            parts.append(short(self.content_encoding))
        if self.headers:
            flags |= 0x2000
            parts.append(encoded_table(self.headers))
        if self.delivery_mode is not None:
            flags |= 0x1000
            parts.append(bytes((self.delivery_mode,)))
        if self.priority is not None:
            flags |= 0x0800
            parts.append(bytes((self.priority,)))
        if self.correlation_id is not None:
            flags |= 0x0400
            parts.append(short(self.correlation_id))
        if self.reply_to is not None:
            flags |= 0x0200
            parts.append(short(self.reply_to))
        if self.expiration is not None:
            flags |= 0x0100
            parts.append(short(self.expiration))
        if self.message_id is not None:
            flags |= 0x0080
            parts.append(short(self.message_id))
        if self.timestamp is not None:
            flags |= 0x0040
            parts.append(LONG_LONG.pack(seconds(self.timestamp)))
        if self.type is not None:
            flags |= 0x0020
            parts.append(known_short(self.type))
        if self.user_id is not None:
            flags |= 0x0010
            parts.append(known_short(self.user_id))
        if self.app_id is not None:
            flags |= 0x0008
            parts.append(known_short(self.app_id))
        parts[0] = HEADER.pack(BASIC, 0, size, flags)
        return b"".join(parts)


@dataclass(slots=True, eq=False)
class Incoming(Properties):
    """A message as it arrived; `headers` may be empty, all else that was not sent is None.

    `tag` is for its acknowledgement, 0 for what was returned.
    """

    headers: Table = field(default_factory=dict)
    channel: Any = None
    tag: int = 0
    redelivered: bool = False
    exchange: str = ""
    routing_key: str = ""
    body: bytes = b""

    def read_header(self, data: bytes, at: int) -> int:  # noqa: PLR0912  one branch a property
        """Take the properties from a content header's payload; the size of the body that follows."""
        _, _, size, flags = HEADER.unpack_from(data, at)
        at += 14
        if flags & 0x8000:
            self.content_type, at = decoded_short(data, at)
        if flags & 0x4000:
            self.content_encoding, at = decoded_short(data, at)
        if flags & 0x2000:
            self.headers, at = decoded_table(data, at)
        if flags & 0x1000:
            self.delivery_mode, at = data[at], at + 1
        if flags & 0x0800:
            self.priority, at = data[at], at + 1
        if flags & 0x0400:
            self.correlation_id, at = decoded_short(data, at)
        if flags & 0x0200:
            self.reply_to, at = decoded_short(data, at)
        if flags & 0x0100:
            self.expiration, at = decoded_short(data, at)
        if flags & 0x0080:
            self.message_id, at = decoded_short(data, at)
        if flags & 0x0040:
            self.timestamp, at = time_of(LONG_LONG.unpack_from(data, at)[0]), at + 8
        if flags & 0x0020:
            self.type, at = decoded_short(data, at)
        if flags & 0x0010:
            self.user_id, at = decoded_short(data, at)
        if flags & 0x0008:
            self.app_id, at = decoded_short(data, at)
        return int(size)


def delivered(channel: Any, data: bytes, at: int) -> tuple[str, Incoming]:
    """The consumer tag and the message of a `basic.deliver`, from behind its class and method."""
    consumer, at = decoded_short(data, at)
    return consumer, fetched(channel, data, at)


def fetched(channel: Any, data: bytes, at: int) -> Incoming:
    """The message of a `basic.get-ok`, which begins as what is behind the tag of a delivery."""
    tag = LONG_LONG.unpack_from(data, at)[0]
    redelivered = data[at + 8] & 1 == 1
    exchange, at = decoded_short(data, at + 9)
    routing_key, at = decoded_short(data, at)
    return Incoming(
        channel=channel, tag=tag, redelivered=redelivered, exchange=exchange, routing_key=routing_key
    )


def returned(channel: Any, data: bytes, at: int) -> Incoming:
    """The message of a `basic.return`: mandatory, and no queue took it."""
    _, at = decoded_short(data, at + 2)
    exchange, at = decoded_short(data, at)
    routing_key, at = decoded_short(data, at)
    return Incoming(channel=channel, exchange=exchange, routing_key=routing_key)


def published(
    channel: int,
    exchange: str,
    routing_key: str,
    body: bytes,
    properties: Headed,
    most: int,
    *,
    mandatory: bool,
) -> bytes:
    """All frames of a `basic.publish`; `most` is the size of a frame. Raises `Unsendable`."""
    try:
        method = _publish(channel, exchange, routing_key, mandatory)
        header = properties.header(len(body))
    except Exception as error:  # whatever it is: no other message of this turn may suffer from it
        raise Unsendable(f"{type(error).__name__}: {error}") from error
    most -= FRAME_OVERHEAD
    if len(header) > most:
        raise Unsendable("its headers do not fit into a frame")
    parts = [method, FRAME.pack(HEADER_FRAME, channel, len(header)), header, FRAME_END]
    for start in range(0, len(body), most):
        piece = body[start : start + most] if len(body) > most else body
        parts += (FRAME.pack(BODY_FRAME, channel, len(piece)), piece, FRAME_END)
    return b"".join(parts)


@lru_cache(1024)
def _publish(channel: int, exchange: str, routing_key: str, mandatory: bool) -> bytes:
    payload = b"".join((_PUBLISH, short(exchange), short(routing_key), b"\x01" if mandatory else b"\x00"))
    return FRAME.pack(METHOD_FRAME, channel, len(payload)) + payload + FRAME_END


def acknowledged(channel: int, tag: int, *, multiple: bool) -> bytes:
    """The frame of a `basic.ack`."""
    return _ACK.pack(METHOD_FRAME, channel, 13, BASIC, 80, tag, multiple, 0xCE)


def rejected(channel: int, tag: int, *, requeue: bool) -> bytes:
    """The frame of a `basic.reject`."""
    return _REJECT.pack(METHOD_FRAME, channel, 13, BASIC, 90, tag, requeue, 0xCE)

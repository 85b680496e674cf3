"""One HTTP/1.1 connection: uvicorn's, with bounds on all that a client may leave open.

A head is given to the parser when it is there whole: before that nobody knows whether it ends. Two things are
put right in it: an address in raw UTF-8, and the wish for another protocol, which is never granted, and by
which the parser would take a body for something else.
"""

import asyncio
import re
import sys
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

LOOK_SECONDS = 30.0
"""Where nothing has come, or gone, between two looks at what is unfinished, the connection ends."""
IDLE_LOOKS = 3
"""That find nothing new and nothing under way, and it ends as well: 90 to 120 s after its last answer."""
MOST_HEAD_BYTES = 128 * 1024
"""Of a head without end, and of what stands between the parts of a body."""
MOST_TOGETHER_BYTES = 64 * 1024
MOST_PIPELINED = 16
"""Requests of one connection that wait for the answer before theirs."""
TOO_LARGE = b"HTTP/1.1 431 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
END = re.compile(rb"\r?\n\r?\n")
NO_ASCII = re.compile(rb"[\x80-\xff]")
UPGRADE = re.compile(rb"\r\nupgrade(?=[ \t]*:)", re.IGNORECASE)


class _Together:
    """A transport by which what is written in one turn of the loop leaves in one write: head and body."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: Any):
        self.loop = loop
        self.transport = transport
        self.is_closing = transport.is_closing
        self.socket = transport.get_extra_info("socket")
        self.waiting: list[bytes] = []
        self.bytes = self.handed_on = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        if not self.waiting:
            self.loop.call_soon(self.flush)
        self.waiting.append(data)
        self.bytes += len(data)
        if self.bytes > MOST_TOGETHER_BYTES:
            self.flush()  # so that its sender hears when the client reads too slowly

    def close(self) -> None:
        self.flush()
        self.transport.close()

    def flush(self) -> None:
        waiting, self.waiting = self.waiting, []
        self.handed_on, self.bytes = self.handed_on + self.bytes, 0
        if waiting and not self.transport.is_closing():
            self.transport.writelines(waiting)

    def taken(self) -> int:
        """How much the client's side has acknowledged, all in all."""
        unsent = int.from_bytes(ioctl(self.socket.fileno(), TIOCOUTQ, bytes(4)), sys.byteorder)
        left = self.transport.get_write_buffer_size()
        return self.handed_on - int(left) - unsent


class Connection(HttpToolsProtocol):
    """Answers one request at a time; what comes behind it waits, unread where it is much.

    `head`: of the next request, as far as it is there. `heads`: how many have come. `begun`: a request is not
    there whole. `between`: bytes that were neither head nor body.
    """

    head = b""
    heads = 0
    begun = in_head = has_body = False
    between = 0
    running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, _Together(self.loop, transport)))
        self.looking = self.loop.call_later(LOOK_SECONDS, self._look)

    def connection_lost(self, error: Exception | None) -> None:
        self.looking.cancel()
        for cycle in (self.running, *(cycle for cycle, _ in self.pipeline)):
            if cycle and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        super().connection_lost(error)

    @property
    def is_answering(self) -> bool:
        return self.running is not None and not self.running.response_complete

    def data_received(self, data: bytes) -> None:
        self.has_body = False
        if self.begun:
            super().data_received(data)
        else:
            self._read_head(data)
        if not self.begun or self.has_body:
            self.between = 0
            return
        self.between += len(data)
        if self.between > MOST_HEAD_BYTES:
            self.transport.close()

    def _read_head(self, data: bytes) -> None:
        seen = max(0, len(self.head) - 3)  # an end is four bytes at most
        head = self.head = self.head + data if self.head else data
        if self.is_answering:
            if len(head) > MOST_HEAD_BYTES:
                self.flow.pause_reading()
            return
        if end := END.search(head, seen if data else 0):
            whole, rest, self.head = head[: end.end()], head[end.end() :], b""
            if not whole.isascii() or b"upgrade" in whole.lower():
                whole = _put_right(whole)
            super().data_received(whole + rest)
        elif len(head) > MOST_HEAD_BYTES:
            self.transport.write(TOO_LARGE)
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """What cannot be read behind a request takes nothing from its answer, which is the last then."""
        if not self.running or self.running.response_complete:
            super().send_400_response(msg)
        elif self.cycle is not self.running or self.in_head or not self.begun:
            self.running.keep_alive = False
            self.pipeline.clear()
        elif self.running.response_started:
            self.transport.close()
        else:
            super().send_400_response(msg)

    # What the parser finds.

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MOST_PIPELINED:
            raise httptools.HttpParserError("more requests than are taken at a time")
        super().on_message_begin()
        self.begun = True
        self.in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_head:  # else a trailer of a chunked body, which nobody asks for
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.heads += 1
        if self.parser.should_upgrade():  # only behind another request: of others nothing is left to say so
            raise httptools.HttpParserError("no other protocol is spoken here")
        super().on_headers_complete()
        self.in_head = False

    def on_body(self, body: bytes) -> None:
        self.has_body = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.begun = False
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """As uvicorn's, but without a timer for each time that a connection is idle."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self.head and not self.begun:
            self._read_head(b"")

    def _look(self, seen: object = None, times: int = 0) -> None:
        """Whatever waits for the client, and has waited since the last look, waits no longer.

        `times`: so often nothing was new.
        """
        out = cast(_Together, self.transport)
        unread = out.get_write_buffer_size() > 0
        is_owed = self.begun or bool(self.head) or not self.heads  # of a request not all is there
        now = self.heads, self.is_answering, is_owed, out.taken() if unread else -1
        times = times + 1 if now == seen else 0
        if times and unread:
            out.abort()
            return
        if not self.is_answering and times >= (1 if is_owed else IDLE_LOOKS):
            out.close()
        self.looking = self.loop.call_later(LOOK_SECONDS, self._look, now, times)


def _put_right(head: bytes) -> bytes:
    line, end, fields = head.partition(b"\r\n")
    line = NO_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], line)
    return line + UPGRADE.sub(b"\r\nx-upgrade", end + fields)

"""HTTP from a process's own event loop, by uvicorn; what it leaves open about connections is closed here.

A server whose network side has threads of its own answers a constant faster, and pays for it with a switch
between threads at every step of a request that has to wait (docs/decisions/0005).
"""

import asyncio
import logging
import re
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 30.0
"""A connection on which no head of a request came for so long, and up to as long again, is closed."""
MOST_HEAD_BYTES = 128 * 1024
"""Of a head that has no end yet. One that is there whole is the application's to judge."""
KEPT_SECONDS = 75
"""How long a connection is kept for a next request."""
MOST_WAITING = 1024
"""Connections that wait to be taken."""
TOO_LARGE = b"HTTP/1.1 431 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
NO_ASCII = re.compile(rb"[\x80-\xff]")
App = Callable[..., Awaitable[Any]]
"""An ASGI application."""


class _Together:
    """A transport by which all that is written in one turn of the loop leaves in one write: head and body."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: Any):
        self.loop = loop
        self.transport = transport
        self.is_closing = transport.is_closing
        self.waiting: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        if not self.waiting:
            self.loop.call_soon(self._flush)
        self.waiting.append(data)

    def close(self) -> None:
        self._flush()
        self.transport.close()

    def _flush(self) -> None:
        waiting, self.waiting = self.waiting, []
        if waiting and not self.transport.is_closing():
            self.transport.write(b"".join(waiting))


class _Connection(HttpToolsProtocol):
    """One that does not wait for ever for the head of a request, nor for the end of one."""

    heads = 0
    begun = False
    unfinished = 0
    looking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, _Together(self.loop, transport)))
        self._look_after(self.heads)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        if self.looking:
            self.looking.cancel()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.begun = True
        self.unfinished = 1

    def on_headers_complete(self) -> None:
        self.heads += 1
        self.unfinished = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.begun = False
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        if not self.begun and not data.isascii():
            data = _in_ascii(data)
        super().data_received(data)
        if self.unfinished:
            self.unfinished += len(data)
            if self.unfinished > MOST_HEAD_BYTES:
                self.transport.write(TOO_LARGE)
                self.transport.close()

    def _look_after(self, heads: int) -> None:
        self.looking = self.loop.call_later(HEAD_SECONDS, self._look, heads)

    def _look(self, heads: int) -> None:
        if self.heads == heads and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()
        else:
            self._look_after(self.heads)


def _in_ascii(head: bytes) -> bytes:
    """With the address as its sender should have written it: curl and others send what a person typed."""
    line, end, rest = head.partition(b"\r\n")
    return NO_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], line) + end + rest


class _Server(uvicorn.Server):
    """Ends when it is told to; signals are the process's own."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


@asynccontextmanager
async def http_door(
    app: App,
    host: str,
    port: int,
    *,
    first: Callable[[], Awaitable[None]] | None = None,
    grace_seconds: float = 2,
) -> AsyncIterator[None]:
    """Serve an ASGI application from this process's own loop.

    It listens when `first` is done. At the end it listens no more, and what came in before is answered,
    within the grace time.
    """
    _listening(host, port).close()
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level=logging.CRITICAL,  # a request that breaks is told of by the application
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEPT_SECONDS,
    )
    server = _Server(config)

    async def serve() -> None:
        if first:
            await first()
        await server.serve([_listening(host, port)])

    serving = asyncio.create_task(serve(), name="http")
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.wait([serving], timeout=grace_seconds)


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=MOST_WAITING)
    except OSError as error:
        sys.exit(f"Cannot listen on {host}:{port}: {error.strerror}. Give another …_HTTP_PORT.")

"""HTTP from a process's own event loop, by uvicorn.

A server whose network side has threads of its own answers a constant faster, and pays for it with a switch
between threads at every step of a request that has to wait (docs/decisions/0005).
"""

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any

import uvicorn

from shared.http.connection import Connection

MOST_WAITING = 1024
"""Connections that wait to be taken."""
App = Callable[..., Awaitable[Any]]
"""An ASGI application."""


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
        http=Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level=logging.ERROR,  # what a stranger sends is no news
        backlog=MOST_WAITING,
        access_log=False,
        proxy_headers=False,
        server_header=False,
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

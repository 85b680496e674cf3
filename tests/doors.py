"""The HTTP door with an application of a test's own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from infra.local.ports import Ports
from shared.http.door import http_door
from tests.system import eventually


@asynccontextmanager
async def served(app: Callable[..., Awaitable[Any]]) -> AsyncIterator[int]:
    """The application while it runs, at this port."""
    ports = Ports()
    port = ports.choose_any()
    async with http_door(app, "127.0.0.1", port):
        await eventually(lambda: _listens(port), "the door listens")
        yield port
    ports.release()


async def _listens(port: int) -> bool:
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False

"""A connection that comes back by itself, to whichever of its hosts is there."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from shared.amqp.connection import Connection, connect
from shared.amqp.errors import AmqpError

log = logging.getLogger(__name__)

OPEN_SECONDS = 10


def hosts(url: str) -> list[str]:
    """A URL for each host of one that lists several, with commas."""
    parts = urlsplit(url)
    user, at, places = parts.netloc.rpartition("@")
    return [parts._replace(netloc=f"{user}{at}{place}").geturl() for place in places.split(",")]


class Link:
    """One connection, named for people who look at the management page.

    `opened` is called with each new connection (open channels, declare, consume); `lost` when one has gone.
    While it is not `wanted`, a lost one is not made anew.
    """

    def __init__(
        self,
        url: str,
        name: str,
        opened: Callable[[Connection], Awaitable[None]],
        lost: Callable[[], None] = lambda: None,
    ):
        self.urls = hosts(url)
        self.name = name
        self.opened = opened
        self.lost = lost
        self.connection: Connection | None = None
        self.back = asyncio.Event()
        self.wanted = asyncio.Event()
        self.wanted.set()

    async def keep_open(self) -> None:
        """Connect, and connect again whenever the connection is lost, until cancelled.

        To any of the hosts: the one that was lost may be gone for long.
        """
        delay = 0.1
        while True:
            await self.wanted.wait()
            connection = None
            try:
                connection = await connect(random.choice(self.urls), self.name)
                async with asyncio.timeout(OPEN_SECONDS):
                    await self.opened(connection)
                self.connection = connection
                self.back.set()
                delay = 0.1
                log.info("connected to the broker", extra={"fields": {"link": self.name}})
                self._tell(await asyncio.shield(connection.gone))
            except (AmqpError, OSError, TimeoutError) as error:
                self._tell(error)
            finally:
                self.back.clear()
                was_open, self.connection = self.connection is not None, None
                if was_open:
                    self.lost()
                if connection:
                    await connection.close()
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, 2.0)

    def _tell(self, reason: Exception | None) -> None:
        fields = {"link": self.name, "reason": repr(reason)[:200]}
        log.warning("the broker is not to be had, trying again", extra={"fields": fields})

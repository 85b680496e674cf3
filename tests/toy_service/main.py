"""A service that misbehaves when told to, for tests of the kernel.

`TOY_DIE=<where>:<file>` makes it kill itself once at a chosen place (the file says that it has).
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from pydantic_settings import SettingsConfigDict

from shared import holding, topology
from shared.amqp.connection import connect
from shared.journal import Outbox
from shared.journal_postgresql import PostgresqlJournal
from shared.journal_sql import SqlTransaction
from shared.journal_sqlite import SqliteJournal
from shared.service import Service, ServiceSettings
from shared.unsettled import Unsettled
from tests.toy_service import handlers

PLACES = {
    "before_commit": (SqlTransaction, "conclude"),
    "before_publish": (Outbox, "_publish"),
    "before_acknowledge": (Unsettled, "_acknowledge"),
}


class ToySettings(ServiceSettings):
    """What the toy can be told."""

    model_config = SettingsConfigDict(env_prefix="TOY_")

    retry_seconds: tuple[int, ...] = (1, 1)
    die: str = ""
    hold: float = 0


def die_at(where: str, file: Path) -> None:
    """Kill this process the first time that it comes to a place."""
    owner, method = PLACES[where]
    original = getattr(owner, method)

    def dying(self: Any, *arguments: Any, **how: Any) -> Any:
        if file.exists() or not any(arguments):
            return original(self, *arguments, **how)
        if where == "before_acknowledge":  # events that are on their way arrive
            return asyncio.get_running_loop().call_later(0.1, die)
        return die()

    def die() -> None:
        file.touch()
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, method, dying)


async def declare(url: str) -> None:
    connection = await connect(url, "toy topology")
    await topology.declare(connection, recent=True)
    await connection.close()


def main() -> None:
    settings = ToySettings(database_url=os.environ["TOY_DATABASE_URL"])
    if settings.die and "migrate" not in sys.argv:
        where, _, file = settings.die.partition(":")
        die_at(where, Path(file))
    if settings.hold:
        holding.QUIET_SECONDS = holding.LATEST_SECONDS = settings.hold
    if "migrate" in sys.argv:
        asyncio.run(declare(settings.rabbitmq_url))
    form = SqliteJournal if settings.database_url.startswith("sqlite") else PostgresqlJournal
    journal = form(settings.database_url, Path(__file__).parent / "migrations")
    Service("toy", "toy", settings, journal, [handlers]).main()


if __name__ == "__main__":
    main()

"""The toy service and a client, for each test module of the kernel."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from infra.local.servers import Servers
from shared.bus import Publisher
from shared.journal_postgresql import PostgresqlJournal
from tests.amqp import Client, client
from tests.system import Replica, System

TOY = Path(__file__).parents[1] / "toy_service" / "migrations"
_numbers = count(1)


@pytest.fixture(scope="module")
async def toy(system: System) -> Replica:
    return await system.start("tests.toy_service")


@pytest.fixture
async def amqp(system: System) -> AsyncIterator[Client]:
    async with client(system) as made:
        yield made


@pytest.fixture
async def publisher(system: System) -> AsyncIterator[Publisher]:
    publisher = Publisher(system.broker_url("operator"), "test")
    open_ = asyncio.create_task(publisher.link.keep_open())
    await asyncio.wait_for(publisher.link.back.wait(), 30)
    yield publisher
    open_.cancel()


@pytest.fixture
def database(servers: Servers) -> str:
    """The URL of an empty database in PostgreSQL."""
    name = f"kernel{next(_numbers)}"
    servers.postgresql.create_database(name, "task_service", "task_service")
    return servers.postgresql.url(name, "task_service", "task_service")


@pytest.fixture
async def journal(database: str) -> AsyncIterator[PostgresqlJournal]:
    """The toy service's journal there; a module about other stores has one of its own."""
    journal = PostgresqlJournal(database, TOY)
    await journal.migrate()
    yield journal
    await journal.close()

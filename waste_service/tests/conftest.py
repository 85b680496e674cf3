"""A database of waste_service for each test, and the service's handlers on it."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

import waste_service
from infra.local.servers import Servers
from shared.journal_postgresql import PostgresqlJournal
from tests.running import Running
from waste_service import handlers
from waste_service.tests.messages import a_road, a_storage, an_organization

_numbers = count(1)


@pytest.fixture
async def running(servers: Servers) -> AsyncIterator[Running]:
    name = f"waste{next(_numbers)}"
    servers.postgresql.create_database(name, "waste_service", "waste_service")
    url = servers.postgresql.url(name, "waste_service", "waste_service")
    migrations = Path(waste_service.__path__[0]) / "migrations"
    await PostgresqlJournal(url, migrations).migrate()
    journal = PostgresqlJournal(url, migrations)
    yield Running(journal, handlers, contended=True)
    await journal.close()


@pytest.fixture
async def office(running: Running) -> Running:
    """An office with a near storage for 5 bio and 5 glass, and a far one for 10 bio."""
    await running.batch(
        an_organization(),
        a_storage("near", bio=5, glass=5),
        a_storage("far", bio=10),
        a_road("office", "near", 10),
        a_road("near", "far", 90),
    )
    running.said.clear()
    return running

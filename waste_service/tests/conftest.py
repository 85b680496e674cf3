"""A database of waste_service for each test, and the service's handlers on it."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

import waste_service
from infra.local.servers import Servers
from shared.journal_sql import SqlJournal
from tests.running import Running
from waste_service import handlers

_numbers = count(1)


@pytest.fixture
async def running(servers: Servers) -> AsyncIterator[Running]:
    name = f"waste{next(_numbers)}"
    servers.postgresql.create_database(name, "waste_service", "waste_service")
    url = servers.postgresql.url(name, "waste_service", "waste_service")
    migrations = Path(waste_service.__path__[0]) / "migrations"
    await SqlJournal(url, migrations).migrate()
    journal = SqlJournal(url, migrations)
    yield Running(journal, handlers, contended=True)
    await journal.close()

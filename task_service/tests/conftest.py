"""A database of task_service for each test, and the service's handlers on it."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

import task_service
from infra.local.servers import Servers
from shared.journal_sql import SqlJournal
from task_service import handlers
from tests.running import Running

MIGRATIONS = Path(task_service.__path__[0]) / "migrations"
_numbers = count(1)


@pytest.fixture
def database_url(servers: Servers) -> str:
    """An empty database."""
    name = f"tasks{next(_numbers)}"
    servers.postgresql.create_database(name, "task_service", "task_service")
    return servers.postgresql.url(name, "task_service", "task_service")


@pytest.fixture
async def running(database_url: str) -> AsyncIterator[Running]:
    journal = SqlJournal(database_url, MIGRATIONS)
    await journal.migrate()
    yield Running(journal, handlers, contended=True)
    await journal.close()

"""A database of task_service for each test, in each kind of store, and the service's handlers on it."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

import task_service
from infra.local.servers import Servers
from shared.journal import Journal
from shared.journal_postgresql import PostgresqlJournal
from shared.journal_sqlite import SqliteJournal
from task_service import handlers
from tests.running import Running

MIGRATIONS = Path(task_service.__path__[0]) / "migrations"
_numbers = count(1)


@pytest.fixture(params=["postgresql", "sqlite", "memory"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database_url(servers: Servers, store: str, tmp_path: Path) -> str:
    """An empty database."""
    if store != "postgresql":
        return f"sqlite+aiosqlite:///{tmp_path}/tasks.db" if store == "sqlite" else "sqlite+aiosqlite://"
    name = f"tasks{next(_numbers)}"
    servers.postgresql.create_database(name, "task_service", "task_service")
    return servers.postgresql.url(name, "task_service", "task_service")


@pytest.fixture
async def running(database_url: str) -> AsyncIterator[Running]:
    journal = await opened(database_url)
    yield Running(journal, handlers, contended=True)
    await journal.close()


async def opened(database_url: str, migrations: Path = MIGRATIONS) -> Journal:
    """A journal as a process has it after its start."""
    form = SqliteJournal if database_url.startswith("sqlite") else PostgresqlJournal
    journal = form(database_url, migrations)
    await journal.migrate()
    await journal.open()
    return journal

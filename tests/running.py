"""A service's handlers on a real database, in transactions like the kernel's, without a broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib import import_module
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

from infra.local.servers import Servers
from shared.handling import Work, handlers_in
from shared.journal import Journal
from shared.journal_postgresql import PostgresqlJournal, PostgresqlTransaction
from shared.messages import AnswerType, Event, Refusal, Request

_numbers = count(1)
_migrated: set[tuple[int, str]] = set()
"""By the server's port and the service."""


class Running:
    """A process of the service, as far as its store can tell."""

    def __init__(self, journal: Journal, handlers: ModuleType, *, contended: bool = False):
        self.journal: Any = journal  # of the form that its tests know
        self.contended = contended
        self.functions = {handler.message: handler.function for handler in handlers_in(handlers)}
        self.said: list[Event] = []
        self.prepared: Any = None
        """What the prepare beats of its messages have brought."""

    async def ask(self, message: Request[AnswerType]) -> AnswerType:
        """The answer to one message; what the handler raises is raised."""
        [answer] = await self.batch(message)
        if isinstance(answer, Refusal):
            raise answer
        return answer  # type: ignore[no-any-return]

    async def batch(self, *messages: Request[Any]) -> list[Any]:
        """Commands in one transaction: answers, and refusals where nothing was written."""
        async with self.journal.transaction(contended=self.contended) as transaction:
            return await self.batch_in(transaction, *messages)

    async def batch_in(self, transaction: Any, *messages: Request[Any]) -> list[Any]:
        """The same, before its commit."""
        answers: list[Any] = []
        for message in messages:
            transaction.next_message()
            writes = transaction.writes
            work = Work("id", "direct", "conversation", datetime.now(UTC), transaction)
            work.prepared = self.prepared
            try:
                answers.append(await self.functions[type(message)](message, work))
            except Refusal as refusal:
                assert transaction.writes == writes, "refused after a write"
                answers.append(refusal)
            self.said += work.said
        await transaction.conclude([], [])
        return answers

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """Rows straight from PostgreSQL."""
        async with self.journal.reading() as transaction:
            assert isinstance(transaction, PostgresqlTransaction)
            return await transaction.driver.fetch(query, *arguments)


async def empty_database(servers: Servers, service: str) -> str:
    """The address of a new one that is migrated: a copy of one for all tests."""
    postgresql = servers.postgresql
    like, name = f"empty_{service}", f"{service}{next(_numbers)}"
    if (postgresql.port, service) not in _migrated:
        postgresql.create_database(like, service, service)
        journal = PostgresqlJournal(postgresql.url(like, service, service), _migrations(service))
        await journal.migrate()
        await journal.close()
        _migrated.add((postgresql.port, service))
    postgresql.create_database(name, service, service, like=like)
    return postgresql.url(name, service, service)


def _migrations(service: str) -> Path:
    return Path(import_module(service).__path__[0]) / "migrations"


@asynccontextmanager
async def running_on_postgresql(
    servers: Servers, service: str, *, contended: bool = False
) -> AsyncIterator[Running]:
    """A service, by the name of its package, on an empty database of its own."""
    journal = PostgresqlJournal(await empty_database(servers, service), _migrations(service))
    yield Running(journal, import_module(f"{service}.handlers"), contended=contended)
    await journal.close()

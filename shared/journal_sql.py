"""What journals in SQL have in common: the transaction that stores read and write in.

A store whose service runs on PostgreSQL and on SQLite is written once, with `TIME` and `spelt` where the two
differ.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from shared.handling import Work
from shared.journal import Conflict, Key, Noted, Outcome, Said, Settled
from shared.journal_writing import Writing
from shared.kinds import is_a


class Prepared:
    """A statement that returns rows and always has the same form, so that it is compiled once; SQL, or as
    SQLAlchemy builds it.
    """

    def __init__(self, statement: str | sa.Executable):
        self.statement = sa.text(statement) if isinstance(statement, str) else statement


class SqlTransaction(Writing[sa.Executable | sa.TableClause], ABC):
    """What SQL stores read and write in. What they write is a statement, or a row for a table."""

    def __init__(self, connection: AsyncConnection):
        super().__init__()
        self.connection = connection

    @abstractmethod
    def using(self) -> AbstractContextManager[None]:
        """Every use of the connection: says of an error whether the store is away, or it was a conflict."""

    async def read(
        self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None
    ) -> sa.CursorResult[Any]:
        """Run a statement that returns rows. What waits to be written is sent first."""
        await self.flush()
        with self.using():
            return await self._execute(statement, parameters)

    async def rows(
        self, prepared: Prepared, parameters: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """The rows of a prepared statement, by column. What waits to be written is sent first."""
        return [dict(row) for row in (await self.read(prepared.statement, parameters)).mappings()]

    async def _execute(
        self, statement: sa.Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
    ) -> sa.CursorResult[Any]:
        return await self.connection.execute(statement, parameters)

    async def flush(self) -> None:
        if not self.waiting:
            return
        with self.using():
            for target, parameters in self.taken():
                await self._execute(_statement(target), parameters)

    async def conclude(self, settled: Sequence[Settled], said: Sequence[Said], *, last: bool = False) -> None:
        # In an order in which two processes meet, whatever came first.
        count = await self._keep(sorted(settled, key=attrgetter("queue", "message_id")), said, last=last)
        if count != len(settled):
            raise Conflict("some of these commands were ended before")

    @abstractmethod
    async def find(self, keys: Sequence[Key]) -> Mapping[Key, Outcome]: ...

    @abstractmethod
    async def look_up(self, key: Key) -> Noted | None: ...

    @abstractmethod
    async def _keep(self, settled: Sequence[Settled], said: Sequence[Said], *, last: bool) -> int:
        """Write what waits, inbox and outbox; how many commands had not ended before."""


@lru_cache
def _statement(target: sa.Executable | sa.TableClause) -> sa.Executable:
    return sa.insert(target) if isinstance(target, sa.TableClause) else target


def sql(work: Work) -> SqlTransaction:
    """The transaction of a message's work, for the stores of SQL services."""
    assert is_a(work.transaction, SqlTransaction), "this service's journal is not SQL"  # type: ignore[type-abstract]
    return work.transaction


def causes_of(error: BaseException | None) -> Iterator[Any]:
    """SQLAlchemy wraps its adapter's error, which was raised from the driver's."""
    while error is not None:
        yield error
        error = getattr(error, "orig", None) or error.__cause__


class _Utc(sa.TypeDecorator[datetime]):
    """SQLite keeps times as text without a zone."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value and value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value and value.replace(tzinfo=UTC)


TIME = sa.DateTime(timezone=True).with_variant(_Utc(), "sqlite")
"""The type of a column of aware times."""


class spelt(FunctionElement[Any]):  # noqa: N801  read as one more function of SQLAlchemy's
    """An expression that SQLite spells otherwise than PostgreSQL."""

    inherit_cache = True

    def __init__(self, postgresql: sa.ColumnElement[Any], *, sqlite: sa.ColumnElement[Any]):
        super().__init__(postgresql, sqlite)
        self.type = postgresql.type


@compiles(spelt)
def _spell(element: spelt, compiler: SQLCompiler, **options: Any) -> str:
    postgresql, sqlite = element.clauses
    if compiler.dialect.name == "sqlite":
        return f"({compiler.process(sqlite, **options)})"
    return compiler.process(postgresql, **options)

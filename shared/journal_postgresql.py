"""Inbox and outbox in PostgreSQL.

The kernel drives BEGIN and COMMIT itself on a driver connection of its own choosing, so that SQLAlchemy's
statements and the kernel's hot ones (asyncpg, prepared once) share one transaction. A batch that reads
nothing and only adds rows is one statement with its inbox and outbox, and needs neither.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, cast
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared import journal_postgresql_statements as statements
from shared.journal import Key, Noted, Outcome, Said, Settled, StoreAway, at_once
from shared.journal_postgresql_errors import Use
from shared.journal_postgresql_reads import Compiled
from shared.journal_postgresql_rows import Rows, adding, leaving_together, list_of_texts
from shared.journal_postgresql_url import address_and_tls
from shared.journal_sql import Prepared, SqlTransaction, causes_of

log = logging.getLogger(__name__)

PROBE_SECONDS = 2.0
STATEMENT_SECONDS = 30.0
MOST_KEPT = 4
"""Connections that are not given back: that, and taking one from the pool, costs as much as a statement."""
FROZEN_SECONDS = 15
"""A process frozen within a batch must not hold the service's lock for longer than others wait for it."""
TOO_SLOW = f"its handlers left the transaction idle for {FROZEN_SECONDS} s; work like that goes before it"
ADVISORY_LOCK = 0x_C0_4E_7E_40
"""The one lock of a service's database (each service has a database of its own)."""
LOCKED = f"BEGIN; SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"
NO_TEXTS = {"answer", "fingerprint", "id", "body", "said_at"}


class PostgresqlTransaction(SqlTransaction):
    """A transaction on asyncpg's connection, which the kernel's own statements use directly.

    `opening` is the statement that it begins with, once it has to: empty where it has begun, or never does.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        driver: "asyncpg.Connection[Any]",
        *,
        opening: str = "",
        turn: Callable[[], Awaitable[None]] = at_once,
    ):
        super().__init__(connection)
        self.driver = driver
        self.opening = opening
        self.turn = turn
        self.begun = False
        self.looked = False
        self.use = Use(driver)
        self.longest_idle = 0.0

    def using(self) -> Use:
        """Notes how long the transaction lay idle in between."""
        if self.begun:
            self.longest_idle = max(self.longest_idle, monotonic() - self.use.over)
        return self.use

    async def begin(self) -> None:
        """Open it, unless that is done."""
        if self.opening:
            await self.turn()
            self.begun, self.use.over = True, monotonic()
            with self.using():
                await self.driver.execute(self.opening)
            self.opening = ""

    async def commit(self) -> None:
        if self.begun:
            with self.using():
                status = await self.driver.execute("COMMIT")
            assert status == "COMMIT", "a statement failed and its error was swallowed"

    async def flush(self) -> None:
        await self.begin()
        with self.using():
            for group in leaving_together(self.taken()):
                if isinstance(group, dict):
                    parts, columns = adding(group)
                    await self.driver.execute(f"WITH {', '.join(parts)} SELECT", *columns)
                else:
                    await self._execute(*group)

    async def rows(
        self, prepared: Prepared, parameters: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        await self.flush()
        compiled = Compiled.of(prepared)
        with self.using():
            records = await self.driver.fetch(compiled.text, *compiled.values(parameters or {}))
        return compiled.rows(records)

    async def find(self, keys: Sequence[Key]) -> Mapping[Key, Outcome]:
        await self.begin()
        queues, ids = [queue for queue, _ in keys], [message_id for _, message_id in keys]
        with self.using():
            rows = await self.driver.fetch(statements.FIND, queues, ids)
        self.looked = True
        return {(queue, message_id): Outcome(*outcome) for queue, message_id, *outcome in map(tuple, rows)}

    async def look_up(self, key: Key) -> Noted | None:
        await self.begin()
        with self.using():
            row = await self.driver.fetchrow(statements.LOOK_UP, *key)
        return Noted(*row.values()) if row else None

    async def _keep(self, settled: Sequence[Settled], said: Sequence[Said], *, last: bool) -> int:
        groups = list(leaving_together(self.waiting))
        if not last or len(groups) > 1 or not all(isinstance(group, dict) for group in groups):
            await self.flush()
        columns = _columns(settled, said)
        parts, more = adding(cast(Rows, dict(self.taken())), after=len(columns))
        await self.turn()
        concluding = statements.CONCLUDE if self.looked or not last else statements.CONCLUDE_UNSEEN
        assert self.begun or concluding is statements.CONCLUDE_UNSEEN, "what counts has to be rolled back"
        with self.using():
            count = await self.driver.fetchval(f"WITH {', '.join([*parts, concluding])}", *columns, *more)
        return cast(int, count)


def _said(identity: UUID, *cells: Any) -> Said:
    return Said(str(identity), *cells)


def _columns(settled: Sequence[Settled], said: Sequence[Said]) -> list[Any]:
    """Of the rows of inbox and outbox, as `statements.CONCLUDE` numbers them."""
    *commands, outcomes = zip(*settled, strict=True) if settled else [()] * len(Settled._fields)
    ended = zip(*outcomes, strict=True) if outcomes else [()] * len(Outcome._fields)
    events = zip(*said, strict=True) if said else [()] * len(Said._fields)
    names = (*Settled._fields[:-1], *Outcome._fields, *Said._fields)
    columns = zip(names, (*commands, *ended, *events), strict=True)
    return [column if name in NO_TEXTS else list_of_texts(column) for name, column in columns]


class PostgresqlJournal:
    """A service's PostgreSQL database."""

    def __init__(self, url: str, migrations: Path, *, connections: int = 10):
        """`url` as people write it: `postgresql://user:password@host:port/database?sslmode=verify-full`."""
        self.migrations = migrations
        address, tls = address_and_tls(url)
        self.closed = False
        self.kept: list[tuple[AsyncConnection, asyncpg.Connection[Any]]] = []
        self.engine: AsyncEngine = create_async_engine(
            address,
            isolation_level="AUTOCOMMIT",  # BEGIN and COMMIT are the kernel's own
            pool_size=connections,
            max_overflow=0,
            connect_args={
                "command_timeout": STATEMENT_SECONDS,
                "timeout": 5,
                **tls,
                "server_settings": {"idle_in_transaction_session_timeout": f"{FROZEN_SECONDS}s"},
            },
        )

    async def open(self) -> None:
        """The server is waited for, by probing."""

    async def close(self) -> None:
        self.closed = True
        kept, self.kept = self.kept, []
        for connection, _ in kept:
            await connection.close()
        await self.engine.dispose()

    async def migrate(self) -> None:
        from shared.journal_tables import upgrade  # noqa: PLC0415

        try:
            opened = await self.engine.connect()
        except (OSError, asyncpg.PostgresError, sa.exc.DBAPIError) as error:
            raise StoreAway(str(list(causes_of(error))[-1]) or "it does not answer") from error
        async with aclosing(opened) as connection:
            await connection.exec_driver_sql(f"SELECT pg_advisory_lock({ADVISORY_LOCK})")
            await connection.run_sync(upgrade, self.migrations)
        await self.engine.dispose()  # and with its connection goes the lock

    @asynccontextmanager
    async def transaction(
        self, *, contended: bool = False, turn: Callable[[], Awaitable[None]] = at_once
    ) -> AsyncIterator[PostgresqlTransaction]:
        async with self.reading(opening=LOCKED if contended else "BEGIN", turn=turn) as transaction:
            try:
                if contended:
                    await transaction.begin()
                yield transaction
                await transaction.commit()
            except BaseException as error:
                if transaction.begun or isinstance(error, StoreAway):  # which may mean: it is slow to cancel
                    await _roll_back(transaction)
                if isinstance(error, StoreAway) and transaction.longest_idle >= FROZEN_SECONDS:
                    raise TimeoutError(TOO_SLOW) from error
                raise

    @asynccontextmanager
    async def reading(
        self, *, opening: str = "", turn: Callable[[], Awaitable[None]] = at_once
    ) -> AsyncIterator[PostgresqlTransaction]:
        connection, driver = await self._take_kept() or await self._connect()
        transaction = PostgresqlTransaction(connection, driver, opening=opening, turn=turn)
        try:
            yield transaction
        except (asyncio.CancelledError, StoreAway):
            await connection.invalidate()  # the server may still be at work on it
            raise
        finally:
            transaction.memory.clear()  # what is in it may know the transaction, which no count would free
            if connection.invalidated or driver.is_closed() or not self._may_keep():
                await connection.close()
            else:
                self.kept.append((connection, driver))

    def _may_keep(self) -> bool:
        """Not where somebody may wait for the pool, which knows nothing of those that are kept."""
        pool = cast(sa.QueuePool, self.engine.pool)
        return not self.closed and len(self.kept) < MOST_KEPT and pool.checkedout() < pool.size()

    async def _take_kept(self) -> "tuple[AsyncConnection, asyncpg.Connection[Any]] | None":
        kept = self.kept.pop() if self.kept else None
        if kept and kept[1].is_closed():
            await kept[0].close()
            return None
        return kept

    async def _connect(self) -> tuple[AsyncConnection, "asyncpg.Connection[Any]"]:
        """A connection that was open a moment ago: the pool keeps those that a restart has ended."""
        while True:
            connection = self.engine.connect()
            with Use():
                await connection.start()
            raw = await connection.get_raw_connection()
            driver = cast("asyncpg.Connection[Any]", raw.driver_connection)
            if not driver.is_closed():
                return connection, driver
            await connection.invalidate()
            await connection.close()

    @asynccontextmanager
    async def _own(self) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """A connection for the kernel's own statements, each a transaction."""
        async with self.reading() as transaction:
            with transaction.using():
                yield transaction.driver

    async def probe(self) -> None:
        try:
            async with asyncio.timeout(PROBE_SECONDS), self._own() as driver:
                await driver.fetchval("SELECT 1")
        except TimeoutError:
            raise StoreAway("the database did not answer in time") from None

    async def note_start(self, key: Key, actor: str, by: int = 1) -> int:
        async with self._own() as driver:
            return await driver.fetchval(statements.NOTE_START, *key, actor, by) or 0

    async def note_attempt(self, key: Key, actor: str, attempt: int, due: datetime, error: str) -> None:
        async with self._own() as driver:
            await driver.execute(
                statements.NOTE_ATTEMPT, *key, actor, attempt, due, error.replace("\x00", "\\0")
            )

    async def clear(self, ids: Sequence[str]) -> None:
        async with self._own() as driver:
            await driver.execute(statements.CLEAR, list(ids))

    async def stranded(self, older_than: timedelta) -> list[Said]:
        async with self._own() as driver:
            rows = await driver.fetch(statements.STRANDED, older_than)
        return sorted((_said(*row.values()) for row in rows), key=lambda said: said.id)

    async def backlog(self) -> tuple[int, float]:
        async with self._own() as driver:
            row = await driver.fetchrow(statements.BACKLOG)
        assert row is not None
        return row[0], row[1]

    async def purge(self, keep: timedelta) -> None:
        async with self._own() as driver:
            while await driver.execute(statements.PURGE, keep) == "DELETE 1000":
                pass


async def _roll_back(transaction: PostgresqlTransaction) -> None:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await transaction.driver.execute("ROLLBACK")
    except Exception as error:  # the server rolls back what a lost connection left open
        log.debug("rolling back: %r", error)
        await transaction.connection.invalidate()

"""Inbox and outbox in SQLite: a file for one process, or the memory of one.

One connection writes, and who wants to write waits in line for it. Its transactions take SQLite's lock at
once, so nothing changes between the look into the inbox and the commit, whoever else has the file open. A
commit is on the disk when it returns. In memory the one connection is the database: all wait in line for it.
"""

import asyncio
import fcntl
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, TextIO, cast
from uuid import UUID

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared import journal_sqlite_statements as statements
from shared.journal import Key, Noted, Outcome, Said, Settled, StoreAway, at_once
from shared.journal_sql import SqlTransaction, causes_of

log = logging.getLogger(__name__)

BUSY_SECONDS = 1.5
"""How long another program may hold the file's lock before the store counts as away."""
OLDEST = (3, 35)
"""The first SQLite with RETURNING."""
FORGETS = (
    "the store is in memory: it ends with this process, inbox and outbox too; what is delivered again after "
    "that is done again"
)


class SqliteTransaction(SqlTransaction):
    """A transaction on aiosqlite's connection, which the kernel's own statements use directly."""

    def __init__(self, connection: AsyncConnection, driver: aiosqlite.Connection):
        super().__init__(connection)
        self.driver = driver
        self.failed = False

    async def _execute(self, *statement: Any) -> sa.CursorResult[Any]:
        """Cancelled, SQLAlchemy would part with the connection, and in memory with the whole database."""
        executing = asyncio.ensure_future(super()._execute(*statement))
        try:
            return await asyncio.shield(executing)
        except asyncio.CancelledError:
            while not executing.done():
                await self.driver.interrupt()
                await asyncio.wait([executing], timeout=0.05)
            raise

    @contextmanager
    def using(self) -> Iterator[None]:
        """SQLite goes on after a statement that failed half done; the kernel must not."""
        try:
            with _translated():
                yield
        except BaseException:
            self.failed = True
            raise

    async def find(self, keys: Sequence[Key]) -> Mapping[Key, Outcome]:
        wanted = statements.FIND.format(", ".join(["(?, ?)"] * len(keys)))
        with self.using():
            rows = await self.driver.execute_fetchall(wanted, [*chain(*keys)])
        return {(queue, message_id): Outcome(*outcome) for queue, message_id, *outcome in rows}

    async def look_up(self, key: Key) -> Noted | None:
        with self.using():
            rows = await self.driver.execute_fetchall(statements.LOOK_UP, key)
        for ending, answer, attempt, due_at, error, versions in rows:
            return Noted(ending, answer, attempt, _time(due_at) if due_at else None, error, versions)
        return None

    async def _keep(self, settled: Sequence[Settled], said: Sequence[Said], *, last: bool) -> int:
        await self.flush()
        now = _now()
        with self.using():
            ended = await self.driver.executemany(
                statements.SETTLE, [(*one[:3], *one.outcome, now) for one in settled]
            )
            await self.driver.executemany(statements.SAY, [_row(one, now) for one in said])
        return ended.rowcount


def _row(said: Said, now: str) -> tuple[Any, ...]:
    identity, *cells, said_at = said
    return identity.replace("-", ""), *cells, _text(said_at), now


def _event(row: Sequence[Any]) -> Said:
    identity, *cells, said_at = row
    values: list[Any] = [str(UUID(identity)), *cells, _time(said_at)]
    return Said(*values)


def _text(time: datetime) -> str:
    """A time as SQLAlchemy keeps it in SQLite, in UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _now() -> str:
    return _text(datetime.now(UTC))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class SqliteJournal:
    """A service's SQLite database."""

    def __init__(self, url: str, migrations: Path, *, connections: int = 4):
        """`url`: `sqlite+aiosqlite:///relative`, `sqlite+aiosqlite:////absolute`, in memory with no path."""
        self.migrations = migrations
        path = sa.make_url(url).database or ":memory:"
        self.file = None if path == ":memory:" else Path(path).resolve()
        self.writer = self._engine(1)
        self.readers = self._engine(connections) if self.file else self.writer
        self.lock: TextIO | None = None
        self.away: StoreAway | None = None
        """Why the last transaction that was tried could not begin, or could not be written."""

    def _engine(self, connections: int) -> AsyncEngine:
        engine = create_async_engine(
            sa.URL.create("sqlite+aiosqlite", database=str(self.file or ":memory:")),
            isolation_level="AUTOCOMMIT",  # BEGIN and COMMIT are the kernel's own
            poolclass=sa.AsyncAdaptedQueuePool,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=None,
            connect_args={"timeout": BUSY_SECONDS},
        )
        sa.event.listen(engine.sync_engine, "connect", _prepare)
        return engine

    async def open(self) -> None:
        """With the schema up to date: no other process could bring it there."""
        if self.file is None:
            log.warning(FORGETS)
        await self._open()

    async def migrate(self) -> None:
        await self._open()
        await self.close()

    async def _open(self) -> None:
        from shared.journal_tables import upgrade  # noqa: PLC0415

        if sqlite3.sqlite_version_info < OLDEST:
            raise StoreAway(f"SQLite 3.35 or newer is needed, and this Python has {sqlite3.sqlite_version}")
        if self.file:
            self.lock = _locked(self.file)
        try:
            async with self._use(self.writer) as transaction:
                with _translated():
                    await transaction.driver.execute_fetchall("PRAGMA journal_mode = WAL")
                    await transaction.connection.run_sync(upgrade, self.migrations)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self.readers.dispose()
        await self.writer.dispose()
        if self.lock:
            self.lock.close()

    @asynccontextmanager
    async def transaction(
        self, *, contended: bool = False, turn: Callable[[], Awaitable[None]] = at_once
    ) -> AsyncIterator[SqliteTransaction]:
        """Contended or not: it is the only one that writes."""
        await turn()
        async with self._use(self.writer) as transaction:
            try:
                with transaction.using():
                    await transaction.driver.execute("BEGIN IMMEDIATE")
                yield transaction
                assert not transaction.failed, "a statement failed and its error was swallowed"
                with transaction.using():
                    await transaction.driver.execute("COMMIT")
                self.away = None
            except BaseException as error:
                if isinstance(error, StoreAway):
                    self.away = error
                with _translated():
                    await transaction.driver.rollback()  # nothing where SQLite has done so itself
                raise

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[SqliteTransaction]:
        async with self._use(self.readers) as transaction:
            yield transaction

    @asynccontextmanager
    async def _use(self, engine: AsyncEngine) -> AsyncIterator[SqliteTransaction]:
        connection = engine.connect()
        with _translated():
            await connection.start()
            raw = await connection.get_raw_connection()
        driver = cast(aiosqlite.Connection, raw.driver_connection)
        try:
            yield SqliteTransaction(connection, driver)
        finally:
            await asyncio.shield(connection.close())

    @asynccontextmanager
    async def _own(self) -> AsyncIterator[aiosqlite.Connection]:
        """The connection that writes, for the kernel's own statements, each a transaction."""
        async with self._use(self.writer) as transaction:
            with _translated():
                yield transaction.driver

    async def probe(self) -> None:
        """Whether the file can be locked, and written after a failure. In use, the last try tells."""
        away, pool = self.away, cast(sa.QueuePool, self.writer.pool)
        if not pool.checkedout():
            async with self.transaction() as transaction:
                if away:
                    with transaction.using():
                        await transaction.driver.execute("PRAGMA user_version = 1")
        elif away:  # whoever uses it may wait for the lock in vain, too
            raise StoreAway(str(away))

    async def note_start(self, key: Key, actor: str, by: int = 1) -> int:
        async with self._own() as driver:
            rows = await driver.execute_fetchall(statements.NOTE_START, (*key, actor, by, _now(), by))
        return sum(starts for (starts,) in rows)

    async def note_attempt(self, key: Key, actor: str, attempt: int, due: datetime, error: str) -> None:
        noted = (*key, actor, attempt, _text(due), error, _now())
        async with self._own() as driver:
            await driver.execute(statements.NOTE_ATTEMPT, noted)

    async def clear(self, ids: Sequence[str]) -> None:
        async with self.transaction() as transaction:
            with transaction.using():
                await transaction.driver.executemany(
                    statements.CLEAR, [(identity.replace("-", ""),) for identity in ids]
                )

    async def stranded(self, older_than: timedelta) -> list[Said]:
        now = datetime.now(UTC)
        async with self._own() as driver:
            rows = await driver.execute_fetchall(statements.STRANDED, (_text(now), _text(now - older_than)))
        return sorted(map(_event, rows), key=lambda said: said.id)

    async def backlog(self) -> tuple[int, float]:
        async with self._own() as driver:
            [(count, oldest)] = await driver.execute_fetchall(statements.BACKLOG)
        return count, (datetime.now(UTC) - _time(oldest)).total_seconds() if oldest else 0.0

    async def purge(self, keep: timedelta) -> None:
        before = _text(datetime.now(UTC) - keep)
        async with self._own() as driver:
            while (await driver.execute(statements.PURGE, (before,))).rowcount == 1000:
                pass


def _locked(file: Path) -> TextIO:
    """A lock that the system frees whatever way its process ends.

    It is beside the file: on some systems one on the file itself would be in the way of SQLite's own.
    """
    try:
        lock = Path(f"{file}.lock").open("a")  # noqa: SIM115  as long as the journal
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreAway(
            f"another process works on {file}; SQLite is for one, PostgreSQL for several"
        ) from None
    except OSError as error:
        raise StoreAway(f"{file}: {error.strerror}") from None
    return lock


def _prepare(connection: Any, _: object) -> None:
    """A commit survives a loss of power, on macOS too, and `lower` knows more than ASCII."""
    cursor = connection.cursor()
    for pragma in ("synchronous = FULL", "fullfsync = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
    connection.create_function("lower", 1, lambda text: text and text.lower(), deterministic=True)


AWAY_CODES = "BUSY CANTOPEN CORRUPT FULL IOERR NOMEM NOTADB PERM PROTOCOL READONLY"
"""Primary result codes of a file that cannot be used at the moment: it is no message's fault."""
AWAY = {getattr(sqlite3, f"SQLITE_{code}") for code in AWAY_CODES.split()}


@contextmanager
def _translated() -> Iterator[None]:
    """Say of a driver's error what the kernel has to know: is the store away?"""
    try:
        yield
    except Exception as error:
        cause = list(causes_of(error))[-1]
        if getattr(cause, "sqlite_errorcode", 0) & 0xFF in AWAY:
            raise StoreAway(str(cause)) from error
        raise

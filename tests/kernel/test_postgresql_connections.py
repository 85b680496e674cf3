"""Who gets which connection to PostgreSQL: taken from who left it last, and from nobody who waits."""

import asyncio
import gc
import weakref

import pytest

from shared.journal import StoreAway
from shared.journal_postgresql import PostgresqlJournal
from shared.journal_postgresql_errors import Use
from shared.journal_sql import Prepared
from tests.system import _async, eventually


async def test_who_reads_takes_the_connection_that_is_kept_unless_it_is_closed(
    journal: PostgresqlJournal,
) -> None:
    async with journal.transaction() as transaction:
        first = transaction.driver
    assert [driver for _, driver in journal.kept] == [first]
    async with journal.reading() as again, journal.reading() as beside:
        assert again.driver is first
        assert beside.driver is not first
    assert len(journal.kept) == 2

    await first.close()
    async with journal.reading() as one, journal.reading() as other:
        assert {one.driver, other.driver}.isdisjoint({first})
        assert await one.rows(Prepared("SELECT text FROM marks")) == []


def test_an_error_holds_nothing_that_holds_it() -> None:
    """Else all that its frames know, a batch for example, stays until cycles are looked for."""
    gc.disable()
    try:
        with pytest.raises(StoreAway, match="ConnectionResetError: gone") as raised, Use():
            raise ConnectionResetError("gone")
        error = weakref.ref(raised.value)
        del raised
        assert error() is None
    finally:
        gc.enable()


async def test_a_connection_that_is_in_trouble_is_not_kept(journal: PostgresqlJournal) -> None:
    with pytest.raises(StoreAway):
        async with journal.reading() as transaction:
            raise StoreAway("it is slow")

    assert transaction.driver.is_closed()
    assert journal.kept == []


async def test_who_waits_for_a_connection_gets_the_next_one(
    database: str, journal: PostgresqlJournal
) -> None:
    small = PostgresqlJournal(database, journal.migrations, connections=2)
    leave = asyncio.Event()
    out = []

    async def read() -> None:
        async with small.reading() as transaction:
            out.append(transaction)
            await leave.wait()

    readers = [asyncio.create_task(read()) for _ in range(2)]
    await eventually(_async(lambda: len(out) == 2), "both are out")
    readers.append(asyncio.create_task(read()))
    await asyncio.sleep(0)
    leave.set()

    await asyncio.wait_for(asyncio.gather(*readers), 10)  # the pool itself gives up after 30
    await small.close()


async def test_who_reads_when_it_is_closed_gets_none_of_those_that_are_given_back(
    journal: PostgresqlJournal,
) -> None:
    async with journal.reading(), journal.reading():
        pass
    assert len(journal.kept) == 2

    await journal.close()

    assert journal.kept == []
    async with journal.reading() as reading:
        assert await reading.rows(Prepared("SELECT text FROM marks")) == []
    assert journal.kept == []

"""What the kernel relies on, in each kind of store."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

from infra.local.servers import Servers
from shared.journal import Conflict, Journal, Noted, Outcome, Said, Settled
from shared.journal_postgresql import PostgresqlJournal
from shared.journal_sql import SqlTransaction
from shared.journal_sqlite import SqliteJournal
from shared.messages import new_id
from tests.toy_service.handlers import ADD_HEARD, ADD_MARK

MIGRATIONS = Path(__file__).parents[1] / "toy_service" / "migrations"
KEY = ("toy.mark", "caf\xe9 \u041c 1")
DONE = Outcome("done", b'{"\xd0\x9c": "\x00"}', b"\x00\xff")
COUNT = sa.text("SELECT count(*) FROM marks")
MARK = {"text": "x", "message_id": "1", "actor": "direct"}
_numbers = count(1)


@pytest.fixture(params=["postgresql", "sqlite", "memory"])
async def journal(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> AsyncIterator[Journal]:
    journal: Journal
    if request.param == "postgresql":
        name = f"journal{next(_numbers)}"
        servers.postgresql.create_database(name, "task_service", "task_service")
        url = servers.postgresql.url(name, "task_service", "task_service")
        journal = PostgresqlJournal(url, MIGRATIONS)
    else:
        file = f"/{tmp_path}/toy.db" if request.param == "sqlite" else ""
        journal = SqliteJournal(f"sqlite+aiosqlite://{file}", MIGRATIONS)
    await journal.migrate()
    await journal.open()
    yield journal
    await journal.close()


def said(minutes_ago: int = 0) -> Said:
    time = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    return Said(new_id(), "events", "toy.marked", "Marked", "c", "m", "", b'{"\xd0\x9c": 1}', time)


async def conclude(journal: Journal, outcome: Outcome = DONE, *events: Said) -> None:
    async with journal.transaction() as transaction:
        await transaction.conclude([Settled(*KEY, "direct", outcome)], events)


async def look_up(journal: Journal) -> Noted | None:
    async with journal.reading() as transaction:
        return await transaction.look_up(KEY)


async def marks(journal: Journal) -> int:
    async with journal.reading() as transaction:
        assert isinstance(transaction, SqlTransaction)
        number: int = (await transaction.read(COUNT)).scalar_one()
        return number


async def test_an_outcome_is_found_as_it_was_and_written_once(journal: Journal) -> None:
    await conclude(journal)

    with pytest.raises(Conflict):
        await conclude(journal, Outcome("refused", b"", b""), said())
    async with journal.transaction() as transaction:
        assert await transaction.find([("toy.mark", "other"), KEY, ("other", KEY[1])]) == {KEY: DONE}
    assert await look_up(journal) == Noted("done", DONE.answer, 1, None, None)
    assert await journal.backlog() == (0, 0.0)
    assert await journal.note_start(KEY, "direct") == 0


async def test_starts_are_counted_until_an_attempt_is_noted(journal: Journal) -> None:
    due = datetime(2030, 1, 1, 12, 0, 0, 1, tzinfo=UTC)

    starts = [await journal.note_start(KEY, "direct") for _ in range(2)]
    await journal.note_attempt(KEY, "direct", 2, due, "RuntimeError: \u041c")

    assert starts == [1, 2]
    assert await look_up(journal) == Noted(None, None, 2, due, "RuntimeError: \u041c")
    assert await journal.note_start(KEY, "direct") == 1


async def test_what_was_given_up_can_be_tried_again_and_done(journal: Journal) -> None:
    async with journal.transaction() as transaction:
        await transaction.conclude([Settled(*KEY, "direct", Outcome("failed", b"null", b""))], [])
    async with journal.transaction() as transaction:
        assert await transaction.find([KEY]) == {}
    await journal.note_attempt(KEY, "direct", 2, datetime.now(UTC), "again")
    await conclude(journal)

    noted = await look_up(journal)
    assert noted and (noted.ending, noted.due_at, noted.error) == ("done", None, None)


async def test_an_event_is_kept_until_it_is_cleared_and_relayed_once_in_a_while(journal: Journal) -> None:
    first, second = said(minutes_ago=10), said(minutes_ago=5)
    await conclude(journal, DONE, second, first)

    rows, age = await journal.backlog()
    assert (rows, 600 <= age < 660) == (2, True)
    assert await journal.stranded(timedelta(minutes=1)) == []
    assert await journal.stranded(timedelta(minutes=-1)) == [first, second]
    assert await journal.stranded(timedelta(seconds=30)) == []
    await journal.clear([first.id, second.id])
    assert await journal.backlog() == (0, 0.0)


async def test_old_inbox_rows_are_forgotten(journal: Journal) -> None:
    await conclude(journal)

    await journal.purge(timedelta(minutes=1))
    assert await look_up(journal)
    await journal.purge(timedelta(minutes=-1))
    assert await look_up(journal) is None


async def test_what_goes_wrong_in_a_transaction_leaves_nothing(journal: Journal) -> None:
    for error in (RuntimeError, asyncio.CancelledError):
        with pytest.raises(error):
            async with journal.transaction() as transaction:
                assert isinstance(transaction, SqlTransaction)
                transaction.write(ADD_MARK, MARK)
                await transaction.flush()
                raise error

    assert await marks(journal) == 0


async def test_a_statement_that_failed_is_not_committed_around(journal: Journal) -> None:
    with pytest.raises(AssertionError, match="a statement failed"):
        async with journal.transaction() as transaction:
            assert isinstance(transaction, SqlTransaction)
            transaction.write(ADD_MARK, MARK)
            transaction.write(ADD_HEARD, {"text": None})
            with pytest.raises(sa.exc.IntegrityError):
                await transaction.flush()

    assert await marks(journal) == 0


async def test_transactions_at_once_wait_for_each_other_and_none_is_lost(journal: Journal) -> None:
    async def mark() -> None:
        async with journal.transaction(contended=True) as transaction:
            assert isinstance(transaction, SqlTransaction)
            number = (await transaction.read(COUNT)).scalar_one()
            transaction.write(ADD_MARK, MARK | {"text": str(number)})
            await transaction.conclude([], [])

    await asyncio.gather(*(mark() for _ in range(20)))

    async with journal.reading() as transaction:
        assert isinstance(transaction, SqlTransaction)
        rows = await transaction.read(sa.text("SELECT text FROM marks"))
        assert sorted(map(int, rows.scalars())) == list(range(20))

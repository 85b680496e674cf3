"""What the kernel relies on, in each kind of store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pymongo import InsertOne, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from infra.local.servers import Servers
from shared.journal import Conflict, Journal, Noted, Outcome, Said, Settled, StoreAway
from shared.journal_mongo import MongoJournal
from shared.journal_mongo_transaction import MongoTransaction
from shared.journal_postgresql import PostgresqlJournal
from shared.journal_sql import Prepared, SqlTransaction
from shared.journal_sqlite import SqliteJournal
from shared.messages import new_id
from tests.system import eventually
from tests.toy_service.handlers import ADD_HEARD, MARKS

MIGRATIONS = Path(__file__).parents[1] / "toy_service" / "migrations"
KEY = ("toy.mark", "caf\xe9 \u041c 1")
DONE = Outcome("done", b'{"\xd0\x9c": "\x00"}', b"\x00\xff", '{"/toys/1":2}')
COUNT = sa.text("SELECT count(*) FROM marks")
MARK = {"text": "x", "message_id": "1", "actor": "direct"}
_numbers = count(1)


SQL = ["postgresql", "sqlite", "memory"]


@asynccontextmanager
async def a_journal(kind: str, servers: Servers, folder: Path) -> AsyncIterator[Journal]:
    name = f"journal{next(_numbers)}"
    journal: Journal
    if kind == "postgresql":
        servers.postgresql.create_database(name, "task_service", "task_service")
        url = servers.postgresql.url(name, "task_service", "task_service")
        journal = PostgresqlJournal(url, MIGRATIONS)
    elif kind == "mongodb":
        servers.mongodb.create_database(name, "text_worker", "text_worker")
        journal = MongoJournal(servers.mongodb.url(name, "text_worker", "text_worker"), {})
    else:
        file = f"/{folder}/toy.db" if kind == "sqlite" else ""
        journal = SqliteJournal(f"sqlite+aiosqlite://{file}", MIGRATIONS)
    await journal.migrate()
    await journal.open()
    yield journal
    await journal.close()


@pytest.fixture(params=[*SQL, "mongodb"])
async def journal(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> AsyncIterator[Journal]:
    async with a_journal(request.param, servers, tmp_path) as journal:
        yield journal


@pytest.fixture(params=SQL)
async def sql_journal(
    request: pytest.FixtureRequest, servers: Servers, tmp_path: Path
) -> AsyncIterator[Journal]:
    async with a_journal(request.param, servers, tmp_path) as journal:
        yield journal


def said(minutes_ago: int = 0) -> Said:
    time = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=minutes_ago)
    return Said(str(new_id()), "events", "toy.marked", "Marked", "c", "m", "", b'{"\xd0\x9c": 1}', time)


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
    assert await look_up(journal) == Noted("done", DONE.answer, 1, None, None, DONE.versions)
    assert await journal.backlog() == (0, 0.0)
    assert await journal.note_start(KEY, "direct") == 0


async def test_starts_are_counted_until_an_attempt_is_noted(journal: Journal) -> None:
    due = datetime(2030, 1, 1, 12, 0, 0, 1000, tzinfo=UTC)

    starts = [await journal.note_start(KEY, "direct") for _ in range(2)]
    async with journal.transaction() as transaction:
        assert await transaction.find([KEY]) == {}
    await journal.note_attempt(KEY, "direct", 2, due, "RuntimeError: \u041c")

    assert starts == [1, 2]
    assert await look_up(journal) == Noted(None, None, 2, due, "RuntimeError: \u041c", "{}")
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


async def test_starts_of_what_was_given_up_and_is_tried_again_are_counted_anew(journal: Journal) -> None:
    await journal.note_start(KEY, "direct")
    for _ in range(2):
        await conclude(journal, Outcome("failed", b"null", b""))

        assert [await journal.note_start(KEY, "direct") for _ in range(2)] == [1, 2]


async def test_a_start_can_be_looked_at_and_taken_back(journal: Journal) -> None:
    assert await journal.note_start(KEY, "direct", 0) == 0
    assert [await journal.note_start(KEY, "direct", by) for by in (1, 1, -1, 0)] == [1, 2, 1, 1]

    for _ in range(3):
        await journal.note_start(KEY, "direct", -1)
    assert await journal.note_start(KEY, "direct") == 1


async def test_an_event_is_kept_until_it_is_cleared_and_relayed_once_in_a_while(journal: Journal) -> None:
    first, second = said(minutes_ago=10), said(minutes_ago=5)
    await conclude(journal, DONE, second, first)

    rows, age = await journal.backlog()
    assert (rows, 600 <= age < 660) == (2, True)
    assert await journal.stranded(timedelta(minutes=1)) == []
    assert await journal.stranded(timedelta(minutes=-1)) == [first, second]
    assert await journal.stranded(timedelta(seconds=30)) == []
    await journal.clear([first.id, second.id])

    async def nothing_left() -> bool:
        return await journal.backlog() == (0, 0.0)

    if isinstance(journal, MongoJournal):  # which reads what a majority has, and does not wait for that
        await eventually(nothing_left, "what is cleared is no backlog")
    assert await journal.backlog() == (0, 0.0)


async def test_old_inbox_rows_are_forgotten(journal: Journal) -> None:
    await conclude(journal)

    await journal.purge(timedelta(minutes=1))
    assert await look_up(journal)
    await journal.purge(timedelta(minutes=-1))
    assert await look_up(journal) is None


async def test_what_goes_wrong_in_a_transaction_leaves_nothing(sql_journal: Journal) -> None:
    for error in (RuntimeError, asyncio.CancelledError):
        with pytest.raises(error):
            async with sql_journal.transaction() as transaction:
                assert isinstance(transaction, SqlTransaction)
                transaction.write(MARKS, MARK)
                await transaction.flush()
                raise error

    assert await marks(sql_journal) == 0


async def test_a_statement_that_failed_is_not_committed_around(sql_journal: Journal) -> None:
    with pytest.raises(AssertionError, match="a statement failed"):
        async with sql_journal.transaction() as transaction:
            assert isinstance(transaction, SqlTransaction)
            transaction.write(MARKS, MARK)
            transaction.write(ADD_HEARD, {"text": None})
            with pytest.raises(sa.exc.IntegrityError):
                await transaction.flush()

    assert await marks(sql_journal) == 0


async def test_transactions_at_once_wait_for_each_other_and_none_is_lost(sql_journal: Journal) -> None:
    async def mark() -> None:
        async with sql_journal.transaction(contended=True) as transaction:
            assert isinstance(transaction, SqlTransaction)
            number = (await transaction.read(COUNT)).scalar_one()
            transaction.write(MARKS, MARK | {"text": str(number)})
            await transaction.conclude([], [])

    await asyncio.gather(*(mark() for _ in range(20)))

    async with sql_journal.reading() as transaction:
        assert isinstance(transaction, SqlTransaction)
        rows = await transaction.read(sa.text("SELECT text FROM marks"))
        assert sorted(map(int, rows.scalars())) == list(range(20))


async def test_rows_of_a_prepared_statement_are_read_behind_what_waits_to_be_written(
    sql_journal: Journal,
) -> None:
    marked = Prepared("SELECT text, actor FROM marks WHERE text = :text ORDER BY actor")
    async with sql_journal.transaction() as transaction:
        assert isinstance(transaction, SqlTransaction)
        assert await transaction.rows(marked, {"text": "x"}) == []
        for actor in ("b", "a"):
            transaction.write(MARKS, MARK | {"actor": actor})
        transaction.write(MARKS, MARK | {"text": "y"})

        rows = await transaction.rows(marked, {"text": "x"})
        assert rows == [{"text": "x", "actor": "a"}, {"text": "x", "actor": "b"}]
        await transaction.conclude([], [])


async def test_a_batch_in_mongodb_is_kept_whole_or_not_at_all(servers: Servers, tmp_path: Path) -> None:
    async with a_journal("mongodb", servers, tmp_path) as journal:
        with pytest.raises(RuntimeError):
            async with journal.transaction() as transaction:
                assert isinstance(transaction, MongoTransaction)
                transaction.write("marks", InsertOne({"_id": 1}))
                await transaction.conclude([Settled(*KEY, "direct", DONE)], [said()])
                raise RuntimeError

        async with journal.reading() as transaction:
            assert isinstance(transaction, MongoTransaction)
            assert await transaction.find_many("marks", {}) == []
        assert (await look_up(journal), await journal.backlog()) == (None, (0, 0.0))


async def test_two_batches_that_write_the_same_document_in_mongodb_conflict(
    servers: Servers, tmp_path: Path
) -> None:
    async with a_journal("mongodb", servers, tmp_path) as journal, journal.transaction() as first:
        assert isinstance(first, MongoTransaction)
        await first.database.create_collection("marks")  # of two that create it the first to commit wins
        first.write("marks", UpdateOne({"_id": 1}, {"$inc": {"n": 1}}, upsert=True))
        await first.flush()

        with pytest.raises(Conflict):
            async with journal.transaction() as second:
                assert isinstance(second, MongoTransaction)
                second.write("marks", UpdateOne({"_id": 1}, {"$inc": {"n": 1}}, upsert=True))


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
async def test_a_schema_of_a_newer_release_is_a_sentence(kind: str, servers: Servers, tmp_path: Path) -> None:
    async with a_journal(kind, servers, tmp_path) as journal:
        async with journal.transaction() as transaction:
            assert isinstance(transaction, SqlTransaction)
            await transaction.read(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        await journal.close()

        with pytest.raises(StoreAway, match=r"newer release, by migration 9999, .* restore a backup"):
            await journal.migrate()


async def test_migrations_of_several_processes_at_once_run_once(servers: Servers) -> None:
    runs = []

    async def step(database: AsyncDatabase[dict[str, Any]]) -> None:
        runs.append(database.name)

    servers.mongodb.create_database("migrated", "text_worker", "text_worker")
    url = servers.mongodb.url("migrated", "text_worker", "text_worker")
    journals = [MongoJournal(url, {"0001": step}) for _ in range(4)]

    await asyncio.gather(*(journal.migrate() for journal in journals))

    assert len(runs) == 1
    for journal in journals:
        await journal.close()

"""SQLite's own: one process, other programs at the file, a full disk, a store that forgets."""

import asyncio
import resource
import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from shared import journal_sqlite
from shared.journal import Settled, StoreAway
from shared.journal_sqlite import SqliteJournal
from tests.amqp import Client
from tests.kernel.test_journal import DONE, KEY, MARK, MIGRATIONS, conclude, marks
from tests.system import Replica, System, eventually
from tests.toy_service.handlers import MARKS

TOY = "tests.toy_service"
ENDLESS = sa.text("WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT count(*) FROM n")


@pytest.fixture(scope="module")
def store() -> str:
    return "sqlite"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/toy.db"


@pytest.fixture
async def journal(url: str) -> AsyncIterator[SqliteJournal]:
    journal = SqliteJournal(url, MIGRATIONS)
    await journal.open()
    yield journal
    await journal.close()


async def refused(url: str) -> str:
    with pytest.raises(StoreAway) as away:
        await SqliteJournal(url, MIGRATIONS).open()
    return str(away.value)


async def test_a_second_process_is_refused_until_the_first_has_ended(
    journal: SqliteJournal, url: str
) -> None:
    assert "another process works on" in await refused(url)
    await journal.close()
    second = SqliteJournal(url, MIGRATIONS)
    await second.open()
    await second.close()


async def test_two_processes_that_no_lock_keeps_apart_still_have_one_effect(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_sqlite, "_locked", lambda file: None)
    journals = [SqliteJournal(url, MIGRATIONS) for _ in range(2)]
    for journal in journals:
        await journal.open()

    async def mark(journal: SqliteJournal) -> None:
        async with journal.transaction() as transaction:
            if not await transaction.find([KEY]):
                await asyncio.sleep(0.01)
                transaction.write(MARKS, MARK)
                await transaction.conclude([Settled(*KEY, "direct", DONE)], [])

    await asyncio.gather(*(mark(journal) for journal in journals * 5))

    assert await marks(journals[0]) == 1
    for journal in journals:
        await journal.close()


async def test_a_file_that_cannot_be_one_is_refused_with_its_reason(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("no database, whatever its name says\n" * 100)

    assert await refused(f"sqlite+aiosqlite:///{tmp_path}/no/toy.db") == (
        f"{tmp_path}/no/toy.db: No such file or directory"
    )
    assert await refused(f"sqlite+aiosqlite:///{text}") == "file is not a database"
    assert await refused(f"sqlite+aiosqlite:///{tmp_path}") == "unable to open database file"


async def test_a_full_disk_is_a_store_that_is_away_and_nothing_is_half_written(
    journal: SqliteJournal,
) -> None:
    async with journal._own() as driver:
        [(pages,)] = await driver.execute_fetchall("PRAGMA page_count")
        await driver.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(StoreAway, match="disk is full"):
        async with journal.transaction() as transaction:
            transaction.write(MARKS, MARK)
            transaction.write(MARKS, MARK | {"text": "x" * 10_000})
            await transaction.conclude([], [])

    assert await marks(journal) == 0
    async with journal._own() as driver:
        await driver.execute("PRAGMA max_page_count = 1000000")
    await conclude(journal)


async def test_a_disk_without_room_is_away_until_it_has_some(journal: SqliteJournal, tmp_path: Path) -> None:
    room, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "toy.db-wal").stat().st_size, most))
    try:
        for attempt in (partial(conclude, journal), journal.probe, journal.probe):
            with pytest.raises(StoreAway):
                await attempt()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, most))

    await journal.probe()
    await conclude(journal)


@pytest.mark.parametrize("place", ["file", "memory"])
async def test_a_query_that_nobody_waits_for_any_more_is_ended(place: str, url: str) -> None:
    journal = SqliteJournal(url if place == "file" else "sqlite+aiosqlite://", MIGRATIONS)
    await journal.open()

    async def endless() -> None:
        async with journal.reading() as transaction:
            await transaction.read(ENDLESS)

    queries = [asyncio.create_task(endless()) for _ in range(4)]
    await asyncio.sleep(0.1)
    for query in queries:
        query.cancel()
    await asyncio.gather(*queries, return_exceptions=True)

    assert await marks(journal) == 0
    await journal.close()


async def test_a_query_sees_what_is_committed_and_does_not_wait(journal: SqliteJournal) -> None:
    async with journal.transaction() as transaction:
        transaction.write(MARKS, MARK)
        await transaction.flush()
        assert await marks(journal) == 0
        await journal.probe()
    assert await marks(journal) == 1


async def test_who_waits_for_the_lock_in_vain_is_not_taken_for_a_transaction_under_way(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "toy.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreAway, match="locked"):
        await conclude(journal)

    waiting = asyncio.create_task(conclude(journal))
    await asyncio.sleep(0.1)
    with pytest.raises(StoreAway, match="locked"):
        await journal.probe()

    other.execute("ROLLBACK")
    other.close()
    await waiting
    await journal.probe()


async def test_another_program_at_the_file_is_waited_for_and_charged_to_nobody(
    system: System, toy: Replica, amqp: Client
) -> None:
    other = sqlite3.connect(system.file(TOY), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await amqp.publish("toy.mark", {"text": "waits"}, message_id="waits", answered=True)

    async def is_away() -> bool:
        async with httpx2.AsyncClient() as client:
            health = (await client.get(f"{toy.url}/health/ready")).json()
        reason: str = health["dependencies"]["store"].get("reason", "")
        return reason == "database is locked"

    await eventually(is_away, "the health page says that the file is locked")
    other.execute("ROLLBACK")
    other.close()

    assert not (await amqp.next_answer()).refused
    rows = await system.fetch(TOY, "SELECT attempt, starts FROM inbox WHERE message_id = 'waits'")
    assert [tuple(row) for row in rows] == [(1, 0)]


async def test_a_second_service_says_why_it_does_not_start(system: System, toy: Replica) -> None:
    second = system.launch(TOY)
    await asyncio.to_thread(second.process.wait, 30)

    assert second.process.exit_code == 1
    said = second.log.read_text().splitlines()[-1]
    assert said.startswith("The database at TOY_DATABASE_URL cannot be used: another process works on ")


async def test_a_store_in_memory_works_and_says_once_that_it_forgets(system: System, amqp: Client) -> None:
    for replica in system.replicas:
        replica.process.end()
    url = "sqlite+aiosqlite://"
    in_memory = system.launch(TOY, database_url=url)
    await system.until_ready(in_memory)

    answers = [await amqp.ask("toy.mark", {"text": "m"}, message_id="memory") for _ in range(3)]

    async def heard() -> bool:
        return bool((await amqp.ask("toy.count_marks", {"text": "m"})).body == {"marks": 1, "heard": 1})

    assert answers == [answers[0]] * 3
    await eventually(heard, "one mark, heard once")
    warnings = [line["event"] for line in in_memory.lines() if line["level"] == "warning"]
    assert [line for line in warnings if "memory" in line] == warnings
    assert len(warnings) == 1
    in_memory.process.end()
    assert in_memory.process.exit_code == 0

"""How the inbox in MongoDB forgets: by lists of what was noted when, also of what was there before them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.local.servers import Servers
from shared.journal_mongo import MongoJournal
from shared.journal_mongo_documents import list_by_age, row_of
from tests.kernel.test_journal import a_journal

HOUR = timedelta(hours=1)


@pytest.fixture
async def journal(servers: Servers, tmp_path: Path) -> AsyncIterator[MongoJournal]:
    async with a_journal("mongodb", servers, tmp_path) as journal:
        assert isinstance(journal, MongoJournal)
        yield journal


async def made_older(journal: MongoJournal, by: timedelta) -> None:
    """All that was noted so far, as its lists tell it."""
    async for one in journal.database["ages"].find():
        change = {"$set": {"noted_at": one["noted_at"] - by}}
        await journal.database["ages"].update_one({"_id": one["_id"]}, change)
    async for row in journal.database["inbox"].find():
        change = {"$set": {"noted_at": row["noted_at"] - by}}
        await journal.database["inbox"].update_one({"_id": row["_id"]}, change)


async def known(journal: MongoJournal) -> list[str]:
    return sorted([row["message_id"] async for row in journal.database["inbox"].find()])


async def test_what_was_noted_again_is_forgotten_by_its_later_note(journal: MongoJournal) -> None:
    for message_id in ("once", "again"):
        await journal.note_start(("toy.mark", message_id), "direct")
    await made_older(journal, 2 * HOUR)
    await journal.note_attempt(("toy.mark", "again"), "direct", 2, datetime.now(UTC), "broke")

    await journal.purge(HOUR)
    assert await known(journal) == ["again"]

    await made_older(journal, 2 * HOUR)
    await journal.purge(HOUR)
    assert await known(journal) == []
    assert await journal.database["ages"].count_documents({}) == 0


async def test_rows_of_before_there_were_lists_are_listed_once_and_forgotten(journal: MongoJournal) -> None:
    inbox = journal.database["inbox"]
    await inbox.create_index("noted_at")
    then = datetime.now(UTC) - 2 * HOUR
    await inbox.insert_many([row_of("toy.mark", str(number), "direct", then) for number in range(101)])

    for _ in range(2):
        await list_by_age(journal.database)
    lists = await journal.database["ages"].find().to_list()

    assert [len(one["rows"]) for one in lists] == [100, 1]
    assert set(await inbox.index_information()) == {"_id_"}
    await journal.purge(HOUR)
    assert await known(journal) == []

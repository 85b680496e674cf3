"""What is read by `_id` outside of batches: together, and never older than it was asked for."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import ConnectionFailure

from infra.local.servers import Servers
from shared.journal import StoreAway
from shared.journal_mongo import MongoJournal
from tests.kernel.test_journal import a_journal


@pytest.fixture
async def journal(servers: Servers, tmp_path: Path) -> AsyncIterator[MongoJournal]:
    """Of the marks 1, 2 and 3, each has n = 0."""
    async with a_journal("mongodb", servers, tmp_path) as journal:
        assert isinstance(journal, MongoJournal)
        await journal.database["marks"].insert_many([{"_id": number, "n": 0} for number in (1, 2, 3)])
        yield journal


class Noted:
    """The ids of each read that was sent; `before_answers` runs when one has its rows."""

    def __init__(self, journal: MongoJournal, monkeypatch: pytest.MonkeyPatch):
        self.reads: list[list[Any]] = []
        self.rows = journal.reads._rows
        self.before_answers: Any = None
        monkeypatch.setattr(journal.reads, "_rows", self.noted)

    async def noted(self, collection: str, ids: list[Any]) -> Any:
        self.reads.append(ids)
        rows = await self.rows(collection, ids)
        if self.before_answers:
            await self.before_answers()
        return rows


async def read(journal: MongoJournal, number: int) -> Any:
    async with journal.reading() as transaction:
        return await transaction.find_one("marks", {"_id": number})


async def test_what_is_asked_for_at_once_is_read_at_once(
    journal: MongoJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = Noted(journal, monkeypatch)

    found = await asyncio.gather(*(read(journal, number) for number in (1, 2, 4, 2)))

    assert found == [{"_id": 1, "n": 0}, {"_id": 2, "n": 0}, None, {"_id": 2, "n": 0}]
    assert noted.reads == [[1, 2, 4]]


async def test_what_is_asked_for_during_a_read_is_read_after_it(
    journal: MongoJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = Noted(journal, monkeypatch)
    later: list[asyncio.Task[Any]] = []

    async def change_and_ask() -> None:
        if not later:
            await journal.database["marks"].update_one({"_id": 1}, {"$set": {"n": 5}})
            later.extend(asyncio.create_task(read(journal, number)) for number in (1, 3))
            await asyncio.sleep(0)

    noted.before_answers = change_and_ask

    assert await read(journal, 1) == {"_id": 1, "n": 0}
    assert await asyncio.gather(*later) == [{"_id": 1, "n": 5}, {"_id": 3, "n": 0}]
    assert noted.reads == [[1], [1, 3]]


async def test_a_read_that_fails_is_told_to_all_who_wait_and_the_next_one_is_sent(
    journal: MongoJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(collection: str, ids: list[Any]) -> Any:
        raise ConnectionFailure("it is away")

    with monkeypatch.context() as patched:
        patched.setattr(journal.reads, "_rows", away)
        found = await asyncio.gather(read(journal, 1), read(journal, 2), return_exceptions=True)

    assert [type(one) for one in found] == [StoreAway, StoreAway]
    assert await read(journal, 1) == {"_id": 1, "n": 0}

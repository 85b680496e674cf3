"""What a batch in MongoDB reads: what it has changed before, and with as few round trips as that allows."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection

from infra.local.servers import Servers
from shared.journal import Conflict, Settled
from shared.journal_mongo_transaction import MongoTransaction
from tests.kernel.test_journal import DONE, KEY, a_journal, look_up


@pytest.fixture
async def batch(servers: Servers, tmp_path: Path) -> AsyncIterator[MongoTransaction]:
    """A batch's transaction; of the marks 1 and 2, each has n = 0."""
    async with a_journal("mongodb", servers, tmp_path) as journal:
        async with journal.transaction() as before:
            assert isinstance(before, MongoTransaction)
            for number in (1, 2):
                before.write("marks", InsertOne({"_id": number, "n": 0}))
        async with journal.transaction() as batch:
            assert isinstance(batch, MongoTransaction)
            yield batch


def add_one(number: int) -> UpdateOne:
    return UpdateOne({"_id": number}, {"$inc": {"n": 1}})


async def test_a_read_by_id_leaves_waiting_what_others_wrote(batch: MongoTransaction) -> None:
    batch.write("marks", add_one(1))
    batch.write("notes", InsertOne({"_id": 2}))
    batch.next_message()

    assert await batch.find_one("marks", {"_id": 2}) == {"_id": 2, "n": 0}
    assert len(batch.waiting) == 2
    assert await batch.find_one("marks", {"_id": 1}) == {"_id": 1, "n": 1}
    assert batch.waiting == []


@pytest.mark.parametrize(
    "filter_", [{"_id": 1}, {"_id": 1, "n": 1}, {"n": 1}, {"_id": {"$in": [1]}}, {"_id": {"$lt": 2}}], ids=str
)
@pytest.mark.parametrize(
    ("change", "read"),
    [
        (add_one(1), {"_id": 1, "n": 1}),
        (UpdateOne({"n": 0}, {"$inc": {"n": 1}}), {"_id": 1, "n": 1}),
        (ReplaceOne({"_id": 1}, {"n": 1, "text": "x"}), {"_id": 1, "n": 1, "text": "x"}),
        (DeleteOne({"_id": 1}), None),
    ],
    ids=["update", "update of whatever", "replace", "delete"],
)
async def test_a_read_sees_what_its_transaction_wrote_before(
    batch: MongoTransaction, filter_: dict[str, Any], change: Any, read: dict[str, Any] | None
) -> None:
    batch.write("marks", change)

    assert await batch.find_one("marks", filter_) == read


async def test_what_was_fetched_is_not_read_again_until_it_is_changed(
    batch: MongoTransaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch.write("marks", add_one(1))
    await batch.fetch("marks", [1, 2, 3])

    with monkeypatch.context() as patched:
        patched.setattr(batch, "database", None)  # whoever asks it fails
        found = [await batch.find_one("marks", {"_id": number}) for number in (1, 2, 3)]
    assert found == [{"_id": 1, "n": 1}, {"_id": 2, "n": 0}, None]

    batch.write("marks", InsertOne({"_id": 3}))
    batch.write("marks", add_one(1))
    assert await batch.find_one("marks", {"_id": 3}) == {"_id": 3}
    assert await batch.find_one("marks", {"_id": 1}) == {"_id": 1, "n": 2}
    batch.write("marks", UpdateOne({"n": 0}, {"$inc": {"n": 1}}))
    assert await batch.find_one("marks", {"_id": 2}) == {"_id": 2, "n": 1}


async def test_what_was_fetched_answers_only_what_asks_for_all_of_it(batch: MongoTransaction) -> None:
    await batch.fetch("marks", [1])

    assert await batch.find_one("marks", {"_id": 1, "n": 5}) is None
    assert await batch.find_one("marks", {"_id": 1}, projection=["_id"]) == {"_id": 1}


def set_n(number: int, n: int) -> UpdateOne:
    return UpdateOne({"_id": number}, {"$set": {"n": n}})


@pytest.mark.parametrize(
    ("writes", "statements", "read"),
    [
        ([set_n(1, 5), set_n(2, 5)], 1, [5, 5]),
        ([set_n(1, 5), set_n(2, 6)], 2, [5, 6]),
        ([add_one(1), add_one(1), add_one(2)], 2, [2, 1]),
        ([set_n(1, 5), set_n(1, 6), set_n(1, 5), set_n(2, 5)], 3, [5, 5]),
        ([set_n(1, 5), set_n(2, 6), set_n(2, 5), set_n(1, 6)], 3, [6, 5]),
        ([set_n(1, 5), UpdateOne({"n": 5}, {"$set": {"n": 6}}), set_n(2, 5)], 3, [6, 5]),
    ],
    ids=["same", "different", "one twice", "there and back", "crossed", "whatever has five"],
)
async def test_the_same_change_of_several_is_one_statement_and_each_keeps_its_order(
    batch: MongoTransaction,
    monkeypatch: pytest.MonkeyPatch,
    writes: list[UpdateOne],
    statements: int,
    read: list[int],
) -> None:
    sent: list[Any] = []
    bulk_write = AsyncCollection.bulk_write

    async def noted(self: AsyncCollection[Any], requests: Any, **options: Any) -> Any:
        sent.extend(requests)
        return await bulk_write(self, requests, **options)

    monkeypatch.setattr(AsyncCollection, "bulk_write", noted)
    for write in writes:
        batch.next_message()
        batch.write("marks", write)

    found = [await batch.find_one("marks", {"_id": number}) for number in (1, 2)]

    assert [row and row["n"] for row in found] == read
    assert len(sent) == statements


async def test_what_is_noted_already_is_a_conflict_for_a_batch_that_has_not_looked(
    servers: Servers, tmp_path: Path
) -> None:
    ended = [Settled(*KEY, "direct", DONE)]
    async with a_journal("mongodb", servers, tmp_path) as journal:
        await journal.note_attempt(KEY, "direct", 2, datetime.now(UTC), "broken")

        with pytest.raises(Conflict):
            async with journal.transaction() as batch:
                await batch.conclude(ended, [], last=True)
        async with journal.transaction() as batch:
            assert await batch.find([KEY]) == {}
            await batch.conclude(ended, [], last=True)

        noted = await look_up(journal)
        assert noted and noted.ending == "done"

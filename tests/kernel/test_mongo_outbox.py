"""What a batch said, kept as one document in MongoDB: nothing is lost, and what arrived is forgotten."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import AutoReconnect

from infra.local.servers import Servers
from shared import journal_mongo_outbox
from shared.journal import Said, StoreAway
from shared.journal_mongo import MongoJournal
from shared.journal_mongo_outbox import MongoOutbox
from tests.kernel.test_journal import a_journal, said
from tests.system import eventually

AT_ONCE = timedelta(minutes=-1)


@pytest.fixture
async def journal(servers: Servers, tmp_path: Path) -> AsyncIterator[MongoJournal]:
    async with a_journal("mongodb", servers, tmp_path) as journal:
        assert isinstance(journal, MongoJournal)
        yield journal


@pytest.fixture
def successor(journal: MongoJournal) -> MongoOutbox:
    """Another process, which knows only what is in the store."""
    return MongoOutbox(journal.rows)


async def say(journal: MongoJournal, *events: Said) -> None:
    async with journal.transaction() as transaction:
        await transaction.conclude([], events)


async def documents(journal: MongoJournal) -> int:
    return await journal.rows.count_documents({})


async def come_down_to(journal: MongoJournal, count: int) -> None:
    """What is cleared is gone for who reads what a majority has, once that has been told."""

    async def left() -> bool:
        return await documents(journal) == count

    await eventually(left, f"{count} documents are left")


async def test_what_a_batch_said_is_one_document_until_all_of_it_has_arrived(journal: MongoJournal) -> None:
    events = [said() for _ in range(3)]
    await say(journal, *events)
    await say(journal, said())

    assert (await documents(journal), (await journal.backlog())[0]) == (2, 4)
    await journal.clear([events[0].id, events[2].id])
    assert await documents(journal) == 2
    await journal.clear([events[1].id])
    await come_down_to(journal, 1)
    assert (await journal.backlog())[0] == 1


async def test_after_a_crash_all_of_a_batch_is_sent_again_and_then_cleared(
    journal: MongoJournal, successor: MongoOutbox
) -> None:
    events = [said() for _ in range(3)]
    await say(journal, *events)
    await journal.clear([events[0].id])

    assert await successor.stranded(AT_ONCE) == events
    await successor.clear([event.id for event in events])
    await come_down_to(journal, 0)


async def test_a_process_that_lives_sends_again_only_what_is_not_known_to_have_arrived(
    journal: MongoJournal,
) -> None:
    events = [said() for _ in range(3)]
    await say(journal, *events)
    await journal.clear([events[1].id])

    assert await journal.stranded(AT_ONCE) == [events[0], events[2]]


async def test_what_was_forgotten_is_sent_again_rather_than_lost(
    journal: MongoJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_mongo_outbox, "MOST_REMEMBERED", 1)
    first, second = said(), said()
    await say(journal, first)
    await say(journal, second)
    await journal.clear([first.id, second.id])
    await come_down_to(journal, 1)

    assert await journal.stranded(AT_ONCE) == [first]
    await journal.clear([first.id])
    await come_down_to(journal, 0)


async def test_a_batch_that_said_more_than_a_document_holds_is_split_and_none_of_it_is_lost(
    journal: MongoJournal, successor: MongoOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_mongo_outbox, "MOST_BYTES", 10_000)
    events = [said()._replace(body=bytes(size)) for size in (1, 1, 30_000, 1, 5_000, 5_000)]
    await say(journal, *events)

    assert await documents(journal) == 4
    assert await successor.stranded(AT_ONCE) == events
    await successor.clear([event.id for event in events])
    await come_down_to(journal, 0)


async def test_stranded_events_come_some_hundreds_at_a_time(
    journal: MongoJournal, successor: MongoOutbox
) -> None:
    batches = [[said() for _ in range(300)] for _ in range(3)]
    for batch in batches:
        await say(journal, *batch)

    assert await successor.stranded(AT_ONCE) == batches[0] + batches[1]


async def test_a_document_for_a_single_event_as_it_was_before_is_sent_and_cleared(
    journal: MongoJournal, successor: MongoOutbox
) -> None:
    event = said(minutes_ago=10)
    fields = event._asdict()
    await journal.rows.insert_one({"_id": UUID(fields.pop("id")), "sent_at": event.said_at} | fields)

    rows, age = await journal.backlog()
    assert (rows, 600 <= age < 660) == (1, True)
    assert await successor.stranded(AT_ONCE) == [event]
    await successor.clear([event.id])
    await come_down_to(journal, 0)


async def test_a_clearing_that_failed_can_be_repeated(
    journal: MongoJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: Any) -> None:
        raise AutoReconnect("connection closed")

    event = said()
    await say(journal, event)
    with monkeypatch.context() as patched, pytest.raises(StoreAway):
        patched.setattr(AsyncCollection, "delete_many", lost)
        await journal.clear([event.id])

    await journal.clear([event.id])
    await come_down_to(journal, 0)


async def test_what_a_batch_said_that_was_rolled_back_is_not_remembered(journal: MongoJournal) -> None:
    with pytest.raises(RuntimeError):
        async with journal.transaction() as transaction:
            await transaction.conclude([], [said()])
            raise RuntimeError

    assert journal.awaited == {}

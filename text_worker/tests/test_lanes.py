"""Of one person's jobs so many are under way in the first lane and no more, whoever takes them."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.contracts.texts import CancelText, ProcessText, RemoveText, RunTextAgain, SubmitText
from shared.handling import Work
from shared.journal import Conflict
from shared.journal_mongo import MongoJournal
from shared.journal_mongo_transaction import MongoTransaction
from shared.messages import Command
from tests.running import Running
from text_worker import handlers, store
from text_worker.domain import jobs
from text_worker.store import Lately, TextStore

MOST = 5


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "FIRST_LANE", MOST)
    monkeypatch.setattr(store, "FOUND_FULL", Lately(0))


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "FOUND_FULL", Lately(600))


async def under_way(journal: MongoJournal) -> Counter[str]:
    found = await journal.database["jobs"].find({"status": {"$in": ["queued", "running"]}}).to_list()
    return Counter(row["lane"] for row in found)


def work_in(transaction: MongoTransaction) -> Work:
    return Work("id", "direct", "conversation", datetime.now(UTC), transaction)


def texts(number: int) -> list[SubmitText]:
    return [SubmitText(text="To be") for _ in range(number)]


async def test_of_two_batches_that_counted_without_each_other_one_has_to_count_again(
    journal: MongoJournal, worker: Running
) -> None:
    await worker.batch(*texts(MOST - 1))

    async with journal.transaction() as transaction:
        await worker.batch_in(transaction, *texts(1))
        with pytest.raises(Conflict):
            await Running(journal, handlers).batch(*texts(1))

    await worker.batch(*texts(3))
    assert await under_way(journal) == {"first": MOST, "bulk": 3}


async def test_who_has_to_count_again_learns_it_before_anything_is_worked_out(journal: MongoJournal) -> None:
    async with journal.transaction() as first:
        assert await TextStore(work_in(first)).lane_of("direct", MOST) == "first"
        with pytest.raises(Conflict):
            async with journal.transaction() as second:
                await TextStore(work_in(second)).lane_of("direct", MOST)
                pytest.fail("it goes on, and conflicts at its end")


async def test_a_batch_that_finds_the_lane_full_is_in_nobodys_way(
    journal: MongoJournal, worker: Running
) -> None:
    await worker.batch(*texts(MOST))

    async with journal.transaction() as transaction:
        await worker.batch_in(transaction, *texts(2))
        await Running(journal, handlers).batch(*texts(2))

    assert await under_way(journal) == {"first": MOST, "bulk": 4}


@pytest.mark.usefixtures("remembered")
async def test_a_lane_that_was_found_full_is_not_counted_again_for_a_while(
    journal: MongoJournal, worker: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = await worker.batch(*texts(MOST))
    await worker.batch(*texts(1))
    await worker.batch(*(CancelText(text=job.id) for job in placed))
    await worker.batch(*texts(2))
    assert await under_way(journal) == {"bulk": 3}

    monkeypatch.setattr(store, "FOUND_FULL", Lately(0))
    await worker.batch(*texts(1))
    assert await under_way(journal) == {"bulk": 3, "first": 1}


@pytest.mark.usefixtures("remembered")
async def test_what_a_batch_would_have_filled_is_not_taken_for_full_when_it_is_rolled_back(
    journal: MongoJournal, worker: Running
) -> None:
    with pytest.raises(Conflict):
        async with journal.transaction() as transaction:
            await worker.batch_in(transaction, *texts(MOST + 1))
            raise Conflict("with another")

    await worker.batch(*texts(1))
    assert await under_way(journal) == {"first": 1}


def test_who_was_found_full_long_ago_is_forgotten() -> None:
    lately = Lately(0)
    for person in range(100):
        lately.add(str(person))
    assert list(lately.found) == ["99"]


async def some_of_everything(journal: MongoJournal, chance: random.Random) -> list[Command[Any]]:
    """Texts handed in, and whatever may become of those that are there."""
    known = await journal.database["jobs"].find({}, {"run": 1}).to_list()
    given: list[Command[Any]] = list(texts(chance.randrange(4)))
    for job in chance.sample(known, min(len(known), 6)):
        kind = chance.choice([CancelText, RunTextAgain, RunTextAgain, RemoveText, ProcessText, ProcessText])
        given.append(kind(text=job["_id"], **({"run": job["run"]} if kind is ProcessText else {})))
    chance.shuffle(given)
    return given


@pytest.mark.parametrize("seconds", [0.0, 0.05])
async def test_whatever_becomes_of_jobs_in_two_workers_the_lane_is_never_over_full(
    journal: MongoJournal, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "FOUND_FULL", Lately(seconds))
    chance = random.Random(5)
    most = conflicts = 0

    async def works() -> None:
        nonlocal most, conflicts
        worker = Running(journal, handlers)
        worker.prepared = "{}"
        for _ in range(60):
            try:
                await worker.batch(*await some_of_everything(journal, chance))
            except Conflict:
                conflicts += 1
            found = (await under_way(journal))["first"]
            assert found <= MOST
            most = max(most, found)

    await asyncio.gather(works(), works())
    assert (most, conflicts > 0) == (MOST, True)

"""What a place reads before it counts: the text, if a run is still wanted, and nothing else."""

from datetime import UTC, datetime
from uuid import UUID

from shared.contracts.texts import CancelText, RemoveText, RunTextAgain, SubmitText
from shared.handling import Work
from shared.journal_mongo import MongoJournal
from tests.running import Running
from text_worker.store import TextStore


async def wanted(journal: MongoJournal, text: UUID, run: int) -> object:
    async with journal.reading() as transaction:
        work = Work("id", "direct", "conversation", datetime.now(UTC), transaction)
        return await TextStore(work).find_wanted(text, run)


async def test_what_was_handed_in_is_wanted_until_it_is_cancelled_and_again_when_it_runs_again(
    journal: MongoJournal, worker: Running
) -> None:
    job = await worker.ask(SubmitText(text="To be", top=3))
    assert await wanted(journal, job.id, 1) == ("To be", 3)

    await worker.ask(CancelText(text=job.id))
    assert await wanted(journal, job.id, 1) is None

    await worker.ask(RunTextAgain(text=job.id))
    assert await wanted(journal, job.id, 1) is None
    assert await wanted(journal, job.id, 2) == ("To be", 3)

    await worker.ask(CancelText(text=job.id))
    await worker.ask(RemoveText(text=job.id))
    assert await wanted(journal, job.id, 2) is None


async def test_a_text_that_was_kept_without_its_run_is_counted_too(
    journal: MongoJournal, worker: Running
) -> None:
    job = await worker.ask(SubmitText(text="To be", top=3))
    await journal.database["texts"].update_one({"_id": job.id}, {"$unset": {"run": 1, "top": 1}})

    assert await wanted(journal, job.id, 1) == ("To be", 3)
    assert await wanted(journal, job.id, 2) is None


async def test_what_a_batch_does_to_the_same_text_comes_in_its_order(
    journal: MongoJournal, worker: Running
) -> None:
    job = await worker.ask(SubmitText(text="To be", top=3))

    answers = await worker.batch(CancelText(text=job.id), RunTextAgain(text=job.id), CancelText(text=job.id))

    assert [(answer.status, answer.run, answer.version) for answer in answers] == [
        ("cancelled", 1, 2),
        ("queued", 2, 3),
        ("cancelled", 2, 4),
    ]
    assert await wanted(journal, job.id, 2) is None

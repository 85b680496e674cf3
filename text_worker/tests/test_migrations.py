"""What an older text_worker left in the database is there for a newer one."""

from datetime import UTC, datetime
from pathlib import Path

from infra.local.servers import Servers
from shared.contracts.texts import ListTexts, SubmitText
from shared.handling import Work
from shared.journal_mongo import MongoJournal
from tests.kernel.test_journal import a_journal
from tests.running import Running
from text_worker import handlers
from text_worker.domain import jobs
from text_worker.migrations import STEPS
from text_worker.store import TextStore


async def test_jobs_of_before_have_their_places_and_are_listed_and_old_indexes_go(
    servers: Servers, tmp_path: Path
) -> None:
    async with a_journal("mongodb", servers, tmp_path) as journal:
        assert isinstance(journal, MongoJournal)
        *earlier, places = STEPS.values()
        for step in earlier:
            await step(journal.database)
        rows = [_job("first", "queued"), _job("first", "done"), _job("bulk", "queued")]
        await journal.database["jobs"].insert_many(rows)

        for _ in range(2):
            await places(journal.database)

        worker = Running(journal, handlers)
        job = await worker.ask(SubmitText(text="To be"))
        listed = await worker.ask(ListTexts())
        assert [one.id for one in listed.items] == [job.id, *(row["_id"] for row in reversed(rows))]
        async with journal.transaction() as transaction:
            store = TextStore(Work("id", "direct", "conversation", datetime.now(UTC), transaction))
            assert await store.lane_of("direct", 3) == "first"
            assert await store.lane_of("direct", 3) == "bulk"
        indexes = await journal.database["jobs"].index_information()
        assert set(indexes) == {"_id_", "status_1__id_-1", "place_of_1"}


def _job(lane: str, status: str) -> dict[str, object]:
    job = jobs.submitted(SubmitText(text="To be"), datetime.now(UTC)).model_dump() | {"status": status}
    return {"_id": job.pop("id"), **job, "person": "direct", "lane": lane}

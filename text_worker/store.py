"""Jobs in MongoDB: the only file of text_worker that knows the database.

What commands need goes by `_id`. A text is kept beside its job, so that lists of jobs stay light.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne

from shared.contracts.texts import ListTexts, NotDone, Report, TextJob, TextJobs, TextNotFound
from shared.handling import Work
from shared.journal_mongo import mongo
from shared.paging import cursor_at, place_in

Document = dict[str, Any]


class TextStore:
    """The jobs, in the transaction of a message's work."""

    def __init__(self, work: Work):
        self.transaction = mongo(work)

    def add(self, job: TextJob, text: str, person: str, lane: str) -> None:
        self.transaction.write("jobs", InsertOne(_document(job) | {"person": person, "lane": lane}))
        self.transaction.write("texts", InsertOne({"_id": job.id, "text": text}))

    def save(self, job: TextJob, **more: str) -> None:
        fields = _document(job) | more
        self.transaction.write("jobs", UpdateOne({"_id": fields.pop("_id")}, {"$set": fields}))

    def save_report(self, text: UUID, report: str) -> None:
        """`report` is JSON, as the counting process made it."""
        row = {"_id": text, "report": report}
        self.transaction.write("reports", ReplaceOne({"_id": text}, row, upsert=True))

    def remove(self, text: UUID) -> None:
        for collection in ("jobs", "texts", "reports"):
            self.transaction.write(collection, DeleteOne({"_id": text}))

    async def find(self, text: UUID) -> TextJob | None:
        row = await self.transaction.find_one("jobs", {"_id": text})
        return _job(row) if row else None

    async def get(self, text: UUID) -> TextJob:
        """Refuses with `TextNotFound`."""
        if job := await self.find(text):
            return job
        raise TextNotFound(f"There is no text {text}.")

    async def get_person(self, text: UUID) -> str:
        """Whose it is. Refuses with `TextNotFound`."""
        row = await self.transaction.find_one("jobs", {"_id": text}, projection=["person"])
        if row is None:
            raise TextNotFound(f"There is no text {text}.")
        return str(row["person"])

    async def get_text(self, text: UUID) -> str:
        """Refuses with `TextNotFound`."""
        row = await self.transaction.find_one("texts", {"_id": text})
        if row is None:
            raise TextNotFound(f"There is no text {text}.")
        return str(row["text"])

    async def get_report(self, text: UUID) -> Report:
        """Refuses with `TextNotFound` and `NotDone`."""
        job = await self.get(text)
        row = await self.transaction.find_one("reports", {"_id": text}) if job.status == "done" else None
        if row is None:
            raise NotDone(f"The text is {job.status}: it has no report.")
        return Report.model_validate_json(row["report"])

    async def lane_of(self, person: str, most: int) -> str:
        """`first` while fewer than `most` of a person's jobs wait there. Counted once a batch."""
        waiting = self.transaction.memory
        if person not in waiting:
            filter_ = {"person": person, "lane": "first", "status": "queued"}
            waiting[person] = await self.transaction.count("jobs", filter_)
        lane = "first" if waiting[person] < most else "bulk"
        waiting[person] += lane == "first"
        return lane

    async def list(self, query: ListTexts) -> TextJobs:
        """A page. Refuses with `BadCursor`."""
        filter_: Document = {"status": query.status} if query.status else {}
        if query.cursor:
            created, text = place_in(query.cursor, query)
            last = datetime.fromisoformat(created)
            filter_["$or"] = [
                {"created_at": {"$lt": last}},
                {"created_at": last, "_id": {"$lt": UUID(text)}},
            ]
        order = [("created_at", -1), ("_id", -1)]
        rows = await self.transaction.find_many("jobs", filter_, sort=order, limit=query.limit + 1)
        items = [_job(row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        last_place = [items[-1].created_at, str(items[-1].id)] if more else []
        return TextJobs(items=items, next_cursor=cursor_at(last_place, query) if more else None)


def _document(job: TextJob) -> Document:
    fields = job.model_dump()
    return {"_id": fields.pop("id")} | fields


def _job(row: Document) -> TextJob:
    return TextJob.model_validate({**row, "id": row["_id"]})

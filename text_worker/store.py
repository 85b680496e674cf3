"""Jobs in MongoDB: the only file of text_worker that knows the database.

What commands need goes by `_id`. A text is kept beside its job, so that lists of jobs stay light, with all
that counting it takes; a large one in the blob store, and here where. No blob goes that a text refers to, or
a command that may still come.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any
from uuid import UUID

from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne

from shared.blobs import Blobs, BlobsAway
from shared.contracts.blobs import Blob
from shared.contracts.texts import ListTexts, NotDone, Report, SubmitText, TextJob, TextJobs, TextNotFound
from shared.handling import Work
from shared.journal import Conflict, StoreAway
from shared.journal_mongo import MongoJournal
from shared.journal_mongo_transaction import MongoTransaction, mongo
from shared.paging import cursor_at, place_in
from text_worker.domain.jobs import UNDER_WAY
from text_worker.settings import TextSettings

log = logging.getLogger(__name__)

Document = dict[str, Any]


class Lately:
    """People of whom something was found `seconds` ago at most. This process alone knows, and may forget."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.found: dict[str, float] = {}

    def has(self, person: str) -> bool:
        return monotonic() - self.found.get(person, -self.seconds) < self.seconds

    def add(self, person: str) -> None:
        long_ago = [one for one in self.found if not self.has(one)]
        for one in [*long_ago, person]:
            self.found.pop(one, None)
        self.found[person] = monotonic()


FOUND_FULL = Lately(1.0)
"""Whose first lane was full. Who hands in many would else have each batch of each worker wait for a turn, to
give the few places away that have come free since."""


class TextStore:
    """The jobs, in the transaction of a message's work."""

    def __init__(self, work: Work):
        self.transaction = mongo(work)

    def add(self, job: TextJob, content: str | Blob, person: str, lane: str) -> None:
        kept = {"blob": content.model_dump()} if isinstance(content, Blob) else {"text": content}
        place = {"place_of": person} if lane == "first" else {}
        row = _document(job) | {"person": person, "lane": lane} | place
        self.transaction.write("jobs", InsertOne(row))
        wanted = {"run": job.run, "top": job.top}
        self.transaction.write("texts", InsertOne({"_id": job.id} | wanted | kept))

    def save(self, before: TextJob, job: TextJob) -> None:
        """What has changed since `before`, as this transaction read it. Who ends gives its place away."""
        known = _document(before)
        change: Document = {"$set": {k: v for k, v in _document(job).items() if v != known[k]}}
        if job.status not in UNDER_WAY:
            change["$unset"] = {"place_of": ""}
        self.transaction.write("jobs", UpdateOne({"_id": job.id}, change))

    def save_again(self, before: TextJob, job: TextJob, person: str, lane: str) -> None:
        """A job that is under way once more, in whichever lane."""
        self.save(before, job)
        placed = {"lane": lane} | ({"place_of": person} if lane == "first" else {})
        self.transaction.write("jobs", UpdateOne({"_id": job.id}, {"$set": placed}))

    def want(self, text: UUID, run: int | None, top: int) -> None:
        """Which run is to count the text, if any is."""
        wanted = {"run": run, "top": top}
        self.transaction.write("texts", UpdateOne({"_id": text}, {"$set": wanted}))

    def save_report(self, job: TextJob, report: str) -> None:
        """`report` is JSON, as the counting process made it. No run before the first has left one."""
        row = {"_id": job.id, "report": report}
        replacing = ReplaceOne({"_id": job.id}, row, upsert=True)
        self.transaction.write("reports", InsertOne(row) if job.run == 1 else replacing)

    def remove(self, text: UUID) -> None:
        for collection in ("jobs", "texts", "reports"):
            self.transaction.write(collection, DeleteOne({"_id": text}))

    async def read_ahead(self, texts: Sequence[UUID]) -> None:
        """The jobs that `find` and `get` are asked for next."""
        await self.transaction.fetch("jobs", texts)

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

    async def get_content(self, text: UUID) -> str | Blob:
        """What was handed in, or where it is. Refuses with `TextNotFound`."""
        row = await self.transaction.find_one("texts", {"_id": text})
        if row is None:
            raise TextNotFound(f"There is no text {text}.")
        return _content(row)

    async def find_wanted(self, text: UUID, run: int) -> tuple[str | Blob, int] | None:
        """What a run is to count, and how many words at the top; None where nobody wants it any more."""
        row = await self.transaction.find_one("texts", {"_id": text})
        if row is None:
            return None
        with_it = row if "run" in row else await self.transaction.find_one("jobs", {"_id": text})
        if with_it is None or with_it["run"] != run:  # before, the run stood with the job alone
            return None
        return _content(row), int(with_it["top"])

    async def referred_to(self, blobs: Collection[str]) -> set[str]:
        """Those of the blobs that a text refers to, by key."""
        return await _referred_to(self.transaction, blobs)

    async def get_report(self, text: UUID) -> Report:
        """Refuses with `TextNotFound` and `NotDone`."""
        job = await self.get(text)
        row = await self.transaction.find_one("reports", {"_id": text}) if job.status == "done" else None
        if row is None:
            raise NotDone(f"The text is {job.status}: it has no report.")
        return Report.model_validate_json(row["report"])

    async def lane_of(self, person: str, most: int) -> str:
        """`first` only while fewer than `most` of a person's jobs are under way there. Counted once a batch.

        Whose batch takes places there writes the person's turn: of two that counted without each other one
        conflicts, before it has worked anything out, and counts again. The jobs themselves are all that is
        counted, so nothing can drift. Who was found to have as many gets `bulk` for a second, without a look.
        """
        if FOUND_FULL.has(person):
            return "bulk"
        under_way = self.transaction.memory
        if person not in under_way:
            filter_ = {"place_of": person, "status": {"$in": sorted(UNDER_WAY)}}
            under_way[person] = await self.transaction.count("jobs", filter_)
            if under_way[person] >= most:
                FOUND_FULL.add(person)
            else:
                turn = UpdateOne({"_id": person}, {"$inc": {"taken": 1}}, upsert=True)
                self.transaction.write("turns", turn)
                await self.transaction.flush()
        lane = "first" if under_way[person] < most else "bulk"
        under_way[person] += lane == "first"
        return lane

    async def list(self, query: ListTexts) -> TextJobs:
        """A page, by ids, which are in the order of time. Refuses with `BadCursor`."""
        filter_: Document = {"status": query.status} if query.status else {}
        if query.cursor:
            filter_["_id"] = {"$lt": UUID(place_in(query.cursor, query)[-1])}
        rows = await self.transaction.find_many("jobs", filter_, sort=[("_id", -1)], limit=query.limit + 1)
        items = [_job(row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return TextJobs(items=items, next_cursor=cursor_at([str(items[-1].id)], query) if more else None)


async def _referred_to(transaction: MongoTransaction, blobs: Collection[str]) -> set[str]:
    found = await transaction.find_many("texts", {"blob.key": {"$in": list(blobs)}}, projection=["blob.key"])
    return {row["blob"]["key"] for row in found}


async def unneeded(
    transaction: MongoTransaction, ages: Mapping[str, timedelta], too_old: timedelta
) -> set[str]:
    """Those of the blobs that no text refers to, nor will.

    A text still may as long as the blob's command may wait in a queue: until the inbox has its end, or it
    would be too old to be done. The inbox is asked first, since what ends thereafter may refer to it.
    """
    commands = {key: (SubmitText.queue, key.partition("/")[2].partition("-")[0]) for key in ages}
    ended = await transaction.find(list(commands.values()))
    over = {key for key, age in ages.items() if commands[key] in ended or age > too_old}
    return over - await _referred_to(transaction, over)


async def sweep(journal: MongoJournal, blobs: Blobs, settings: TextSettings) -> None:
    """Remove what nobody needs; harmless in several processes at once."""
    alone = timedelta(hours=settings.blob_hours)
    await asyncio.to_thread(blobs.remove_cut_short, SubmitText.owner(), alone)
    async for page in blobs.ages(SubmitText.owner()):
        old = {key: age for key, age in page.items() if age > alone}
        async with journal.reading() as transaction:
            keys = await unneeded(transaction, old, alone + timedelta(hours=settings.inbox_hours))
        for key in keys:
            await blobs.remove(key)
            log.info("a blob that nobody needs is removed", extra={"fields": {"blob": key}})


async def keep_sweeping(journal: MongoJournal, blobs: Blobs, settings: TextSettings) -> None:
    while True:
        try:
            await sweep(journal, blobs, settings)
        except (StoreAway, Conflict, BlobsAway) as away:
            log.warning("sweeping waits", extra={"fields": {"reason": str(away)[:200]}})
        await asyncio.sleep(settings.sweep_seconds)


def _content(row: Document) -> str | Blob:
    return Blob(**row["blob"]) if "blob" in row else str(row["text"])


def _document(job: TextJob) -> Document:
    fields = job.model_dump()
    return {"_id": fields.pop("id")} | fields


def _job(row: Document) -> TextJob:
    return TextJob.model_validate({**row, "id": row["_id"]})

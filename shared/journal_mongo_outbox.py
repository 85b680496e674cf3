"""The outbox in MongoDB: what a batch said is ONE document, deleted when all of it is known to have arrived.

A document an event, inserted and deleted, took the store longer than all else that a batch writes. A process
remembers what it has said and not yet heard to have arrived; after a crash all of a document is sent again.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.write_concern import WriteConcern

from shared.journal import Said
from shared.journal_mongo_documents import Document
from shared.journal_mongo_errors import translated
from shared.messages import new_id

MOST_BYTES = 4 * 1024 * 1024
"""Of events in a document, unless a single one is larger. MongoDB's documents may have 16 MiB."""
BESIDES_THE_BODY = 1024
MOST_STRANDED = 500
MOST_REMEMBERED = 1000
"""Documents. What is forgotten is sent once more before it is cleared, with the same message ids."""
BACKLOG = {"_id": None, "events": {"$sum": {"$ifNull": ["$events", 1]}}, "oldest": {"$min": "$said_at"}}


def documents_of(said: Sequence[Said], now: datetime) -> Iterator[Document]:
    """What a batch said, in as few documents as hold it; in their order by `_id`."""
    part: list[Said] = []
    size = 0
    for one in said:
        more = len(one.body) + BESIDES_THE_BODY
        if part and size + more > MOST_BYTES:
            yield _document_of(part, now)
            part, size = [], 0
        part.append(one)
        size += more
    if part:
        yield _document_of(part, now)


def _document_of(said: Sequence[Said], now: datetime) -> Document:
    return {
        "_id": new_id(),
        "events": len(said),
        "said_at": min(one.said_at for one in said),
        "sent_at": now,
        "said": [one._asdict() | {"id": UUID(one.id)} for one in said],
    }


def said_in(row: Document) -> list[Said]:
    """Also of a document as it was before, which is one event."""
    if "said" in row:
        return [Said(**one | {"id": str(one["id"])}) for one in row["said"]]
    fields = {name: value for name, value in row.items() if name not in ("_id", "sent_at")}
    return [Said(id=str(row["_id"]), **fields)]


class MongoOutbox:
    """What is committed and not yet known to have arrived."""

    def __init__(self, rows: AsyncCollection[Document]):
        self.rows = rows
        self.awaited: dict[UUID, set[str]] = {}

    def remember(self, row: Document) -> set[str]:
        """What of a document is not known to have arrived; from now on it is cleared when all has."""
        said = {str(one["id"]) for one in row["said"]} if "said" in row else {str(row["_id"])}
        awaited = self.awaited.setdefault(row["_id"], said)
        if len(self.awaited) > MOST_REMEMBERED:
            del self.awaited[next(iter(self.awaited))]
        return awaited

    async def clear(self, ids: Sequence[str]) -> None:
        """To be repeated where it fails."""
        arrived = set(ids)
        for awaited in self.awaited.values():
            awaited.difference_update(awaited & arrived)
        ended = [row for row, awaited in self.awaited.items() if not awaited]
        with translated():  # a deletion lost in a crash is repeated by the relay: nothing waits for it
            unsafe = self.rows.with_options(write_concern=WriteConcern(1, j=False))
            await unsafe.delete_many({"_id": {"$in": ended}})
        for row in ended:
            self.awaited.pop(row, None)

    async def stranded(self, older_than: timedelta) -> list[Said]:
        """The documents' events; the last of them may have more than are asked for."""
        now = datetime.now(UTC)
        rows: list[Document] = []
        with translated():
            async with self.rows.find({"sent_at": {"$lt": now - older_than}}).sort("_id") as found:
                async for row in found:
                    rows.append(row)
                    if sum(one.get("events", 1) for one in rows) >= MOST_STRANDED:
                        break
            mine = {"_id": {"$in": [row["_id"] for row in rows]}}
            await self.rows.update_many(mine, {"$set": {"sent_at": now}})
        late = (
            one
            for row in rows
            for awaited in [self.remember(row)]
            for one in said_in(row)
            if one.id in awaited
        )
        return sorted(late, key=lambda one: one.id)

    async def backlog(self) -> tuple[int, float]:
        with translated():
            found = await (await self.rows.aggregate([{"$group": BACKLOG}])).to_list()
        if not found:
            return 0, 0.0
        return found[0]["events"], (datetime.now(UTC) - found[0]["oldest"]).total_seconds()

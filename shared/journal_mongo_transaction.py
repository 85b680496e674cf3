"""One batch's transaction in MongoDB: what its stores read and write in, and the inbox with it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import bson
from bson.codec_options import CodecOptions
from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError

from shared.handling import Work
from shared.journal import Conflict, Key, Noted, Outcome, Said, Settled
from shared.journal_mongo_documents import ENDED, Document, id_of, listed, row_of
from shared.journal_mongo_errors import translated
from shared.journal_mongo_outbox import documents_of
from shared.journal_mongo_reads import EXACT, Reads
from shared.journal_writing import Writing

Write = InsertOne[Document] | ReplaceOne[Document] | UpdateOne | DeleteOne
Sent = Write | UpdateMany
SLOW_SECONDS = 10.0
"""What takes longer than the server lets a transaction live would conflict each time it is repeated."""
TOO_SLOW = f"its handlers kept the transaction for over {SLOW_SECONDS:g} s; work like that goes before it"
DUPLICATE_KEY = 11000


class MongoTransaction(Writing[tuple[str, type]]):
    """What MongoDB stores read and write in; writes are grouped by collection and kind."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        session: AsyncClientSession | None,
        reads: Reads | None = None,
    ):
        """`reads` outside of a batch, without a session."""
        super().__init__()
        self.database = database
        self.session = session
        self.reads = reads
        self.looked = False
        self.absent: set[str] = set()
        self.unsent: set[tuple[str, EXACT | None]] = set()
        self.fetched: dict[tuple[str, EXACT | None], Document | None] = {}
        self.said: list[Document] = []
        self.began = monotonic()
        self.longest_wait = 0.0

    @contextmanager
    def using(self) -> Iterator[None]:
        """Every use of the server. A long wait for it is its own fault: it was frozen, or cut off."""
        asked = monotonic()
        try:
            with translated():
                yield
        finally:
            self.longest_wait = max(self.longest_wait, monotonic() - asked)

    @property
    def too_slow(self) -> bool:
        return monotonic() - self.began - self.longest_wait > SLOW_SECONDS

    def write(self, collection: str, change: Write) -> None:  # type: ignore[override]
        """Have a change made before the next read of what it changes, or the commit.

        What differs from `Writing.write`: a read of another document, by its `_id`, sends nothing. So a
        message reads what it changes, if another one of the batch may have changed that before.
        """
        super().write((collection, type(change)), change)
        id_ = _the_one(change._doc if isinstance(change, InsertOne) else change._filter)
        self.unsent.add((collection, id_))
        if id_ is None:
            self.fetched.clear()
        self.fetched.pop((collection, id_), None)

    async def fetch(self, collection: str, ids: Sequence[EXACT]) -> None:
        """Read at once what `find_one` will be asked for by `_id`, one by one."""
        found = {row["_id"]: row for row in await self.find_many(collection, {"_id": {"$in": list(ids)}})}
        self.fetched |= {(collection, id_): found.get(id_) for id_ in ids}

    async def find_one(self, collection: str, filter_: Mapping[str, Any], **options: Any) -> Document | None:
        """One document, as this transaction has changed it.

        All that waits to be written is sent first, but where the filter has an exact `_id` and nothing waits
        that may change that document. So a batch of messages, each about a document of its own, is written
        at once at its end. What `fetch` has read, and nothing has changed since, is not read again.
        """
        id_ = _the_one(filter_)
        if not options and len(filter_) == 1 and (collection, id_) in self.fetched:
            return self.fetched[collection, id_]
        if self.reads and id_ is not None and not options and len(filter_) == 1:
            with self.using():
                return await self.reads.find(collection, id_)
        if id_ is None or not self.unsent.isdisjoint(((collection, id_), (collection, None))):
            await self.flush()
        with self.using():
            return await self.database[collection].find_one(filter_, session=self.session, **options)

    async def find_many(self, collection: str, filter_: Mapping[str, Any], **options: Any) -> list[Document]:
        await self.flush()
        with self.using():
            found = self.database[collection].find(filter_, session=self.session, **options)
            return await found.to_list()

    async def count(self, collection: str, filter_: Mapping[str, Any]) -> int:
        await self.flush()
        with self.using():
            return await self.database[collection].count_documents(filter_, session=self.session)

    async def flush(self) -> None:
        self.unsent.clear()
        for (collection, _), writes in self.taken():
            with self.using():
                statements = _together(writes, self.database.codec_options)
                await self.database[collection].bulk_write(statements, session=self.session)

    async def find(self, keys: Sequence[Key]) -> Mapping[Key, Outcome]:
        with self.using():
            rows = self.database["inbox"].find({"_id": {"$in": list(map(id_of, keys))}}, session=self.session)
            found = {row["_id"]: row for row in await rows.to_list()}
        self.looked = True
        self.absent.update(key for key in map(id_of, keys) if key not in found)
        return {
            (row["queue"], row["message_id"]): Outcome(
                row["outcome"], row["answer"], row["fingerprint"], row["versions"]
            )
            for row in found.values()
            if row["outcome"] in ENDED
        }

    async def look_up(self, key: Key) -> Noted | None:
        with self.using():
            row = await self.database["inbox"].find_one({"_id": id_of(key)}, session=self.session)
        if row is None:
            return None
        return Noted(
            row["outcome"], row["answer"], row["attempt"], row["due_at"], row["error"], row["versions"]
        )

    async def conclude(self, settled: Sequence[Settled], said: Sequence[Said], *, last: bool = False) -> None:
        await self.flush()
        now = datetime.now(UTC)
        try:
            with self.using():
                if settled:
                    rows = [self._ending(one, now, fresh=last and not self.looked) for one in settled]
                    self.absent.difference_update(id_of((one.queue, one.message_id)) for one in settled)
                    await self.database["inbox"].bulk_write(rows, session=self.session)
                    age = listed([id_of((one.queue, one.message_id)) for one in settled], now)
                    await self.database["ages"].insert_one(age, session=self.session)
                if said:
                    self.said = list(documents_of(said, now))
                    await self.database["outbox"].insert_many(self.said, session=self.session)
        except BulkWriteError as error:
            if any(one["code"] == DUPLICATE_KEY for one in error.details["writeErrors"]):
                raise Conflict("another process has ended one of these commands") from error
            raise

    def _ending(self, settled: Settled, now: datetime, *, fresh: bool) -> Write:
        """`fresh`: nobody has looked, since it is seldom there; if it is, inserting it is a conflict."""
        key = id_of((settled.queue, settled.message_id))
        outcome = settled.outcome
        row = row_of(settled.queue, settled.message_id, settled.actor, now) | {
            "outcome": outcome.ending,
            "answer": outcome.answer,
            "fingerprint": outcome.fingerprint,
            "versions": outcome.versions,
        }
        if fresh or key in self.absent:
            return InsertOne(row)
        return ReplaceOne({"_id": key, "outcome": {"$nin": ENDED}}, row, upsert=True)


def _together(writes: Sequence[Write], codec: CodecOptions[Document]) -> Sequence[Sent]:
    """The same change of several documents, each named by its `_id`, as one statement.

    One by one they cost any server far more. What is done to a document keeps its order.
    """
    updates = [write for write in writes if isinstance(write, UpdateOne) and _is_plain(write)]
    if len(updates) < len(writes):
        return writes
    groups: list[tuple[UpdateOne, list[EXACT]]] = []
    same: dict[bytes, int] = {}
    last: dict[EXACT, int] = {}
    for write in updates:
        id_: EXACT = write._filter["_id"]
        change = bson.encode({"change": write._doc}, codec_options=codec)
        if same.get(change, -1) <= last.get(id_, -1):
            same[change] = len(groups)
            groups.append((write, []))
        last[id_] = same[change]
        groups[same[change]][1].append(id_)
    return [UpdateMany({"_id": {"$in": ids}}, write._doc) if len(ids) > 1 else write for write, ids in groups]


def _is_plain(write: UpdateOne) -> bool:
    """Nothing in it but which document, and how that changes."""
    special = (write._upsert, write._collation, write._array_filters, write._hint, write._sort)
    return len(write._filter) == 1 and _the_one(write._filter) is not None and not any(special)


def _the_one(filter_: Mapping[str, Any]) -> EXACT | None:
    """The `_id` of the one document that it can mean; None where it may mean others."""
    id_ = filter_.get("_id")
    return id_ if isinstance(id_, EXACT) else None


def mongo(work: Work) -> MongoTransaction:
    """The transaction of a message's work, for the stores of MongoDB services."""
    assert isinstance(work.transaction, MongoTransaction), "this service's journal is not MongoDB's"
    return work.transaction

"""Inbox and outbox in MongoDB, and the transaction that its stores read and write in.

Inbox, change and outbox of a batch are one multi-document transaction, written with majority write concern
(a replica set; one node suffices). Whether an unknown commit happened the inbox tells: the batch is repeated.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import pymongo
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, InsertOne, ReplaceOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, DuplicateKeyError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from shared.handling import Work
from shared.journal import Conflict, Key, Noted, Outcome, Said, Settled, StoreAway
from shared.journal_mongo_documents import Document, create_journal, document_of, id_of, row_of, said_in
from shared.journal_mongo_errors import PROBE_MS, NotYet, look_at, translated
from shared.writing import Writing

log = logging.getLogger(__name__)

Write = InsertOne[Document] | ReplaceOne[Document] | pymongo.UpdateOne | pymongo.DeleteOne
Step = Callable[[AsyncDatabase[Document]], Awaitable[None]]

STATEMENT_SECONDS = 30.0
SLOW_SECONDS = 10.0
"""What takes longer than the server lets a transaction live would conflict each time it is repeated."""
TOO_SLOW = f"its handlers kept the transaction for over {SLOW_SECONDS:g} s; work like that goes before it"
CONNECTIONS = 10
ENDED = ["done", "refused"]
DUPLICATE_KEY = 11000
CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True, uuid_representation=UuidRepresentation.STANDARD)
LOCK = {"_id": "contended"}
UNDER_WAY = {"_id": "under way"}
MIGRATING = timedelta(minutes=1)


class MongoTransaction(Writing[str]):
    """What MongoDB stores read and write in; writes are grouped by collection."""

    def __init__(self, database: AsyncDatabase[Document], session: AsyncClientSession | None):
        super().__init__()
        self.database = database
        self.session = session
        self.absent: set[str] = set()
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

    async def find_one(self, collection: str, filter_: Mapping[str, Any], **options: Any) -> Document | None:
        """One document. What waits to be written is sent first."""
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
        for collection, writes in self.taken():
            with self.using():
                await self.database[collection].bulk_write(writes, session=self.session)

    async def find(self, keys: Sequence[Key]) -> Mapping[Key, Outcome]:
        with self.using():
            rows = self.database["inbox"].find({"_id": {"$in": list(map(id_of, keys))}}, session=self.session)
            found = {row["_id"]: row for row in await rows.to_list()}
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

    async def conclude(self, settled: Sequence[Settled], said: Sequence[Said]) -> None:
        await self.flush()
        now = datetime.now(UTC)
        try:
            with self.using():
                if settled:
                    rows = [self._ending(one, now) for one in settled]
                    self.absent.difference_update(id_of((one.queue, one.message_id)) for one in settled)
                    await self.database["inbox"].bulk_write(rows, session=self.session)
                if said:
                    documents = [document_of(one) | {"sent_at": now} for one in said]
                    await self.database["outbox"].insert_many(documents, session=self.session)
        except BulkWriteError as error:
            if any(one["code"] == DUPLICATE_KEY for one in error.details["writeErrors"]):
                raise Conflict("another process has ended one of these commands") from error
            raise

    def _ending(self, settled: Settled, now: datetime) -> Write:
        key = id_of((settled.queue, settled.message_id))
        outcome = settled.outcome
        row = row_of(settled.queue, settled.message_id, settled.actor, now) | {
            "outcome": outcome.ending,
            "answer": outcome.answer,
            "fingerprint": outcome.fingerprint,
            "versions": outcome.versions,
        }
        if key in self.absent:
            return InsertOne(row)
        return ReplaceOne({"_id": key, "outcome": {"$nin": ENDED}}, row, upsert=True)


def mongo(work: Work) -> MongoTransaction:
    """The transaction of a message's work, for the stores of MongoDB services."""
    assert isinstance(work.transaction, MongoTransaction), "this service's journal is not MongoDB's"
    return work.transaction


class MongoJournal:
    """A service's MongoDB database, the one that its URL names."""

    def __init__(self, url: str, steps: Mapping[str, Step]):
        """`steps`: what brings the database up to date, by name in their order; each may run again."""
        self.client: AsyncMongoClient[Document] = AsyncMongoClient(
            url,
            maxPoolSize=CONNECTIONS,
            serverSelectionTimeoutMS=PROBE_MS,
            connectTimeoutMS=PROBE_MS,
            socketTimeoutMS=int(STATEMENT_SECONDS * 1000),
            retryWrites=True,
        )
        self.database = self.client.get_default_database(
            codec_options=CODEC,
            write_concern=WriteConcern("majority", j=True),
            read_concern=ReadConcern("majority"),
        )
        self.left_open: list[Mapping[str, Any]] = []
        self.steps = {"0000 journal": create_journal, **steps}

    async def open(self) -> None:
        """Connections are made as they are needed; a server that cannot be right is told at once."""
        with suppress(NotYet):
            await look_at(self.database)

    async def close(self) -> None:
        await self.client.close()

    async def migrate(self) -> None:
        await look_at(self.database)
        migrations = self.database["migrations"]
        with translated():
            while not await _taken(migrations, datetime.now(UTC)):
                await asyncio.sleep(0.2)
            done = {row["_id"] async for row in migrations.find()}
            for name, step in self.steps.items():
                if name not in done:
                    await step(self.database)
                    done_now = {
                        "$set": {"done_at": datetime.now(UTC)}
                    }  # by somebody else too, after a minute
                    await migrations.update_one({"_id": name}, done_now, upsert=True)
            await migrations.update_one(UNDER_WAY, {"$set": {"until": datetime.now(UTC)}})

    @asynccontextmanager
    async def transaction(self, *, contended: bool = False) -> AsyncIterator[MongoTransaction]:
        await self._end_left_open()
        async with self.client.start_session() as session, self._noting_left_open(session):
            with translated():
                await session.start_transaction(
                    read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority", j=True)
                )
            transaction = MongoTransaction(self.database, session)
            if contended:
                with translated():
                    await self.database["locks"].update_one(
                        LOCK, {"$inc": {"taken": 1}}, upsert=True, session=session
                    )
            try:
                yield transaction
                await transaction.flush()
                with transaction.using():
                    await session.commit_transaction()
            except Conflict as error:
                if transaction.too_slow:
                    raise TimeoutError(TOO_SLOW) from error
                raise

    @asynccontextmanager
    async def _noting_left_open(self, session: AsyncClientSession) -> AsyncIterator[None]:
        try:
            yield
        except StoreAway:
            self.left_open.append(session.session_id)
            raise

    async def _end_left_open(self) -> None:
        """A lost connection leaves its transaction open for a minute, in the way of its own repetition."""
        if left_open := list(self.left_open):
            with translated():
                await self.client.admin.command("killSessions", left_open)
            self.left_open = self.left_open[len(left_open) :]

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[MongoTransaction]:
        yield MongoTransaction(self.database, None)

    async def probe(self) -> None:
        with translated(), pymongo.timeout(PROBE_MS / 1000):
            await self.database.command("ping")

    async def note_start(self, key: Key, actor: str, by: int = 1) -> int:
        change = {"$inc": {"starts": by}, "$set": {"noted_at": datetime.now(UTC)}}
        if not await self._note(key, actor, change, ["starts", "noted_at"], {"starts": {"$gte": -by}}):
            return 0
        with translated():
            row = await self.database["inbox"].find_one({"_id": id_of(key)}, {"starts": 1})
        return row["starts"] if row else 0

    async def note_attempt(self, key: Key, actor: str, attempt: int, due: datetime, error: str) -> None:
        now = datetime.now(UTC)
        fields = {"attempt": attempt, "due_at": due, "error": error, "outcome": None, "starts": 0}
        change = {"$set": fields | {"noted_at": now}}
        await self._note(key, actor, change, [*fields, "noted_at"], {})

    async def _note(
        self, key: Key, actor: str, change: Document, changed: Sequence[str], where: Document
    ) -> bool:
        """Change a command's row, made where there is none; False where it is done or refused, or differs."""
        row = row_of(*key, actor, datetime.now(UTC))
        fresh = {name: value for name, value in row.items() if name not in ("_id", *changed)}
        filter_ = {"_id": row["_id"], "outcome": {"$nin": ENDED}, **where}
        try:
            with translated():
                update = change | {"$setOnInsert": fresh}
                await self.database["inbox"].update_one(filter_, update, upsert=True)
        except DuplicateKeyError:
            return False
        return True

    async def clear(self, ids: Sequence[UUID]) -> None:
        with translated():  # a deletion lost in a crash is repeated by the relay: nothing waits for it
            outbox = self.database["outbox"].with_options(write_concern=WriteConcern(1, j=False))
            await outbox.delete_many({"_id": {"$in": list(ids)}})

    async def stranded(self, older_than: timedelta) -> list[Said]:
        now = datetime.now(UTC)
        outbox = self.database["outbox"]
        with translated():
            rows = await outbox.find({"sent_at": {"$lt": now - older_than}}).limit(500).to_list()
            ids = [row["_id"] for row in rows]
            await outbox.update_many({"_id": {"$in": ids}}, {"$set": {"sent_at": now}})
        return sorted(map(said_in, rows), key=lambda said: said.id)

    async def backlog(self) -> tuple[int, float]:
        outbox = self.database["outbox"]
        with translated():
            rows = await outbox.estimated_document_count()
            oldest = await outbox.find_one({}, {"said_at": 1}, sort=[("said_at", 1)]) if rows else None
        return rows, (datetime.now(UTC) - oldest["said_at"]).total_seconds() if oldest else 0.0

    async def purge(self, keep: timedelta) -> None:
        inbox = self.database["inbox"]
        old = {"noted_at": {"$lt": datetime.now(UTC) - keep}}
        with translated():
            while rows := await inbox.find(old, {"_id": 1}).limit(1000).to_list():
                await inbox.delete_many({"_id": {"$in": [row["_id"] for row in rows]}} | old)


async def _taken(migrations: AsyncCollection[Document], now: datetime) -> bool:
    """Whether it is ours to migrate: one process at a time, until it is done or a minute has passed."""
    try:
        await migrations.update_one(
            UNDER_WAY | {"until": {"$lte": now}}, {"$set": {"until": now + MIGRATING}}, upsert=True
        )
    except DuplicateKeyError:
        return False
    return True

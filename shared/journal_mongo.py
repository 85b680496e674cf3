"""Inbox and outbox in MongoDB, and the transaction that its stores read and write in.

Inbox, change and outbox of a batch are one multi-document transaction, written with majority write concern
(a replica set; one node suffices). Whether an unknown commit happened the inbox tells: the batch is repeated.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from shared.journal import Conflict, Key, StoreAway, at_once
from shared.journal_mongo_documents import ENDED, JOURNAL, LISTED, Document, id_of, listed, row_of
from shared.journal_mongo_errors import PROBE_MS, NotYet, look_at, translated
from shared.journal_mongo_outbox import MongoOutbox
from shared.journal_mongo_presence import Presence
from shared.journal_mongo_reads import Reads
from shared.journal_mongo_transaction import TOO_SLOW, MongoTransaction

Step = Callable[[AsyncDatabase[Document]], Awaitable[None]]

STATEMENT_SECONDS = 30.0
CONNECTIONS = 10
CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True, uuid_representation=UuidRepresentation.STANDARD)
LOCK = {"_id": "contended"}
UNDER_WAY = {"_id": "under way"}
MIGRATING = timedelta(minutes=1)


class MongoJournal(MongoOutbox):
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
        self.reads = Reads(self.database)
        self.presence = Presence(self.database)
        super().__init__(self.database["outbox"])
        self.steps = {**JOURNAL, **steps}

    async def open(self) -> None:
        """Connections are made as they are needed; a server that cannot be right is told at once."""
        with suppress(NotYet):
            await look_at(self.database)

    async def close(self) -> None:
        with suppress(PyMongoError, StoreAway), pymongo.timeout(PROBE_MS / 1000):
            await self._end_left_open()
            await self.presence.leave()
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
                    noted = {"$set": {"done_at": datetime.now(UTC)}}  # by somebody else too, after a minute
                    await migrations.update_one({"_id": name}, noted, upsert=True)
            await migrations.update_one(UNDER_WAY, {"$set": {"until": datetime.now(UTC)}})

    @asynccontextmanager
    async def transaction(
        self, *, contended: bool = False, turn: Callable[[], Awaitable[None]] = at_once
    ) -> AsyncIterator[MongoTransaction]:
        await turn()
        await self._end_left_open()
        async with self._session() as session:
            with translated():
                await self.presence.note(session)
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
                for row in transaction.said:
                    self.remember(row)
            except Conflict as error:
                if transaction.too_slow:
                    raise TimeoutError(TOO_SLOW) from error
                raise

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[AsyncClientSession]:
        """Where it may have left a transaction open, nobody has it any more, nor whoever ends that."""
        async with AsyncExitStack() as ending:
            session = await ending.enter_async_context(self.client.start_session())
            try:
                yield session
            except StoreAway:
                ending.pop_all()
                self.left_open.append(session.session_id)
                raise

    async def _end_left_open(self) -> None:
        """A lost connection leaves its transaction open for a minute, in the way of its own repetition."""
        if left_open := list(self.left_open):
            with translated():
                await self.client.admin.command("killSessions", left_open)
            self.left_open = [one for one in self.left_open if one not in left_open]

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[MongoTransaction]:
        yield MongoTransaction(self.database, None, self.reads)

    async def probe(self) -> None:
        with translated(), pymongo.timeout(PROBE_MS / 1000):
            await self._end_left_open()
            await self.presence.beat()

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
        """Change a command's row, made where there is none; False where it is done or refused, or differs.

        In a transaction: where one that a dead worker left open holds the row, that is a conflict at once. A
        plain write would wait for its end, which SecantusDB sees to only when somebody uses a transaction.
        """
        row = row_of(*key, actor, datetime.now(UTC))
        fresh = {name: value for name, value in row.items() if name not in ("_id", *changed)}
        filter_ = {"_id": row["_id"], "outcome": {"$nin": ENDED}, **where}
        update = change | {"$setOnInsert": fresh}
        try:
            async with self.transaction() as transaction:
                with transaction.using():
                    inbox, ages = self.database["inbox"], self.database["ages"]
                    await inbox.update_one(filter_, update, upsert=True, session=transaction.session)
                    age = listed([row["_id"]], row["noted_at"])
                    await ages.insert_one(age, session=transaction.session)
        except DuplicateKeyError:
            return False
        return True

    async def purge(self, keep: timedelta) -> None:
        inbox, ages = self.database["inbox"], self.database["ages"]
        old = {"noted_at": {"$lt": datetime.now(UTC) - keep}}
        with translated():
            while lists := await ages.find(old).limit(20).to_list():
                rows = [row for one in lists for row in one["rows"]]
                for at in range(0, len(rows), LISTED):  # who was noted again is listed again
                    await inbox.delete_many({"_id": {"$in": rows[at : at + LISTED]}} | old)
                await ages.delete_many({"_id": {"$in": [one["_id"] for one in lists]}})


async def _taken(migrations: AsyncCollection[Document], now: datetime) -> bool:
    """Whether it is ours to migrate: one process at a time, until it is done or a minute has passed."""
    try:
        await migrations.update_one(
            UNDER_WAY | {"until": {"$lte": now}}, {"$set": {"until": now + MIGRATING}}, upsert=True
        )
    except DuplicateKeyError:
        return False
    return True

"""Who works in the database at the moment, so that what a dead process left open does not stay in the way.

MongoDB keeps the transaction of a client that is gone until it has lived for too long, and with it all that
it changed. So a process notes its sessions before it uses them, and beats; who sees another one's beats cease
ends that one's sessions. Should it live after all, it repeats its batch, as after any conflict or outage.
"""

import logging
from time import monotonic
from typing import Any
from uuid import UUID

from bson.binary import Binary
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.write_concern import WriteConcern

from shared.journal_mongo_documents import Document
from shared.messages import new_id

log = logging.getLogger(__name__)

BEAT_SECONDS = 0.8
MISSED_BEATS = 3
"""Counted in beats of one's own, so that whoever was frozen, or had no server, judges nobody."""
SESSIONS = 50
"""More than a process uses at a time; those used last."""


class Presence:
    """One process's sessions, and an eye on those of the others."""

    def __init__(self, database: AsyncDatabase[Document]):
        self.processes = database["processes"].with_options(write_concern=WriteConcern(1))
        self.admin = database.client.admin
        self.id = new_id()
        self.sessions: dict[Binary, None] = {}
        self.beats = 0
        self.looked_at = 0.0
        self.others: dict[UUID, tuple[int, int]] = {}
        """Of each its beats, and how often no new one had come."""

    async def note(self, session: AsyncClientSession) -> None:
        """Before a session's first transaction."""
        used: Binary = session.session_id["id"]
        is_noted = used in self.sessions
        self.sessions.pop(used, None)
        self.sessions[used] = None
        if not is_noted:
            while len(self.sessions) > SESSIONS:
                del self.sessions[next(iter(self.sessions))]
            await self._tell()

    async def beat(self) -> None:
        """To be called about once a second; more often does no harm."""
        self.beats += 1
        await self._tell()
        if monotonic() - self.looked_at >= BEAT_SECONDS:
            self.looked_at = monotonic()
            await self._look()

    async def leave(self) -> None:
        """Nothing is open any more."""
        await self.processes.delete_one({"_id": self.id})

    async def _tell(self) -> None:
        now = {"beats": self.beats, "sessions": list(self.sessions)}
        await self.processes.update_one({"_id": self.id}, {"$set": now}, upsert=True)

    async def _look(self) -> None:
        others = {other["_id"]: other async for other in self.processes.find({"_id": {"$ne": self.id}})}
        self.others = {id_: self._seen(id_, other["beats"]) for id_, other in others.items()}
        for id_, (_, missed) in self.others.items():
            if missed >= MISSED_BEATS:
                await self._end(others[id_])

    def _seen(self, id_: UUID, beats: int) -> tuple[int, int]:
        before, missed = self.others.get(id_, (None, 0))
        return beats, missed + 1 if beats == before else 0

    async def _end(self, gone: dict[str, Any]) -> None:
        if sessions := [{"id": Binary.from_uuid(session)} for session in gone["sessions"]]:
            await self.admin.command("killSessions", sessions)
        await self.processes.delete_one({"_id": gone["_id"], "beats": gone["beats"]})
        log.info("ended what a process that is gone may have left open")

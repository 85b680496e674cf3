"""Reads outside of batches: what is asked for by `_id` during the last read shares the next one.

Nobody waits for a read to fill, and none is answered by a read that began before it was asked for.
"""

import asyncio
from typing import Any
from uuid import UUID

from pymongo.asynchronous.database import AsyncDatabase

from shared.journal_mongo_documents import Document

EXACT = UUID | str | int
"""Kinds of `_id` that a filter can mean one document by: anything else may be an expression."""
Found = asyncio.Future[Document | None]


class Reads:
    """One read at a time for each collection."""

    def __init__(self, database: AsyncDatabase[Document]):
        self.database = database
        self.wanted: dict[str, dict[EXACT, list[Found]]] = {}
        self.reading: dict[str, asyncio.Task[None]] = {}

    async def find(self, collection: str, id_: EXACT) -> Document | None:
        """The document with that `_id`, as it is when this is asked or later."""
        found: Found = asyncio.get_running_loop().create_future()
        self.wanted.setdefault(collection, {}).setdefault(id_, []).append(found)
        if collection not in self.reading:
            self.reading[collection] = asyncio.create_task(
                self._read(collection), name=f"reading {collection}"
            )
        return await found

    async def _read(self, collection: str) -> None:
        try:
            await asyncio.sleep(0)
            while wanted := self.wanted.pop(collection, None):
                await self._read_once(collection, wanted)
        finally:
            del self.reading[collection]

    async def _read_once(self, collection: str, wanted: dict[EXACT, list[Found]]) -> None:
        try:
            rows = await self._rows(collection, list(wanted))
        except BaseException as error:
            for found in waiting_in(wanted):
                found.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for id_, several in wanted.items():
            for found in several:
                if not found.done():
                    found.set_result(rows.get(id_))

    async def _rows(self, collection: str, ids: list[EXACT]) -> dict[Any, Document]:
        if len(ids) == 1:
            row = await self.database[collection].find_one({"_id": ids[0]})
            return {row["_id"]: row} if row else {}
        rows = await self.database[collection].find({"_id": {"$in": ids}}).to_list()
        return {row["_id"]: row for row in rows}


def waiting_in(wanted: dict[EXACT, list[Found]]) -> list[Found]:
    """Those that have not been given up meanwhile."""
    return [found for several in wanted.values() for found in several if not found.done()]

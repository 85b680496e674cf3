"""The kernel's collections in a MongoDB service's database, and the form of what they hold."""

from datetime import datetime
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from shared.journal import Key

Document = dict[str, Any]
ENDED = ["done", "refused"]


def id_of(key: Key) -> str:
    """A queue's name has no line end."""
    return "\n".join(key)


def row_of(queue: str, message_id: str, actor: str, now: datetime) -> Document:
    """An inbox row as it begins."""
    return {
        "_id": id_of((queue, message_id)),
        "queue": queue,
        "message_id": message_id,
        "actor": actor,
        "fingerprint": None,
        "outcome": None,
        "answer": None,
        "versions": "{}",
        "attempt": 1,
        "starts": 0,
        "due_at": None,
        "error": None,
        "noted_at": now,
    }


async def create_journal(database: AsyncDatabase[Document]) -> None:
    """Collections too: a transaction should find them made."""
    existing = await database.list_collection_names()
    for name in {"inbox", "outbox", "locks"} - set(existing):
        await database.create_collection(name)
    await database["inbox"].create_index("noted_at")
    await database["outbox"].create_index("sent_at")
    await database["outbox"].create_index("said_at")


async def drop_outbox_indexes(database: AsyncDatabase[Document]) -> None:
    """It holds what is under way: scanning it costs less than two indexes that every batch writes twice."""
    await database["outbox"].drop_indexes()


JOURNAL = {"0000 journal": create_journal, "0001 outbox": drop_outbox_indexes}
"""The kernel's own steps of `migrate`."""

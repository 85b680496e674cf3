"""The kernel's collections in a MongoDB service's database, and the form of what they hold."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from shared.journal import Key, Said

Document = dict[str, Any]


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


def document_of(said: Said) -> Document:
    fields = asdict(said)
    return {"_id": fields.pop("id")} | fields


def said_in(row: Document) -> Said:
    fields = {name: value for name, value in row.items() if name not in ("_id", "sent_at")}
    return Said(id=row["_id"], **fields)


async def create_journal(database: AsyncDatabase[Document]) -> None:
    """Collections too: a transaction should find them made."""
    existing = await database.list_collection_names()
    for name in {"inbox", "outbox", "locks"} - set(existing):
        await database.create_collection(name)
    await database["inbox"].create_index("noted_at")
    await database["outbox"].create_index("sent_at")
    await database["outbox"].create_index("said_at")

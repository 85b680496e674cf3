"""The kernel's collections in a MongoDB service's database, and the form of what they hold."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from shared.journal import Key
from shared.messages import new_id

Document = dict[str, Any]
ENDED = ["done", "refused"]
LISTED = 100
"""Rows listed, or asked for, at a time: SecantusDB compares each it finds with each it is asked for."""


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


def listed(ids: Sequence[str], now: datetime) -> Document:
    """Which rows of the inbox were noted at a time: one document a batch, instead of an index of all rows."""
    return {"_id": new_id(), "noted_at": now, "rows": list(ids)}


async def list_by_age(database: AsyncDatabase[Document]) -> None:
    """What another process of before writes meanwhile is listed nowhere, and stays."""
    inbox, ages = database["inbox"], database["ages"]
    await ages.create_index("noted_at")
    if "noted_at_1" not in await inbox.index_information():
        return
    found = inbox.find({}, {"noted_at": 1})
    while rows := await found.to_list(LISTED):
        await ages.insert_one(listed([row["_id"] for row in rows], max(row["noted_at"] for row in rows)))
    await inbox.drop_index("noted_at_1")


JOURNAL = {
    "0000 journal": create_journal,
    "0001 outbox": drop_outbox_indexes,
    "0002 ages": list_by_age,
}
"""The kernel's own steps of `migrate`."""

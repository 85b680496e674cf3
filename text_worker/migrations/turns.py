"""A document for each person whose jobs take places in the first lane: who takes some writes it."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase


async def create_turns(database: AsyncDatabase[dict[str, Any]]) -> None:
    if "turns" not in await database.list_collection_names():
        await database.create_collection("turns")

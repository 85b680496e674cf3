"""Which text refers to a blob; most have none."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase


async def index_blobs(database: AsyncDatabase[dict[str, Any]]) -> None:
    await database["texts"].create_index([("blob.key", 1)], sparse=True)

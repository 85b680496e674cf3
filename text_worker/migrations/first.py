"""Jobs, the texts they are about, and their reports, each by the job's id."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

JOB = {
    "bsonType": "object",
    "required": ["_id", "version", "status", "run", "person", "lane", "created_at"],
    "properties": {
        "version": {"bsonType": ["int", "long"], "minimum": 1},
        "status": {"enum": ["queued", "running", "done", "failed", "cancelled"]},
        "lane": {"enum": ["first", "bulk"]},
        "created_at": {"bsonType": "date"},
    },
}


async def create_texts(database: AsyncDatabase[dict[str, Any]]) -> None:
    existing = await database.list_collection_names()
    for name in {"jobs", "texts", "reports"} - set(existing):
        await database.create_collection(name)
    await database.command("collMod", "jobs", validator={"$jsonSchema": JOB})
    await database["jobs"].create_index([("created_at", -1), ("_id", -1)])
    await database["jobs"].create_index([("status", 1), ("created_at", -1), ("_id", -1)])
    await database["jobs"].create_index([("person", 1), ("lane", 1), ("status", 1)])

"""Fewer indexes: a job with a place in the first lane says whose, and ids are in the order of jobs."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

OLD = ("created_at_-1__id_-1", "status_1_created_at_-1__id_-1", "person_1_lane_1_status_1")


async def index_places(database: AsyncDatabase[dict[str, Any]]) -> None:
    jobs = database["jobs"]
    await jobs.create_index([("status", 1), ("_id", -1)])
    await jobs.create_index("place_of", sparse=True)
    under_way = {"lane": "first", "status": {"$in": ["queued", "running"]}}
    for person in await jobs.distinct("person", under_way):
        await jobs.update_many(under_way | {"person": person}, {"$set": {"place_of": person}})
    for name in (await jobs.index_information()).keys() & OLD:
        await jobs.drop_index(name)

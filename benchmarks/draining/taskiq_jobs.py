"""taskiq: one process, its quorum queue, orjson, uvloop, and asyncpg's pool for coroutines.

It acknowledges after the commit. As a program it hands in one task and says under which id.
"""

import json
import os
from typing import Any

import asyncpg
import uvloop
from taskiq import TaskiqEvents, TaskiqState
from taskiq.serializers import ORJSONSerializer
from taskiq_aio_pika import AioPikaBroker

from benchmarks.draining.inserting import DATABASE_URL, TITLE, insert_into, row_of

broker = AioPikaBroker(os.environ["BROKER_URL"], qos=128).with_serializer(ORJSONSerializer())
INSERT = insert_into("taskiq", "${}")


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def connect(state: TaskiqState) -> None:
    state.pool = await asyncpg.create_pool(DATABASE_URL, min_size=20, max_size=20)


@broker.task(task_name="create_task")
async def create_task(fields: dict[str, Any]) -> None:
    await broker.state.pool.execute(INSERT, *row_of(fields))


async def main() -> None:
    await broker.startup()
    print(json.dumps({"id": (await create_task.kiq({"title": TITLE})).task_id}))
    await broker.shutdown()


if __name__ == "__main__":
    uvloop.run(main())

"""Answers by aio-pika and asyncpg alone: reads the row, answers it as JSON, acknowledges."""

import asyncio
import os
from typing import Any, get_args
from uuid import UUID

import aio_pika
import asyncpg
import orjson
import uvloop
from aio_pika.abc import AbstractIncomingMessage

from shared.contracts.tasks import Priority

QUEUE = "raw.get_task"
AHEAD = 64
PRIORITIES: tuple[str, ...] = get_args(Priority)
GET = "SELECT * FROM tasks WHERE id = $1"


async def main() -> None:
    async with (
        asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=20, max_size=20) as pool,
        await aio_pika.connect(os.environ["BROKER_URL"]) as connection,
    ):
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=AHEAD)
        queue = await channel.declare_queue(QUEUE)

        async def answer(question: AbstractIncomingMessage) -> None:
            task = UUID(orjson.loads(question.body)["task"])
            found = await pool.fetchrow(GET, task)
            row: dict[str, Any] = dict(found or {})
            row |= {"id": str(task), "priority": PRIORITIES[row["priority"]]}
            answer = aio_pika.Message(orjson.dumps(row), correlation_id=question.correlation_id)
            await channel.default_exchange.publish(answer, question.reply_to or "")
            await question.ack()

        await queue.consume(answer)
        await asyncio.Future()


if __name__ == "__main__":
    uvloop.run(main())

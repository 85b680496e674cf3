"""The naive form: for each command a transaction that locks the storages it may use, and an acknowledgement.

It hears the same commands from the same queue. All distances stand in a table; they cost it nothing.
"""

import asyncio
import os
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import aio_pika
import asyncpg
import orjson
import uvloop
from aio_pika.abc import AbstractIncomingMessage

QUEUE = "waste.generate_waste"
AHEAD = 64
# In the order of their ids, so that two transactions never wait for each other.
ROOM = """
SELECT o.id AS organization, c.storage, c.capacity - c.stored AS room, d.metres, d.number
FROM naive.places o JOIN naive.distances d ON d.organization = o.id
JOIN naive.capacities c ON c.storage = d.storage
WHERE o.name = $1 AND c.kind = $2 AND c.stored < c.capacity ORDER BY c.storage FOR UPDATE OF c"""
FILL = """
UPDATE naive.capacities SET stored = stored + $3, placements = placements + 1
WHERE storage = $1 AND kind = $2"""
GENERATE = "INSERT INTO naive.generations (id, organization, created_at) VALUES ($1, $2, $3)"
AMOUNT = "INSERT INTO naive.amounts (generation, kind, amount) VALUES ($1, $2, $3)"
PLACE = """
INSERT INTO naive.placements (generation, storage, kind, amount, distance_metres, stored_at)
VALUES ($1, $2, $3, $4, $5, $6)"""
WAIT = "INSERT INTO naive.waiting (generation, organization, kind, amount) VALUES ($1, $2, $3, $4)"


async def generate(connection: Any, organization: str, kind: str, amount: Decimal) -> None:
    storages = await connection.fetch(ROOM, organization, kind)
    storages.sort(key=lambda storage: (storage["metres"], storage["number"]))
    now, generation = datetime.now(UTC), uuid4()
    await connection.execute(GENERATE, generation, storages[0]["organization"], now)
    await connection.execute(AMOUNT, generation, kind, amount)
    for storage in storages:
        portion = min(storage["room"], amount)
        await connection.execute(FILL, storage["storage"], kind, portion)
        await connection.execute(PLACE, generation, storage["storage"], kind, portion, storage["metres"], now)
        amount -= portion
        if not amount:
            return
    await connection.execute(WAIT, generation, storages[0]["organization"], kind, amount)


async def main() -> None:
    async with (
        asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=20, max_size=20) as pool,
        await aio_pika.connect(os.environ["BROKER_URL"]) as connection,
    ):
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=AHEAD)

        async def hear(message: AbstractIncomingMessage) -> None:
            command = orjson.loads(message.body)
            async with pool.acquire() as borrowed, borrowed.transaction():
                for kind, amount in command["amounts"].items():
                    await generate(borrowed, command["organization"], kind, Decimal(amount))
            await message.ack()

        await (await channel.get_queue(QUEUE)).consume(hear)
        await asyncio.Future()


if __name__ == "__main__":
    uvloop.run(main())

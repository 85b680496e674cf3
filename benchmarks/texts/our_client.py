"""Hands texts in to text_worker as any AMQP program would, with aio-pika, and hears that all are counted.

An event is said after its report is stored; that each is there is read at the end.
"""

import asyncio
import json
import os
from typing import Any

import aio_pika
import uvloop
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from pymongo import AsyncMongoClient

from benchmarks.texts.handing_in import IN_FLIGHT, TOP, HandingIn, from_arguments


async def main() -> None:
    round_ = from_arguments()
    store = AsyncMongoClient[dict[str, Any]](os.environ["RESULTS_URL"], uuidRepresentation="standard")
    async with await aio_pika.connect_robust(os.environ["BROKER_URL"]) as connection, store:
        reports = store.get_default_database()["reports"]
        known = {row["_id"] async for row in reports.find({}, {"_id": 1})}
        channel = await connection.channel(on_return_raises=True)
        heard: set[str] = set()
        all_counted = asyncio.Event()

        async def hear(event: AbstractIncomingMessage) -> None:
            heard.add(event.message_id or "")
            if len(heard) == len(round_.texts):
                all_counted.set()

        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("events", "texts.text_processed")
        await queue.consume(hear, no_ack=True)
        round_.start()
        await _hand_in(round_, channel.default_exchange)
        await all_counted.wait()
        round_.all_there()

        round_.say([row["report"] async for row in reports.find() if row["_id"] not in known])


async def _hand_in(round_: HandingIn, exchange: AbstractExchange) -> None:
    waiting = iter(round_.texts)

    async def publish() -> None:
        for text in waiting:
            body = json.dumps({"text": text, "top": TOP}).encode()
            persistent = aio_pika.DeliveryMode.PERSISTENT
            message = aio_pika.Message(body, delivery_mode=persistent)
            await exchange.publish(message, "texts.submit_text", mandatory=True)

    await asyncio.gather(*(publish() for _ in range(IN_FLIGHT)))
    round_.all_handed_in()


if __name__ == "__main__":
    uvloop.run(main())

"""Hands texts in to text_worker as the gateway does, but for the answer, and hears that all are counted.

An event is said after its report is stored; that each is there is read at the end.
"""

import asyncio
import os
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import uvloop
from pamqp.commands import Queue
from pymongo import AsyncMongoClient

from benchmarks.texts.handing_in import IN_FLIGHT, TOP, HandingIn, from_arguments
from shared.amqp.connection import connect
from shared.amqp.content import Incoming, Properties
from shared.bus import Publisher
from shared.contracts.texts import SubmitText, TextProcessed
from shared.topology import EVENTS_EXCHANGE


async def main() -> None:
    round_ = from_arguments()
    url = os.environ["BROKER_URL"]
    store = AsyncMongoClient[dict[str, Any]](os.environ["RESULTS_URL"], uuidRepresentation="standard")
    publisher = Publisher(url, "client")
    publishing = asyncio.create_task(publisher.link.keep_open())
    async with store:
        reports = store.get_default_database()["reports"]
        known = {row["_id"] async for row in reports.find({}, {"_id": 1})}
        all_counted = await _hearing(url, len(round_.texts))
        await publisher.link.back.wait()

        round_.start()
        await _hand_in(round_, publisher)
        await all_counted.wait()
        round_.all_there()

        round_.say([row["report"] async for row in reports.find() if row["_id"] not in known])
    publishing.cancel()


async def _hearing(url: str, count: int) -> asyncio.Event:
    """Set when so many texts are processed."""
    all_counted, heard = asyncio.Event(), set[str | None]()

    def hear(event: Incoming) -> None:
        heard.add(event.message_id)
        if len(heard) == count:
            all_counted.set()

    channel = await (await connect(url, "client hears")).channel()
    queue = (await channel.call(Queue.Declare(exclusive=True))).queue
    await channel.call(
        Queue.Bind(queue=queue, exchange=EVENTS_EXCHANGE, routing_key=TextProcessed.routing_key)
    )
    await channel.consume(queue, hear, name="client", no_ack=True)
    return all_counted


async def _hand_in(round_: HandingIn, publisher: Publisher) -> None:
    waiting = iter(round_.texts)

    async def publish() -> None:
        for text in waiting:
            properties = Properties(
                content_type="application/json",
                delivery_mode=2,
                message_id=uuid4().hex,
                timestamp=datetime.now(UTC),
                type=SubmitText.__name__,
                app_id=publisher.process,
            )
            body = SubmitText(text=text, top=TOP).to_json()
            await publisher.publish("", SubmitText.queue, body, properties, mandatory=True)

    await asyncio.gather(*(publish() for _ in range(IN_FLIGHT)))
    round_.all_handed_in()


if __name__ == "__main__":
    uvloop.run(main())

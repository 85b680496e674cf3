"""Passes messages by the kernel's publisher and its channel."""

import asyncio
from typing import Any

import uvloop
from pamqp.commands import Basic

from benchmarks.anatomy.passing import (
    BODY,
    PREFETCH,
    Counting,
    broker_url,
    command,
    in_flight,
    pass_and_say,
    queue,
)
from shared.amqp.connection import connect
from shared.amqp.content import Incoming, Properties
from shared.bus import Publisher


async def main() -> None:
    publisher = Publisher(broker_url(), "bench")
    link = asyncio.create_task(publisher.link.keep_open())
    await publisher.link.back.wait()
    connection = await connect(broker_url(), "bench consumes")

    async def publish(count: int) -> None:
        def one() -> "asyncio.Future[None]":
            properties: Any = command()
            return publisher.publish("", queue(), BODY, Properties(**properties), mandatory=True)

        await in_flight(one, count)

    async def consume(count: int) -> None:
        channel, counting = await connection.channel(), Counting(count)

        def take(message: Incoming) -> None:
            if counting.settles():
                channel.ack(message.tag, multiple=True)

        await channel.call(Basic.Qos(prefetch_count=PREFETCH))
        await channel.consume(queue(), take, name="bench")
        await counting.all.wait()
        channel.close()

    await pass_and_say(publish, consume)
    link.cancel()
    await connection.close()


if __name__ == "__main__":
    uvloop.run(main())

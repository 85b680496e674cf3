"""Passes messages by aio-pika, on a connection that is not robust, as that is faster."""

from typing import Any

import aio_pika
import uvloop
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from benchmarks.anatomy.passing import (
    BODY,
    PREFETCH,
    Counting,
    Passing,
    broker_url,
    command,
    in_flight,
    pass_and_say,
    queue,
)


async def publishing_on(connection: AbstractConnection) -> Passing:
    channel = await connection.channel(on_return_raises=True)

    async def one() -> None:
        properties: Any = command()
        await channel.default_exchange.publish(aio_pika.Message(BODY, **properties), queue(), mandatory=True)

    async def publish(count: int) -> None:
        await in_flight(one, count)

    return publish


async def main() -> None:
    async with await aio_pika.connect(broker_url()) as connection:

        async def consume(count: int) -> None:
            channel, counting = await connection.channel(), Counting(count)

            async def take(message: AbstractIncomingMessage) -> None:
                if counting.settles():
                    await message.ack(multiple=True)

            await channel.set_qos(prefetch_count=PREFETCH)
            await (await channel.get_queue(queue(), ensure=False)).consume(take)
            await counting.all.wait()
            await channel.close()

        await pass_and_say(await publishing_on(connection), consume)


if __name__ == "__main__":
    uvloop.run(main())

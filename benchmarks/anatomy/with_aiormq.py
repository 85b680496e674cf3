"""Passes messages by aiormq alone."""

from typing import Any

import aiormq
import uvloop
from aiormq.abc import DeliveredMessage
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


async def main() -> None:
    connection = await aiormq.connect(broker_url())
    publishing = await connection.channel(publisher_confirms=True, on_return_raises=True)

    async def publish(count: int) -> None:
        async def one() -> None:
            named: Any = command()
            properties = Basic.Properties(message_type=named.pop("type"), **named)
            await publishing.basic_publish(BODY, routing_key=queue(), properties=properties, mandatory=True)

        await in_flight(one, count)

    async def consume(count: int) -> None:
        channel, counting = await connection.channel(), Counting(count)

        async def take(message: DeliveredMessage) -> None:
            if counting.settles():
                await channel.basic_ack(message.delivery_tag or 0, multiple=True)

        await channel.basic_qos(prefetch_count=PREFETCH)
        await channel.basic_consume(queue(), take)
        await counting.all.wait()
        await channel.close()

    await pass_and_say(publish, consume)
    await connection.close()


if __name__ == "__main__":
    uvloop.run(main())

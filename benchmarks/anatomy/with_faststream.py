"""Consumes by FastStream at its leanest: no injection, no decoding, no replies. aio-pika publishes."""

from typing import Any

import aio_pika
import uvloop
from aio_pika.abc import AbstractIncomingMessage
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue

from benchmarks.anatomy.passing import PREFETCH, Counting, broker_url, pass_and_say, queue
from benchmarks.anatomy.with_aio_pika import publishing_on


async def raw(message: Any) -> AbstractIncomingMessage:
    """What FastStream calls decoding: the handler gets aio-pika's message."""
    taken: AbstractIncomingMessage = message.raw_message
    return taken


async def main() -> None:
    async with await aio_pika.connect(broker_url()) as connection:

        async def consume(count: int) -> None:
            counting = Counting(count)
            prefetch = Channel(prefetch_count=PREFETCH)
            broker = RabbitBroker(broker_url(), default_channel=prefetch, apply_types=False, logger=None)
            waiting = RabbitQueue(queue(), declare=False)

            @broker.subscriber(waiting, ack_policy=AckPolicy.MANUAL, decoder=raw, no_reply=True)
            async def take(message: Any) -> None:
                if counting.settles():
                    await message.ack(multiple=True)

            await broker.start()
            await counting.all.wait()
            await broker.stop()

        await pass_and_say(await publishing_on(connection), consume)


if __name__ == "__main__":
    uvloop.run(main())

"""Asks by aio-pika alone: one connection, one exclusive queue for answers, matched by correlation id."""

import asyncio
import os
from uuid import uuid4

import aio_pika
import orjson
import uvloop
from aio_pika.abc import AbstractIncomingMessage

from benchmarks.asking.clock import ask_and_say
from benchmarks.asking.raw_service import QUEUE

WAIT_SECONDS = 10.0


async def main() -> None:
    async with await aio_pika.connect(os.environ["BROKER_URL"]) as connection:
        channel = await connection.channel(on_return_raises=True)
        answers = await channel.declare_queue(exclusive=True)
        awaited: dict[str, asyncio.Future[bytes]] = {}
        body = orjson.dumps({"task": os.environ["TASK"]})

        async def hear(message: AbstractIncomingMessage) -> None:
            if answered := awaited.pop(message.correlation_id or "", None):
                answered.set_result(message.body)

        async def ask() -> bytes:
            name = uuid4().hex
            awaited[name] = asyncio.get_running_loop().create_future()
            question = aio_pika.Message(
                body, message_id=name, correlation_id=name, reply_to=answers.name, expiration=WAIT_SECONDS
            )
            answered = awaited[name]
            async with asyncio.timeout(WAIT_SECONDS):
                await channel.default_exchange.publish(question, QUEUE, mandatory=True)
                return await answered

        await answers.consume(hear, no_ack=True)
        await ask_and_say(ask)


if __name__ == "__main__":
    uvloop.run(main())

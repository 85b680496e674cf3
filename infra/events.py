"""`make events`: print every event as it is said, through a queue of its own that goes when this ends."""

import asyncio
import os
import sys
from uuid import uuid4

import aiormq
from aiormq.abc import AbstractConnection, DeliveredMessage

from shared.topology import EVENTS_EXCHANGE

KEY_WIDTH = 30
CONNECT_SECONDS = 5


async def show(message: DeliveredMessage) -> None:
    properties = message.header.properties
    time = properties.timestamp.astimezone().strftime("%H:%M:%S") if properties.timestamp else "--:--:--"
    body = message.body.decode(errors="replace")
    print(f"{time}  {message.routing_key:<{KEY_WIDTH}} {properties.correlation_id}  {body}", flush=True)


async def listen() -> AbstractConnection:
    connection = await aiormq.connect(
        os.environ["RABBITMQ_URL"], client_properties={"connection_name": "make events"}
    )
    channel = await connection.channel()
    queue = f"make-events.{uuid4().hex[:8]}"
    await channel.queue_declare(queue, exclusive=True, auto_delete=True)
    await channel.queue_bind(queue, EVENTS_EXCHANGE, "#")
    await channel.basic_consume(queue, show, no_ack=True)
    return connection


async def main() -> None:
    async with asyncio.timeout(CONNECT_SECONDS):
        connection = await listen()
    print("Events as they are said, with their conversation; Ctrl-C ends this.", file=sys.stderr, flush=True)
    await connection.closing


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
    except (aiormq.exceptions.AMQPError, OSError) as error:
        reason = str(error).rstrip(".") or f"no answer in {CONNECT_SECONDS} s"
        sys.exit(f"The broker cannot be reached: {reason}. Is the system running? 'make status' tells.")

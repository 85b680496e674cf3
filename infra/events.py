"""`make events`: print every event as it is said, through a queue of its own that goes when this ends."""

import asyncio
import os
import sys
from uuid import uuid4

from pamqp.commands import Queue

from shared.amqp.connection import Connection, connect
from shared.amqp.content import Incoming
from shared.amqp.errors import AmqpError
from shared.topology import EVENTS_EXCHANGE

KEY_WIDTH = 30
CONNECT_SECONDS = 5


def show(message: Incoming) -> None:
    time = message.timestamp.astimezone().strftime("%H:%M:%S") if message.timestamp else "--:--:--"
    body = message.body.decode(errors="replace")
    print(f"{time}  {message.routing_key:<{KEY_WIDTH}} {message.correlation_id}  {body}", flush=True)


async def listen() -> Connection:
    connection = await connect(os.environ["RABBITMQ_URL"], "make events")
    channel = await connection.channel()
    queue = f"make-events.{uuid4().hex[:8]}"
    await channel.call(Queue.Declare(queue=queue, exclusive=True, auto_delete=True))
    await channel.call(Queue.Bind(queue=queue, exchange=EVENTS_EXCHANGE, routing_key="#"))
    await channel.consume(queue, show, name="make-events", no_ack=True)
    return connection


async def main() -> None:
    async with asyncio.timeout(CONNECT_SECONDS):
        connection = await listen()
    print("Events as they are said, with their conversation; Ctrl-C ends this.", file=sys.stderr, flush=True)
    await connection.gone


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
    except (AmqpError, OSError) as error:
        reason = str(error).rstrip(".") or f"no answer in {CONNECT_SECONDS} s"
        sys.exit(f"The broker cannot be reached: {reason}. Is the system running? 'make status' tells.")

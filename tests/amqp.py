"""A client that publishes and asks as any AMQP program would, with aio-pika and nothing of ours."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustChannel

from tests.system import System


@dataclass(frozen=True)
class Answered:
    """An answer: the JSON and whether it is a refusal."""

    body: Any
    refused: bool


class Client:
    """Publishes to queues, hears answers and events."""

    def __init__(self, channel: AbstractRobustChannel, user: str):
        self.channel = channel
        self.user = user
        self.replies: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()

    async def open(self) -> None:
        self.reply_queue = await self.channel.declare_queue(exclusive=True)
        await self.reply_queue.consume(self.replies.put, no_ack=True)

    async def publish(
        self,
        queue: str,
        body: dict[str, Any] | bytes,
        *,
        message_id: str | None = None,
        answered: bool = False,
        **properties: Any,
    ) -> str:
        """Publish, confirmed and mandatory; the message id."""
        message_id = message_id or uuid4().hex
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        message = aio_pika.Message(
            payload,
            message_id=message_id,
            correlation_id=uuid4().hex,
            reply_to=self.reply_queue.name if answered else None,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            **properties,
        )
        await self.channel.default_exchange.publish(message, queue, mandatory=True)
        return message_id

    async def next_answer(self, seconds: float = 30) -> Answered:
        message = await asyncio.wait_for(self.replies.get(), seconds)
        return Answered(json.loads(message.body), message.type == "Refusal")

    async def ask(self, queue: str, body: dict[str, Any] | bytes, **properties: Any) -> Answered:
        await self.publish(queue, body, answered=True, **properties)
        return await self.next_answer()


@asynccontextmanager
async def client(system: System, user: str = "operator") -> AsyncIterator[Client]:
    connection = await system.connect(user)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        made = Client(channel, user)
        await made.open()
        yield made

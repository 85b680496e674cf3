"""How deliveries come in: a consumer for each handler's queue, each with a channel and a prefetch of its own.

A service is a FastStream application: its subscribers say what is consumed, and FastStream describes them
(AsyncAPI). The deliveries themselves go past it, from the connection straight to the kernel: what FastStream,
aio-pika and aiormq do for a message costs more than all the rest of it (docs/decisions/0012).
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import orjson
from faststream.asgi import AsgiFastStream
from faststream.rabbit import ExchangeType, QueueType, RabbitBroker, RabbitExchange, RabbitQueue
from faststream.specification import AsyncAPI
from pamqp.commands import Basic

from shared.amqp.channel import Channel
from shared.amqp.connection import Connection
from shared.amqp.content import Incoming
from shared.amqp.errors import AmqpError
from shared.amqp.link import Link
from shared.batch import BATCH, BATCH_OF_LARGE
from shared.handling import Handler
from shared.health import JSON, Health, Page
from shared.messages import Event, Message
from shared.topology import EVENTS_EXCHANGE, Queue, declare_queue, queue_for

log = logging.getLogger(__name__)

PREFETCH, PREFETCH_LARGE = 3 * BATCH, 2 * BATCH_OF_LARGE
"""Two batches in hand, and one that waits; of what is large one in hand, and one that waits.

Of queries too, of which each is done alone: others may have a process free.
"""
PREFETCH_PREPARED = 128
"""What takes long is left to whichever process has a place for it. These it cannot leave: a killed worker's
come back one by one, and a new worker gets none of them. What is quick fills groups and batches by them: with
half as many, 0.83 of the texts a second on two cores. With two places each may take 28 s on the average
before RabbitMQ's `consumer_timeout` of half an hour ends the channel."""
Take = Callable[[Handler, str, Incoming], None]


class Consumer:
    """The consuming connection of a service."""

    def __init__(self, url: str, service: str, handlers: Mapping[str, Handler], take: Take, health: Health):
        self.service = service
        self.handlers = handlers
        self.take = take
        self.link = Link(url, f"{service} consumes", self._opened)
        self.consuming: dict[str, tuple[Channel, str]] = {}
        self.returning: set[asyncio.Task[None]] = set()
        self.stopping = False
        self.broker = RabbitBroker(specification_url="amqp://rabbitmq", logger=None)
        for queue, handler in handlers.items():
            self._describe(handler, queue)
        self.app = AsgiFastStream(
            self.broker,
            logger=None,
            specification=AsyncAPI(title=service, version="1"),
            asgi_routes=[*health.pages(), ("/docs/asyncapi.json", Page(self._described))],
        )

    async def cancel(self) -> None:
        """Have no more delivered; what is on its way still arrives before this returns."""
        self.stopping = True
        for channel, tag in self.consuming.values():
            with suppress(AmqpError):  # what was lost delivers nothing more
                await channel.call(Basic.Cancel(consumer_tag=tag))

    async def _opened(self, connection: Connection) -> None:
        """Nothing is consumed before every queue is as declared: what is broken off is redelivered."""
        if self.stopping:
            return
        channel = await connection.channel()
        for name in self.handlers:
            await declare_queue(channel, queue_for(name))
        channel.close()
        for name in self.handlers:
            await self._consume(connection, name)

    async def _consume(self, connection: Connection, name: str) -> None:
        handler = self.handlers[name]
        channel = await connection.channel(vital=True)
        await channel.call(Basic.Qos(prefetch_count=_prefetch(handler)))
        take = partial(self.take, handler, name)
        again = partial(self._come_back, channel, name)
        tag = await channel.consume(name, take, name=self.service, cancelled=again)
        self.consuming[name] = channel, tag

    def _come_back(self, channel: Channel, name: str) -> None:
        """Somebody has deleted the queue: make it and its bindings anew, and consume it."""
        returning = asyncio.create_task(self._consume_again(channel, name))
        self.returning.add(returning)
        returning.add_done_callback(self.returning.discard)

    async def _consume_again(self, channel: Channel, name: str) -> None:
        if self.stopping:
            return
        log.warning("the broker has cancelled a consumer", extra={"fields": {"queue": name}})
        connection = channel.connection
        try:
            declaring = await connection.channel()
            await declare_queue(declaring, queue_for(name))
            declaring.close()
            await self._consume(connection, name)
        except AmqpError as error:  # its link begins anew, with all of its queues
            log.warning(
                "cannot consume it again yet", extra={"fields": {"queue": name, "reason": str(error)}}
            )
            await connection.close()

    def _describe(self, handler: Handler, name: str) -> None:
        subscriber = self.broker.subscriber(
            _faststream_queue(queue_for(name), handler.message),
            _exchange(handler.message),
            title=name,
            description=handler.description,
        )

        async def intake(message: Any) -> None:
            """What AsyncAPI shows; the kernel makes the model."""

        intake.__annotations__["message"] = handler.message
        subscriber(intake)

    def _described(self) -> tuple[int, bytes, str]:
        """What it consumes, for programs. The gateway shows people all services at once, at `/asyncapi`."""
        return 200, orjson.dumps(self.app.schema.to_specification().to_jsonable()), JSON


def _prefetch(handler: Handler) -> int:
    if handler.prepare:
        return PREFETCH_PREPARED
    return PREFETCH_LARGE if handler.is_large or handler.is_query else PREFETCH


def _faststream_queue(queue: Queue, message: type[Message]) -> RabbitQueue:
    arguments: Any = {name: value for name, value in queue.arguments.items() if name != "x-queue-type"}
    key = message.routing_key if issubclass(message, Event) else ""
    if queue.arguments["x-queue-type"] == "quorum":
        return RabbitQueue(queue.name, queue_type=QueueType.QUORUM, arguments=arguments, routing_key=key)
    return RabbitQueue(queue.name, durable=True, arguments=arguments, routing_key=key)


def _exchange(message: type[Message]) -> RabbitExchange | None:
    if issubclass(message, Event):
        return RabbitExchange(EVENTS_EXCHANGE, type=ExchangeType.TOPIC, durable=True)
    return None

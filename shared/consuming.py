"""How deliveries come in: a FastStream application with a subscriber for each handler's queue.

FastStream consumes, reconnects and describes (AsyncAPI). It hands over the raw message; reading, answering
and acknowledging are the kernel's, by the batch. Every queue has a channel and a prefetch of its own.
"""

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aio_pika import RobustConnection
from aio_pika.abc import AbstractIncomingMessage
from faststream import AckPolicy
from faststream.asgi import AsgiFastStream
from faststream.rabbit import Channel, ExchangeType, QueueType, RabbitBroker, RabbitExchange, RabbitQueue
from faststream.specification import AsyncAPI
from yarl import URL

from shared.bus import hosts, named
from shared.handling import Handler
from shared.health import JSON, Health, Page
from shared.messages import Event, Message
from shared.topology import EVENTS_EXCHANGE, Queue, queue_for

PREFETCH = 128
PREFETCH_PREPARED = 16
"""What takes long is left to whichever process has a place for it."""
Take = Callable[[Handler, str, AbstractIncomingMessage], None]


class Consumer:
    """The consuming connection of a service."""

    def __init__(self, url: str, service: str, handlers: Mapping[str, Handler], take: Take, health: Health):
        self.broker = RabbitBroker(
            named(hosts(url)[0], f"{service} consumes"),
            apply_types=False,
            ack_policy=AckPolicy.MANUAL,
            graceful_timeout=1,  # whatever is in hand has been drained before
            reconnect_interval=1,
            logger=None,
            specification_url="amqp://rabbitmq",
        )
        self.broker._connection_kwargs["connection_class"] = _to_any_of(hosts(url))
        for queue, handler in handlers.items():
            self._subscribe(handler, queue, take)
        self.app = AsgiFastStream(
            self.broker,
            logger=None,
            specification=AsyncAPI(title=service, version="1"),
            asgi_routes=[*health.pages(), ("/docs/asyncapi.json", Page(self._described))],
        )

    def _subscribe(self, handler: Handler, name: str, take: Take) -> None:
        queue = queue_for(name)
        subscriber = self.broker.subscriber(
            _faststream_queue(queue, handler.message),
            _exchange(handler.message),
            channel=Channel(prefetch_count=PREFETCH_PREPARED if handler.prepare else PREFETCH),
            decoder=_raw,
            no_reply=True,
            title=name,
            description=handler.description,
        )
        subscriber(_intake(handler, name, take))

    def _described(self) -> tuple[int, bytes, str]:
        """What it consumes, for programs. The gateway shows people all services at once, at `/asyncapi`."""
        return 200, orjson.dumps(self.app.schema.to_specification().to_jsonable()), JSON

    async def start(self) -> None:
        """Consume, each queue with its arguments and bindings: one that somebody deletes comes back whole."""
        await self.broker.start()
        for subscriber in self.broker.subscribers:
            queue: Any = getattr(subscriber, "_queue_obj", None)
            for exchange, key in queue_for(queue.name).bindings:
                await queue.bind(exchange, key)

    async def cancel(self) -> None:
        """Have no more delivered. FastStream's own stop drops what arrives while it waits for handlers."""
        for subscriber in self.broker.subscribers:
            tag: str | None = getattr(subscriber, "_consumer_tag", None)
            queue: Any = getattr(subscriber, "_queue_obj", None)
            if tag and queue is not None and not queue.channel.is_closed:
                subscriber._consumer_tag = None  # type: ignore[attr-defined]
                await queue.cancel(tag)

    async def stop(self) -> None:
        await self.broker.stop()


def _to_any_of(urls: list[str]) -> type[RobustConnection]:
    """A connection that each time it connects goes to one of the hosts, whichever it was before."""

    class Roaming(RobustConnection):
        @property
        def url(self) -> URL:
            host = URL(random.choice(urls))
            return self.first.with_host(host.host or "").with_port(host.port)

        @url.setter
        def url(self, first: URL) -> None:
            self.first = first

    return Roaming


def _intake(handler: Handler, name: str, take: Take) -> Callable[[Any], Awaitable[None]]:
    async def intake(message: Any) -> None:
        take(handler, name, message)

    intake.__annotations__["message"] = handler.message  # what AsyncAPI shows; the kernel makes the model
    return intake


async def _raw(message: Any) -> AbstractIncomingMessage:
    raw: AbstractIncomingMessage = message.raw_message
    return raw


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

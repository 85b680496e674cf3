"""What the broker has to have: queues, exchanges and bindings, from the contracts alone.

`python -m shared.topology` makes it, before services start. Every argument is one that RabbitMQ 3.10 to 4.3
accept alike. A queue that exists with other arguments is not touched: it is named, with what to do, and its
service waits.
"""

import asyncio
import importlib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pamqp import commands

from shared.amqp.channel import Channel
from shared.amqp.connection import Connection, connect
from shared.amqp.errors import AmqpError, PreconditionFailed
from shared.amqp.fields import Table
from shared.amqp.link import hosts
from shared.messages import EVENTS, REQUESTS, Command, Event, Query, Request
from shared.process import given

EVENTS_EXCHANGE = "events"
RETURNS = "returns"
DEAD_LETTERS = "dead_letters"
REFUSED_RECENT = "refused.recent"
EVENTS_RECENT = "events.recent"
DELAYS_SECONDS = (1, 10, 60, 600)
DELIVERY_LIMIT = 20

KEPT: Table = {"x-queue-type": "quorum", "x-delivery-limit": 2_000_000_000}
"""For what may be looked at and given back for ever. Without a limit RabbitMQ 4 drops it at the 21st look;
with -1 version 3.10 does so at the second (tried)."""
_SAFE: Table = {
    "x-queue-type": "quorum",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


@dataclass(frozen=True)
class Queue:
    """A queue and what is bound to it, as (exchange, routing key)."""

    name: str
    arguments: Table = field(default_factory=dict)
    bindings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Exchange:
    """A durable exchange."""

    name: str
    kind: str
    arguments: Table = field(default_factory=dict)


def delay_exchange(seconds: int) -> str:
    """Where a copy goes that is to be tried again after so many seconds."""
    return f"delay.{seconds}s"


def work_queue(name: str, *bindings: tuple[str, str]) -> Queue:
    """A queue of commands or events: replicated; what kills its consumers 20 times is a dead letter."""
    arguments = _SAFE | {"x-delivery-limit": DELIVERY_LIMIT, "x-dead-letter-exchange": DEAD_LETTERS}
    return Queue(name, arguments, ((RETURNS, name), *bindings))


def _ring(name: str, key: str) -> Queue:
    """Keeps the last 1,000 for people who press Get messages."""
    return Queue(name, {"x-max-length": 1000, "x-overflow": "drop-head"}, ((EVENTS_EXCHANGE, key),))


def _delay(seconds: int) -> Queue:
    """A level: waits, then hands back through `returns`, so that nobody's missing queue blocks the others."""
    arguments = _SAFE | {"x-message-ttl": seconds * 1000, "x-dead-letter-exchange": RETURNS}
    return Queue(delay_exchange(seconds), arguments, ((delay_exchange(seconds), ""),))


def request_of(queue: str) -> type[Request[Any]] | None:
    """The contract of a queue. `*.get_operation` stands for a queue of each owner of commands."""
    return REQUESTS.get(queue) or REQUESTS.get(f"*.{queue.partition('.')[2]}")


def queue_for(name: str) -> Queue:
    """The queue of a command, a query, or of an event as one consumer hears it.

    A classic queue is faster and lives on one node: in a cluster nobody can consume while that node is away,
    so there `QUERY_QUEUES=quorum` belongs into the environment of all processes and of topology.
    """
    request = request_of(name)
    if name == DEAD_LETTERS:
        return Queue(DEAD_LETTERS, KEPT, ((DEAD_LETTERS, ""),))
    if request is None:
        return work_queue(name, (EVENTS_EXCHANGE, name.partition(".on.")[2]))
    if issubclass(request, Query):
        return Queue(name, {"x-queue-type": os.environ.get("QUERY_QUEUES", "classic")})
    return work_queue(name)


def owners() -> list[str]:
    """Who has commands. What contracts name `*.…` exists once for each of them."""
    return sorted({request.owner() for request in REQUESTS.values() if issubclass(request, Command)})


def hearers(event: type[Event]) -> Sequence[str]:
    """The services that have a queue for it."""
    return owners() if event.heard_by == ("*",) else event.heard_by


def request_queues() -> list[str]:
    """The queues of all commands and queries, with those that every owner of commands has."""
    return [
        queue.replace("*", owner)
        for queue in REQUESTS
        for owner in (owners() if queue.startswith("*.") else [""])
    ]


def exchanges() -> list[Exchange]:
    return [
        Exchange(EVENTS_EXCHANGE, "topic"),
        Exchange(DEAD_LETTERS, "fanout"),
        Exchange(RETURNS, "direct", {"alternate-exchange": DEAD_LETTERS}),
        *(Exchange(delay_exchange(seconds), "fanout") for seconds in DELAYS_SECONDS),
    ]


def queues(*, recent: bool) -> list[Queue]:
    """Everything that the contracts ask for. `recent`: also the ring of the last events."""
    subscriptions = [event.queue_of(consumer) for event in EVENTS.values() for consumer in hearers(event)]
    return [
        queue_for(DEAD_LETTERS),
        _ring(REFUSED_RECENT, "*.command_refused"),
        *([_ring(EVENTS_RECENT, "#")] if recent else []),
        *map(_delay, DELAYS_SECONDS),
        *map(queue_for, [*request_queues(), *subscriptions]),
    ]


async def declare(connection: Connection, *, recent: bool) -> list[str]:
    """Make what is missing; what is there stays as it is. A line for each queue with other arguments."""
    channel = await connection.channel()
    for one in exchanges():
        await channel.call(
            commands.Exchange.Declare(
                exchange=one.name, exchange_type=one.kind, durable=True, arguments=one.arguments
            )
        )
    return await differences(connection, queues(recent=recent))


async def declare_queue(channel: Channel, queue: Queue) -> None:
    """Make it and bind it, if it is not. Raises `PreconditionFailed` where it has other arguments."""
    await channel.call(commands.Queue.Declare(queue=queue.name, durable=True, arguments=queue.arguments))
    for exchange, key in queue.bindings:
        await channel.call(commands.Queue.Bind(queue=queue.name, exchange=exchange, routing_key=key))


async def differences(connection: Connection, queues: Iterable[Queue]) -> list[str]:
    """Make and bind what is missing. Of what is there with other arguments: which, and what to do."""
    found = []
    channel = await connection.channel()
    try:
        for queue in queues:
            try:
                await declare_queue(channel, queue)
            except PreconditionFailed as error:
                said = re.search("arg (.*) for queue .*: received (.*) but current is (.*)", str(error))
                what = "{0} is {2}, declared {1}".format(*said.groups()) if said else str(error)
                found.append(f"queue {queue.name}: {what}; make topology MIGRATE={queue.name}")
                channel = await connection.channel()  # the refusal closed the other
    finally:
        channel.close()
    return found


def load_contracts() -> None:
    """Import every contract module, so that the registries are whole."""
    contracts = Path(__file__).parent / "contracts"
    for file in sorted(contracts.rglob("*.py")):
        name = ".".join(file.relative_to(contracts).with_suffix("").parts)
        importlib.import_module(f"shared.contracts.{name}")


async def main() -> None:
    load_contracts()
    url = given("RABBITMQ_URL") or "amqp://guest:guest@127.0.0.1:5672/"
    recent = os.environ.get("EVENTS_RECENT", "on") == "on"
    connection = await _any_of(hosts(url))
    try:
        for line in await declare(connection, recent=recent):
            print(f"Not as declared: {line}. Its service waits for that.", file=sys.stderr)
    finally:
        await connection.close()


async def _any_of(urls: list[str]) -> Connection:
    *others, last = urls
    for url in others:
        with suppress(AmqpError, OSError, TimeoutError):
            return await connect(url, "topology")
    return await connect(last, "topology")


def _reason(error: Exception) -> str:
    return str(error).rstrip(".")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except PreconditionFailed as error:
        sys.exit(
            "The broker has an exchange under a name of ours with other arguments: "
            f"{_reason(error)}. Delete it on the management page (it holds no messages), or give this "
            "system a virtual host of its own, then start again."
        )
    except (AmqpError, OSError, TimeoutError, ValueError) as error:
        sys.exit(
            f"The broker at RABBITMQ_URL cannot be used: {_reason(error)}. Does it run, are the names right?"
        )

"""`make topology MIGRATE=queue`: a queue gets the arguments that its contract declares, and loses nothing.

A queue's arguments cannot be changed, only the queue made anew. Its messages wait meanwhile in
`<queue>.moving`, to and from which an exchange of that name leads: each is confirmed there before it is
acknowledged here, so that breaking off at any point leaves copies at worst, with one message id, which the
inbox makes one effect. To run it again goes on from whatever it finds.

Between the last look into the old queue and its end nobody may publish: RabbitMQ deletes a quorum queue
whatever is in it (`if-empty` is for classic queues), and confirms what arrives in that moment. So for some
ten seconds the virtual host allows no connections but this one. Clients meet a lost connection, after which
they know how to repeat. Delayed copies keep coming, and find the `.moving` queue bound in place of theirs.

RabbitMQ lets nobody publish with another's `user_id`, which says who acts. So the messages are moved by a
user with the tag `impersonator`, who is made for this run with a random password and removed after it.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, fields
from time import monotonic
from typing import Any

from pamqp import commands
from yarl import URL

from infra.management import CannotLook, Management
from infra.topology_findings import MOVING, other_arguments
from shared.amqp.channel import Channel
from shared.amqp.connection import connect
from shared.amqp.content import Incoming, Properties
from shared.bus import Publisher
from shared.topology import KEPT, Queue, declare_queue, queues

USER = "topology-migration-"
WINDOW = 200
QUIET_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
SHOWN_SECONDS = 6.0
"""The page's figures are collected every 5 s: a connection shows so late, and some even after its end."""
EXPIRATION = "x-moving-expiration"
COUNTED_BY_THE_BROKER = ("x-delivery-count", "x-acquired-count")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Mover:
    """Takes from one queue and puts into another, all as it is."""

    channel: Channel
    publisher: Publisher

    async def way_into(self, target: str, name: str) -> None:
        """An exchange that leads to `target` alone: what goes by it keeps its routing key.

        A delayed copy finds its queue again by that. It goes with the queue that it leads to.
        """
        await self.channel.call(commands.Exchange.Delete(exchange=name))
        fanout = commands.Exchange.Declare(exchange=name, exchange_type="fanout", auto_delete=True)
        await self.channel.call(fanout)
        await self.channel.call(commands.Queue.Bind(queue=target, exchange=name, routing_key=""))

    async def move(self, source: str, way: str, target: str, most: int | None = None) -> int:
        """How many it moved by the exchange `way`: up to `most`, or until `source` is empty."""
        moved = 0
        while most is None or moved < most:
            window = await self._take(source)
            if not window:
                break
            copies = [_unchanged(one, to_wait=target.endswith(MOVING)) for one in window]
            await asyncio.gather(*(self.publisher.publish(way, *one, mandatory=False) for one in copies))
            await self.look(target)  # it took them, and is still there
            self.channel.ack(window[-1].tag, multiple=True)
            moved += len(window)
        return moved

    async def _take(self, source: str) -> list[Incoming]:
        window: list[Incoming] = []
        while len(window) < WINDOW and (message := await self.channel.get(source)):
            window.append(message)
        return window

    async def look(self, queue: str) -> commands.Queue.DeclareOk:
        """How many messages and consumers it has."""
        state: commands.Queue.DeclareOk = await self.channel.call(
            commands.Queue.Declare(queue=queue, passive=True)
        )
        return state

    async def move_until_quiet(self, source: str, way: str, target: str) -> int:
        """Also what dying connections had in hand: it comes back a moment after they are gone."""
        moved, quiet = 0, 0
        while quiet < 2:
            now = await self.move(source, way, target)
            state = await self.look(source)
            is_quiet = not (now or state.message_count or state.consumer_count)
            moved, quiet = moved + now, quiet + 1 if is_quiet else 0
            await asyncio.sleep(QUIET_SECONDS)
        return moved


def _unchanged(message: Incoming, *, to_wait: bool) -> tuple[str, bytes, Properties]:
    """Routing key, body and properties. What the broker itself counts begins anew in each queue.

    Where it is to wait nothing may expire, since nobody would hear of it: its time waits in a header.
    """
    properties = Properties(**{one.name: getattr(message, one.name) for one in fields(Properties)})
    kept = {name: one for name, one in message.headers.items() if name not in COUNTED_BY_THE_BROKER}
    if to_wait and properties.expiration is not None:
        kept[EXPIRATION], properties.expiration = properties.expiration, None
    elif not to_wait and EXPIRATION in kept:
        properties.expiration = kept.pop(EXPIRATION)
    properties.headers = kept
    return message.routing_key, message.body, properties


async def migrate(name: str, management: Management, say: Say) -> None:
    """Give the queue its declared arguments. `CannotLook` says what to do; any other error: run it again."""
    declared = {queue.name: queue for queue in queues(recent=True)}
    if name not in declared:
        raise CannotLook(f"No contract declares a queue {name!r}; 'make topology' names them.")
    await _nobody_else(management)
    if management.connection_limit() == 0:
        say("A migration was broken off while nobody could connect: they can again.")
        management.limit_connections(None)
    async with _mover(management) as mover:
        await _migrate(declared[name], mover, management, say)


async def _migrate(queue: Queue, mover: Mover, management: Management, say: Say) -> None:
    moving, channel = queue.name + MOVING, mover.channel
    existing = {one["name"]: one for one in management.ask("queues")}
    old = existing.get(queue.name)
    if old and (old["auto_delete"] or not old["durable"] or other_arguments(queue, old)):
        _check(old)
        await channel.call(commands.Queue.Declare(queue=moving, durable=True, arguments=KEPT))
        await mover.way_into(moving, moving)
        await _empty(queue.name, moving, mover, say)
        async with _alone(management, say):
            await declare_queue(channel, Queue(moving, KEPT, queue.bindings))
            last = await mover.move_until_quiet(queue.name, moving, moving)
            await channel.call(commands.Queue.Delete(queue=queue.name))
            await declare_queue(channel, queue)
            await _unbind(channel, moving, queue)
        say(f"{last} more moved, {queue.name} made anew; everybody may connect again.")
    elif moving not in existing:
        say(
            f"{queue.name} is as the contracts declare it: nothing to do." if old else f"{queue.name} is new."
        )
        return await declare_queue(channel, queue)
    await _bring_back(queue, mover, say)


async def _empty(name: str, moving: str, mover: Mover, say: Say) -> None:
    """What waits now is moved while everybody works on, so that they are kept out for a moment only."""
    waiting = (await mover.look(name)).message_count or 0
    moved = await mover.move(name, moving, moving, waiting)
    say(f"{moved} messages moved from {name} to {moving}.")


async def _bring_back(queue: Queue, mover: Mover, say: Say) -> None:
    moving = queue.name + MOVING
    await declare_queue(mover.channel, queue)
    await _unbind(mover.channel, moving, queue)
    await mover.way_into(queue.name, moving)
    say(f"{await mover.move_until_quiet(moving, moving, queue.name)} messages are back in {queue.name}.")
    await mover.channel.call(commands.Exchange.Delete(exchange=moving))
    await mover.channel.call(commands.Queue.Delete(queue=moving))


async def _unbind(channel: Channel, moving: str, queue: Queue) -> None:
    for exchange, key in queue.bindings:
        await channel.call(commands.Queue.Unbind(queue=moving, exchange=exchange, routing_key=key))


def _check(old: dict[str, Any]) -> None:
    if old["exclusive"]:
        raise CannotLook(f"{old['name']} is exclusive to a connection: close that connection first.")
    if old["auto_delete"]:
        raise CannotLook(
            f"{old['name']} is deleted with its last consumer, so that it cannot be moved under one: "
            "delete it on the management page, then at once declare it: python -m shared.topology."
        )
    if on_the_way := old.get("messages_dlx"):
        raise CannotLook(
            f"{on_the_way} messages of {old['name']} are on their way to the dead letters: mend what "
            "keeps them from there ('make topology' tells), then run this again."
        )


@asynccontextmanager
async def _alone(management: Management, say: Say) -> AsyncIterator[None]:
    """Nobody else is connected to the virtual host, until the end of the block, however it ends."""
    before = management.connection_limit()
    say("For some ten seconds nobody else may connect …")
    management.limit_connections(0)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await _close_others(management)
            yield
    finally:
        management.limit_connections(before)


async def _close_others(management: Management) -> None:
    """Until none shows for longer than the page takes to show a new one; no more can be made."""
    shown = monotonic()
    while monotonic() - shown < SHOWN_SECONDS:
        others = [one for one in management.connections() if not str(one.get("user")).startswith(USER)]
        for one in others:
            management.call("DELETE", "connections", one["name"], gone_is_fine=True)
            shown = monotonic()
        await asyncio.sleep(QUIET_SECONDS / 2)


async def _nobody_else(management: Management) -> None:
    """Wait for another migration to end: two at once would let each other's clients in."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS / 2):
            while _migrating(management):
                await asyncio.sleep(QUIET_SECONDS / 2)
    if _migrating(management):
        raise CannotLook(
            "Another migration runs on this broker: wait until it ends, or close its connections."
        )
    for user in management.call("GET", "users"):
        if user["name"].startswith(USER):
            management.call("DELETE", "users", user["name"], gone_is_fine=True)


def _migrating(management: Management) -> list[Any]:
    return [one for one in management.call("GET", "connections") if str(one.get("user")).startswith(USER)]


@asynccontextmanager
async def _mover(management: Management) -> AsyncIterator[Mover]:
    """Two connections of a user who may publish in anybody's name, and who goes with them."""
    user, password = USER + secrets.token_hex(4), secrets.token_urlsafe(24)
    management.call("PUT", "users", user, body={"password": password, "tags": "impersonator"})
    try:
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        management.call("PUT", "permissions", management.virtual_host, user, body=everything)
        url = str(URL(management.broker_url).with_user(user).with_password(password))
        publisher = Publisher(url, "topology migration")
        publishing = asyncio.create_task(publisher.link.keep_open())
        connection = await connect(url, "topology migration")
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await publisher.link.back.wait()
            yield Mover(await connection.channel(), publisher)
        finally:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            await connection.close()
    finally:
        management.call("DELETE", "users", user, gone_is_fine=True)

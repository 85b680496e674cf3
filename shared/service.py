"""Settings, handlers and a store become a running service process.

Starting waits for broker and store, in any order and however long. Stopping consumes no more, finishes what
is in hand, acknowledges it and exits 0, also while the broker is away.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from types import ModuleType
from typing import Any

from pydantic import Field, field_validator

from shared import operations
from shared.amqp.content import Incoming
from shared.amqp.errors import AmqpError
from shared.batch import Batches
from shared.bus import PROBE_SECONDS, BrokerAway, Publisher, Unconfirmed
from shared.consuming import Consumer
from shared.delivery import received
from shared.handling import Handler, handlers_in
from shared.health import Dependency, Health
from shared.http.door import App, http_door
from shared.journal import Journal, Outbox, StoreAway, keep_doing
from shared.messages import Command
from shared.preparing import Preparing
from shared.process import ProcessSettings, end, run_process, until_stopped
from shared.querying import Queries
from shared.recovery import Recovery
from shared.topology import DELAYS_SECONDS, differences, queue_for
from shared.unsettled import Unsettled

log = logging.getLogger(__name__)

PURGE_EVERY = 60.0
QUEUES_EVERY = 5.0


class ServiceSettings(ProcessSettings):
    """Settings of a service with a store."""

    database_url: str
    """The service's own database, for a user of its own."""
    inbox_hours: float = 72
    """How long it knows what it has done: whatever is older is too old to be done."""
    places: int = Field(default_factory=lambda: max(2, os.cpu_count() or 2), ge=2, le=128)
    """Prepare beats at a time, each in a process of its own; for services that have such."""
    compute_seconds: float = Field(default=600, gt=0)
    """What computes for longer in a prepare beat is ended; that was an attempt."""
    retry_seconds: tuple[int, ...] = DELAYS_SECONDS
    """After how long what broke is tried again; after the last it is given up."""

    @field_validator("retry_seconds")
    @classmethod
    def _levels(cls, seconds: tuple[int, ...]) -> tuple[int, ...]:
        if unknown := set(seconds) - set(DELAYS_SECONDS):
            raise ValueError(f"there is no delay level of {sorted(unknown)} s, only of {DELAYS_SECONDS}")
        return seconds


class Service:
    """A service process: `main` is its whole life."""

    def __init__(
        self,
        name: str,
        owner: str,
        settings: ServiceSettings,
        journal: Journal,
        handlers: Sequence[ModuleType],
        *,
        blobs: Any = None,
        door: Callable[[App], App] | None = None,
        beside: Callable[[Publisher], Coroutine[Any, Any, None]] | None = None,
    ):
        """`owner` is what the service's queues begin with, e.g. `tasks` for task_service.

        `door`: its own HTTP application around the kernel's pages. `beside`: what it does unasked.
        """
        self.name = name
        self.owner = owner
        self.settings = settings
        self.journal = journal
        owns = any(issubclass(one.message, Command) for one in handlers_in(*handlers))
        self.handlers = handlers_in(*handlers, *([operations] if owns else []))
        self.blobs = blobs
        self.door = door
        self.beside = beside
        self.queues = {handler.queue(owner): handler for handler in self.handlers}

    def main(self) -> None:
        """Run until told to stop; with `migrate` on the command line, bring the store up to date and end."""
        migrating = sys.argv[1:] == ["migrate"]
        run_process(self.name, self.settings, self._migrate if migrating else self._run)

    async def _migrate(self) -> None:
        await self._or_exit(self.journal.migrate())

    async def _or_exit(self, starting: Coroutine[Any, Any, None]) -> None:
        try:
            await starting
        except StoreAway as error:
            sys.exit(f"The database at {self.settings.variable('database_url')} cannot be used: {error}.")

    async def _run(self) -> None:
        await self._or_exit(self.journal.open())
        self._build()
        background = [
            asyncio.create_task(self.publisher.link.keep_open(), name="publishing"),
            *(asyncio.create_task(one.keep_probing(), name=one.name) for one in self.health.dependencies),
        ]
        app: App = self.door(self.consumer.app) if self.door else self.consumer.app
        async with http_door(app, self.settings.http_host, self.settings.http_port):
            working = asyncio.create_task(self._work(), name="working")
            try:
                await until_stopped(working, *background)
                await self._drain()
            finally:
                self.outbox.leave_now()
                self.unsettled.held.leave()
                await end(working, *background)
                await self.preparing.close()
                await self.journal.close()

    def _build(self) -> None:
        unsettled = self.unsettled = Unsettled()
        self.publisher = Publisher(self.settings.rabbitmq_url, self.name)
        store = Dependency("store", self.journal.probe)
        self.broker = Dependency("broker", self.publisher.probe)
        fit = Dependency("queues", self._probe_queues, every=QUEUES_EVERY)
        self.health = Health([fit, self.broker, store])
        self.outbox = Outbox(self.journal, self.publisher, self.name)
        delays = self.settings.retry_seconds
        recovery = Recovery(self.journal, self.outbox, self.publisher, unsettled, delays)
        keep = timedelta(hours=self.settings.inbox_hours)
        self.batches = Batches(self.journal, self.outbox, recovery, unsettled, keep)
        self.queries = Queries(self.journal, store, self.publisher, unsettled)
        self.preparing = Preparing(self._places(), self.settings.compute_seconds, self.journal, self.batches)

        def take(handler: Handler, queue: str, raw: Incoming) -> None:
            delivery = received(raw, handler, queue, self.publisher.user)
            delivery.blobs = self.blobs
            unsettled.add(delivery)
            if handler.is_query:
                self.queries.add(delivery)
            elif handler.prepare:
                self.preparing.add(delivery)
            else:
                self.batches.add(delivery)

        self.consumer = Consumer(self.settings.rabbitmq_url, self.name, self.queues, take, self.health)

    def _places(self) -> int:
        return self.settings.places if any(handler.prepare for handler in self.handlers) else 0

    async def _work(self) -> None:
        while not all(dependency.up for dependency in self.health.dependencies):
            await asyncio.sleep(0.05)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.consumer.link.keep_open())
            group.create_task(self._note_ready())
            group.create_task(self.batches.run())
            group.create_task(self.queries.run())
            group.create_task(keep_doing(self.outbox.clear, Outbox.CLEAR_EVERY))
            group.create_task(keep_doing(self.outbox.relay, Outbox.RELAY_EVERY))
            group.create_task(keep_doing(lambda: self.journal.purge(self.batches.keep), PURGE_EVERY))
            if self.beside:
                group.create_task(self.beside(self.publisher))

    async def _probe_queues(self) -> None:
        """A queue with other arguments is said once, and nothing consumed until it has ours."""
        connection = self.publisher.link.connection
        if connection is None or not self.broker.up:
            raise BrokerAway("the broker is away")
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                unfit = "; ".join(await differences(connection, map(queue_for, self.queues)))
        except (AmqpError, TimeoutError) as error:
            raise Unconfirmed(repr(error)) from error
        wanted = self.consumer.link.wanted
        if unfit:
            if wanted.is_set():
                log.error("waiting for a queue with other arguments", extra={"fields": {"reason": unfit}})
            wanted.clear()
            raise Unconfirmed(unfit)
        wanted.set()
        if self.health.stage == "running" and not self.consumer.link.connection:
            raise BrokerAway("nothing is consumed at the moment")

    async def _note_ready(self) -> None:
        await self.consumer.link.back.wait()
        self.health.stage = "running"
        log.info("ready", extra={"fields": {"queues": len(self.handlers)}})

    async def _drain(self) -> None:
        """Consume no more, then see what is in hand to its end, within the grace time."""
        consuming = self.health.stage == "running"
        self.health.stage = "stopping"
        if not consuming:
            return
        try:
            async with asyncio.timeout(self.settings.grace_seconds):
                await self.consumer.cancel()
                await self.preparing.drained()
                await self.batches.idle.wait()
                await self.batches.recovery.drained()
                await self.queries.drained()
                self.outbox.leave_now()
                await self.publisher.drained()
                await self.outbox.clear()
        except TimeoutError:
            log.warning("stopping with work in hand; it will be delivered again")
        except AmqpError as error:
            log.info("stopping without the broker", extra={"fields": {"reason": str(error)[:300]}})

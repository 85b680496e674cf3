"""The prepare beat: what takes long is done before the transaction, in processes beside this one.

A place does one beat at a time, in a process of its own, so that one that dies is the fault of exactly one
message. Bulk gets half of the places while others wait. What a crash of THIS process brings back is prepared
and settled with no other beat beside it, and each such start is noted: a message that kills its worker shows
by that.
"""

import asyncio
import logging
import multiprocessing
import os
import random
import signal
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from shared.batch import FALSE_ALARMS, Batches
from shared.delivery import Delivery
from shared.journal import Conflict, Journal, StoreAway
from shared.messages import Command, Invalid, Refusal

log = logging.getLogger(__name__)


class Killed(Exception):
    """The process that computed for a message died of it."""


class Place:
    """A process that computes one thing at a time, made anew when it dies."""

    def __init__(self) -> None:
        self.pool = self._process()

    def _process(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # a fork would share connections and threads' locks
        return ProcessPoolExecutor(1, context, initializer=_live_as_long_as_the_parent)

    async def compute(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Twice where need be: the first process may have died before, and of something else."""
        loop = asyncio.get_running_loop()
        for _ in range(2):
            try:
                return await loop.run_in_executor(self.pool, function, *arguments)
            except BrokenProcessPool:
                self.pool = self._process()
        raise Killed("the process that worked on it died each time")

    def close(self) -> None:
        for process in (getattr(self.pool, "_processes", None) or {}).values():
            process.kill()
        self.pool.shutdown(wait=False, cancel_futures=True)


def _live_as_long_as_the_parent() -> None:
    """A pool's process would wait for work for ever after a SIGKILL of the one that gives it.

    A Ctrl-C in the terminal reaches it too, and is the parent's to answer: it finishes what is under way.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Preparing:
    """Runs prepare beats, and gives what is prepared to the batches."""

    def __init__(self, places: int, journal: Journal, batches: Batches):
        self.places = [Place() for _ in range(places)]
        self.free = list(self.places)
        self.half = places // 2
        self.journal = journal
        self.batches = batches
        self.recovery = batches.recovery
        self.first: deque[Delivery] = deque()
        self.bulk: deque[Delivery] = deque()
        self.returned: list[Delivery] = []
        self.running: dict[asyncio.Task[None], Delivery] = {}
        self.stopping = False

    def add(self, delivery: Delivery) -> None:
        lane = self.bulk if delivery.handler.bulk else self.first
        (self.returned if delivery.raw.redelivered else lane).append(delivery)
        self._start()

    async def drained(self) -> None:
        """Begin nothing more, and see what is under way to its end; the rest is delivered again."""
        self.stopping = True
        if self.running:
            await asyncio.wait(self.running)

    def close(self) -> None:
        """End the processes, those too that are at work: Python would wait for them before it ends."""
        self.stopping = True
        for task in self.running:
            task.cancel()
        for place in self.places:
            place.close()

    def _start(self) -> None:
        while self.free and not self.stopping and (delivery := self._next()):
            place = self.free.pop()
            task = asyncio.create_task(self._run(delivery, place), name=f"preparing {delivery.message_id}")
            self.running[task] = delivery
            task.add_done_callback(lambda task, place=place: self._ended(task, place))  # type: ignore[misc]

    def _ended(self, task: "asyncio.Task[None]", place: Place) -> None:
        del self.running[task]
        self.free.append(place)
        if not task.cancelled():
            self._start()

    def _next(self) -> Delivery | None:
        under_way = self.running.values()
        if self.returned:
            return None if under_way else self.returned.pop(random.randrange(len(self.returned)))
        if any(delivery.raw.redelivered for delivery in under_way):
            return None
        in_bulk = sum(delivery.handler.bulk for delivery in under_way)
        if self.bulk and (not self.first or in_bulk < self.half):
            return self.bulk.popleft()
        return self.first.popleft() if self.first else None

    async def _run(self, delivery: Delivery, place: Place) -> None:
        try:
            delivery.read()
        except Invalid as refusal:
            await self.recovery.unfit(delivery, refusal)
            return
        if delivery.lost or await self.batches.is_deadly(delivery):
            return
        try:
            delivery.prepared = await self._prepared(delivery, place)
        except Refusal as refusal:
            delivery.prepared = refusal  # the handler's turn raises it
        except Exception as error:
            await self.recovery.broken(delivery, error)
            return
        if delivery.raw.redelivered:
            await self.batches.see_to_its_end(delivery)  # what the next one does must not be charged to it
        else:
            self.batches.add(delivery)

    async def _prepared(self, delivery: Delivery, place: Place) -> Any:
        assert delivery.handler.prepare is not None
        alarms = 0
        while True:
            try:
                async with self.journal.reading() as transaction:
                    work = delivery.work(transaction)
                    work.compute = place.compute
                    work.send_now = lambda command: self._send(command, delivery)
                    return await delivery.handler.prepare(delivery.message, work)
            except (StoreAway, Conflict) as away:
                alarms = 0 if await self.batches.wait_for_store(away) else alarms + 1
                if alarms == FALSE_ALARMS:
                    raise

    def _send(self, command: Command[Any], delivery: Delivery) -> None:
        self.batches.outbox.send([delivery.saying(command)])

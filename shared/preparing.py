"""The prepare beat: what takes long is done before the transaction, in processes beside this one.

A place is one process (`shared/places.py`). What is quick shares it: its beats read, compute and come to
the batches together. Bulk gets half of the places while others wait. What a crash of THIS process brings back
goes first, and each such start is noted; what had been noted before, and so may have killed its worker, is
prepared and settled with no other beat beside it. A start whose process lives is taken back.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

from shared.batch import FALSE_ALARMS, Batches
from shared.delivery import Delivery
from shared.journal import Conflict, Journal, StoreAway
from shared.messages import Invalid, Refusal
from shared.places import Place
from shared.starts import until_back

log = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0
SOON_SECONDS = 2.0
"""What ends so soon after its channel went is not interrupted: a process made anew takes longer to start than
most beats compute, and with a connection that is lost each second nothing would ever be done."""


class Preparing:
    """Runs prepare beats, and gives what is prepared to the batches. One computes for `seconds` at most.

    `running`: the first of the deliveries that share a place, by what is done when all of them are.
    """

    def __init__(self, places: int, seconds: float, journal: Journal, batches: Batches):
        self.places = [Place(seconds) for _ in range(places)]
        self.free = list(self.places)
        self.journal = journal
        self.batches = batches
        self.first: deque[Delivery] = deque()
        self.bulk: deque[Delivery] = deque()
        self.returned: list[Delivery] = []
        self.suspects: list[Delivery] = []
        self.running: dict[asyncio.Future[Any], Delivery] = {}
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

    async def close(self) -> None:
        """End the processes, those too that are at work."""
        self.stopping = True
        for all_of_it in self.running:
            all_of_it.cancel()
        if self.running:
            await asyncio.wait(self.running, timeout=CLOSE_SECONDS)
        for place in self.places:
            place.renew()

    def _start(self) -> None:
        while self.free and not self.stopping and (delivery := self._next()):
            place = self.free.pop()
            group = [delivery, *self._others(delivery, place.width - 1)]
            all_of_it = asyncio.gather(*(self._run(one, place) for one in group))
            self.running[all_of_it] = delivery
            all_of_it.add_done_callback(lambda done, place=place: self._ended(done, place))  # type: ignore[misc]

    def _ended(self, all_of_it: "asyncio.Future[Any]", place: Place) -> None:
        del self.running[all_of_it]
        self.free.append(place)
        self._start()

    def _next(self) -> Delivery | None:
        under_way = self.running.values()
        if any(delivery.suspect for delivery in under_way):
            return None
        if self.returned:
            return _any_of(self.returned)
        if self.suspects:
            return None if under_way else _any_of(self.suspects)
        in_bulk = sum(delivery.handler.bulk for delivery in under_way)
        if self.bulk and (not self.first or in_bulk < len(self.places) // 2):
            return self.bulk.popleft()
        return self.first.popleft() if self.first else None

    def _others(self, delivery: Delivery, most: int) -> list[Delivery]:
        """What shares its place: of its lane, its fair share, and what would come again with it."""
        lane = self.bulk if delivery.handler.bulk else self.first
        fair = (len(lane) - len(self.free)) // (len(self.free) + 1)
        others: list[Delivery] = []
        while not delivery.raw.redelivered and len(others) < min(most, fair):
            if lane[0].channel is not delivery.channel:
                break
            others.append(lane.popleft())
        return others

    async def _run(self, delivery: Delivery, place: Place) -> None:
        try:
            if await self._may_run(delivery):
                await self._prepare(delivery, place)
        except asyncio.CancelledError:  # it is delivered again, and nobody has died of it
            place.interrupt()
            await self.batches.starts.take_back(delivery)
        except Exception:
            log.exception("its end broke; it comes again", extra={"fields": delivery.identity})
            await asyncio.sleep(1)
            self.batches.unsettled.hand_back(delivery)

    async def _may_run(self, delivery: Delivery) -> bool:
        if delivery.lost:
            return False
        try:
            delivery.read()
        except Invalid as refusal:
            await self.batches.recovery.unfit(delivery, refusal)
            return False
        if delivery.raw.redelivered and not delivery.suspect and await self.batches.starts.count(delivery):
            delivery.suspect = True
            self.suspects.append(delivery)
            return False
        if deadly := await self.batches.starts.is_deadly(delivery):
            await self.batches.recovery.deadly(delivery)
        return not deadly

    async def _prepare(self, delivery: Delivery, place: Place) -> None:
        gone, clock = delivery.channel.gone, asyncio.get_running_loop().time

        def soon(_: object) -> None:
            with suppress(RuntimeError):  # it has ended in the same turn of the loop
                limit.reschedule(clock() + SOON_SECONDS)

        try:
            async with asyncio.timeout(None) as limit:
                gone.add_done_callback(soon)
                try:
                    delivery.prepared = await self._prepared(delivery, place)
                finally:
                    gone.remove_done_callback(soon)
        except Refusal as refusal:
            delivery.prepared = refusal  # the handler's turn raises it
        except Exception as error:
            if limit.expired():
                place.interrupt()
            if not delivery.lost:
                await self.batches.recovery.broken(delivery, error)
                return
        if delivery.lost:  # it comes again, to a process that runs
            await self.batches.starts.take_back(delivery)
        elif delivery.raw.redelivered:
            await self.batches.see_to_its_end(delivery)  # what the next one does must not be charged to it
        else:
            self.batches.add(delivery)

    async def _prepared(self, delivery: Delivery, place: Place) -> Any:
        alarms = 0
        while True:
            try:
                return await self._beat(delivery, place)
            except (StoreAway, Conflict) as away:
                alarms = 0 if await until_back(self.journal, away) else alarms + 1
                if alarms == FALSE_ALARMS:
                    raise

    async def _beat(self, delivery: Delivery, place: Place) -> Any:
        assert delivery.handler.prepare is not None
        async with AsyncExitStack() as reading:
            work = delivery.work(await reading.enter_async_context(self.journal.reading()))

            async def compute(function: Callable[..., Any], *arguments: Any) -> Any:
                await reading.aclose()  # the batches need the connection meanwhile
                return await place.compute(function, *arguments)

            work.compute, work.turn = compute, place.turn
            work.send_now = lambda command: self.batches.outbox.send([delivery.saying(command)])
            return await delivery.handler.prepare(delivery.message, work)


def _any_of(returned: list[Delivery]) -> Delivery:
    """By chance: kills from outside must not hit one and the same each time."""
    return returned.pop(random.randrange(len(returned)))

"""Queries: answered at once, from a connection of their own, or not at all.

No inbox, no retries, no dead letters: who asked asks again. While the store is away they are refused as
`unavailable` without waiting for it.
"""

import asyncio
import logging
from collections import deque

from shared.bus import Publisher
from shared.delivery import Delivery, send_answer
from shared.health import Dependency
from shared.journal import Conflict, Journal, StoreAway, Transaction
from shared.messages import Failed, Invalid, Refusal, Unavailable
from shared.telemetry import handled
from shared.unsettled import Unsettled

log = logging.getLogger(__name__)

WORKERS = 4
AT_ONCE = 16


class Queries:
    """Answers queries, a few on each of a few connections."""

    def __init__(self, journal: Journal, store: Dependency, publisher: Publisher, unsettled: Unsettled):
        self.journal = journal
        self.store = store
        self.publisher = publisher
        self.unsettled = unsettled
        self.waiting: deque[Delivery] = deque()
        self.free: list[asyncio.Future[None]] = []

    def add(self, delivery: Delivery) -> None:
        """Hand it to who is free, if somebody is; an `asyncio.Queue` would do the same, but takes longer."""
        self.waiting.append(delivery)
        if self.free and not (free := self.free.pop()).done():
            free.set_result(None)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def drained(self) -> None:
        while self.waiting or len(self.free) < WORKERS:
            await asyncio.sleep(0.01)

    async def _work(self) -> None:
        while True:
            while not self.waiting:
                self.free.append(more := self.publisher.loop.create_future())
                await more
            deliveries = [self.waiting.popleft() for _ in range(min(AT_ONCE, len(self.waiting)))]
            await self._answer_all(deliveries)
            self.unsettled.settle(deliveries)

    async def _answer_all(self, deliveries: list[Delivery]) -> None:
        unanswered = list(deliveries)
        try:
            if not self.store.up:
                raise StoreAway("the last probe failed")
            async with self.journal.reading() as transaction:
                alone = len(deliveries) == 1 and len(self.free) == WORKERS - 1
                while unanswered:
                    await self._answer(unanswered[0], transaction, alone=alone)
                    unanswered.pop(0)
        except (StoreAway, Conflict) as error:
            fields = {"queries": len(unanswered), "reason": str(error)}
            log.warning("queries refused", extra={"fields": fields})
            refusal = Unavailable("The store cannot be reached at the moment; try again in a few seconds.")
            for delivery in unanswered:
                self._refuse(delivery, refusal)

    async def _answer(self, delivery: Delivery, transaction: Transaction, *, alone: bool) -> None:
        try:
            delivery.read()
            work = delivery.work(transaction)
            answer = await delivery.handler.function(delivery.message, work)
            assert answer is not None, "a query has an answer"
            body = answer.to_json()
            delivery.visible_to = work.visible_to
        except (StoreAway, Conflict):
            raise
        except Refusal as refusal:
            self._refuse(delivery, refusal)
        except Exception as error:
            log.error("broke", extra={"fields": delivery.identity}, exc_info=error)
            self._refuse(delivery, Failed(f"{delivery.name} could not be answered; the log says why."))
        else:
            send_answer(self.publisher, delivery, type(answer).__name__, body, alone=alone)
            handled(delivery.name, "done").inc()

    def _refuse(self, delivery: Delivery, refusal: Refusal) -> None:
        fields = delivery.identity | {"code": refusal.code, "reason": refusal.message}
        log.info("refused", extra={"fields": fields})
        handled(delivery.name, "refused" if not isinstance(refusal, Invalid) else "invalid").inc()
        send_answer(self.publisher, delivery, "Refusal", refusal.to_json())

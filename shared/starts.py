"""Starts: what kills its process shows by how often it has begun to run.

A crash charges every message in hand. Each that comes again is noted in the inbox when it begins, and runs
alone: that tells the one that kills from its neighbours. Whatever else interrupts it takes the note back.
"""

import asyncio
import logging
import random
from collections.abc import Sequence

from shared.delivery import Delivery
from shared.journal import Conflict, Journal, StoreAway

log = logging.getLogger(__name__)

MOST = 3
"""So many starts without an end are an accident; one more, and it is given up."""


class Starts:
    """The noted starts of what was delivered again."""

    def __init__(self, journal: Journal):
        self.journal = journal

    async def is_deadly(self, delivery: Delivery) -> bool:
        """Note that what was delivered again begins to run; whether its process dies of it each time."""
        if not delivery.raw.redelivered or delivery.started or delivery.handler.is_raw:
            return False
        delivery.started = True
        start = await self.count(delivery, by=1)
        log.info("delivered again", extra={"fields": delivery.identity | {"start": start}})
        return start > MOST

    async def take_back(self, delivery: Delivery) -> None:
        """It comes again although its process lives, or ends in order."""
        if delivery.started:
            delivery.started = False
            await self.count(delivery, by=-1)

    async def count(self, delivery: Delivery, by: int = 0) -> int:
        """How often it has begun to run, now `by` more often."""
        while True:
            try:
                return await self.journal.note_start(delivery.key, delivery.actor, by)
            except Conflict:
                await asyncio.sleep(0.05)
            except StoreAway as away:
                await until_back(self.journal, away)

    async def step_back(self, deliveries: Sequence[Delivery], conflicts: int) -> None:
        """Others hold what these would change (in MongoDB, for a while, the dead): who waits kills nobody."""
        if conflicts == 50:  # a second or so
            log.warning("waiting for others' changes", extra={"fields": deliveries[0].identity})
        started = [delivery for delivery in deliveries if delivery.started]
        for delivery in started:
            await self.count(delivery, by=-1)
        await asyncio.sleep(random.uniform(0, min(0.002 * conflicts, 1)))
        for delivery in started:
            await self.count(delivery, by=1)


async def until_back(journal: Journal, away: Exception) -> bool:
    """Wait until the store answers; False if it does at once. What is in hand stays in hand."""
    log.warning("the store is away, waiting for it", extra={"fields": {"reason": str(away)[:200]}})
    was_away = False
    while True:
        try:
            await journal.probe()
            return was_away
        except StoreAway:
            was_away = True
            await asyncio.sleep(0.2)

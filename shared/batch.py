"""Group commit: what arrived during the last commit shares the next transaction.

Over all queues of a process. Nobody waits for a batch to fill. No answer, event or acknowledgement leaves
before the commit. Whatever spoils a batch (a refusal after a write, anything broken) rolls it back, and each
of its messages runs alone.

While a batch is written, the next one is worked out, if 512 messages wait. Each has the store from its first
touch until it has ended, tries again included, and they have it in their order: so a batch reads what the one
before it has left, as if there were one at a time. What reads, or takes a lock, waits for its turn with that.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from time import perf_counter

from shared.delivery import Delivery, this_moment, touched_by
from shared.handling import EVERYBODY
from shared.journal import Conflict, Journal, Key, Outbox, Outcome, Settled, StoreAway, Transaction
from shared.leaving import REUSED, Batch, Leaving
from shared.messages import CommandRefused, Event, Invalid, Raw, Refusal
from shared.recovery import Recovery
from shared.starts import until_back
from shared.unsettled import Unsettled

BATCH, BATCH_OF_LARGE = 512, 64
BATCH_BYTES = 1_000_000
"""A batch that holds so much takes no more: until it has left there are some ten copies of each body."""
FALSE_ALARMS = 3
"""How often a store may seem away and answer a probe at once before the message itself is blamed."""


class _Spoiled(Exception):
    """A message spoiled its batch, which was rolled back."""

    def __init__(self, error: Exception):
        self.error = error


class Turn:
    """A batch's turn at the store, which it has once at most until it gives it back."""

    def __init__(self, store: asyncio.Lock):
        self.store = store
        self.has_come = False

    async def comes(self) -> None:
        """Before the store is touched."""
        if not self.has_come:
            await self.store.acquire()
            self.has_come = True

    def ends(self) -> None:
        if self.has_come:
            self.has_come = False
            self.store.release()


class Batches:
    """Takes deliveries in hand, batch by batch, and sees each to its end."""

    def __init__(
        self, journal: Journal, outbox: Outbox, recovery: Recovery, unsettled: Unsettled, keep: timedelta
    ):
        self.journal = journal
        self.outbox = outbox
        self.recovery = recovery
        self.starts = recovery.starts
        self.unsettled = unsettled
        self.keep = keep
        self.leaving = Leaving(outbox, recovery, unsettled, keep)
        self.waiting: deque[Delivery] = deque()
        self.awaited: dict[Delivery, asyncio.Event] = {}
        self.in_hand = 0
        self.store = asyncio.Lock()
        self.arrived = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        self.beside = asyncio.TaskGroup()
        self.is_worked_out = False

    def add(self, delivery: Delivery) -> None:
        self.waiting.append(delivery)
        self.idle.clear()
        self._look_on()

    def _look_on(self) -> None:
        """Begin the next batch: beside one that is only to be written, once 512 wait; else after it."""
        if not self.in_hand:
            self.arrived.set()
        elif self.is_worked_out and len(self.waiting) >= BATCH:
            self.beside.create_task(self._see_to(self._take()))

    async def see_to_its_end(self, delivery: Delivery) -> None:
        """Add it, and return when it is settled."""
        self.awaited[delivery] = settled = asyncio.Event()
        self.add(delivery)
        await settled.wait()

    async def run(self) -> None:
        async with self.beside:
            while True:
                await self.arrived.wait()
                await self._see_to(self._take())

    def _take(self) -> list[Delivery]:
        """All that wait, or a batch's worth: few where they are large, or one of them may be."""
        self.in_hand += 1
        self.is_worked_out = False
        self.arrived.clear()
        taken: list[Delivery] = []
        most, size = BATCH, 0
        while self.waiting and len(taken) < most and size < BATCH_BYTES:
            taken.append(one := self.waiting.popleft())
            size += len(one.raw.body)
            if one.handler.is_large:
                most = BATCH_OF_LARGE
        return taken

    async def _see_to(self, deliveries: list[Delivery]) -> None:
        turn = Turn(self.store)
        try:
            await self._settle_all(deliveries, turn)
        finally:
            turn.ends()
        for delivery in deliveries:
            if delivery.lost:
                await self.starts.take_back(delivery)
        for delivery in self.awaited.keys() & deliveries:
            self.awaited.pop(delivery).set()
        self.in_hand -= 1
        if self.waiting:
            self._look_on()
        elif not self.in_hand:
            self.idle.set()

    async def _settle_all(self, deliveries: list[Delivery], turn: Turn) -> None:
        """Those that have been in trouble run alone, after the others and each settled before the next.

        Nothing is begun beside them: a crash is to tell which it was.
        """
        ready = await self._fitting(deliveries)
        troubled = [one for one in ready if one.raw.redelivered or one.attempt > 1]
        if troubled:
            await turn.comes()
        if together := [one for one in ready if one not in troubled]:
            await self._settle(together, turn, known=bool(troubled))
        await self._settle_singly(troubled, turn)

    async def _fitting(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Those that their contracts take; the others are refused."""
        fitting = []
        for delivery in deliveries:
            try:
                delivery.read()
            except Invalid as refusal:
                await self.recovery.unfit(delivery, refusal)
            else:
                fitting.append(delivery)
        return fitting

    async def _settle_singly(self, deliveries: Sequence[Delivery], turn: Turn) -> None:
        for delivery in random.sample(deliveries, len(deliveries)):
            if not delivery.lost and await self.starts.is_deadly(delivery):  # the lost does not start
                await self.recovery.deadly(delivery)
            else:
                await self._settle([delivery], turn)

    async def _settle(self, deliveries: Sequence[Delivery], turn: Turn, *, known: bool = True) -> None:
        """Commit the deliveries together, as often as it takes. Those whose channel went come again.

        `known`: some may have been done before. The first time that is not asked, since it is seldom so, and
        shows at the end as a conflict.
        """
        conflicts = alarms = 0
        while deliveries := [delivery for delivery in deliveries if not delivery.lost]:
            try:
                await self._commit(deliveries, turn, known=known)
                return
            except Conflict:
                known = True
                conflicts += 1
                await self.starts.step_back(deliveries, conflicts)
            except StoreAway as away:
                known = True
                alarms = 0 if await until_back(self.journal, away) else alarms + 1
                if alarms == FALSE_ALARMS:
                    await self._blame(deliveries, away, turn)
                    return
            except _Spoiled as spoiled:
                if known or len(deliveries) > 1 or not await self._was_done(deliveries[0]):
                    await self._blame(deliveries, spoiled.error, turn)
                    return
                known = True

    async def _was_done(self, delivery: Delivery) -> bool:
        """Whether it may break for that reason."""
        while True:
            try:
                async with self.journal.reading() as transaction:
                    return bool(await transaction.find([delivery.key]))
            except (StoreAway, Conflict) as away:
                await until_back(self.journal, away)

    async def _blame(self, deliveries: Sequence[Delivery], error: Exception, turn: Turn) -> None:
        """One of several may be at fault: each runs alone. Alone, it is this one."""
        if len(deliveries) > 1:
            await self._settle_singly(deliveries, turn)
        elif isinstance(error, Refusal):
            deliveries[0].prepared = error  # what it had written is undone: only the refusal is kept
            await self._settle(deliveries, turn)
        else:
            await self.recovery.broken(deliveries[0], error)

    async def _commit(self, deliveries: Sequence[Delivery], turn: Turn, *, known: bool) -> None:
        started = perf_counter()
        batch = Batch(deliveries)
        copies: dict[Key, Delivery] = {}
        for delivery in deliveries:
            delivery.touched, delivery.visible_to = [], EVERYBODY  # a run before may have been rolled back
            key = delivery.key
            if key not in copies or copies[key].older_than(self.keep, batch.now):
                copies[key] = delivery
        contended = any(delivery.handler.contended for delivery in deliveries)
        try:
            async with self.journal.transaction(contended=contended, turn=turn.comes) as transaction:
                await self._fill(batch, copies, transaction, known=known)
                await turn.comes()
                if not known:
                    self.is_worked_out = True
                    self._look_on()
                if batch.settled or batch.said:
                    await transaction.conclude(batch.settled, batch.said, last=True)
        except Exception as error:
            self.is_worked_out = False
            if isinstance(error, StoreAway | Conflict | _Spoiled):
                raise
            raise _Spoiled(error) from error  # a write that waited, or the commit, was refused by the store
        seconds = perf_counter() - started
        beside_another = not known and self.in_hand > 1
        if beside_another:
            turn.ends()
            await asyncio.sleep(0)  # what the next one has to write goes first
        await self.leaving.leave(batch, seconds, hurried=beside_another)

    async def _fill(
        self, batch: Batch, copies: dict[Key, Delivery], transaction: Transaction, *, known: bool
    ) -> None:
        now = this_moment()  # the lock may have been waited for
        old = {key for key, one in copies.items() if one.older_than(self.keep, now)}
        if known or old:
            batch.outcomes |= await transaction.find(list(copies))
        fresh = [one for key, one in copies.items() if key not in batch.outcomes and key not in old]
        await _read_ahead(fresh, transaction)
        for delivery in fresh:
            await self._execute(delivery, transaction, batch)
        self._refuse_reused(batch)

    async def _execute(self, delivery: Delivery, transaction: Transaction, batch: Batch) -> None:
        work = delivery.work(transaction, batch.now)
        transaction.next_message()
        writes = transaction.writes
        try:
            if isinstance(work.prepared, Refusal):
                raise work.prepared
            answer = await delivery.handler.function(delivery.message, work)
        except (StoreAway, Conflict):
            raise
        except Refusal as refusal:
            if transaction.writes != writes:
                raise _Spoiled(refusal) from None
            self._note_refusal(delivery, refusal, batch)
        except Exception as error:
            raise _Spoiled(error) from error
        else:
            body = answer.to_json() if answer is not None else b"null"
            delivery.visible_to = work.visible_to
            delivery.touched, versions = touched_by(work, answer)
            batch.said += delivery.everything_said(work)
            self._note(delivery, Outcome("done", body, delivery.fingerprint, versions), batch)

    def _note(self, delivery: Delivery, outcome: Outcome, batch: Batch) -> None:
        batch.first.add(delivery)
        batch.outcomes[delivery.key] = outcome
        batch.settled.append(Settled(*delivery.key, delivery.actor, outcome))

    def _note_refusal(self, delivery: Delivery, refusal: Refusal, batch: Batch) -> None:
        self._note(delivery, Outcome("refused", refusal.to_json(), delivery.fingerprint), batch)
        self._say_refused(delivery, refusal, batch)

    def _refuse_reused(self, batch: Batch) -> None:
        for delivery in batch.deliveries:
            outcome = batch.outcomes.get(delivery.key)
            if outcome and outcome.fingerprint != delivery.fingerprint:
                self._say_refused(delivery, REUSED, batch)

    def _say_refused(self, delivery: Delivery, refusal: Refusal, batch: Batch) -> None:
        """What nobody waits to hear is said as an event, for people to find on the page."""
        message = delivery.handler.message
        if delivery.raw.reply_to or issubclass(message, Event | Raw):
            return
        event = CommandRefused(
            queue=delivery.queue,
            message_id=delivery.message_id,
            code=refusal.code,
            message=refusal.message,
            errors=refusal.errors,
        )
        batch.said.append(delivery.saying(event, f"{message.owner()}.command_refused"))


async def _read_ahead(deliveries: Sequence[Delivery], transaction: Transaction) -> None:
    for handler in dict.fromkeys(delivery.handler for delivery in deliveries):
        if handler.ahead:
            of_it = [delivery for delivery in deliveries if delivery.handler is handler]
            await handler.ahead([one.message for one in of_it], of_it[0].work(transaction))

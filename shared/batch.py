"""Group commit: what arrived during the last commit shares the next transaction.

One batch at a time in a process, over all its queues. Nobody waits for a batch to fill. No answer, event or
acknowledgement leaves before the commit. Whatever spoils a batch (a refusal after a write, anything broken)
rolls it back, and each of its messages runs alone.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from time import perf_counter

from prometheus_client import Counter, Histogram

from shared.delivery import Delivery, Unsettled, send_answer, this_moment, touched_by
from shared.handling import EVERYBODY
from shared.journal import Conflict, Journal, Key, Outbox, Outcome, Said, Settled, StoreAway, Transaction
from shared.messages import CommandRefused, Event, Invalid, MessageIdReused, Raw, Refusal
from shared.recovery import Recovery
from shared.starts import until_back
from shared.telemetry import BATCH_SIZE, MESSAGE_SECONDS, MESSAGES, tell, tell_of_message

BATCH = 64
BATCH_CONTENDED = 256
"""Of what changes the state of its service under a lock: another process waits for that, and reads anew."""
FALSE_ALARMS = 3
"""How often a store may seem away and answer a probe at once before the message itself is blamed."""
MOST_TOLD = 100
"""Events of one message that its log line names."""
REUSED = MessageIdReused("This message id was used before with other content; take a new one.")


class _Spoiled(Exception):
    """A message spoiled its batch, which was rolled back."""

    def __init__(self, error: Exception):
        self.error = error


@dataclass(slots=True)
class _Batch:
    """What a transaction settled, for the time after its commit. It is one moment for all of it: stores then
    write the same change of many documents as one.
    """

    deliveries: Sequence[Delivery]
    now: datetime = field(default_factory=this_moment)
    first: set[Delivery] = field(default_factory=set)
    outcomes: dict[Key, Outcome] = field(default_factory=dict)
    settled: list[Settled] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)


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
        self.waiting: deque[Delivery] = deque()
        self.awaited: dict[Delivery, asyncio.Event] = {}
        self.arrived = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()

    def add(self, delivery: Delivery) -> None:
        self.waiting.append(delivery)
        self.idle.clear()
        self.arrived.set()

    async def see_to_its_end(self, delivery: Delivery) -> None:
        """Add it, and return when it is settled."""
        self.awaited[delivery] = settled = asyncio.Event()
        self.add(delivery)
        await settled.wait()

    async def run(self) -> None:
        while True:
            await self.arrived.wait()
            most = BATCH_CONTENDED if self.waiting[0].handler.contended else BATCH
            deliveries = [self.waiting.popleft() for _ in range(min(most, len(self.waiting)))]
            await self._turn(deliveries)
            for delivery in deliveries:
                if delivery.lost:
                    await self.starts.take_back(delivery)
            for delivery in self.awaited.keys() & deliveries:
                self.awaited.pop(delivery).set()
            if not self.waiting:
                self.arrived.clear()
                self.idle.set()

    async def _turn(self, deliveries: list[Delivery]) -> None:
        """Those that have been in trouble run alone, after the others and each settled before the next."""
        ready = [delivery for delivery in deliveries if await self._fits(delivery)]
        troubled = [one for one in ready if one.raw.redelivered or one.attempt > 1]
        if together := [one for one in ready if one not in troubled]:
            await self._settle(together, known=False)
        await self._settle_singly(troubled)

    async def _fits(self, delivery: Delivery) -> bool:
        try:
            delivery.read()
        except Invalid as refusal:
            await self.recovery.unfit(delivery, refusal)
            return False
        return True

    async def _settle_singly(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in random.sample(deliveries, len(deliveries)):
            if not delivery.lost and await self.starts.is_deadly(delivery):  # the lost does not start
                await self.recovery.deadly(delivery)
            else:
                await self._settle([delivery])

    async def _settle(self, deliveries: Sequence[Delivery], *, known: bool = True) -> None:
        """Commit the deliveries together, as often as it takes. Those whose channel went come again.

        `known`: some may have been done before. The first time that is not asked, since it is seldom so, and
        shows at the end as a conflict.
        """
        conflicts = alarms = 0
        while deliveries := [delivery for delivery in deliveries if not delivery.lost]:
            try:
                await self._commit(deliveries, known=known)
                return
            except Conflict:
                known = True
                conflicts += 1
                await self.starts.step_back(deliveries, conflicts)
            except StoreAway as away:
                known = True
                alarms = 0 if await until_back(self.journal, away) else alarms + 1
                if alarms == FALSE_ALARMS:
                    await self._blame(deliveries, away)
                    return
            except _Spoiled as spoiled:
                if known or len(deliveries) > 1 or not await self._was_done(deliveries[0]):
                    await self._blame(deliveries, spoiled.error)
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

    async def _blame(self, deliveries: Sequence[Delivery], error: Exception) -> None:
        """One of several may be at fault: each runs alone. Alone, it is this one."""
        if len(deliveries) > 1:
            await self._settle_singly(deliveries)
        elif isinstance(error, Refusal):
            deliveries[0].prepared = error  # what it had written is undone: only the refusal is kept
            await self._settle(deliveries)
        else:
            await self.recovery.broken(deliveries[0], error)

    async def _commit(self, deliveries: Sequence[Delivery], *, known: bool) -> None:
        started = perf_counter()
        batch = _Batch(deliveries)
        copies: dict[Key, Delivery] = {}
        for delivery in deliveries:
            delivery.touched, delivery.visible_to = [], EVERYBODY  # a run before may have been rolled back
            key = delivery.key
            if key not in copies or copies[key].older_than(self.keep, batch.now):
                copies[key] = delivery
        contended = any(delivery.handler.contended for delivery in deliveries)
        try:
            async with self.journal.transaction(contended=contended) as transaction:
                await self._fill(batch, copies, transaction, known=known)
        except (StoreAway, Conflict, _Spoiled):
            raise
        except Exception as error:  # a write that waited, or the commit itself, was refused by the store
            raise _Spoiled(error) from error
        await self._finish(batch, perf_counter() - started)

    async def _fill(
        self, batch: _Batch, copies: dict[Key, Delivery], transaction: Transaction, *, known: bool
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
        if batch.settled or batch.said:
            await transaction.conclude(batch.settled, batch.said, last=True)

    async def _execute(self, delivery: Delivery, transaction: Transaction, batch: _Batch) -> None:
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

    def _note(self, delivery: Delivery, outcome: Outcome, batch: _Batch) -> None:
        batch.first.add(delivery)
        batch.outcomes[delivery.key] = outcome
        batch.settled.append(Settled(*delivery.key, delivery.actor, outcome))

    def _note_refusal(self, delivery: Delivery, refusal: Refusal, batch: _Batch) -> None:
        self._note(delivery, Outcome("refused", refusal.to_json(), delivery.fingerprint), batch)
        self._say_refused(delivery, refusal, batch)

    def _refuse_reused(self, batch: _Batch) -> None:
        for delivery in batch.deliveries:
            outcome = batch.outcomes.get(delivery.key)
            if outcome and outcome.fingerprint != delivery.fingerprint:
                self._say_refused(delivery, REUSED, batch)

    def _say_refused(self, delivery: Delivery, refusal: Refusal, batch: _Batch) -> None:
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

    async def _finish(self, batch: _Batch, seconds: float) -> None:
        """Answers, events and acknowledgements leave together, in one write each."""
        ended = []
        said: dict[str, list[Said]] = {}
        for event in batch.said:
            said.setdefault(event.causation, []).append(event)
        for delivery in batch.deliveries:
            outcome = batch.outcomes.get(delivery.key)
            if outcome is None:
                await self.recovery.too_old(delivery, self.keep)
                continue
            ended.append(delivery)
            fits = outcome.fingerprint == delivery.fingerprint
            outcome = outcome if fits else Outcome("refused", REUSED.to_json(), delivery.fingerprint)
            repeated = fits and delivery not in batch.first
            self._answer(delivery, outcome, repeated=repeated)
            ended_so, durations = _series(delivery.name, outcome.ending)
            ended_so.inc()
            durations.observe(seconds)
            _log_end(delivery, outcome, said.get(delivery.message_id, ()), seconds, repeated=repeated)
        BATCH_SIZE.observe(len(batch.deliveries))
        tell()  # what a crash from here on leaves behind is understood by what was told before
        self.outbox.send(batch.said)
        self.unsettled.acknowledge(ended)

    def _answer(self, delivery: Delivery, outcome: Outcome, *, repeated: bool) -> None:
        kind = "Refusal"
        if outcome.ending == "done":
            kind = getattr(delivery.handler.message, "answer", type(None)).__name__
        publisher, versions = self.recovery.publisher, outcome.versions
        send_answer(publisher, delivery, kind, outcome.answer, versions=versions, repeated=repeated)


@lru_cache
def _series(message: str, ending: str) -> tuple[Counter, Histogram]:
    return MESSAGES.labels(message, ending), MESSAGE_SECONDS.labels(message)


async def _read_ahead(deliveries: Sequence[Delivery], transaction: Transaction) -> None:
    for handler in dict.fromkeys(delivery.handler for delivery in deliveries):
        if handler.ahead:
            of_it = [delivery for delivery in deliveries if delivery.handler is handler]
            await handler.ahead([one.message for one in of_it], of_it[0].work(transaction))


def _log_end(
    delivery: Delivery, outcome: Outcome, said: Sequence[Said], seconds: float, *, repeated: bool
) -> None:
    """One line for a message that came to its end: what it said, what it was about, why it was refused."""
    fields = {**delivery.identity, "attempt": delivery.attempt, "seconds": round(seconds, 6)}
    if said and not repeated:
        fields["said"] = [{"message": one.type, "message_id": str(one.id)} for one in said[:MOST_TOLD]]
    if delivery.touched:
        fields["about"] = delivery.touched
    if outcome.ending != "done":
        refusal = Refusal.from_json(outcome.answer)
        fields |= {"code": refusal.code, "reason": refusal.message}
    if repeated:
        fields["repeated"] = True
    tell_of_message(outcome.ending, fields)

"""What leaves once a batch is committed: answers, then log lines; soon its events and acknowledgements."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

from prometheus_client import Histogram

from shared.delivery import Delivery, send_answer, this_moment
from shared.journal import Key, Outbox, Outcome, Said, Settled
from shared.messages import MessageIdReused, Refusal
from shared.recovery import Recovery
from shared.telemetry import BATCH_SIZE, MESSAGE_SECONDS, handled, tell, tell_of_message
from shared.unsettled import Unsettled

MOST_TOLD = 100
"""Events of one message that its log line names."""
REUSED = MessageIdReused("This message id was used before with other content; take a new one.")


@dataclass(slots=True)
class Batch:
    """What a transaction settled, for the time after its commit. It is one moment for all of it: stores then
    write the same change of many documents as one.
    """

    deliveries: Sequence[Delivery]
    now: datetime = field(default_factory=this_moment)
    first: set[Delivery] = field(default_factory=set)
    outcomes: dict[Key, Outcome] = field(default_factory=dict)
    settled: list[Settled] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)


class Leaving:
    """Has each message of a committed batch answered, told of and acknowledged."""

    def __init__(self, outbox: Outbox, recovery: Recovery, unsettled: Unsettled, keep: timedelta):
        self.outbox = outbox
        self.recovery = recovery
        self.unsettled = unsettled
        self.keep = keep

    async def leave(self, batch: Batch, seconds: float, *, hurried: bool = False) -> None:
        """Answers first: whoever waits for one does not wait for all else that is to be done.

        `hurried`: answers, lines and events in one turn, since another batch is at work beside it, which may
        end the process.
        """
        alone = len(batch.deliveries) == 1 and not hurried
        ended: list[tuple[Delivery, Outcome, bool]] = []
        too_old = []
        for delivery in batch.deliveries:
            outcome = batch.outcomes.get(delivery.key)
            if outcome is None:
                too_old.append(delivery)
                continue
            fits = outcome.fingerprint == delivery.fingerprint
            outcome = outcome if fits else Outcome("refused", REUSED.to_json(), delivery.fingerprint)
            repeated = fits and delivery not in batch.first
            if delivery.raw.reply_to:
                self._answer(delivery, outcome, repeated=repeated, alone=alone)
            ended.append((delivery, outcome, repeated))
        if not hurried:
            await asyncio.sleep(0)  # in which they are sent
        self._tell(batch, ended, seconds)
        self.outbox.send(batch.said, at_once=hurried)
        self.unsettled.settle([delivery for delivery, _, _ in ended])
        for delivery in too_old:
            await self.recovery.too_old(delivery, self.keep)

    def _tell(self, batch: Batch, ended: Sequence[tuple[Delivery, Outcome, bool]], seconds: float) -> None:
        """What a crash from here on leaves behind is understood by what was told before."""
        said: dict[str, list[Said]] = {}
        for event in batch.said:
            said.setdefault(event.causation, []).append(event)
        for delivery, outcome, repeated in ended:
            handled(delivery.name, outcome.ending).inc()
            _durations(delivery.name).observe(seconds)
            _log_end(delivery, outcome, said.get(delivery.message_id, ()), seconds, repeated=repeated)
        BATCH_SIZE.observe(len(batch.deliveries))
        tell()

    def _answer(self, delivery: Delivery, outcome: Outcome, *, repeated: bool, alone: bool) -> None:
        kind = "Refusal"
        if outcome.ending == "done":
            kind = getattr(delivery.handler.message, "answer", type(None)).__name__
        bus, versions = self.recovery.publisher, outcome.versions
        send_answer(bus, delivery, kind, outcome.answer, versions=versions, repeated=repeated, alone=alone)


@cache
def _durations(message: str) -> Histogram:
    return MESSAGE_SECONDS.labels(message)


def _log_end(
    delivery: Delivery, outcome: Outcome, said: Sequence[Said], seconds: float, *, repeated: bool
) -> None:
    """One line for a message that came to its end: what it said, what it was about, why it was refused."""
    fields = {**delivery.identity, "attempt": delivery.attempt, "seconds": round(seconds, 6)}
    if said and not repeated:
        fields["said"] = [{"message": one.type, "message_id": one.id} for one in said[:MOST_TOLD]]
    if delivery.touched:
        fields["about"] = delivery.touched
    if outcome.ending != "done":
        refusal = Refusal.from_json(outcome.answer)
        fields |= {"code": refusal.code, "reason": refusal.message}
    if repeated:
        fields["repeated"] = True
    tell_of_message(outcome.ending, fields)

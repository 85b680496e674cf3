"""What happens to a message that did not end well: delayed retries, then the dead letters.

A copy is confirmed by the broker before its original is acknowledged, so that nothing is lost in between; a
crash there leaves two copies with one id, and the inbox makes them one effect. Attempts travel in the
message: the broker's own count means different things in its versions.
"""

import asyncio
import logging
import random
import traceback
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.amqp.content import Properties, Unsendable
from shared.bus import Publisher, Unconfirmed, Undelivered
from shared.delivery import Delivery, send_answer
from shared.handling import DIRECT, NotNow
from shared.journal import Conflict, Journal, Outbox, Outcome, Settled, StoreAway
from shared.messages import Command, Failed, Refusal
from shared.redaction import redacted_text
from shared.starts import Starts
from shared.telemetry import handled
from shared.topology import DEAD_LETTERS, delay_exchange
from shared.unsettled import Unsettled

log = logging.getLogger(__name__)

Seconds = tuple[int, ...]
Headers = dict[str, Any]
PATIENCE_SECONDS = 1.0
"""So long the messages behind wait for a copy to be taken."""
NOT_NOW_SECONDS = 10
NOTE_CHARACTERS = 200
REASON_CHARACTERS = 2000
"""Far more than the desk groups by, which leaves out values of whatever length first."""
LAST_ERROR_CHARACTERS = 8000
TRACEBACK_CHARACTERS = 4000
"""The end of one attempt's."""
TRACEBACKS_CHARACTERS = 24_000
"""Of all attempts: an AMQP header frame holds 128 KB."""


class Recovery:
    """Sends broken messages round the delay levels, and what is hopeless to the dead letters."""

    def __init__(
        self, journal: Journal, outbox: Outbox, publisher: Publisher, unsettled: Unsettled, delays: Seconds
    ):
        self.journal = journal
        self.outbox = outbox
        self.publisher = publisher
        self.unsettled = unsettled
        self.delays = delays
        self.starts = Starts(journal)
        self.leaving: set[asyncio.Task[None]] = set()

    async def unfit(self, delivery: Delivery, refusal: Refusal) -> None:
        """Refuse what does not fit to whoever asked, else keep it with its reason."""
        if delivery.raw.reply_to:
            fields = delivery.identity | {"code": refusal.code, "reason": refusal.message}
            log.info("refused", extra={"fields": fields})
            send_answer(self.publisher, delivery, "Refusal", refusal.to_json())
            self._settle(delivery, "refused")
        else:
            await self._see_off(delivery, DEAD_LETTERS, _reason(delivery, refusal.message))

    async def too_old(self, delivery: Delivery, keep: timedelta) -> None:
        """Nobody knows any more whether it was done: only a person can decide."""
        reason = f"too_old: sent more than {keep} ago"
        failed = Failed(f"{delivery.name} is older than the inbox remembers and lies with the dead letters.")
        kept = reason if delivery.handler.given_up else ""
        await self._see_off(delivery, DEAD_LETTERS, _reason(delivery, reason), failed, kept)

    async def deadly(self, delivery: Delivery) -> None:
        """Give up what its process has died of again and again."""
        delivery.errors.append("the process died each time that this message ran")
        await self._give_up(delivery, delivery.errors[-1])

    async def broken(self, delivery: Delivery, error: BaseException) -> None:
        """Try again later, or give up when every delay level has been used."""
        reason = redacted_text(f"{type(error).__name__}: {error}"[:LAST_ERROR_CHARACTERS])
        note = reason[:NOTE_CHARACTERS]
        if isinstance(error, NotNow):
            log.warning("not now", extra={"fields": delivery.identity | {"reason": note}})
            await self._try_again(delivery, NOT_NOW_SECONDS, delivery.attempt, note)
            return
        seconds = self.delays[delivery.attempt - 1] if delivery.attempt <= len(self.delays) else None
        fields = {"attempt": delivery.attempt, "reason": note, "again_in_seconds": seconds}
        log.error("broke", extra={"fields": delivery.identity | fields}, exc_info=error)
        if delivery.handler.is_raw:
            return  # not acknowledged, it stays in its queue and comes again with the next connection
        delivery.errors.append(note)
        trace = redacted_text("".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS:])
        delivery.traceback += f"Attempt {delivery.attempt}\n{trace}\n"
        if seconds is None:
            await self._give_up(delivery, reason)
        else:
            await self._try_again(delivery, seconds, delivery.attempt + 1, note)

    async def drained(self) -> None:
        """Wait until all that did not end well has left."""
        await asyncio.gather(*self.leaving, return_exceptions=True)

    async def _try_again(self, delivery: Delivery, seconds: int, attempt: int, note: str) -> None:
        due = datetime.now(UTC) + timedelta(seconds=seconds)
        if await self._noted(delivery, attempt, due, note):
            await self._see_off(delivery, delay_exchange(seconds), {"attempt": attempt, **_tried(delivery)})

    async def _give_up(self, delivery: Delivery, reason: str) -> None:
        last = delivery.errors[-1]
        failed = Failed(f"{delivery.name} could not be done and lies with the dead letters: {last}")
        kept = last if issubclass(delivery.handler.message, Command) else ""
        await self._see_off(
            delivery, DEAD_LETTERS, _reason(delivery, reason) | _tried(delivery), failed, kept
        )

    async def _see_off(self, delivery: Delivery, *how: Any) -> None:
        """What the broker takes no copy of, perhaps for hours, waits for that in hand and holds up nobody."""
        task = asyncio.create_task(self._leave(delivery, *how), name=f"leaving {delivery.message_id}")
        self.leaving.add(task)
        task.add_done_callback(self.leaving.discard)
        await asyncio.wait([task], timeout=PATIENCE_SECONDS if self.publisher.connected else 0)

    async def _leave(
        self, delivery: Delivery, to: str, headers: Headers, failed: Failed | None = None, kept: str = ""
    ) -> None:
        """Go on to a delay or to the dead letters, then be acknowledged; or come again.

        `failed`: what whoever asked is told. `kept`: the reason that its owner keeps, if it keeps one.
        """
        if not await self._sent(delivery, to, headers):
            await self.starts.take_back(delivery)
            return
        if to == DEAD_LETTERS:
            log.warning("dead letter", extra={"fields": delivery.identity | {"reason": headers["reason"]}})
        if failed:
            if kept:
                await self._remember_failure(delivery, failed, kept)
            send_answer(self.publisher, delivery, "Refusal", failed.to_json())
        self._settle(delivery, "dead" if to == DEAD_LETTERS else "retried")

    async def _noted(self, delivery: Delivery, attempt: int, due: datetime, error: str) -> bool:
        while not delivery.lost:
            try:
                await self.journal.note_attempt(delivery.key, delivery.actor, attempt, due, error)
                return True
            except (StoreAway, Conflict):
                await asyncio.sleep(random.uniform(0.1, 0.5))
        return False

    async def _remember_failure(self, delivery: Delivery, failed: Failed, reason: str) -> None:
        """In one transaction with what the handler declared for this end."""
        outcome = Outcome("failed", failed.to_json(), delivery.fingerprint)
        settled = Settled(*delivery.key, delivery.actor, outcome)
        given_up = delivery.handler.given_up
        while not delivery.lost:
            try:
                async with self.journal.transaction(contended=delivery.handler.contended) as transaction:
                    work = delivery.work(transaction)
                    if await transaction.find([delivery.key]):
                        return  # another process had more luck with it
                    if given_up:
                        await given_up(delivery.message, reason, work)
                    said = delivery.everything_said(work)
                    await transaction.conclude([settled], said)
                self.outbox.send(said, at_once=True)
                return
            except (Conflict, StoreAway):
                await asyncio.sleep(random.uniform(0.1, 0.5))
            except Exception:
                log.exception("giving up broke too", extra={"fields": delivery.identity})
                given_up = None

    async def _sent(self, delivery: Delivery, exchange: str, headers: Headers) -> bool:
        """Send a copy and have it confirmed, however long that takes; False when it is left to the broker."""
        tries = 0
        while not delivery.lost:
            try:
                copy = delivery.queue, delivery.raw.body, self._copied(delivery, headers)
                await self.publisher.publish(exchange, *copy, mandatory=True)
                return True
            except Unsendable as error:
                log.warning("a copy cannot be sent as it is", extra={"fields": {"reason": str(error)}})
                if not delivery.headers_travel:  # it fits into no frame: the broker buries it
                    self.unsettled.hand_back(delivery, requeue=False)
                    return False
                delivery.headers_travel, headers["traceback"] = False, ""
            except (Unconfirmed, Undelivered) as error:
                if (tries := tries + 1) == 1:
                    log.warning("a copy waits", extra={"fields": delivery.identity | {"reason": str(error)}})
                await asyncio.sleep(random.uniform(0.5, 1) * min(0.2 * tries, NOT_NOW_SECONDS))
        return False

    def _copied(self, delivery: Delivery, headers: Headers) -> Properties:
        """The original's properties under this service's own user; without the broker's own `x-` headers."""
        raw = delivery.raw
        kept = {
            name: value
            for name, value in raw.headers.items()
            if delivery.headers_travel
            and not name.startswith("x-")
            and name not in ("actor", "attempt", "errors", "traceback")
        }
        if delivery.actor != DIRECT:
            kept["actor"] = delivery.actor
        return Properties(
            content_type=raw.content_type,
            headers=kept | headers,
            delivery_mode=2,
            correlation_id=raw.correlation_id,
            reply_to=raw.reply_to,
            message_id=delivery.message_id,
            timestamp=raw.timestamp,
            type=raw.type,
            user_id=self.publisher.user,
            app_id=raw.app_id,
        )

    def _settle(self, delivery: Delivery, outcome: str) -> None:
        handled(delivery.name, outcome).inc()
        self.unsettled.settle([delivery], at_once=True)  # whom the next one kills must not bring it back


def _reason(delivery: Delivery, reason: str) -> Headers:
    said = {"reason": reason[:REASON_CHARACTERS], "queue": delivery.queue, "attempt": delivery.attempt}
    return said | {"died-at": datetime.now(UTC).isoformat()}


def _tried(delivery: Delivery) -> Headers:
    """What became of it at each attempt so far."""
    return {"errors": delivery.errors, "traceback": delivery.traceback[-TRACEBACKS_CHARACTERS:]}

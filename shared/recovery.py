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
from time import monotonic
from typing import Any

from shared.amqp.content import Properties, Unsendable
from shared.bus import Publisher, Unconfirmed, Undelivered
from shared.delivery import Delivery, Unsettled, send_answer
from shared.handling import DIRECT, NotNow
from shared.journal import Conflict, Journal, Outbox, Outcome, Settled, StoreAway
from shared.messages import Command, Failed, Refusal
from shared.redaction import redacted_text
from shared.telemetry import MESSAGES
from shared.topology import DEAD_LETTERS, delay_exchange

log = logging.getLogger(__name__)

Seconds = tuple[int, ...]
COPY_SECONDS = 20.0
NOT_NOW_SECONDS = 10
NOTE_CHARACTERS = 200
REASON_CHARACTERS = 2000
"""Far more than the desk groups by, which leaves out values of whatever length first."""
LAST_ERROR_CHARACTERS = 8000
"""An AMQP header frame holds 128 KB in all."""


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

    async def unfit(self, delivery: Delivery, refusal: Refusal) -> None:
        """Refuse what does not fit to whoever asked, else keep it with its reason."""
        if delivery.raw.reply_to:
            fields = delivery.identity | {"code": refusal.code, "reason": refusal.message}
            log.info("refused", extra={"fields": fields})
            send_answer(self.publisher, delivery, "Refusal", refusal.to_json())
            await self._settle(delivery, "refused")
        elif await self._bury(delivery, _reason(delivery, refusal.message)):
            await self._settle(delivery, "dead")

    async def too_old(self, delivery: Delivery, keep: timedelta) -> None:
        """Nobody knows any more whether it was done: only a person can decide."""
        reason = f"too_old: sent more than {keep} ago"
        refusal = Failed(f"{delivery.name} is older than the inbox remembers and lies with the dead letters.")
        send_answer(self.publisher, delivery, "Refusal", refusal.to_json())
        if await self._bury(delivery, _reason(delivery, reason)):
            if delivery.handler.given_up:
                outcome = Outcome("failed", refusal.to_json(), delivery.fingerprint)
                await self._remember_failure(delivery, outcome, reason)
            await self._settle(delivery, "dead")

    async def deadly(self, delivery: Delivery) -> None:
        """Give up what its process has died of again and again."""
        error = RuntimeError("the process died each time that this message ran")
        await self._give_up(delivery, error, [*delivery.errors, str(error)], str(error))

    async def broken(self, delivery: Delivery, error: BaseException) -> None:
        """Try again later, or give up when every delay level has been used."""
        reason = redacted_text(f"{type(error).__name__}: {error}"[:LAST_ERROR_CHARACTERS])
        note = reason[:NOTE_CHARACTERS]
        if isinstance(error, NotNow):
            log.warning("not now", extra={"fields": delivery.identity | {"reason": note}})
            await self._try_again(delivery, NOT_NOW_SECONDS, delivery.attempt, delivery.errors, note)
            return
        errors = [*delivery.errors, note]
        seconds = self.delays[delivery.attempt - 1] if delivery.attempt <= len(self.delays) else None
        fields = {"attempt": delivery.attempt, "reason": note, "again_in_seconds": seconds}
        log.error("broke", extra={"fields": delivery.identity | fields}, exc_info=error)
        if delivery.is_raw:
            return  # not acknowledged, it stays in its queue and comes again with the next connection
        if seconds is None:
            await self._give_up(delivery, error, errors, reason)
        else:
            await self._try_again(delivery, seconds, delivery.attempt + 1, errors, note)

    async def _try_again(
        self, delivery: Delivery, seconds: int, attempt: int, errors: list[str], note: str
    ) -> None:
        headers = {"attempt": attempt, "errors": errors}
        due = datetime.now(UTC) + timedelta(seconds=seconds)
        if not await self._noted(delivery, attempt, due, note):
            return
        if await self._sent(delivery, delay_exchange(seconds), delivery.queue, headers):
            await self._settle(delivery, "retried")

    async def _give_up(
        self, delivery: Delivery, error: BaseException, errors: list[str], reason: str
    ) -> None:
        last = "".join(traceback.format_exception(error))[-LAST_ERROR_CHARACTERS:]
        headers = _reason(delivery, reason) | {"errors": errors, "traceback": redacted_text(last)}
        if not await self._bury(delivery, headers):
            return
        failed = Failed(f"{delivery.name} could not be done and lies with the dead letters: {errors[-1]}")
        outcome = Outcome("failed", failed.to_json(), delivery.fingerprint)
        if issubclass(delivery.handler.message, Command):
            await self._remember_failure(delivery, outcome, errors[-1])
        send_answer(self.publisher, delivery, "Refusal", outcome.answer)
        await self._settle(delivery, "dead")

    async def _noted(self, delivery: Delivery, attempt: int, due: datetime, error: str) -> bool:
        while not delivery.lost:
            try:
                await self.journal.note_attempt(delivery.key, delivery.actor, attempt, due, error)
                return True
            except (StoreAway, Conflict):
                await _a_moment()
        return False

    async def _remember_failure(self, delivery: Delivery, outcome: Outcome, reason: str) -> None:
        """In one transaction with what the handler declared for this end."""
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
                self.outbox.send(said)
                return
            except (Conflict, StoreAway):
                await _a_moment()
            except Exception:
                log.exception("giving up broke too", extra={"fields": delivery.identity})
                given_up = None

    async def _bury(self, delivery: Delivery, headers: dict[str, Any]) -> bool:
        """Put it to the dead letters; False when it comes again instead."""
        sent = await self._sent(delivery, DEAD_LETTERS, delivery.queue, headers)
        if sent:
            log.warning("dead letter", extra={"fields": delivery.identity | {"reason": headers["reason"]}})
        return sent

    async def _sent(self, delivery: Delivery, exchange: str, key: str, headers: dict[str, Any]) -> bool:
        """Send a copy and have it confirmed; False when the original comes again instead."""
        end = monotonic() + COPY_SECONDS
        while not delivery.lost:
            if monotonic() > end:
                self.unsettled.hand_back(delivery)  # one copy must not hold up everybody
                return False
            try:
                await self.publisher.publish(
                    exchange, key, delivery.raw.body, self._copied(delivery, headers), mandatory=True
                )
                return True
            except Unsendable as error:
                log.warning("a copy goes without its headers", extra={"fields": {"reason": str(error)}})
                delivery.headers_travel = False
            except (Unconfirmed, Undelivered) as error:
                log.warning(
                    "a copy was not confirmed, trying again", extra={"fields": {"reason": str(error)}}
                )
                await _a_moment()
        return False

    def _copied(self, delivery: Delivery, headers: dict[str, Any]) -> Properties:
        """The original's properties under this service's own user; without the broker's own `x-` headers."""
        raw = delivery.raw
        kept = {
            name: value
            for name, value in raw.headers.items()
            if delivery.headers_travel
            and not name.startswith("x-")
            and name not in ("actor", "attempt", "errors")
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

    async def _settle(self, delivery: Delivery, outcome: str) -> None:
        MESSAGES.labels(delivery.name, outcome).inc()
        self.unsettled.acknowledge([delivery])


def _reason(delivery: Delivery, reason: str) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    said = {"reason": reason[:REASON_CHARACTERS], "queue": delivery.queue, "attempt": delivery.attempt}
    return {**said, "died-at": now}


async def _a_moment() -> None:
    await asyncio.sleep(random.uniform(0.1, 0.5))

"""Sends what people had replayed, at their pace, and asks the owners what has become of it.

All that is known stands in the tables: a desk that is killed at any moment goes on from there. What it had
published and not yet noted goes out again under the same ids, which the owner's inbox makes one effect.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row

from desk_service.domain.deaths import REPLAY
from desk_service.domain.headers import as_sent
from desk_service.settings import DeskSettings
from desk_service.store.replays import ReplayStore
from desk_service.store.sweeping import sweep
from shared.amqp.content import Properties, Unsendable
from shared.asking import RequestClient
from shared.bus import Publisher, Unconfirmed, Undelivered, Unroutable
from shared.contracts.operations import GetOperation
from shared.handling import DIRECT
from shared.journal import Conflict, StoreAway, keep_doing
from shared.journal_postgresql import PostgresqlJournal
from shared.journal_sql import SqlTransaction
from shared.messages import MOST_BYTES, Refusal, Unavailable

log = logging.getLogger(__name__)

TURN_SECONDS = 0.1
LOOK_EVERY = 0.5
MOST_AT_ONCE = 100
ANSWER_SECONDS = 5.0


@asynccontextmanager
async def changing(journal: PostgresqlJournal) -> AsyncIterator[SqlTransaction]:
    """A transaction that nobody else's can be in the way of: one at a time changes the desk."""
    async with journal.transaction(contended=True) as transaction:
        yield transaction
        await transaction.flush()


class Replaying:
    """The replays of one process."""

    def __init__(self, journal: PostgresqlJournal, settings: DeskSettings):
        self.journal = journal
        self.settings = settings
        self.due: dict[UUID, float] = {}
        self.silent: set[str] = set()
        """The owners that did not answer: one letter of each asks again, so that no other waits for them."""

    async def run(self, publisher: Publisher) -> None:
        client = RequestClient(self.settings.rabbitmq_url, publisher, also=_nothing)
        async with asyncio.TaskGroup() as group:
            group.create_task(client.link.keep_open())
            group.create_task(self._keep_sending(publisher))
            group.create_task(self._keep_looking(client, silent=False))
            group.create_task(self._keep_looking(client, silent=True))
            group.create_task(keep_doing(self._sweep, self.settings.sweep_seconds))

    async def _sweep(self) -> None:
        more = True
        while more:
            async with changing(self.journal) as transaction:
                more = await sweep(transaction, datetime.now(UTC) - timedelta(days=self.settings.keep_days))

    async def _keep_sending(self, publisher: Publisher) -> None:
        while True:
            await asyncio.sleep(TURN_SECONDS)
            try:
                async with self.journal.reading() as transaction:
                    rates = await ReplayStore(transaction).under_way()
                for order, rate in rates.items():
                    if publisher.connected and monotonic() >= self.due.get(order, 0.0):
                        await self._send_some(publisher, order, rate)
                self.due = {order: due for order, due in self.due.items() if order in rates}
            except (StoreAway, Conflict) as error:
                log.debug("replaying waits: %r", error)

    async def _send_some(self, publisher: Publisher, order: UUID, rate: float) -> None:
        most = max(1, min(MOST_AT_ONCE, int(rate * TURN_SECONDS)))
        async with changing(self.journal) as transaction:  # from its commit on nobody stops and edits them
            letters = await ReplayStore(transaction).next_of(order, most)
        self.due[order] = monotonic() + len(letters) / rate
        sending = [self._publish(publisher, letter) for letter in letters]
        ends = await asyncio.gather(*sending, return_exceptions=True)
        async with changing(self.journal) as transaction:
            store = ReplayStore(transaction)
            for letter, end in zip(letters, ends, strict=True):
                await _note(store, letter, end)

    async def _publish(self, publisher: Publisher, letter: Row[Any]) -> None:
        if len(letter.body) > MOST_BYTES:  # RabbitMQ 4 would end the channel, time and again
            size = f"its body is {len(letter.body)} bytes and may be {MOST_BYTES}"
            raise Unsendable(f"{size}; edit it to make it smaller, or discard it")
        properties = _properties(letter, publisher.user)
        await publisher.publish("", letter.queue, letter.body, properties, mandatory=True)

    async def _keep_looking(self, client: RequestClient, *, silent: bool) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self._look(client, silent=silent)
            except (StoreAway, Conflict) as error:
                log.debug("asking waits: %r", error)

    async def _look(self, client: RequestClient, *, silent: bool) -> None:
        now = datetime.now(UTC)
        async with self.journal.reading() as transaction:
            store = ReplayStore(transaction)
            look = store.to_ask_the_silent if silent else store.to_look_at
            replays = await look(now, self.silent)
        if not replays:
            return
        ends = await asyncio.gather(*(_become_of(client, one.queue, one.message_id) for one in replays))
        async with changing(self.journal) as transaction:
            store = ReplayStore(transaction)
            for replay, (state, note) in zip(replays, ends, strict=True):
                (self.silent.add if state == "silent" else self.silent.discard)(replay.service)
                if state in ("done", "refused"):
                    await store.ended(replay.id, state, note, now)
                else:
                    store.looked(replay.id, note, now)


async def _become_of(client: RequestClient, queue: str, message_id: str) -> tuple[str, str]:
    """State and what there is to say of it. `failed` is of the time before; a new death comes as a letter.

    `silent`: its owner does not answer.
    """
    query = GetOperation(command_queue=queue, message_id=message_id)
    owner = f"{queue.partition('.')[0]}.get_operation"
    try:
        answered = await client.ask(query, actor=DIRECT, wait=ANSWER_SECONDS, queue=owner)
    except Refusal as refusal:
        state = "silent" if isinstance(refusal, Unavailable) else "unknown"
        return state, f"its owner does not say: {refusal.message}"
    operation = orjson.loads(answered.body)
    state = str(operation["state"])
    if state == "refused":
        return state, f"{operation['answer']['code']}: {operation['answer']['message']}"
    if state == "retrying":
        return state, f"attempt {operation['attempt']} is to come: {operation['last_error']}"
    return state, ""


async def _note(store: ReplayStore, letter: Row[Any], end: object) -> None:
    now = datetime.now(UTC)
    if not isinstance(end, BaseException):
        store.sent(letter.replay_id, now)
    elif isinstance(end, Unroutable):
        await store.ended(letter.replay_id, "failed", f"There is no queue {letter.queue!r}.", now)
    elif isinstance(end, Unsendable):
        await store.ended(letter.replay_id, "failed", f"It cannot be sent: {end}.", now)
    elif isinstance(end, Unconfirmed | Undelivered | asyncio.CancelledError):
        log.warning("a replay was not confirmed, trying again", extra={"fields": {"reason": repr(end)}})
    else:
        raise end


def _properties(letter: Row[Any], user: str) -> Properties:
    """As it was sent, and to be answered to nobody: who asked has long been told that it failed.

    It is as old as it is, so that an owner who no longer knows whether it was done refuses it as too old,
    unless a person who knows that wants it done: then it is sent now.
    """
    is_wanted = {"letter", "too_old"} & letter.what.keys()
    headers = {**as_sent(letter.headers), REPLAY: str(letter.replay_id)}
    if letter.actor != DIRECT:
        headers["actor"] = letter.actor
    return Properties(
        content_type=letter.content_type,
        headers=headers,
        delivery_mode=2,
        correlation_id=letter.conversation,
        message_id=letter.message_id,
        timestamp=datetime.now(UTC) if is_wanted else letter.sent_at or letter.first_died_at,
        type=letter.type,
        app_id=letter.app_id,
        user_id=user,
    )


async def _nothing(channel: object) -> None:
    """Nothing else is heard where answers are."""

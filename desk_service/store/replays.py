"""Replays on their way: what is to be sent next, what was sent and is asked about."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from desk_service.store.letters import LetterStore
from desk_service.store.tables import letters, orders, replays
from shared.journal_sql import SqlTransaction
from shared.messages import NotFound

MOST_LOOKS = 200
LONGEST_WAIT = timedelta(seconds=30)
TO_SEND = ("queued", "sending")
"""Whether what is `sending` arrived nobody knows until it is `sent`: it is sent again, and never stopped."""

_UNDER_WAY = sa.select(orders.c.id, orders.c.rate).where(
    orders.c.id.in_(sa.select(replays.c.ordered).where(replays.c.state.in_(TO_SEND)))
)
_NEXT = (
    sa.select(replays.c.id.label("replay_id"), orders.c.what, letters)
    .join(letters, letters.c.id == replays.c.letter)
    .join(orders, orders.c.id == replays.c.ordered)
    .where(replays.c.ordered == sa.bindparam("order"), replays.c.state.in_(TO_SEND))
    .order_by(replays.c.letter)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_SENDING = (
    sa.update(replays)
    .where(replays.c.id == sa.bindparam("replay"), replays.c.state == "queued")
    .values(state="sending")
)
_SENT = (
    sa.update(replays)
    .where(replays.c.id == sa.bindparam("replay"), replays.c.state == "sending")
    .values(state="sent", sent_at=sa.bindparam("now"))
)
_NOW = sa.bindparam("now", type_=sa.DateTime(timezone=True))
_SILENT = letters.c.service.in_(sa.bindparam("silent", expanding=True))
_LONGEST_AGO = replays.c.looked_at.asc().nulls_first()
_DUE = (
    sa.select(replays.c.id, letters.c.service, letters.c.queue, letters.c.message_id)
    .join(letters, letters.c.id == replays.c.letter)
    .where(
        replays.c.state == "sent",
        sa.or_(
            replays.c.looked_at.is_(None),
            replays.c.looked_at < _NOW - sa.func.least((_NOW - replays.c.sent_at) / 4, LONGEST_WAIT),
        ),
    )
)
_TO_LOOK_AT = _DUE.where(~_SILENT).order_by(_LONGEST_AGO).limit(MOST_LOOKS)
_TO_ASK_THE_SILENT = (
    _DUE.where(_SILENT).ext(distinct_on(letters.c.service)).order_by(letters.c.service, _LONGEST_AGO)
)
_LOOKED = (
    sa.update(replays)
    .where(replays.c.id == sa.bindparam("replay"), replays.c.state == "sent")
    .values(looked_at=sa.bindparam("now"), note=sa.bindparam("why"))
)
_ORDER = sa.select(orders).where(orders.c.id == sa.bindparam("order"))
_COUNTS = (
    sa.select(
        replays.c.state, sa.func.count().label("replays"), sa.func.min(replays.c.sent_at).label("since")
    )
    .where(replays.c.ordered == sa.bindparam("order"))
    .group_by(replays.c.state)
)


class OrderNotFound(NotFound):
    """There is no order of replays with that id."""


@dataclass(frozen=True)
class Progress:
    """How far an order has come."""

    order: sa.Row[Any]
    counts: dict[str, int]
    waiting_since: datetime | None
    """When the first was sent of those whose owner has not said what became of it."""


class ReplayStore:
    """The replays, within one transaction."""

    def __init__(self, transaction: SqlTransaction):
        self.transaction = transaction
        self.letters = LetterStore(transaction)

    async def under_way(self) -> dict[UUID, float]:
        """The rates of the orders that have something left to send."""
        return {row.id: row.rate for row in (await self.transaction.read(_UNDER_WAY)).all()}

    async def next_of(self, order: UUID, most: int) -> list[sa.Row[Any]]:
        """The letters to send next, each with its `replay_id` and `what` the order says of it.

        From here on they are being sent.
        """
        letters = list((await self.transaction.read(_NEXT, {"order": order, "most": most})).all())
        for letter in letters:
            self.transaction.write(_SENDING, {"replay": letter.replay_id})
        return letters

    def sent(self, replay: UUID, now: datetime) -> None:
        """It arrived. One that has died meanwhile has ended."""
        self.transaction.write(_SENT, {"replay": replay, "now": now})

    async def ended(self, replay: UUID, ending: str, note: str, now: datetime) -> None:
        """done and refused end the letter too; what failed lies open again."""
        if letter := await self.letters.end_replay(replay, ending, note, now):
            state: Any = ending if ending in ("done", "refused") else "open"
            self.letters.set_state(letter, state, "desk_service", now)

    async def to_look_at(self, now: datetime, silent: set[str]) -> list[sa.Row[Any]]:
        """What was sent and not heard of: the longer ago, the more seldom. None of these owners'."""
        return list((await self.transaction.read(_TO_LOOK_AT, {"now": now, "silent": [*silent]})).all())

    async def to_ask_the_silent(self, now: datetime, silent: set[str]) -> list[sa.Row[Any]]:
        """Of the same, one letter of each of these owners."""
        return list(
            (await self.transaction.read(_TO_ASK_THE_SILENT, {"now": now, "silent": [*silent]})).all()
        )

    def looked(self, replay: UUID, note: str, now: datetime) -> None:
        self.transaction.write(_LOOKED, {"replay": replay, "why": note, "now": now})

    async def progress(self, order: UUID) -> Progress:
        """Refuses with `OrderNotFound`."""
        row = (await self.transaction.read(_ORDER, {"order": order})).one_or_none()
        if row is None:
            raise OrderNotFound(f"There is no order {order}.")
        counts = (await self.transaction.read(_COUNTS, {"order": order})).all()
        waiting = [one.since for one in counts if one.state == "sent"]
        return Progress(row, {one.state: one.replays for one in counts}, *(waiting or [None]))

    async def stop(self, order: UUID, ended: tuple[str, ...], who: str, now: datetime) -> None:
        """What is in these states (not begun to be sent, or sent and not heard of) lies open again."""
        stopped = (
            sa.update(replays)
            .where(replays.c.ordered == order, replays.c.state.in_(ended))
            .values(state="stopped", ended_at=now, note=f"Stopped by {who}.")
            .returning(replays.c.letter)
            .cte("stopped")
        )
        await self.transaction.read(
            sa.update(letters)
            .where(letters.c.id == stopped.c.letter)
            .values(state="open", changed_at=now, changed_by=who)
        )
        self.letters.record(who, "stopped", {"those": list(ended)}, now, ordered=order)

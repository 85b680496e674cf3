"""Letters on the desk: what the dead letters become, and what people decide about them.

Whoever changes anything here holds the service's one lock, so that no two decide about one letter at once.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from desk_service.domain.choice import Choice, State
from desk_service.domain.deaths import Death
from desk_service.store.choosing import chosen_by, is_too_old
from desk_service.store.tables import actions, deaths, letters, orders, replays
from shared.handling import Work
from shared.journal_sql import SqlTransaction, sql
from shared.messages import NotFound, new_id

_FIND = sa.select(letters.c.id, letters.c.state, letters.c.replay).where(
    letters.c.queue == sa.bindparam("queue"),
    letters.c.message_id == sa.bindparam("message_id"),
    letters.c.fingerprint == sa.bindparam("fingerprint"),
)
_GET = sa.select(letters).where(letters.c.id == sa.bindparam("letter"))
_DIED = (
    sa.update(letters)
    .where(letters.c.id == sa.bindparam("letter"))
    .values(
        deaths=letters.c.deaths + 1,
        **{name: sa.bindparam(f"b_{name}") for name in ("reason", "cause", "cause_group", "attempts")},
        **{name: sa.bindparam(f"b_{name}") for name in ("died_at", "state", "changed_at", "changed_by")},
    )
)
_END_REPLAY = (
    sa.update(replays)
    .where(replays.c.id == sa.bindparam("replay"), replays.c.state.in_(("queued", "sending", "sent")))
    .values(state=sa.bindparam("ending"), ended_at=sa.bindparam("now"), note=sa.bindparam("why"))
    .returning(replays.c.letter)
)
_DIED_AGAIN = (
    sa.update(replays)
    .where(replays.c.id == sa.bindparam("replay"), replays.c.letter == sa.bindparam("of_letter"))
    .values(state="failed", ended_at=sa.bindparam("now"), note=sa.bindparam("why"))
)
_SET_STATE = (
    sa.update(letters)
    .where(letters.c.id == sa.bindparam("letter"))
    .values(
        state=sa.bindparam("b_state"),
        replay=sa.func.coalesce(sa.bindparam("b_replay", type_=sa.Uuid), letters.c.replay),
        changed_at=sa.bindparam("b_at"),
        changed_by=sa.bindparam("b_by"),
    )
)


class LetterNotFound(NotFound):
    """There is no letter with that id."""


class LetterStore:
    """The letters, within one transaction."""

    def __init__(self, transaction: SqlTransaction):
        self.transaction = transaction

    @classmethod
    def of(cls, work: Work) -> "LetterStore":
        """In the transaction of a message's work."""
        return cls(sql(work))

    async def get(self, letter: UUID) -> sa.Row[Any]:
        """Refuses with `LetterNotFound`."""
        row = (await self.transaction.read(_GET, {"letter": letter})).one_or_none()
        if row is None:
            raise LetterNotFound(f"There is no letter {letter}.")
        return row

    async def keep(self, death: Death, now: datetime) -> UUID:
        """Note a death, of a letter that is known or of a new one; the letter's id.

        A letter whose replay is on its way waits for that one's end, whatever else is heard of it. A death
        that carries a replay's id is its end, also where the owner had said another: of two messages with one
        id it is asked by that id alone.
        """
        identity = {name: getattr(death, name) for name in ("queue", "message_id", "fingerprint")}
        known = (await self.transaction.read(_FIND, identity)).one_or_none()
        letter = known.id if known else new_id()
        if known is None:
            self._add(letter, death, now)
        else:
            replay = _replay_in(death)
            ended = replay is not None and replay == known.replay
            if replay:
                end = {"replay": replay, "of_letter": letter, "now": now, "why": death.reason}
                self.transaction.write(_DIED_AGAIN, end)
            kept = (known.state == "pending" and not ended) or known.state == "edited"
            self._note(letter, death, known.state if kept else "open", now)
        row = {name: getattr(death, name) for name in ("died_at", "by", "reason", "attempts", "errors")}
        rest = {"id": new_id(), "letter": letter, "traceback": death.traceback, "replay": death.replay}
        self.transaction.write(deaths, row | rest)
        return letter

    def _add(self, letter: UUID, death: Death, now: datetime) -> None:
        columns = {name: value for name, value in vars(death).items() if name in letters.c}
        self.transaction.write(
            letters,
            columns
            | {"id": letter, "deaths": 1, "first_died_at": death.died_at, "state": "open", "replay": None}
            | {"edited_from": None, "changed_at": now, "changed_by": "desk_service"},
        )

    def _note(self, letter: UUID, death: Death, state: State, now: datetime) -> None:
        told = ("reason", "cause", "cause_group", "attempts", "died_at")
        row = {f"b_{name}": getattr(death, name) for name in told}
        row |= {"b_state": state, "b_changed_at": now, "b_changed_by": "desk_service"}
        self.transaction.write(_DIED, row | {"letter": letter})

    async def end_replay(self, replay: UUID, ending: str, note: str, now: datetime) -> UUID | None:
        """How a replay ended; its letter, or None where it had ended before."""
        row = {"replay": replay, "ending": ending, "why": note, "now": now}
        return (await self.transaction.read(_END_REPLAY, row)).scalar_one_or_none()

    def set_state(
        self, letter: UUID, state: State, who: str, now: datetime, replay: UUID | None = None
    ) -> None:
        """`replay`: the one that is on its way from here on."""
        row = {"letter": letter, "b_state": state, "b_replay": replay, "b_at": now, "b_by": who}
        self.transaction.write(_SET_STATE, row)

    async def order(
        self,
        choice: Choice,
        letter: UUID | None,
        rate: float,
        who: str,
        now: datetime,
        forgotten: datetime | None,
    ) -> UUID:
        """Have the open letters that are meant sent again; the order's id.

        What is too old goes with them where `forgotten` is None; else it is left, and counted.
        """
        meant = chosen_by(choice, letter, "open")
        what = _said(choice, letter)
        if forgotten:
            left = sa.select(sa.func.count()).select_from(meant.where(is_too_old(forgotten)).subquery())
            what["left_too_old"] = (await self.transaction.read(left)).scalar_one()
            meant = meant.where(~is_too_old(forgotten))
        elif letter is None:
            what["too_old"] = True
        order = self._add_order(what, letter, rate, who, now)
        chosen = meant.subquery()
        made = (
            sa.insert(replays)
            .from_select(
                ["id", "ordered", "letter", "state", "note"],
                sa.select(
                    sa.func.gen_random_uuid(),
                    sa.literal(order),
                    chosen.c.id,
                    sa.literal("queued"),
                    sa.literal(""),
                ),
            )
            .returning(replays.c.id, replays.c.letter)
            .cte("made")
        )
        await self.transaction.read(
            sa.update(letters)
            .where(letters.c.id == made.c.letter)
            .values(state="pending", replay=made.c.id, changed_at=now, changed_by=who)
        )
        return order

    def _add_order(
        self, what: dict[str, Any], letter: UUID | None, rate: float, who: str, now: datetime
    ) -> UUID:
        order = new_id()
        what |= {"letter": str(letter)} if letter else {}
        self.transaction.write(
            orders, {"id": order, "who": who, "ordered_at": now, "what": what, "rate": rate}
        )
        self.record(who, "replayed", what | {"rate": rate}, now, letter=letter, ordered=order)
        return order

    async def discard(self, choice: Choice, letter: UUID | None, reason: str, who: str, now: datetime) -> int:
        """Take the open letters that are meant off the desk; how many."""
        meant = chosen_by(choice, letter, "open").subquery()
        rows = await self.transaction.read(
            sa.update(letters)
            .where(letters.c.id == meant.c.id)
            .values(state="discarded", changed_at=now, changed_by=who)
            .returning(letters.c.id)
        )
        discarded = rows.scalars().all()
        details = _said(choice, letter) | {"reason": reason}
        for one in discarded:
            self.record(who, "discarded", details, now, letter=one)
        return len(discarded)

    def replace(
        self,
        original: sa.Row[Any],
        changed: dict[str, Any],
        consequences: dict[str, Any],
        rate: float,
        who: str,
        now: datetime,
    ) -> UUID:
        """Keep the original as edited, and have what was made of it sent; the new letter's id."""
        letter, replay = new_id(), new_id()
        row = {
            **original._mapping,
            **changed,
            **consequences,
            "id": letter,
            "message_id": str(letter),
            "deaths": 0,
        }
        row |= {"state": "pending", "replay": replay, "edited_from": original.id}
        row |= {"sent_at": now, "changed_at": now, "changed_by": who}
        self.transaction.write(letters, row)
        self.set_state(original.id, "edited", who, now)
        order = self._add_order({"edited": str(original.id)}, letter, rate, who, now)
        self.transaction.write(
            replays, {"id": replay, "ordered": order, "letter": letter, "state": "queued", "note": ""}
        )
        self.record(
            who, "edited", {"changed": sorted(changed), "became": str(letter)}, now, letter=original.id
        )
        return letter

    def record(
        self,
        who: str,
        what: str,
        details: dict[str, Any],
        now: datetime,
        *,
        letter: UUID | None = None,
        ordered: UUID | None = None,
    ) -> None:
        row = {"id": new_id(), "at": now, "who": who, "what": what, "details": details}
        self.transaction.write(actions, row | {"letter": letter, "ordered": ordered})


def _said(choice: Choice, letter: UUID | None) -> dict[str, Any]:
    """For the record: by what letters were chosen, where that was not the id of one."""
    return choice.model_dump(mode="json", exclude_none=True) or ({} if letter else {"all": True})


def _replay_in(death: Death) -> UUID | None:
    """Which replay it says that it ends, if that can be one."""
    try:
        return UUID(death.replay or "")
    except ValueError:
        return None

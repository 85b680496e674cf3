"""What people see of the desk: groups, letters, one whole, and what was done to them.

Lists go by keyset: a cursor holds the last item's place.
"""

from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa

from desk_service.domain.choice import ListGroups, ListLetters, Paged
from desk_service.store.choosing import conditions
from desk_service.store.tables import actions, deaths, letters, orders, replays
from shared.journal_sql import SqlTransaction
from shared.messages import Answer, BadCursor, Query
from shared.paging import cursor_at, place_in

_SHOWN = [column for column in letters.c if column.name not in ("body", "headers", "fingerprint")]
_DEATHS = (
    sa.select(deaths).where(deaths.c.letter == sa.bindparam("letter")).order_by(deaths.c.died_at, deaths.c.id)
)
_REPLAYS = (
    sa.select(replays, orders.c.who, orders.c.ordered_at)
    .join(orders, orders.c.id == replays.c.ordered)
    .where(replays.c.letter == sa.bindparam("letter"))
    .order_by(orders.c.ordered_at)
)
_ACTIONS_ON = (
    sa.select(actions).where(actions.c.letter == sa.bindparam("letter")).order_by(actions.c.at, actions.c.id)
)
_EDITED_TO = sa.select(letters.c.id).where(letters.c.edited_from == sa.bindparam("letter"))
_BESIDE = (
    sa.select(letters.c.id)
    .where(letters.c.conversation == sa.bindparam("conversation"), letters.c.id != sa.bindparam("letter"))
    .order_by(letters.c.id)
    .limit(100)
)
_BROKEN = "This cursor is not of this list: begin again without one."
Rows = list[dict[str, Any]]


class _List(Query[Answer]):
    """What a cursor belongs to."""

    queue: ClassVar[str] = "desk"

    of: str
    choice: dict[str, Any]


class ReadingStore:
    """The desk as people read it, within one transaction."""

    def __init__(self, transaction: SqlTransaction):
        self.transaction = transaction

    async def letters(self, query: ListLetters) -> tuple[Rows, str | None]:
        """A page and the cursor of the next. Refuses with `BadCursor`."""
        listing = sa.select(*_SHOWN).where(*conditions(query, query.state)).order_by(letters.c.id.desc())
        if query.cursor:
            listing = listing.where(
                letters.c.id < _uuid(*_place(query.cursor, _listing("letters", query), 1))
            )
        rows = await self._rows(listing.limit(query.limit + 1))
        return _page(rows, query, "letters", lambda row: [str(row["id"])])

    async def groups(self, query: ListGroups) -> tuple[Rows, str | None]:
        """Letters counted by queue and cause. Refuses with `BadCursor`."""
        counted = (
            sa.select(
                letters.c.cause_group,
                *(letters.c[name] for name in ("service", "message", "queue", "cause")),
                sa.func.count().label("letters"),
                sa.func.min(letters.c.first_died_at).label("first_died_at"),
                sa.func.max(letters.c.died_at).label("last_died_at"),
            )
            .where(*conditions(query, query.state))
            .group_by(*(letters.c[name] for name in ("cause_group", "service", "message", "queue", "cause")))
            .subquery()
        )
        place = sa.tuple_(counted.c.letters, counted.c.cause_group)
        listing = sa.select(counted).order_by(counted.c.letters.desc(), counted.c.cause_group.desc())
        if query.cursor:
            count, group = _place(query.cursor, _listing("groups", query), 2)
            listing = listing.where(place < sa.tuple_(sa.literal(count), sa.literal(group)))
        rows = await self._rows(listing.limit(query.limit + 1))
        return _page(rows, query, "groups", lambda row: [row["letters"], row["cause_group"]])

    async def actions(self, query: Paged) -> tuple[Rows, str | None]:
        """What people did, the latest first. Refuses with `BadCursor`."""
        listing = sa.select(actions).order_by(actions.c.id.desc())
        if query.cursor:
            listing = listing.where(
                actions.c.id < _uuid(*_place(query.cursor, _listing("actions", query), 1))
            )
        rows = await self._rows(listing.limit(query.limit + 1))
        return _page(rows, query, "actions", lambda row: [str(row["id"])])

    async def history(self, letter: UUID, conversation: str | None) -> dict[str, Rows]:
        """All that belongs to one letter, the oldest first."""
        this = {"letter": letter}
        beside = {**this, "conversation": conversation}
        return {
            "deaths": await self._rows(_DEATHS, this),
            "replays": await self._rows(_REPLAYS, this),
            "actions": await self._rows(_ACTIONS_ON, this),
            "edited_to": await self._rows(_EDITED_TO, this),
            "same_conversation": await self._rows(_BESIDE, beside) if conversation else [],
        }

    async def _rows(self, statement: sa.Executable, parameters: dict[str, Any] | None = None) -> Rows:
        return [dict(row._mapping) for row in (await self.transaction.read(statement, parameters)).all()]


def _listing(of: str, query: Paged) -> _List:
    return _List(of=of, choice=query.model_dump(mode="json", exclude={"cursor", "limit"}))


def _page(rows: Rows, query: Paged, of: str, place: Any) -> tuple[Rows, str | None]:
    shown = rows[: query.limit]
    more = len(rows) > query.limit
    return shown, cursor_at(place(shown[-1]), _listing(of, query)) if more else None


def _place(cursor: str, listing: _List, parts: int) -> list[Any]:
    place = place_in(cursor, listing)
    if not isinstance(place, list) or len(place) != parts:
        raise BadCursor(_BROKEN)
    return place


def _uuid(value: str) -> UUID:
    return UUID(value)

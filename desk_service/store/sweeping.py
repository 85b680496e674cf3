"""Letters that are at their end are removed some months later, with all that belongs to them.

What was edited stays as long as what came of it.
"""

from datetime import datetime

import sqlalchemy as sa

from desk_service.store.tables import actions, deaths, letters, orders, replays
from shared.journal_sql import SqlTransaction

AT_ONCE = 1000
AT_THEIR_END = ("done", "refused", "discarded", "edited")
_BEFORE = sa.bindparam("before", type_=sa.DateTime(timezone=True))
_EDITED = letters.alias("edited")
_GONE = (
    sa.delete(letters)
    .where(
        letters.c.id.in_(
            sa.select(letters.c.id)
            .where(letters.c.state.in_(AT_THEIR_END), letters.c.changed_at < _BEFORE)
            .where(~sa.exists().where(_EDITED.c.edited_from == letters.c.id))
            .limit(AT_ONCE)
        )
    )
    .returning(letters.c.id)
    .cte("gone")
)
_IDS = sa.select(_GONE.c.id)
_REMOVE = sa.select(sa.func.count()).select_from(_GONE)
for _table in (deaths, replays, actions):
    _of = sa.delete(_table).where(_table.c.letter.in_(_IDS)).returning(_table.c.id)
    _REMOVE = _REMOVE.add_cte(_of.cte(f"of_{_table.name}"))
_LEFT = sa.exists().where(replays.c.ordered == orders.c.id)
_EMPTY = sa.delete(orders).where(orders.c.ordered_at < _BEFORE, ~_LEFT).returning(orders.c.id).cte("empty")
_REMOVE_ORDERS = (
    sa.delete(actions).where(actions.c.ordered.in_(sa.select(_EMPTY.c.id))).returning(actions.c.id)
)


async def sweep(transaction: SqlTransaction, before: datetime) -> bool:
    """Remove up to a thousand that came to their end before; whether there may be more."""
    removed: int = (await transaction.read(_REMOVE, {"before": before})).scalar_one()
    await transaction.read(_REMOVE_ORDERS, {"before": before})
    return removed == AT_ONCE

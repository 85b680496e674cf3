"""Pages of lists, by keyset, never by offset: they stay right while rows come; none is ever removed.

An item's position is its place in the order of its list, in JSON values. Positions never change, but for
distances, which roads make shorter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Annotated, Any, TypeVar, cast

from pydantic import Field, TypeAdapter

from shared.contracts.waste.pages import PageQuery, PageType
from shared.journal_sql import Prepared, SqlTransaction
from shared.messages import Answer, BadCursor
from shared.paging import cursor_at, place_in
from waste_service.domain.placement import InView

LAST_NUMBER = 2**63 - 1
RowNumber = Annotated[int, Field(strict=True, ge=0, le=LAST_NUMBER)]
IN_VIEW = TypeAdapter(InView)
Position = TypeVar("Position", bound=tuple[Any, ...])


@dataclass(frozen=True)
class Listing:
    """How a list is read: rows in order, each with the `position` of its item, from `:last` on.

    An item may have several rows, one after the other; `:limit` counts items.
    """

    statement: Prepared
    positions: TypeAdapter[tuple[Any]]
    start: Any
    item: Callable[[Sequence[dict[str, Any]]], Answer]

    async def page(
        self, transaction: SqlTransaction, query: PageQuery[PageType], **parameters: Any
    ) -> PageType:
        """Refuses with `BadCursor`."""
        [last] = last_position(query, self.positions, (self.start,))
        paging = {"last": last, "limit": query.limit + 1}
        rows = await transaction.rows(self.statement, parameters | paging)
        each = groupby(rows, key=itemgetter("position"))
        return page_of(query, [((position,), self.item(list(those))) for position, those in each])


def last_position(query: PageQuery[Any], positions: TypeAdapter[Position], start: Position) -> Position:
    """Where the page before ended, the start if there was none. Refuses with `BadCursor`."""
    if query.cursor is None:
        return start
    try:
        return positions.validate_python(place_in(query.cursor, query))
    except ValueError:
        raise BadCursor("This cursor is not of this list: begin again without one.") from None


def page_of(query: PageQuery[PageType], found: Sequence[tuple[tuple[Any, ...], Answer]]) -> PageType:
    """What follows the page before, by position: one more than the page holds if there is another page."""
    shown = found[: query.limit]
    more = len(found) > query.limit
    return cast(type[PageType], query.answer)(
        items=[item for _, item in shown],
        next_cursor=cursor_at(list(shown[-1][0]), query) if more else None,
    )

"""Tasks in SQL, PostgreSQL's or SQLite's: the only file of task_service that knows the database.

Lists go by keyset, never by offset. Their filters and orders are the expressions of the indexes in
migrations/, letter for letter; a test asks the planner.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from shared.contracts.tasks import ListTasks, Priority, Task, TaskNotFound, Tasks
from shared.handling import Work
from shared.journal_sql import TIME, Prepared, spelt, sql
from shared.messages import BadCursor
from shared.paging import cursor_at, place_in

PRIORITIES: tuple[str, ...] = get_args(Priority)


class Ranked(sa.TypeDecorator[str]):
    """A priority as its rank from 0, so that the database can sort by it."""

    impl = sa.SmallInteger
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else PRIORITIES.index(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else PRIORITIES[value]


tasks = sa.Table(
    "tasks",
    sa.MetaData(),
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("title", sa.Text),
    sa.Column("description", sa.Text),
    sa.Column("status", sa.Text),
    sa.Column("priority", Ranked),
    sa.Column("due_at", TIME),
    sa.Column("tags", ARRAY(sa.Text).with_variant(sa.JSON(), "sqlite")),
    sa.Column("version", sa.Integer),
    sa.Column("created_at", TIME),
    sa.Column("changed_at", TIME),
    sa.Column("completed_at", TIME),
)
# Rows that a process of revision 0001 adds have no time of change.
_CHANGED = sa.func.coalesce(tasks.c.changed_at, tasks.c.created_at).label("changed_at")
_TASK = sa.select(*(column for column in tasks.c if column is not tasks.c.changed_at), _CHANGED)
_NEVER: sa.ColumnElement[datetime] = spelt(
    sa.literal_column("'infinity'::timestamptz", TIME), sqlite=sa.literal_column("'9999-12-31'")
)
_DUE = sa.func.coalesce(tasks.c.due_at, _NEVER)
_WORDS: sa.ColumnElement[Any] = sa.literal_column(
    "to_tsvector('russian', tasks.title || ' ' || tasks.description)"
)
_TEXT = sa.func.lower(tasks.c.title + " " + tasks.c.description)
# PostgreSQL's configuration `russian` stems words of Latin letters as English.
_RUSSIAN: sa.ColumnElement[Any] = sa.literal_column("'russian'")
_ORDERS: dict[str, sa.ColumnElement[Any]] = {
    "created": tasks.c.created_at,
    "due": _DUE,
    "priority": tasks.c.priority,
}

_THIS = tasks.c.id == sa.bindparam("task")
_GET = Prepared(_TASK.where(_THIS))
_SAVE = sa.update(tasks).where(_THIS)
_REMOVE = sa.delete(tasks).where(_THIS)


class TaskStore:
    """The tasks, in the transaction of a message's work."""

    def __init__(self, work: Work):
        self.transaction = sql(work)

    def add(self, task: Task) -> None:
        self.transaction.write(tasks, vars(task))

    def save(self, task: Task) -> None:
        self.transaction.write(_SAVE, task.model_dump(exclude={"id", "created_at"}) | {"task": task.id})

    def remove(self, task: UUID) -> None:
        self.transaction.write(_REMOVE, {"task": task})

    async def get(self, task: UUID) -> Task:
        """Refuses with `TaskNotFound`."""
        for row in await self.transaction.rows(_GET, {"task": task}):
            return Task.model_validate(row)
        raise TaskNotFound(f"There is no task {task}.")

    async def list(self, query: ListTasks) -> Tasks:
        """A page. Refuses with `BadCursor`."""
        rows = (await self.transaction.read(page(query))).all()
        items = [Task.model_validate(row._mapping) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return Tasks(
            items=items,
            next_cursor=cursor_at(_place(items[-1], query), query) if more else None,
            total=(await self.transaction.read(total(query))).scalar_one() if query.count else None,
        )


def page(query: ListTasks) -> sa.Select[Any]:
    """One task more than the page holds, to know whether there is another page."""
    order = _ORDERS[query.sort.removeprefix("-")]
    falling = query.sort.startswith("-")
    directed = (order.desc(), tasks.c.id.desc()) if falling else (order, tasks.c.id)
    listing = _TASK.where(*_filters(query)).order_by(*directed).limit(query.limit + 1)
    if query.cursor is None:
        return listing
    here = sa.tuple_(order, tasks.c.id)
    last = sa.tuple_(*_last(query.cursor, query))
    return listing.where(here < last if falling else here > last)


def total(query: ListTasks) -> sa.Select[Any]:
    return sa.select(sa.func.count()).select_from(tasks).where(*_filters(query))


def _filters(query: ListTasks) -> Iterator[sa.ColumnElement[bool]]:
    if query.status:
        yield tasks.c.status.in_(query.status)
    if query.priority:
        yield tasks.c.priority.in_(query.priority)
    if query.tags:
        yield _tagged(query.tags)
    if query.due_before:
        yield query.due_before > _DUE
    if query.due_after:
        yield sa.and_(query.due_after <= _DUE, _DUE < _NEVER)
    if query.words:
        found = _WORDS.op("@@", is_comparison=True)(sa.func.websearch_to_tsquery(_RUSSIAN, query.words))
        yield spelt(found, sqlite=_holds(query.words))


def _tagged(tags: tuple[str, ...]) -> sa.ColumnElement[bool]:
    """With all of the tags."""
    each = sa.func.json_each(tasks.c.tags).table_valued("value")
    has = (sa.literal(tag).in_(sa.select(each.c.value)) for tag in tags)
    return spelt(tasks.c.tags.contains(list(tags)), sqlite=sa.and_(*has))


def _holds(words: str) -> sa.ColumnElement[bool]:
    """SQLite's search: each word is a piece of the text, in upper or lower case; no other form is known."""
    ways: list[list[sa.ColumnElement[bool]]] = [[]]
    for without, phrase, word in re.findall(r'(-?)(?:"([^"]*)"|(\S+))', words):
        if word.lower() == "or":
            ways.append([])
        elif phrase or word:
            at = sa.func.instr(_TEXT, (phrase or word).lower())
            ways[-1].append(at == 0 if without else at > 0)
    return sa.or_(sa.false(), *(sa.and_(*way) for way in ways if way))


def _place(task: Task, query: ListTasks) -> list[Any]:
    """Where a task stands in the query's order, in JSON values."""
    value = {"created": task.created_at, "due": task.due_at, "priority": task.priority}
    return [value[query.sort.removeprefix("-")], str(task.id)]


def _last(cursor: str, query: ListTasks) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[UUID]]:
    """The place that the cursor holds, as the database compares it."""
    try:
        value, task = place_in(cursor, query)
        if query.sort.endswith("priority"):
            last: sa.ColumnElement[Any] = sa.literal(PRIORITIES.index(value), sa.SmallInteger)
        elif value is None:
            last = _NEVER
        else:
            last = sa.literal(datetime.fromisoformat(value), TIME)
        return last, sa.literal(UUID(task), sa.Uuid)
    except (ValueError, TypeError, AttributeError):
        raise BadCursor("This cursor is not of this list: begin again without one.") from None

"""Which letters a choice means, in SQL."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from desk_service.domain.choice import Choice, State
from desk_service.store.tables import letters

_NAMED = {
    "group": letters.c.cause_group,
    "service": letters.c.service,
    "queue": letters.c.queue,
    "message": letters.c.message,
    "actor": letters.c.actor,
    "conversation": letters.c.conversation,
    "message_id": letters.c.message_id,
}


def conditions(choice: Choice, state: State | None) -> Iterator[sa.ColumnElement[bool]]:
    if state:
        yield letters.c.state == state
    for name, column in _NAMED.items():
        if (value := getattr(choice, name)) is not None:
            yield column == value
    if choice.since:
        yield letters.c.died_at >= choice.since
    if choice.until:
        yield letters.c.died_at < choice.until


def chosen_by(choice: Choice, letter: UUID | None, state: State) -> sa.Select[Any]:
    """The ids of the letters that are meant: the one, or all that fit."""
    if letter:
        return sa.select(letters.c.id).where(letters.c.id == letter, letters.c.state == state)
    return sa.select(letters.c.id).where(*conditions(choice, state))


def is_too_old(forgotten: datetime) -> sa.ColumnElement[bool]:
    """What was done before `forgotten` no inbox knows any more: nobody can tell whether these were done."""
    return sa.func.coalesce(letters.c.sent_at, letters.c.first_died_at) < forgotten

"""What the toy does."""

import os
import signal

import sqlalchemy as sa

from shared.handling import Work, handles
from shared.journal_sql import sql
from tests.toy_service.contracts import CountMarks, Mark, Marked, Marks, Told

ADD_MARK = sa.text("INSERT INTO marks (text, message_id, actor) VALUES (:text, :message_id, :actor)")
ADD_HEARD = sa.text("INSERT INTO heard (text) VALUES (:text)")
COUNT = sa.text(
    "SELECT (SELECT count(*) FROM marks WHERE text = :text) AS marks,"
    " (SELECT count(*) FROM heard WHERE text = :text) AS heard"
)
runs: dict[str, int] = {}


@handles(Mark)
async def mark(command: Mark, work: Work) -> Marks:
    """Write a row, then behave."""
    runs[work.id] = runs.get(work.id, 0) + 1
    if command.first == "refuse":
        raise Told("Told to refuse before writing.")

    row = {"text": command.text, "message_id": work.id, "actor": work.actor}
    sql(work).write(ADD_MARK, row)
    work.say(Marked(text=command.text))
    behave(command, work)

    return Marks(marks=1, heard=0)


def behave(command: Mark, work: Work) -> None:
    if command.then == "refuse":
        raise Told("Told to refuse after writing.")
    if command.then == "break" or (command.then == "break_twice" and runs[work.id] < 3):
        raise RuntimeError("Told to break.")
    if command.then == "os_error":
        raise OSError("Told to break with what looks like a lost connection.")
    if command.then == "write_nothing":
        sql(work).write(ADD_HEARD, {"text": None})
    if command.then == "die":
        os.kill(os.getpid(), signal.SIGKILL)


@handles(Marked)
async def on_marked(event: Marked, work: Work) -> None:
    """Note that the event was heard."""
    sql(work).write(ADD_HEARD, {"text": event.text})


@handles(CountMarks)
async def count_marks(query: CountMarks, work: Work) -> Marks:
    """How many rows a text has."""
    if query.then == "break":
        raise RuntimeError("Told to break.")
    row = (await sql(work).read(COUNT, {"text": query.text})).one()
    return Marks(marks=row.marks, heard=row.heard)

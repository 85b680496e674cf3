"""What the toy does."""

import asyncio
import os
import signal
import time
from collections.abc import Sequence

import sqlalchemy as sa

from shared.handling import Work, handles
from shared.journal import StoreAway
from shared.journal_sql import sql
from shared.messages import MOST_BYTES
from tests.toy_service.contracts import AddOne, CountMarks, Mark, Marked, Marks, Told, WorkOut

MARKS = sa.table("marks", *(sa.column(name, sa.Text) for name in ("text", "message_id", "actor")))
ADD_HEARD = sa.text("INSERT INTO heard (text) VALUES (:text)")
COUNT = sa.text(
    "SELECT (SELECT count(*) FROM marks WHERE text = :text) AS marks,"
    " (SELECT count(*) FROM heard WHERE text = :text) AS heard"
)
ADD_TWIN = sa.text("INSERT INTO unique_at_commit (text) VALUES (:text), (:text)")
LOCK_ROW = sa.text("UPDATE rows SET locked = locked + 1 WHERE name = :name RETURNING locked")
READ_NUMBER = sa.text("SELECT number FROM numbers")
WRITE_NUMBER = sa.text("UPDATE numbers SET number = :number")
runs: dict[str, int] = {}


async def read_ahead(commands: Sequence[Mark], work: Work) -> None:
    assert read_ahead not in sql(work).memory, "once a batch"
    sql(work).memory[read_ahead] = {command.text for command in commands}


@handles(Mark, ahead=read_ahead)
async def mark(command: Mark, work: Work) -> Marks:
    """Write a row, then behave."""
    runs[work.id] = runs.get(work.id, 0) + 1
    if command.first == "refuse":
        raise Told("Told to refuse before writing.")

    assert command.text in sql(work).memory[read_ahead], "it was not read ahead"
    row = {"text": command.text, "message_id": work.id, "actor": work.actor}
    sql(work).write(MARKS, row)
    work.say(Marked(text=command.text))
    behave(command, work)
    if command.then in {"lock_ab", "lock_ba"}:
        for name in command.then[-2:]:
            await sql(work).read(LOCK_ROW, {"name": name})
            await asyncio.sleep(0.02)

    return Marks(marks=1, heard=0)


def behave(command: Mark, work: Work) -> None:
    if command.then == "refuse":
        raise Told("Told to refuse after writing.")
    if command.then == "break" or (command.then == "break_twice" and runs[work.id] < 3):
        raise RuntimeError("Told to break.")
    if command.then == "break_again" and runs[work.id] > 1:
        raise RuntimeError("It was done before.")
    if command.then == "say_too_much":
        work.say(Marked(text="m" * MOST_BYTES))
    if command.then == "need_mending" and "TOY_MENDED" not in os.environ:
        raise LookupError(f"No ledger {len(command.text)} for '{command.text}'; token=hunter2")
    if command.then == "os_error":
        raise OSError("Told to break with what looks like a lost connection.")
    if command.then == "write_nothing":
        sql(work).write(ADD_HEARD, {"text": None})
    if command.then == "fail_at_commit":
        sql(work).write(ADD_TWIN, {"text": command.text})
    if command.then == "die":
        os.kill(os.getpid(), signal.SIGKILL)


def labour(seconds: float, die: bool) -> str:
    """What runs in a process of its own."""
    time.sleep(seconds)
    if die:
        os.kill(os.getpid(), signal.SIGKILL)
    return "worked out"


async def work_beforehand(command: WorkOut, work: Work) -> str:
    assert work.compute
    if command.then == "seem_away":
        raise StoreAway("told to say so")
    result = await work.compute(labour, command.seconds, command.then == "die")
    if command.then == "die_whole":
        os.kill(os.getpid(), signal.SIGKILL)
    return str(result)


async def give_up_working(command: WorkOut, reason: str, work: Work) -> None:
    row = {"text": f"{command.text} given up: {reason}", "message_id": work.id, "actor": work.actor}
    sql(work).write(MARKS, row)


@handles(WorkOut, prepare=work_beforehand, given_up=give_up_working)
async def work_out(command: WorkOut, work: Work) -> Marks:
    """Write a row about what was worked out."""
    row = {"text": f"{command.text} {work.prepared}", "message_id": work.id, "actor": work.actor}
    sql(work).write(MARKS, row)
    return Marks(marks=1, heard=0)


@handles(AddOne, contended=True)
async def add_one(command: AddOne, work: Work) -> Marks:
    """Read, add, write: wrong wherever two do it at once."""
    number = (await sql(work).read(READ_NUMBER)).scalar_one() + 1
    await asyncio.sleep(0.002)
    sql(work).write(WRITE_NUMBER, {"number": number})
    return Marks(marks=number, heard=0)


@handles(Marked)
async def on_marked(event: Marked, work: Work) -> None:
    """Note that the event was heard."""
    sql(work).write(ADD_HEARD, {"text": event.text})


@handles(CountMarks)
async def count_marks(query: CountMarks, work: Work) -> Marks:
    """How many rows a text has."""
    if query.then == "break":
        raise RuntimeError("Told to break.")
    if query.then == "answer_nothing":
        return None  # type: ignore[return-value]  # the defect
    row = (await sql(work).read(COUNT, {"text": query.text})).one()
    return Marks(marks=row.marks, heard=row.heard)

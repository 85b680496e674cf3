"""What the toy hears and says: one command that does as it is told, its event, and a query."""

from typing import Literal

from shared.messages import Answer, Command, Event, Name, Query, Refusal


class Told(Refusal):
    """It was told to refuse."""

    code = "told"


class Marks(Answer):
    """How often a text was marked, and heard of."""

    marks: int
    heard: int


class Mark(Command[Marks], queue="toy.mark", refusals=(Told,)):
    """Write a row, then behave."""

    text: Name
    then: Literal[
        "end",
        "refuse",
        "break",
        "die",
        "break_twice",
        "break_again",
        "say_too_much",
        "os_error",
        "write_nothing",
        "fail_at_commit",
        "lock_ab",
        "lock_ba",
        "need_mending",
    ] = "end"
    first: Literal["write", "refuse"] = "write"


class Marked(Event, routing_key="toy.marked", heard_by=("toy",)):
    """A row was written."""

    text: str


class WorkOut(Command[Marks], queue="toy.work_out"):
    """Work something out beforehand, then write a row."""

    text: Name
    then: Literal["end", "die", "die_whole", "seem_away"] = "end"
    seconds: float = 0


class AddOne(Command[Marks], queue="toy.add_one"):
    """Read a number that everybody shares, add one, write it back."""


class CountMarks(Query[Marks], queue="toy.count_marks"):
    """How many rows a text has."""

    text: Name
    then: Literal["end", "break", "answer_nothing"] = "end"

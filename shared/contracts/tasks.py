"""Tasks: what task_service hears, answers and says.

A task has one event for each version: the one that tells most. A version that ends a task is said as
TaskCompleted, one that takes it up again as TaskReopened, whichever command brought it.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import (
    MISSING,
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from shared.messages import (
    BadCursor,
    ChangedMeanwhile,
    Command,
    Conditional,
    Event,
    Format,
    Message,
    Name,
    NotFound,
    Page,
    Query,
    Resource,
)


def _unique(tags: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(tags)) != len(tags):
        raise ValueError("a tag stands there twice")
    return tags


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _written(value: object) -> object:
    """A number is refused: pydantic would guess from its size whether it is seconds or milliseconds."""
    if isinstance(value, datetime) or (isinstance(value, str) and TIME_TEXT.fullmatch(value)):
        return value
    raise PydanticCustomError(
        "time_text", "A time is written like 2026-07-01T15:00:00+03:00 (in an address + is %2B) or with Z"
    )


TIME_TEXT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d+)?)?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII)

Description = Annotated[str, StringConstraints(max_length=10_000, pattern=r"^[^\x00]*$")]
"""Any text without NUL, which PostgreSQL's text cannot hold."""

Status = Literal["open", "in_progress", "done"]

Priority = Literal["low", "normal", "high", "urgent"]

Time = Annotated[
    AwareDatetime,
    BeforeValidator(_written),
    Field(ge=datetime(1900, 1, 1, tzinfo=UTC), lt=datetime(9999, 1, 1, tzinfo=UTC)),
    AfterValidator(lambda time: time.astimezone(UTC)),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A time with its zone, from 1900 to 9998; kept and answered in UTC."""

Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=50, pattern=r"^[^\x00-\x1f\x7f]*$"),
    Format("line"),
]
"""A short name."""

Tags = Annotated[
    tuple[Tag, ...], Field(max_length=20, json_schema_extra={"uniqueItems": True}), AfterValidator(_unique)
]

Sort = Literal["created", "-created", "due", "-due", "priority", "-priority"]
"""`-` turns the order round. What has no due time counts as due later than all others."""


TaskId = Annotated[UUID, Field(examples=["0199d6c0-5c1e-7a53-9c1b-8f2f6f0e4b11"])]


class TaskNotFound(NotFound):
    """There is no task with that id."""


class TaskFields(Message):
    """What people say of a task; all but the title can be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Name = Field(examples=["Buy milk"])
    description: Description = Field("", examples=["Two litres, with a lid."])
    status: Status = "open"
    priority: Priority = Field("normal", examples=["high"])
    due_at: Time | None = Field(None, examples=["2030-05-17T18:00:00Z"])
    tags: Tags = Field((), examples=[["home", "shop"]])


class TaskChanges(Message):
    """A JSON Merge Patch (RFC 7396): what is left out stays, null brings back what a new task has."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"priority": "urgent", "due_at": None}]}
    )

    title: Name | MISSING = MISSING
    description: Description | MISSING | None = MISSING
    status: Status | MISSING | None = MISSING
    priority: Priority | MISSING | None = MISSING
    due_at: Time | MISSING | None = MISSING
    tags: Tags | MISSING | None = MISSING


class Task(Resource, path="/tasks/{id}"):
    """Something to be done. Completed: when it became done, null while it is not."""

    id: TaskId
    title: str = Field(examples=["Buy milk"])
    description: str = Field("", examples=["Two litres, with a lid."])
    status: Status = "open"
    priority: Priority = Field("normal", examples=["high"])
    due_at: AwareDatetime | None = Field(None, examples=["2030-05-17T18:00:00Z"])
    tags: tuple[str, ...] = Field((), examples=[["home", "shop"]])
    created_at: AwareDatetime
    changed_at: AwareDatetime = Field(default_factory=lambda known: known["created_at"])
    completed_at: AwareDatetime | None = None


class Tasks(Page):
    """Tasks of a list, with the number of all that pass its filters if that was asked for."""

    items: list[Task]
    total: int | None = None


class CreateTask(TaskFields, Command[Task], queue="tasks.create_task"):
    """Open a task; a title will do."""


class ChangeTask(
    Conditional,
    Command[Task],
    queue="tasks.change_task",
    refusals=(TaskNotFound, ChangedMeanwhile),
):
    """Change some fields of a task. Changes that change nothing are answered without a new version."""

    task: TaskId
    changes: TaskChanges


class ReplaceTask(
    TaskFields,
    Conditional,
    Command[Task],
    queue="tasks.replace_task",
    refusals=(TaskNotFound, ChangedMeanwhile),
):
    """Say all fields of a task anew. The same fields again are answered without a new version."""

    demands_version: ClassVar[bool] = True

    task: TaskId


class CompleteTask(
    Conditional,
    Command[Task],
    queue="tasks.complete_task",
    refusals=(TaskNotFound, ChangedMeanwhile),
):
    """Make a task done. One that is done is answered as it is, without a new version."""

    task: TaskId


class ReopenTask(
    Conditional,
    Command[Task],
    queue="tasks.reopen_task",
    refusals=(TaskNotFound, ChangedMeanwhile),
):
    """Make a task that is done open again. Any other is answered as it is, without a new version."""

    task: TaskId


class RemoveTask(
    Conditional,
    Command[Task],
    queue="tasks.remove_task",
    refusals=(TaskNotFound, ChangedMeanwhile),
    removes=True,
):
    """Remove a task. The answer is the task as it was last, with a version of its own."""

    task: TaskId


class GetTask(Query[Task], queue="tasks.get_task", refusals=(TaskNotFound,)):
    """Look a task up by its id."""

    task: TaskId


class ListTasks(Query[Tasks], queue="tasks.list_tasks", refusals=(BadCursor,)):
    """List the tasks that pass all filters. Without a total, unless `count` asks for one."""

    status: Annotated[tuple[Status, ...], BeforeValidator(_several)] = Field(
        (), description="Any of them.", examples=[["open", "in_progress"]]
    )
    priority: Annotated[tuple[Priority, ...], BeforeValidator(_several)] = Field(
        (), description="Any of them."
    )
    tags: Annotated[Tags, BeforeValidator(_several)] = Field((), description="All of them.")
    due_before: Time | None = None
    due_after: Time | None = Field(None, description="This time is included.")
    words: Name | None = Field(
        None,
        description='In title or description, Russian or English, in any form; "a phrase", or, -without.',
        examples=["milk"],
    )
    sort: Sort = "created"
    limit: int = Field(20, ge=1, le=100)
    cursor: Annotated[str, StringConstraints(max_length=500)] | None = Field(
        None, description="From the page before, with the same filters and order."
    )
    count: bool = False


class TaskCreated(Event, routing_key="tasks.task_created"):
    """A task was opened."""

    task: Task


class TaskChanged(Event, routing_key="tasks.task_changed"):
    """Fields of a task were changed."""

    task: Task


class TaskCompleted(Event, routing_key="tasks.task_completed"):
    """A task became done; other fields may have changed with that."""

    task: Task


class TaskReopened(Event, routing_key="tasks.task_reopened"):
    """A task that was done is so no longer; other fields may have changed with that."""

    task: Task


class TaskRemoved(Event, routing_key="tasks.task_removed"):
    """A task is gone. This is how it was last; the version is newer than all it had before."""

    task: Task

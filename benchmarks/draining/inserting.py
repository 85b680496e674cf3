"""What each peer does of a task: our checks of the fields, our row, one insert, one commit."""

import os
from datetime import UTC, datetime
from typing import Any, get_args

from shared.contracts.tasks import Priority, TaskFields
from task_service.domain import open_task

TITLE = "Buy milk"
COLUMNS = (
    *("id", "title", "description", "status", "priority", "due_at", "tags", "version", "created_at"),
    *("changed_at", "completed_at"),
)
PRIORITIES: tuple[str, ...] = get_args(Priority)
DATABASE_URL = os.environ["DATABASE_URL"]


def insert_into(schema: str, placeholder: str = "%s") -> str:
    """`placeholder` may name a number: `${}`."""
    values = (placeholder.format(number) for number in range(1, len(COLUMNS) + 1))
    return f"INSERT INTO {schema}.tasks ({', '.join(COLUMNS)}) VALUES ({', '.join(values)})"


def row_of(fields: dict[str, Any]) -> list[Any]:
    """The new task's row. Refuses with pydantic's ValidationError."""
    task = open_task(TaskFields.model_validate(fields), datetime.now(UTC))
    row = task.model_dump() | {"priority": PRIORITIES.index(task.priority), "tags": list(task.tags)}
    return [row[column] for column in COLUMNS]

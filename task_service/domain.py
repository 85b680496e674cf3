"""The rules of tasks: pure, synchronous, no I/O."""

from datetime import datetime

from shared.contracts.tasks import (
    Task,
    TaskChanged,
    TaskChanges,
    TaskCompleted,
    TaskFields,
    TaskReopened,
)
from shared.messages import ChangedMeanwhile, new_id

FIELDS = frozenset(TaskFields.model_fields)


def open_task(fields: TaskFields, now: datetime) -> Task:
    """A new task starts at version 1."""
    return Task(
        id=new_id(),
        **vars(fields),
        version=1,
        created_at=now,
        changed_at=now,
        completed_at=now if fields.status == "done" else None,
    )


def merged(task: Task, changes: TaskChanges) -> TaskFields:
    """JSON Merge Patch (RFC 7396): null removes, and what a task has not it has as a new one would."""
    after = task.model_dump(include=set(FIELDS)) | changes.model_dump()
    return TaskFields.model_validate({name: value for name, value in after.items() if value is not None})


def with_status(task: Task, status: str) -> TaskFields:
    """The task's fields with another status."""
    return TaskFields.model_validate(task.model_dump(include=set(FIELDS)) | {"status": status})


def changed(task: Task, fields: TaskFields, now: datetime) -> Task:
    """The task with these fields, at its next version; the task itself if it has them already."""
    after = fields.model_dump()
    if after == task.model_dump(include=set(FIELDS)):
        return task
    done = fields.status == "done"
    return task.model_copy(
        update={
            **after,
            "version": task.version + 1,
            "changed_at": now,
            "completed_at": (task.completed_at or now) if done else None,
        }
    )


def removed(task: Task) -> Task:
    """A removal is a version too, so that whoever keeps tasks knows it from an older change."""
    return task.model_copy(update={"version": task.version + 1})


def require_version(task: Task, expected: tuple[int, ...]) -> None:
    """Any will do if none is expected."""
    if expected and task.version not in expected:
        raise ChangedMeanwhile(f"The task is at version {task.version}: look at it again, then decide.")


def what_happened(before: Task, after: Task) -> TaskChanged | TaskCompleted | TaskReopened:
    """The one event of a new version."""
    if before.status != "done" and after.status == "done":
        return TaskCompleted(task=after)
    if before.status == "done" and after.status != "done":
        return TaskReopened(task=after)
    return TaskChanged(task=after)

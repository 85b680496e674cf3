"""The rules of tasks, without anything around them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from shared.contracts.tasks import (
    Task,
    TaskChanged,
    TaskChanges,
    TaskCompleted,
    TaskFields,
    TaskReopened,
)
from shared.messages import ChangedMeanwhile, new_id
from task_service.domain import changed, merged, open_task, require_version, what_happened, with_status

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def a_task(**fields: Any) -> Task:
    return open_task(TaskFields(title="Buy milk", **fields), NOW)


def patched(task: Task, **changes: Any) -> Task:
    return changed(task, merged(task, TaskChanges.model_validate(changes)), LATER)


def test_a_title_alone_makes_an_open_task_of_normal_priority() -> None:
    task = a_task()

    assert (task.status, task.priority, task.tags, task.version) == ("open", "normal", (), 1)
    assert task.created_at == task.changed_at == NOW
    assert task.due_at is task.completed_at is None


def test_a_change_leaves_alone_what_it_does_not_name() -> None:
    task = patched(a_task(description="two litres", tags=["shop"]), priority="urgent")

    assert (task.priority, task.description, task.tags) == ("urgent", "two litres", ("shop",))
    assert (task.version, task.created_at, task.changed_at) == (2, NOW, LATER)


def test_null_brings_back_what_a_new_task_has() -> None:
    full = a_task(
        description="two litres", priority="high", due_at=LATER, tags=["shop"], status="in_progress"
    )

    bare = patched(full, description=None, priority=None, due_at=None, tags=None, status=None)

    assert bare.model_dump(include=set(TaskFields.model_fields)) == TaskFields(title="Buy milk").model_dump()


def test_a_list_is_replaced_whole() -> None:
    assert patched(a_task(tags=["shop", "home"]), tags=["dairy"]).tags == ("dairy",)


@pytest.mark.parametrize("changes", [{}, {"title": "Buy milk"}, {"due_at": None, "tags": []}])
def test_changes_that_change_nothing_make_no_version(changes: dict[str, Any]) -> None:
    task = a_task()

    assert patched(task, **changes) is task


def test_a_task_remembers_when_it_became_done_until_it_is_so_no_longer() -> None:
    done = changed(a_task(), with_status(a_task(), "done"), NOW)

    renamed = patched(done, title="Buy oat milk")
    reopened = patched(renamed, status="in_progress")

    assert (done.completed_at, renamed.completed_at, reopened.completed_at) == (NOW, NOW, None)


def test_a_version_is_said_by_the_event_that_tells_most() -> None:
    task = a_task()
    done = patched(task, status="done", title="Buy oat milk")

    assert isinstance(what_happened(task, patched(task, status="in_progress")), TaskChanged)
    assert isinstance(what_happened(task, done), TaskCompleted)
    assert isinstance(what_happened(done, patched(done, title="Milk")), TaskChanged)
    assert isinstance(what_happened(done, patched(done, status="open")), TaskReopened)


def test_another_version_than_the_expected_is_refused() -> None:
    require_version(a_task(), ())
    require_version(a_task(), (7, 1))
    with pytest.raises(ChangedMeanwhile, match="version 1"):
        require_version(a_task(), (2, 3))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", None),
        ("title", " "),
        ("title", "x" * 201),
        ("description", "x" * 10_001),
        ("description", "a\x00b"),
        ("status", "finished"),
        ("priority", 1),
        ("due_at", "2026-07-01T12:00:00"),
        ("due_at", "0001-01-01T00:00:00+14:00"),
        ("due_at", "9999-12-31T23:59:59-14:00"),
        ("tags", [str(number) for number in range(21)]),
        ("tags", ["a", " a "]),
        ("tags", ["x" * 51]),
        ("tags", [""]),
        ("tags", "shop"),
        ("colour", "red"),
    ],
)
def test_what_no_task_has_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        TaskChanges.model_validate({field: value})
    with pytest.raises(ValidationError, match=field):
        TaskFields.model_validate({"title": "Buy milk", field: value})


def test_a_due_time_keeps_its_moment_and_is_told_in_utc() -> None:
    fields = TaskFields.model_validate({"title": "x", "due_at": "2026-07-01T15:00:00+03:00"})

    assert fields.model_dump(mode="json")["due_at"] == "2026-07-01T12:00:00Z"


def test_an_answer_that_an_inbox_kept_since_revision_0001_can_still_be_read() -> None:
    kept = {"id": str(new_id()), "title": "old", "created_at": "2026-07-01T12:00:00Z", "version": 1}

    task = Task.model_validate(kept)

    assert (task.status, task.priority, task.changed_at) == ("open", "normal", NOW)

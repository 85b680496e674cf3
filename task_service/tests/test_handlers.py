"""What each message does to the store and says."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from shared.contracts.tasks import (
    ChangeTask,
    CompleteTask,
    CreateTask,
    GetTask,
    RemoveTask,
    ReopenTask,
    ReplaceTask,
    Task,
    TaskChanged,
    TaskChanges,
    TaskCompleted,
    TaskCreated,
    TaskNotFound,
    TaskRemoved,
    TaskReopened,
)
from shared.messages import ChangedMeanwhile
from tests.running import Running

FULL: dict[str, Any] = {
    "title": "Buy milk",
    "description": "two litres\n🥛 «молоко»",
    "status": "in_progress",
    "priority": "high",
    "due_at": "2026-07-01T15:00:00.000001+03:00",
    "tags": ["shop", "Молоко"],
}


async def created(running: Running, **fields: Any) -> Task:
    task = await running.ask(CreateTask.model_validate({"title": "Buy milk"} | fields))
    running.said.clear()
    return task


@pytest.mark.parametrize("fields", [{"title": "Buy milk"}, FULL, FULL | {"status": "done"}])
async def test_a_created_task_is_answered_said_and_stored_alike(
    running: Running, fields: dict[str, Any]
) -> None:
    task = await running.ask(CreateTask.model_validate(fields))

    assert running.said == [TaskCreated(task=task)]
    assert await running.ask(GetTask(task=task.id)) == task


async def test_a_change_is_answered_said_and_stored_alike(running: Running) -> None:
    task = await created(running)

    answer = await running.ask(ChangeTask(task=task.id, changes=TaskChanges(priority="low")))

    assert (answer.priority, answer.version) == ("low", 2)
    assert running.said == [TaskChanged(task=answer)]
    assert await running.ask(GetTask(task=task.id)) == answer


async def test_a_replaced_task_has_what_was_sent_and_nothing_else(running: Running) -> None:
    task = await created(running, **FULL)

    answer = await running.ask(ReplaceTask(task=task.id, title="Sleep"))

    assert (answer.title, answer.description, answer.tags, answer.due_at) == ("Sleep", "", (), None)
    assert (answer.id, answer.created_at, answer.version) == (task.id, task.created_at, 2)
    assert running.said == [TaskChanged(task=answer)]


async def test_a_task_is_completed_and_reopened_once_however_often_it_is_asked(running: Running) -> None:
    task = await created(running)

    done, again, opened, still = [
        await running.ask(command(task=task.id))
        for command in (CompleteTask, CompleteTask, ReopenTask, ReopenTask)
    ]

    assert (done.status, done.version) == ("done", 2)
    assert again == done
    assert (opened.status, opened.completed_at, opened.version) == ("open", None, 3)
    assert still == opened
    assert running.said == [TaskCompleted(task=done), TaskReopened(task=opened)]


async def test_reopening_leaves_a_task_in_progress_alone(running: Running) -> None:
    task = await created(running, status="in_progress")

    assert await running.ask(ReopenTask(task=task.id)) == task
    assert running.said == []


async def test_a_removed_task_is_gone_and_its_last_version_is_the_newest(running: Running) -> None:
    task = await created(running)

    last = await running.ask(RemoveTask(task=task.id))

    assert last == task.model_copy(update={"version": 2})
    assert running.said == [TaskRemoved(task=last)]
    with pytest.raises(TaskNotFound):
        await running.ask(GetTask(task=task.id))


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        (ChangeTask, {"changes": {"title": "x"}}),
        (ReplaceTask, {"title": "x"}),
        (CompleteTask, {}),
        (RemoveTask, {}),
    ],
)
async def test_what_is_gone_or_has_changed_meanwhile_is_refused(
    running: Running, command: type[Any], fields: dict[str, Any]
) -> None:
    task = await created(running)

    with pytest.raises(TaskNotFound):
        await running.ask(command(task=uuid4(), expected_version=1, **fields))
    with pytest.raises(ChangedMeanwhile):
        await running.ask(command(task=task.id, expected_version=2, **fields))
    await running.ask(command(task=task.id, expected_version=1, **fields))

    assert len(running.said) == 1


async def test_commands_of_one_batch_see_each_other(running: Running) -> None:
    task = await created(running)

    *_, done, last, gone = await running.batch(
        CreateTask(title="another"),
        ChangeTask(task=task.id, changes=TaskChanges(title="Buy oat milk"), expected_version=1),
        CompleteTask(task=task.id, expected_version=2),
        RemoveTask(task=task.id),
        CompleteTask(task=task.id),
    )

    assert (done.title, done.status, done.version) == ("Buy oat milk", "done", 3)
    assert last.version == 4
    assert isinstance(gone, TaskNotFound)


async def test_changes_of_two_processes_to_one_task_lose_nothing(running: Running) -> None:
    task = await created(running)
    changes = [
        {"title": "Buy oat milk"},
        {"priority": "high"},
        {"description": "two"},
        {"tags": ["shop"]},
    ] * 2

    await asyncio.gather(
        *(running.ask(ChangeTask.model_validate({"task": task.id, "changes": change})) for change in changes)
    )

    changed = await running.ask(GetTask(task=task.id))
    assert (changed.title, changed.priority, changed.description) == ("Buy oat milk", "high", "two")
    assert (changed.tags, changed.version) == (("shop",), 5)


async def test_of_two_that_expect_one_version_one_is_refused(running: Running) -> None:
    task = await created(running)

    answers = await asyncio.gather(
        *(
            running.batch(
                ChangeTask(task=task.id, changes=TaskChanges(title=str(number)), expected_version=1)
            )
            for number in range(5)
        )
    )

    refused = [answer for [answer] in answers if isinstance(answer, ChangedMeanwhile)]
    assert len(refused) == 4

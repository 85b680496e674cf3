"""What task_service does, a function a message.

Changes are contended: with rows locked one by one instead, batches of two processes that lock the same few
tasks crosswise wait a second for each deadlock to be found (38 changes a second at 20 tasks, against 270).
"""

from shared.contracts.tasks import (
    ChangeTask,
    CompleteTask,
    CreateTask,
    GetTask,
    ListTasks,
    RemoveTask,
    ReopenTask,
    ReplaceTask,
    Task,
    TaskCreated,
    TaskFields,
    TaskRemoved,
    Tasks,
)
from shared.handling import Work, handles
from task_service.domain import (
    changed,
    merged,
    open_task,
    removed,
    require_version,
    what_happened,
    with_status,
)
from task_service.store import TaskStore


@handles(CreateTask)
async def create_task(command: CreateTask, work: Work) -> Task:
    """Open a task."""
    task = open_task(command, work.now)

    TaskStore(work).add(task)
    work.say(TaskCreated(task=task))
    return task


@handles(ChangeTask, contended=True)
async def change_task(command: ChangeTask, work: Work) -> Task:
    """Change the fields that were sent."""
    task = await TaskStore(work).get(command.task)
    require_version(task, command.expected_version)

    return _keep(task, changed(task, merged(task, command.changes), work.now), work)


@handles(ReplaceTask, contended=True)
async def replace_task(command: ReplaceTask, work: Work) -> Task:
    """Take all fields from the command."""
    task = await TaskStore(work).get(command.task)
    require_version(task, command.expected_version)

    fields = TaskFields.model_validate(command.model_dump(include=set(TaskFields.model_fields)))
    return _keep(task, changed(task, fields, work.now), work)


@handles(CompleteTask, contended=True)
async def complete_task(command: CompleteTask, work: Work) -> Task:
    """Make a task done, unless it is."""
    task = await TaskStore(work).get(command.task)
    require_version(task, command.expected_version)

    return _keep(task, changed(task, with_status(task, "done"), work.now), work)


@handles(ReopenTask, contended=True)
async def reopen_task(command: ReopenTask, work: Work) -> Task:
    """Make a task open again if it is done."""
    task = await TaskStore(work).get(command.task)
    require_version(task, command.expected_version)

    if task.status != "done":
        return task
    return _keep(task, changed(task, with_status(task, "open"), work.now), work)


def _keep(before: Task, after: Task, work: Work) -> Task:
    """Save and say a new version, if it is one."""
    if after is not before:
        TaskStore(work).save(after)
        work.say(what_happened(before, after))
    return after


@handles(RemoveTask, contended=True)
async def remove_task(command: RemoveTask, work: Work) -> Task:
    """Remove a task."""
    store = TaskStore(work)
    task = await store.get(command.task)
    require_version(task, command.expected_version)

    store.remove(task.id)
    work.say(TaskRemoved(task=removed(task)))
    return removed(task)


@handles(GetTask)
async def get_task(query: GetTask, work: Work) -> Task:
    """Look a task up by its id."""
    return await TaskStore(work).get(query.task)


@handles(ListTasks)
async def list_tasks(query: ListTasks, work: Work) -> Tasks:
    """List the tasks that pass all filters, a page at a time."""
    return await TaskStore(work).list(query)

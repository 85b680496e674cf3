"""What task_service does, a function a message."""

from shared.contracts.tasks import CreateTask, GetTask, Task, TaskCreated
from shared.handling import Work, handles
from task_service.domain import open_task
from task_service.store import TaskStore


@handles(CreateTask)
async def create_task(command: CreateTask, work: Work) -> Task:
    """Open a task."""
    task = open_task(command, work.now)

    TaskStore(work).add(task)
    work.say(TaskCreated(task=task))
    return task


@handles(GetTask)
async def get_task(query: GetTask, work: Work) -> Task:
    """Look a task up by its id."""
    return await TaskStore(work).get(query.task)

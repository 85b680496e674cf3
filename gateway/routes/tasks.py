"""Tasks by REST; what they mean stands in shared/contracts/tasks.py."""

from typing import Annotated

from fastapi import APIRouter, Body, Query

from gateway.asking import Ask
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
    TaskChanges,
    TaskFields,
    TaskId,
    Tasks,
)

router = APIRouter(prefix="/tasks", tags=["tasks"])

MergePatch = Annotated[TaskChanges, Body(media_type="application/merge-patch+json")]
PLAIN_JSON_TOO = {
    "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/TaskChanges"}}}}
}


@router.post("", status_code=201, summary="Open a task")
async def create_task(command: CreateTask, ask: Ask) -> Task:
    return await ask(command)


@router.get("", summary="List tasks")
async def list_tasks(query: Annotated[ListTasks, Query()], ask: Ask) -> Tasks:
    """A `Link` with `rel="next"` leads to the next page."""
    return await ask(query)


@router.get("/{task}", summary="Look a task up by its id")
async def get_task(task: TaskId, ask: Ask) -> Task:
    return await ask(GetTask(task=task))


@router.patch("/{task}", summary="Change some fields of a task", openapi_extra=PLAIN_JSON_TOO)
async def change_task(task: TaskId, changes: MergePatch, ask: Ask) -> Task:
    """JSON Merge Patch (RFC 7396): what is left out stays, null brings back what a new task has."""
    return await ask(ChangeTask(task=task, changes=changes))


@router.put("/{task}", summary="Say all fields of a task anew")
async def replace_task(task: TaskId, fields: TaskFields, ask: Ask) -> Task:
    return await ask(ReplaceTask(task=task, **fields.model_dump()))


@router.post("/{task}/complete", summary="Make a task done")
async def complete_task(task: TaskId, ask: Ask) -> Task:
    return await ask(CompleteTask(task=task))


@router.post("/{task}/reopen", summary="Make a task that is done open again")
async def reopen_task(task: TaskId, ask: Ask) -> Task:
    return await ask(ReopenTask(task=task))


@router.delete("/{task}", status_code=204, summary="Remove a task")
async def remove_task(task: TaskId, ask: Ask) -> None:
    await ask(RemoveTask(task=task))

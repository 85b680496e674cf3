"""Tasks by REST; what they mean stands in shared/contracts/tasks.py."""

from uuid import UUID

from fastapi import APIRouter

from gateway.asking import Ask
from gateway.errors import PROBLEMS
from shared.contracts.tasks import CreateTask, GetTask, Task

router = APIRouter(prefix="/tasks", tags=["tasks"], responses=PROBLEMS)


@router.post("", status_code=201, summary="Open a task")
async def create_task(command: CreateTask, ask: Ask) -> Task:
    return await ask(command)


@router.get("/{task}", summary="Look a task up by its id")
async def get_task(task: UUID, ask: Ask) -> Task:
    return await ask(GetTask(task=task))

"""Tasks: what task_service hears, answers and says."""

from uuid import UUID

from pydantic import AwareDatetime

from shared.messages import Answer, Command, Event, Name, NotFound, Query


class TaskNotFound(NotFound):
    """There is no task with that id."""


class Task(Answer):
    """Something to be done."""

    id: UUID
    title: Name
    created_at: AwareDatetime
    version: int


class CreateTask(Command[Task], queue="tasks.create_task", resource="/tasks/{id}"):
    """Open a task."""

    title: Name


class GetTask(Query[Task], queue="tasks.get_task", refusals=(TaskNotFound,)):
    """Look a task up by its id."""

    task: UUID


class TaskCreated(Event, routing_key="tasks.task_created"):
    """A task was opened."""

    task: Task

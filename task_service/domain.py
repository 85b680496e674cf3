"""The rules of tasks: pure, synchronous, no I/O."""

from datetime import datetime

from shared.contracts.tasks import CreateTask, Task
from shared.messages import new_id


def open_task(command: CreateTask, now: datetime) -> Task:
    """A new task starts at version 1."""
    return Task(id=new_id(), title=command.title, created_at=now, version=1)

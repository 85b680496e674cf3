"""Tasks in SQL: the only file of task_service that knows the database."""

from uuid import UUID

import sqlalchemy as sa

from shared.contracts.tasks import Task, TaskNotFound
from shared.handling import Work
from shared.journal_sql import sql

tasks = sa.Table(
    "tasks",
    sa.MetaData(),
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("title", sa.Text),
    sa.Column("created_at", sa.DateTime(timezone=True)),
    sa.Column("version", sa.Integer),
)
_ADD = sa.insert(tasks)
_GET = sa.select(tasks).where(tasks.c.id == sa.bindparam("task"))


class TaskStore:
    """The tasks, in the transaction of a message's work."""

    def __init__(self, work: Work):
        self.transaction = sql(work)

    def add(self, task: Task) -> None:
        self.transaction.write(_ADD, task.model_dump())

    async def get(self, task: UUID) -> Task:
        """Refuses with `TaskNotFound`."""
        row = (await self.transaction.read(_GET, {"task": task})).one_or_none()
        if row is None:
            raise TaskNotFound(f"There is no task {task}.")
        return Task.model_validate(row._mapping)

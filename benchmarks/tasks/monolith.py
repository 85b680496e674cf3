"""The monolith that one would write instead: FastAPI, SQLAlchemy's async engine, asyncpg; a commit a request.

The same fields with the same checks go into a table with the same columns, indexes and constraints.
"""

import os
from datetime import UTC, datetime
from typing import get_args
from uuid import UUID

import sqlalchemy as sa
from fastapi import FastAPI, HTTPException
from sqlalchemy.ext.asyncio import create_async_engine

from shared.contracts.tasks import Priority, Task, TaskFields
from task_service.domain import open_task

PRIORITIES: tuple[str, ...] = get_args(Priority)
TIME = sa.DateTime(timezone=True)

engine = create_async_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"), pool_size=20, max_overflow=0
)
tasks = sa.Table(
    "tasks",
    sa.MetaData(schema="monolith"),
    sa.Column("id", sa.Uuid, primary_key=True),
    *(sa.Column(name, sa.Text) for name in ("title", "description", "status")),
    sa.Column("priority", sa.SmallInteger),
    sa.Column("tags", sa.ARRAY(sa.Text)),
    sa.Column("version", sa.Integer),
    *(sa.Column(name, TIME) for name in ("due_at", "created_at", "changed_at", "completed_at")),
)
_GET = sa.select(tasks).where(tasks.c.id == sa.bindparam("task"))
app = FastAPI()


@app.post("/tasks", status_code=201)
async def create_task(fields: TaskFields) -> Task:
    task = open_task(fields, datetime.now(UTC))
    row = task.model_dump() | {"priority": PRIORITIES.index(task.priority)}
    async with engine.begin() as connection:
        await connection.execute(sa.insert(tasks), row)
    return task


@app.get("/tasks/{task}")
async def get_task(task: UUID) -> Task:
    async with engine.connect() as connection:
        row = (await connection.execute(_GET, {"task": task})).one_or_none()
    if row is None:
        raise HTTPException(404, f"There is no task {task}.")
    return Task.model_validate({**row._mapping, "priority": PRIORITIES[row.priority]})

"""Every revision upgrades to the newest, and a process of the one before goes on meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import pytest
import sqlalchemy as sa

from shared.contracts.tasks import ChangeTask, GetTask, ListTasks, TaskChanges
from shared.journal_sql import TIME, SqlTransaction
from task_service import handlers
from task_service.tests.conftest import MIGRATIONS, opened
from tests.running import Running

ADD_AT_0001 = "INSERT INTO tasks (id, title, created_at, version) VALUES ($1, $2, now(), 1)"
GET_AT_0001 = "SELECT id, title, created_at, version FROM tasks WHERE id = $1"
TASKS_AT_0001 = sa.table(
    "tasks",
    sa.column("id", sa.Uuid),
    sa.column("title", sa.Text),
    sa.column("created_at", TIME),
    sa.column("version", sa.Integer),
)


def only_first(folder: Path) -> Path:
    migrations = folder / "migrations"
    copytree(MIGRATIONS, migrations)
    for revision in (migrations / "versions").glob("*.py"):
        if not revision.name.startswith("0001"):
            revision.unlink()
    return migrations


async def test_an_empty_database_upgrades_to_the_newest_and_again_to_the_same(database_url: str) -> None:
    await (await opened(database_url)).close()
    running = Running(await opened(database_url), handlers)

    assert (await running.ask(ListTasks())).items == []
    await running.journal.close()


@pytest.mark.parametrize("store", ["postgresql", "sqlite"])
async def test_tasks_of_revision_0001_upgrade_to_open_ones_that_nobody_has_changed(
    database_url: str, tmp_path: Path
) -> None:
    row = {"id": uuid4(), "title": "old", "created_at": datetime.now(UTC), "version": 1}
    earlier = await opened(database_url, only_first(tmp_path))
    async with earlier.transaction() as transaction:
        cast(SqlTransaction, transaction).write(sa.insert(TASKS_AT_0001), row)
        await cast(SqlTransaction, transaction).flush()
    await earlier.close()

    running = Running(await opened(database_url), handlers)

    task = await running.ask(GetTask(task=row["id"]))
    assert task.model_dump(include=set(row)) == row
    assert (task.status, task.priority, task.tags) == ("open", "normal", ())
    assert task.changed_at == task.created_at
    assert (await running.ask(ListTasks(words="old"))).items == [task]
    tagged = await running.ask(ChangeTask(task=task.id, changes=TaskChanges(tags=("x",))))
    assert (await running.ask(ListTasks(tags=("x",)))).items == [tagged]
    await running.journal.close()


@pytest.fixture
async def revision_0001(database_url: str, tmp_path: Path) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """A database at revision 0001, and the connection of a process that knows no other."""
    await (await opened(database_url, only_first(tmp_path))).close()
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def add(connection: "asyncpg.Connection[Any]", title: str) -> UUID:
    identity = uuid4()
    await connection.execute(ADD_AT_0001, identity, title)
    return identity


@pytest.mark.parametrize("store", ["postgresql"])
async def test_a_process_of_revision_0001_goes_on_during_the_upgrade_and_after_it(
    database_url: str, revision_0001: "asyncpg.Connection[Any]"
) -> None:
    await revision_0001.execute(
        "INSERT INTO tasks SELECT gen_random_uuid(), 'task ' || n, now(), 1 FROM generate_series(1, 20000) n"
    )
    upgrade = asyncio.create_task(opened(database_url))
    during = [await add(revision_0001, "before")]
    while not upgrade.done():
        during.append(await add(revision_0001, "meanwhile"))

    running = Running(await upgrade, handlers)
    after = await add(revision_0001, "after")

    for identity in (during[0], during[-1], after):
        task = await running.ask(GetTask(task=identity))
        row = await revision_0001.fetchrow(GET_AT_0001, identity)
        assert row is not None
        assert dict(row) == task.model_dump(include=set(row.keys()))
    assert (await running.ask(ListTasks(count=True))).total == 20_000 + len(during) + 1
    await running.journal.close()

"""PostgreSQL, MongoDB's protocol and Valkey gone, cut off, full, deadlocked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import asyncpg
from valkey.asyncio import Valkey

from infra.local.mongodb import MongoDB
from tests.faults.registry import Scene, fault
from tests.faults.stage import Stage
from tests.system import eventually

AWAY_SECONDS = 120.0
WAITING = 10_000
ON_POSTGRESQL = ("task_service", "waste_service")


async def _restart(scene: Scene, server: str, how: str) -> None:
    found = getattr(scene.stage.servers, server)
    await asyncio.to_thread(getattr(found, how))
    await asyncio.sleep(scene.random.uniform(0, 3))
    await asyncio.to_thread(found.start)
    await asyncio.to_thread(found.wait_ready)


@fault("postgresql-stop")
async def postgresql_stop(scene: Scene) -> None:
    """PostgreSQL stopped and started"""
    await _restart(scene, "postgresql", "stop")


@fault("postgresql-kill")
async def postgresql_kill(scene: Scene) -> None:
    """PostgreSQL killed and started"""
    await _restart(scene, "postgresql", "kill")


@asynccontextmanager
async def as_superuser(stage: Stage) -> AsyncIterator["asyncpg.Connection[Any]"]:
    url = stage.servers.postgresql.superuser_url()
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY($1)"


@fault("postgresql-cut")
async def postgresql_cut(scene: Scene) -> None:
    """All connections to PostgreSQL cut"""
    async with as_superuser(scene.stage) as connection:
        await connection.execute(CUT, list(ON_POSTGRESQL))


@fault("postgresql-full")
async def postgresql_full(scene: Scene) -> None:
    """PostgreSQL at its connection limit: for three seconds nobody gets a connection"""
    async with as_superuser(scene.stage) as connection:
        try:
            for user in ON_POSTGRESQL:
                await connection.execute(f"ALTER ROLE {user} CONNECTION LIMIT 0")
            await connection.execute(CUT, list(ON_POSTGRESQL))
            await asyncio.sleep(3)
        finally:
            for user in ON_POSTGRESQL:
                await connection.execute(f"ALTER ROLE {user} CONNECTION LIMIT -1")


@fault("deadlocks")
async def deadlocks(scene: Scene) -> None:
    """Deadlocks forced: another session holds one of two tasks that a batch changes, and wants the other"""
    async with scene.stage.http() as http:
        titles = [f"locked {scene.random.random()}" for _ in range(2)]
        pair = [(await http.post("/tasks", json={"title": title})).json()["id"] for title in titles]
        other = await asyncpg.connect(scene.stage.system.database_url("task_service"))
        try:
            async with other.transaction():
                await other.execute("SELECT 1 FROM tasks WHERE id = $1 FOR UPDATE", pair[1])
                changing = asyncio.gather(
                    *(http.patch(f"/tasks/{task}", json={"description": "changed"}) for task in pair)
                )
                await asyncio.sleep(0.3)
                await other.execute("SELECT 1 FROM tasks WHERE id = $1 FOR UPDATE", pair[0])
        except asyncpg.DeadlockDetectedError:
            scene.notes.append("the other session gave way")
        finally:
            await other.close()
        answers = [answer.status_code for answer in await changing]
        assert set(answers) <= {200, 202}, answers


@fault("postgresql-two-minutes", times=1)
async def postgresql_two_minutes(scene: Scene) -> None:
    """PostgreSQL away for two minutes, 10,000 commands wait: all done, none a dead letter"""
    letters = await _dead_letters(scene.stage)
    postgresql = scene.stage.servers.postgresql
    await asyncio.to_thread(postgresql.stop)
    back = asyncio.create_task(asyncio.sleep(AWAY_SECONDS))
    await scene.load.burst(WAITING, "task")
    await back
    await asyncio.to_thread(postgresql.start)
    await asyncio.to_thread(postgresql.wait_ready)

    async def all_done() -> bool:
        rows = await scene.stage.system.fetch("task_service", "SELECT count(*) AS tasks FROM tasks")
        return bool(rows[0]["tasks"] >= WAITING)

    await scene.stage.until_ready()
    await eventually(all_done, "all that waited is done", 120)
    rows = await scene.stage.system.fetch("task_service", "SELECT max(attempt) AS most FROM inbox")
    scene.notes.append(f"most attempts {rows[0]['most']}")
    assert rows[0]["most"] <= 20
    assert await _dead_letters(scene.stage) == letters


async def _dead_letters(stage: Stage) -> int:
    async with await aio_pika.connect(stage.any_broker_url()) as connection:
        channel = await connection.channel()
        return (
            await channel.declare_queue("dead_letters", passive=True)
        ).declaration_result.message_count or 0


@fault("mongodb-stop")
async def mongodb_stop(scene: Scene) -> None:
    """MongoDB's server stopped and started"""
    await _restart(scene, "mongodb", "stop")


@fault("mongodb-kill")
async def mongodb_kill(scene: Scene) -> None:
    """MongoDB's server killed and started"""
    await _restart(scene, "mongodb", "kill")


@fault("mongodb-freeze")
async def mongodb_freeze(scene: Scene) -> None:
    """MongoDB's server frozen for five seconds and thawed"""
    mongodb = scene.stage.servers.mongodb
    assert isinstance(mongodb, MongoDB), "MONGODB_URL is of somebody else's server"
    mongodb.freeze()
    try:
        await asyncio.sleep(5)
    finally:
        mongodb.thaw()


@fault("valkey-gone")
async def valkey_gone(scene: Scene) -> None:
    """Valkey killed and started"""
    await _restart(scene, "valkey", "kill")


@fault("valkey-emptied")
async def valkey_emptied(scene: Scene) -> None:
    """Valkey emptied"""
    async with Valkey.from_url(scene.stage.servers.valkey.url()) as client:
        await client.flushall()

"""PostgreSQL, MongoDB's protocol and Valkey gone, cut off, full, deadlocked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any

import asyncpg
import httpx2
from valkey.asyncio import Valkey

from infra.local.mongodb import Client, MongoDB
from tests.faults.load import Load
from tests.faults.registry import Scene, fault
from tests.faults.stage import GATEWAY, Stage
from tests.system import eventually, found_in_valkey

AWAY_SECONDS = 120.0
WAITING, WASTE_WAITING = 10_000, 3_000
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
MONGODB_LIMIT = 1_000
"""Of SecantusDB, and of a mongod that is started here (`infra/local/mongod.py`)."""
AT_ONCE = 50
"""More would wait to be taken at all."""
ON_POSTGRESQL = ("task_service", "waste_service", "desk_service")


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


LOCK = "SELECT 1 FROM tasks WHERE id = $1 FOR UPDATE"
CUT = "SELECT usename, pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY($1)"


@fault("postgresql-cut")
async def postgresql_cut(scene: Scene) -> None:
    """All connections to PostgreSQL cut"""
    async with as_superuser(scene.stage) as connection:
        cut = await connection.fetch(CUT, list(ON_POSTGRESQL))
    users = {row["usename"] for row in cut}
    assert {"task_service", "waste_service"} <= users, f"only of {users} were there any"


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
    before = await _deadlocks(scene)
    async with scene.stage.http() as http:
        titles = [f"locked {scene.random.random()}" for _ in range(3)]
        tasks = [(await http.post("/tasks", json={"title": title})).json()["id"] for title in titles]
        for _ in range(5):
            await _in_each_others_way(scene, http, tasks)
            if await _deadlocks(scene) > before:
                return
    raise AssertionError("no deadlock came about")


async def _in_each_others_way(scene: Scene, http: httpx2.AsyncClient, tasks: list[str]) -> None:
    """While a batch waits for the third task, changes of the first two gather for the next one."""
    url = scene.stage.system.database_url("task_service")
    holding, other = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        await _begin_with(holding, tasks[2])
        await _begin_with(other, tasks[1])
        changes = {"description": f"{scene.random.random()}"}
        changing = [asyncio.create_task(http.patch(f"/tasks/{tasks[2]}", json=changes))]
        await asyncio.sleep(0.3)
        changing += [asyncio.create_task(http.patch(f"/tasks/{task}", json=changes)) for task in tasks[:2]]
        await asyncio.sleep(0.3)
        await holding.execute("ROLLBACK")
        await asyncio.sleep(0.3)
        with suppress(asyncpg.DeadlockDetectedError):  # either side may be the one that gives way
            await other.execute(LOCK, tasks[0])
    finally:
        await holding.close()
        await other.close()
    answers = [answer.status_code for answer in await asyncio.gather(*changing)]
    assert set(answers) <= {200, 202}, answers


async def _begin_with(connection: "asyncpg.Connection[Any]", task: str) -> None:
    await connection.execute("BEGIN")
    await connection.execute(LOCK, task)


async def _deadlocks(scene: Scene) -> int:
    """As PostgreSQL counts them."""
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    [row] = await scene.stage.system.fetch("task_service", query)
    return int(row["deadlocks"])


async def _a_backlog(stage: Stage) -> None:
    """After that the heap has the room of what is in hand and unconfirmed while as much is caught up with."""
    postgresql = stage.servers.postgresql
    await asyncio.to_thread(postgresql.stop)
    backlog = Load(stage, "backlog", 0)
    await backlog.burst(WAITING, "task")
    await backlog.burst(WASTE_WAITING, "waste")
    await asyncio.to_thread(postgresql.start)
    await asyncio.to_thread(postgresql.wait_ready)
    await stage.until_ready()


@fault("postgresql-two-minutes", times=1, warm_up=_a_backlog)
async def postgresql_two_minutes(scene: Scene) -> None:
    """PostgreSQL away for two minutes, 10,000 commands wait: all done, none died, and no attempt charged"""
    postgresql = scene.stage.servers.postgresql
    await asyncio.to_thread(postgresql.stop)
    back = asyncio.create_task(asyncio.sleep(AWAY_SECONDS))
    burst = await scene.load.burst(WAITING, "task")
    await back
    await asyncio.to_thread(postgresql.start)
    await asyncio.to_thread(postgresql.wait_ready)
    began = monotonic()
    await scene.until_ready(written=False)

    async def all_done() -> bool:
        return await scene.accountant.tasks(burst) >= WAITING

    await eventually(all_done, "all that waited is done", 120)
    scene.notes.append(f"all that waited done after {monotonic() - began:.0f} s")
    ids = [fact.label for fact in burst]
    query = "SELECT max(attempt) AS most FROM inbox WHERE message_id = ANY($1)"
    [row] = await scene.stage.system.fetch("task_service", query, ids)
    scene.notes.append(f"most attempts {row['most']}")
    assert row["most"] == 1, "a store that is away was charged"

    async def none_died() -> None:
        assert not await scene.accountant.deaths(ids)

    scene.afterwards.append(none_died)


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
    mongodb = _mongodb(scene)
    mongodb.freeze()
    try:
        await asyncio.sleep(5)
    finally:
        mongodb.thaw()


@fault("mongodb-cut")
async def mongodb_cut(scene: Scene) -> None:
    """All connections to MongoDB's server cut (on a mongod: all that works at that moment broken off)"""
    with _mongodb(scene).client() as client:
        cut = await eventually(lambda: asyncio.to_thread(_cut, client), "something of theirs is under way")
    scene.notes.append(f"{cut} cut")


def _cut(client: Client) -> int:
    """How many. What is killed is an operation; SecantusDB closes its connection with it."""
    running = client.admin.command("currentOp", {"$all": True})["inprog"]
    theirs = [one["opid"] for one in running if any(user["user"] == "text_worker" for user in _users(one))]
    for opid in theirs:
        client.admin.command("killOp", op=opid)
    return len(theirs)


def _users(operation: dict[str, Any]) -> list[dict[str, str]]:
    users: list[dict[str, str]] = operation.get("effectiveUsers", [])
    return users


@fault("mongodb-full")
async def mongodb_full(scene: Scene) -> None:
    """MongoDB's server at its connection limit: for three seconds nobody gets a connection"""
    mongodb = _mongodb(scene)
    held: list[Stream] = []
    full_since = 0.0
    with mongodb.client() as client:
        client.admin.command("ping")
        while not full_since or monotonic() < full_since + 3:
            await asyncio.to_thread(_cut, client)
            held += await asyncio.gather(*(_connected(mongodb.port) for _ in range(AT_ONCE)))
            await asyncio.sleep(0.1)  # those of which there are too many are ended at once
            tried, held = len(held), [one for one in held if not one[0].at_eof()]
            full_since = full_since or (monotonic() if len(held) < tried else 0.0)
            assert len(held) <= MONGODB_LIMIT, "it takes more than that"
    for _, writer in held:
        writer.close()
    scene.notes.append(f"{len(held)} others")


async def _connected(port: int) -> Stream:
    return await asyncio.open_connection("127.0.0.1", port)


def _mongodb(scene: Scene) -> MongoDB:
    mongodb = scene.stage.servers.mongodb
    assert isinstance(mongodb, MongoDB), "MONGODB_URL is of somebody else's server"
    return mongodb


@fault("valkey-gone")
async def valkey_gone(scene: Scene) -> None:
    """Valkey killed and started; no read goes back behind one before it, and soon it serves again"""
    async with _read_through_valkey(scene):
        await _restart(scene, "valkey", "kill")


@fault("valkey-emptied")
async def valkey_emptied(scene: Scene) -> None:
    """Valkey emptied; no read goes back behind one before it, and it goes on serving"""
    async with _read_through_valkey(scene), Valkey.from_url(scene.stage.servers.valkey.url()) as client:
        await client.flushall()


@asynccontextmanager
async def _read_through_valkey(scene: Scene) -> AsyncIterator[None]:
    """Two gateways beside that of the load, which alone has a cache too small to reach Valkey: one writes and
    the other reads, all the time that something is broken.
    """
    start, more = scene.stage.system.start, {"secret": GATEWAY["secret"], "cache_seconds": "2"}
    writes, reads = await start("gateway", **more), await start("gateway", **more)
    mended = asyncio.Event()
    async with scene.stage.system.http(writes) as writing, scene.stage.system.http(reads) as reading:
        await eventually(lambda: found_in_valkey(writing, reading), "Valkey serves", 30)
        looking = asyncio.create_task(_never_back(writing, reading, mended))
        yield
        await eventually(lambda: found_in_valkey(writing, reading), "Valkey serves again", 10)
        mended.set()
        await looking
    for replica in (writes, reads):  # where it comes to an error, they end with the stage
        replica.process.end()


async def _never_back(writing: httpx2.AsyncClient, reading: httpx2.AsyncClient, end: asyncio.Event) -> None:
    made = (await writing.post("/tasks", json={"title": "version by version"})).raise_for_status()
    place, seen = made.headers["location"], 1
    while not end.is_set():
        (await writing.patch(place, json={"description": f"after {seen}"})).raise_for_status()
        version = (await reading.get(place)).raise_for_status().json()["version"]
        assert version >= seen, f"version {version} was read after {seen}"
        seen = version

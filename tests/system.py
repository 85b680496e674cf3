"""A whole system for tests: its own databases and virtual host on the test servers, its own processes."""

import asyncio
import json
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

import aio_pika
import asyncpg
import httpx2
from pymongo import AsyncMongoClient

from infra.local.logs import Log
from infra.local.ports import Ports
from infra.local.processes import Process
from infra.local.servers import Servers
from infra.local.system import CONVEYOR

ROOT = Path(__file__).parent.parent
PREFIXES = {service.name: service.prefix for service in CONVEYOR.services} | {"tests.toy_service": "TOY"}
"""Of each process's settings; `tests.toy_service` shows the kernel what no real service does on purpose."""
ON_MONGODB = {service.name for service in CONVEYOR.services if service.mongodb}
_numbers = count(1)
_valkey_databases = count()
_migrated: dict[tuple[int, str], str] = {}
"""Databases that are copied, by the server's port and the service."""


@dataclass(frozen=True)
class Replica:
    """One started process and where its HTTP door is."""

    process: Process
    url: str
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


@dataclass
class System:
    """Processes of ours on a virtual host and databases that nobody else has."""

    servers: Servers
    folder: Path
    store: str = "postgresql"
    name: str = field(default_factory=lambda: f"test{next(_numbers)}")
    replicas: list[Replica] = field(default_factory=list)
    ports: Ports = field(default_factory=Ports)
    migrated: set[str] = field(default_factory=set)
    everybody: dict[str, str] = field(default_factory=dict)
    """More of the environment of every process, and of what runs once."""
    valkey_database: int = field(default_factory=lambda: next(_valkey_databases))

    async def create(self, **topology: str) -> None:
        async with self.management() as page:
            (await page.put(f"/api/vhosts/{self.name}")).raise_for_status()
            everything = {"configure": ".*", "write": ".*", "read": ".*"}
            for user in self.servers.rabbitmq.users:
                await page.put(f"/api/permissions/{self.name}/{user}", json=everything)
        await self.declare(**topology)

    async def declare(self, **topology: str) -> None:
        """The topology step."""
        await self.run_once("shared.topology", RABBITMQ_URL=self.broker_url("operator"), **topology)

    def broker_url(self, user: str) -> str:
        return f"{self.servers.rabbitmq.url(user).rstrip('/')}/{self.name}"

    def store_of(self, service: str) -> str:
        return "mongodb" if service in ON_MONGODB else self.store

    def database_url(self, service: str) -> str:
        user = user_of(service)
        if self.store_of(service) == "sqlite":
            return f"sqlite+aiosqlite:///{self.file(service)}"
        if self.store_of(service) == "mongodb":
            return self.servers.mongodb.url(f"{self.name}_{user}", user, user)
        return self.servers.postgresql.url(f"{self.name}_{user}", user, user)

    @property
    def blobs(self) -> Path:
        """The folder of large content."""
        return self.folder / f"{self.name}.blobs"

    def file(self, service: str) -> Path:
        """A service's SQLite database."""
        return self.folder / f"{self.name}.{service}.db"

    def management(self) -> httpx2.AsyncClient:
        """The management API, as the operator."""
        return httpx2.AsyncClient(
            base_url=self.servers.rabbitmq.management_url, auth=("operator", "operator"), timeout=30
        )

    async def start(self, service: str, **settings: str) -> Replica:
        """Start a process and wait until it is ready. `settings` without prefix, e.g. `inbox_hours="1"`."""
        if service != "gateway" and service not in self.migrated:
            await self.migrate(service)
        replica = self.launch(service, **settings)
        await self.until_ready(replica)
        return replica

    def launch(self, service: str, **settings: str) -> Replica:
        port = settings.get("http_port") or str(self.ports.choose_any())
        log = self.folder / f"{self.name}.{service}.{next(_numbers)}.log"
        environment = self._environment(service, {**settings, "http_port": port})
        command = [sys.executable, "-m", f"{service}.main"]
        process = Process(service, command, log=Log(log), environment=environment, folder=ROOT)
        replica = Replica(process, f"http://127.0.0.1:{port}", log)
        process.start()
        self.replicas.append(replica)
        return replica

    async def until_ready(self, replica: Replica) -> None:
        async def ready() -> bool:
            assert replica.process.exit_code is None, replica.log.read_text()[-3000:]
            async with httpx2.AsyncClient() as client:
                try:
                    answer = await client.get(f"{replica.url}/health/ready")
                except httpx2.TransportError:
                    return False
                return answer.status_code == httpx2.codes.OK

        await eventually(ready, f"{replica.process.name} is ready")

    async def migrate(self, service: str) -> None:
        """In PostgreSQL once for all systems on a server: their databases are copies of that one."""
        self.migrated.add(service)
        user, url = user_of(service), self.database_url(service)
        if (
            self.store_of(service) == "postgresql" and service != "tests.toy_service"
        ):  # whose step declares, too
            like = (self.servers.postgresql.port, service)
            if like not in _migrated:
                _migrated[like] = name = f"migrated_{service.replace('.', '_')}"
                self.servers.postgresql.create_database(name, user, user)
                await self._migrate(service, self.servers.postgresql.url(name, user, user))
            create = self.servers.postgresql.create_database
            await asyncio.to_thread(create, f"{self.name}_{user}", user, user, like=_migrated[like])
            return
        self.create_database(service)
        await self._migrate(service, url)

    def create_database(self, service: str) -> None:
        """An empty one."""
        user = user_of(service)
        if self.store_of(service) == "postgresql":
            self.servers.postgresql.create_database(f"{self.name}_{user}", user, user)
        if self.store_of(service) == "mongodb":
            self.servers.mongodb.create_database(f"{self.name}_{user}", user, user)

    async def _migrate(self, service: str, url: str) -> None:
        own = {f"{PREFIXES[service]}_DATABASE_URL": url, "RABBITMQ_URL": self.broker_url("operator")}
        await self.run_once(f"{service}.main", "migrate", **own)

    async def run_once(self, module: str, *arguments: str, **environment: str) -> None:
        log = self.folder / f"{self.name}.{module}.log"
        command = [sys.executable, "-m", module, *arguments]
        step = Process(
            module,
            command,
            log=Log(log),
            environment=_environment() | self.everybody | environment,
            folder=ROOT,
        )
        step.start()
        await eventually(_async(lambda: step.exit_code is not None), f"{module} has ended")
        assert step.exit_code == 0, log.read_text()[-3000:]

    async def stop(self) -> None:
        for replica in self.replicas:
            replica.process.ask_to_end()
        for replica in self.replicas:
            replica.process.end()
        async with self.management() as page:
            await page.delete(f"/api/vhosts/{self.name}")
        self.ports.release()

    def http(self, replica: Replica) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=replica.url, timeout=40)

    async def connect(self, user: str = "operator") -> aio_pika.abc.AbstractRobustConnection:
        return await aio_pika.connect_robust(self.broker_url(user))

    async def fetch(self, service: str, query: str, *arguments: Any) -> list[Any]:
        """Rows straight from a service's database."""
        if self.store_of(service) == "sqlite":
            with closing(sqlite3.connect(self.file(service))) as reader:
                reader.row_factory = sqlite3.Row
                numbered = {str(number): value for number, value in enumerate(arguments, 1)}
                return reader.execute(query, numbered).fetchall()
        connection = await asyncpg.connect(self.database_url(service))
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    async def documents(self, service: str, collection: str, **query: Any) -> list[dict[str, Any]]:
        """Documents straight from a service's MongoDB database."""
        async with AsyncMongoClient[dict[str, Any]](
            self.database_url(service), tz_aware=True, uuidRepresentation="standard"
        ) as client:
            return await client.get_default_database()[collection].find(query).to_list()

    async def get_messages(self, queue: str, most: int = 1000) -> list[dict[str, Any]]:
        """What a person sees who presses *Get messages*; they stay in the queue."""
        body = {"count": most, "ackmode": "ack_requeue_true", "encoding": "auto"}
        async with self.management() as page:
            answer = await page.post(f"/api/queues/{self.name}/{quote(queue)}/get", json=body)
            answer.raise_for_status()
            messages: list[dict[str, Any]] = answer.json()
            return messages

    async def publish_by_hand(self, queue: str, payload: str, **properties: Any) -> bool:
        """What a person does who presses *Publish message*; whether a queue took it."""
        body = {
            "routing_key": queue,
            "payload": payload,
            "payload_encoding": "string",
            "properties": properties,
        }
        async with self.management() as page:
            answer = await page.post(f"/api/exchanges/{self.name}/amq.default/publish", json=body)
            answer.raise_for_status()
            return bool(answer.json()["routed"])

    def _environment(self, service: str, settings: dict[str, str]) -> dict[str, str]:
        prefix = PREFIXES[service]
        given = {f"{prefix}_{name.upper()}": value for name, value in settings.items()}
        own = {f"{prefix}_RABBITMQ_URL": self.broker_url(user_of(service))}
        if service == "gateway":
            own["GATEWAY_VALKEY_URL"] = self.servers.valkey.url(self.valkey_database)
        else:
            own[f"{prefix}_DATABASE_URL"] = self.database_url(service)
        return _environment() | {"BLOBS_URL": self.blobs.as_uri()} | self.everybody | own | given


def user_of(service: str) -> str:
    """The broker's and the database's user of a service; the toy borrows one."""
    return "task_service" if service == "tests.toy_service" else service


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def _async(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return condition()

    return check


async def eventually(condition: Callable[[], Awaitable[Any]], what: str, seconds: float = 60) -> Any:
    """The condition's first true value; fails with what was waited for."""
    end = monotonic() + seconds
    while monotonic() < end:
        if value := await condition():
            return value
        await asyncio.sleep(0.05)
    raise AssertionError(f"waited {seconds:.0f} s in vain: {what}")


async def found_in_valkey(one: httpx2.AsyncClient, other: httpx2.AsyncClient) -> bool:
    """Whether what one gateway has answered comes out of Valkey through the other."""
    made = (await one.post("/tasks", json={"title": "through Valkey"})).raise_for_status()
    await asyncio.sleep(0.05)  # what is written in a moment leaves together: at once it never is there
    read = (await other.get(made.headers["location"])).raise_for_status()
    return "detail=valkey" in read.headers["cache-status"]

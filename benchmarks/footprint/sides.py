"""The whole of Conveyor, and the monolith, each started anew, loaded and looked at."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter

import httpx2
import orjson

from benchmarks.bench import Bench
from benchmarks.cpu import cpu_seconds
from benchmarks.footprint.usage import bytes_on_disk, memory_mb
from benchmarks.load import load
from benchmarks.tasks.contenders import contender
from infra.local.processes import Process
from infra.local.system import CONVEYOR
from tests.system import Replica

CONNECTIONS = 64
TASK = {"BODY": '{"title": "Buy milk"}'}
WASTE = {"BODY": '{"amounts": {"bio": 5}}'}
TEXT = {"BODY": orjson.dumps({"text": "To be, or not to be: that is the question. " * 40}).decode()}
ORGANIZATION = {"name": "OO 1"}
SERVICES = tuple(service.name for service in CONVEYOR.services)
SHORT_SECONDS = 1.5
Memory = dict[str, list[float]]


@dataclass(frozen=True)
class Costs:
    """What a load of `POST /tasks` came to: commands a second; CPU ms and bytes on the disk a command."""

    a_second: float
    cpu_ms: Mapping[str, float]
    written: float


@dataclass(frozen=True)
class Seen:
    """One start of a side. Memory by process, of each of its family, in MB."""

    ready_seconds: float
    idle: Memory
    loaded: Memory
    costs: Costs
    with_two: float = 0.0
    """Commands a second with a second task_service."""


async def see_ours(bench: Bench, seconds: float) -> Seen:
    began = perf_counter()
    replicas = {service: bench.system.launch(service) for service in SERVICES}
    await asyncio.gather(*map(bench.system.until_ready, replicas.values()))
    ready = perf_counter() - began
    processes = {name: replica.process for name, replica in replicas.items()}
    url = replicas["gateway"].url
    try:
        idle = _memory(processes)
        costs = await costs_of(bench, url, processes, seconds)
        processes["a second"] = (await bench.system.start("task_service")).process
        found = await load(f"{url}/tasks", CONNECTIONS, seconds, TASK, bench.folder)
        await _load_the_others(bench, replicas["gateway"])
        return Seen(ready, idle, _memory(processes), costs, found["requests"] / found["seconds"])
    finally:
        await _end(processes.values())


async def _load_the_others(bench: Bench, gateway: Replica) -> None:
    """A thousand commands or so each, so that what they have in memory is that of work."""
    async with bench.system.http(gateway) as client:
        answer = await client.post("/waste/organizations", json=ORGANIZATION)
        assert answer.status_code in {httpx2.codes.CREATED, httpx2.codes.CONFLICT}, answer.text
    for path, body in ((f"/waste/organizations/{ORGANIZATION['name']}/waste", WASTE), ("/texts", TEXT)):
        url = f"{gateway.url}{path.replace(' ', '%20')}"
        await load(url, 8, SHORT_SECONDS, body, bench.folder)


async def see_the_monolith(bench: Bench, seconds: float) -> Seen:
    settings = {"DATABASE_URL": bench.system.database_url("task_service")}
    began = perf_counter()
    async with contender(bench, "benchmarks.tasks.monolith:app", workers=2, settings=settings) as served:
        async with httpx2.AsyncClient() as client:
            (await client.post(f"{served.url}/tasks", json={"title": "Buy milk"})).raise_for_status()
        ready = perf_counter() - began
        processes = {"monolith": served.process}
        idle = _memory(processes)
        costs = await costs_of(bench, served.url, processes, seconds)
        return Seen(ready, idle, _memory(processes), costs)


def _memory(processes: Mapping[str, Process]) -> Memory:
    return {name: memory_mb(process.pid) for name, process in processes.items()}


async def costs_of(
    bench: Bench, url: str, processes: Mapping[str, Process], seconds: float, connections: int = CONNECTIONS
) -> Costs:
    """What `POST /tasks` costs these processes and the servers, each with its children."""
    servers = {
        "RabbitMQ": bench.servers.rabbitmq.process,
        "PostgreSQL": bench.servers.postgresql.process,
        "Valkey": bench.servers.valkey.process,
    }
    pids = {name: process.pid for name, process in (*processes.items(), *servers.items())}
    used, written = {name: cpu_seconds(pid) for name, pid in pids.items()}, bytes_on_disk(bench.folder)
    found = await load(f"{url}/tasks", connections, seconds, TASK, bench.folder)
    commands = found["requests"]
    return Costs(
        commands / found["seconds"],
        {name: (cpu_seconds(pid) - used[name]) * 1000 / commands for name, pid in pids.items()},
        (bytes_on_disk(bench.folder) - written) / commands,
    )


async def _end(processes: Iterable[Process]) -> None:
    await asyncio.gather(*(asyncio.to_thread(process.end) for process in processes))

"""The whole system on servers of its own, each process started again when it ends, as `make run` would.

Nothing else helps it: what a fault broke has to mend itself.
"""

import asyncio
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import choice
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import httpx2

from infra.local.processes import descendants
from infra.local.servers import Servers
from shared import topology
from tests.system import Replica, System, eventually

ORGANIZATION = "Faults"
WARM_UP = 600
"""Commands before the memory of a process is first weighed."""
SERVICES = ("task_service", "waste_service", "text_worker")
"""Where the load goes."""
NAMES = ("gateway", *SERVICES, "desk_service")
GATEWAY = {
    "secret": "one for all replicas, or operations end with the process",
    "cache_bytes": str(128 * 1024),  # full after the warm-up: what grows later is no cache
}
WRITES: dict[str, dict[str, Any]] = {
    "/tasks": {"title": "ready"},
    f"/waste/organizations/{ORGANIZATION}/waste": {"amounts": {"bio": 1}},
    "/texts": {"title": "ready", "text": "Ready."},
}
"""What is written to find out whether it can be; the load writes other things."""
RETRIES = {service: {"retry_seconds": "[1, 1]"} for service in SERVICES}


@dataclass
class Stage:
    """Where faults happen. `kept` are the processes that are started again when they end."""

    servers: Servers
    folder: Path
    warm_up: int = WARM_UP
    warm: set[tuple[str, int]] = field(default_factory=set)
    """The processes that had their warm-up, by name and pid."""
    system: System = field(init=False)
    replicas: dict[str, Replica] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    armed: bool = False
    exits: list[tuple[str, int]] = field(default_factory=list)
    last_exit: float = 0.0
    """When a process was last seen to have ended, as `monotonic` counts."""
    keeping: "asyncio.Task[None] | None" = None

    def __post_init__(self) -> None:
        self.system = System(self.servers, self.folder)

    async def open(self) -> None:
        """Databases, queues, all processes that are ready, and a place for waste to go."""
        topology.load_contracts()
        await self.system.create()
        for name in NAMES:
            if name != "gateway":
                await self.system.migrate(name)
            self.launch(name)
        self.keeping = asyncio.create_task(self._keep())
        await eventually(self._is_read, "every process is ready", 120)
        await self._furnish()

    def launch(self, name: str, **settings: str) -> Replica:
        own = GATEWAY if name == "gateway" else RETRIES.get(name, {})
        replica = self.system.launch(name, **own, **settings)
        self.replicas[name] = replica
        self.kept.add(name)
        return replica

    async def arm(self, armed: bool) -> None:
        """Have the services run so that they can be told where to die, or as anybody would run them."""
        if armed == self.armed:
            return
        self.armed = armed
        for name in SERVICES:
            process = self.replicas[name].process
            told = ["tests.faults.dying", name, str(self.folder)] if armed else [f"{name}.main"]
            process.command = [sys.executable, "-m", *told]
            await asyncio.to_thread(process.kill)
        await self.until_ready()

    async def close(self) -> None:
        if self.keeping:
            self.keeping.cancel()
            await asyncio.gather(self.keeping, return_exceptions=True)
        self.kept.clear()
        for replica in self.replicas.values():
            replica.process.thaw()
        await self.system.stop()

    async def _keep(self) -> None:
        while True:
            for name in sorted(self.kept):
                process = self.replicas[name].process
                if process.exit_code is not None:
                    self.exits.append((name, process.exit_code))
                    self.last_exit = monotonic()
                    process.start()
            await asyncio.sleep(0.2)

    async def _furnish(self) -> None:
        capacity = {"glass": 1_000_000_000}
        async with self.http() as http:
            for path, body in (
                ("/waste/organizations", {"name": ORGANIZATION}),
                ("/waste/storages", {"name": "Storage", "capacity": capacity}),
                ("/waste/roads", {"from": ORGANIZATION, "to": "Storage", "metres": 100}),
            ):
                answer = await http.post(path, json=body)
                assert answer.is_success, answer.text

    def http(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.replicas["gateway"].url, timeout=40)

    def any_broker_url(self) -> str:
        """The operator's, at one of the broker's hosts."""
        parts = urlsplit(self.system.broker_url("operator"))
        user, _, hosts = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}@{choice(hosts.split(','))}", query="heartbeat=5").geturl()

    async def is_ready(self) -> bool:
        """Every process says so, and a read of each and a write of each that the load goes to succeed."""
        return await self._is_read() and await self._is_written()

    async def _is_read(self) -> bool:
        async with httpx2.AsyncClient(timeout=5) as http:
            with suppress(httpx2.TransportError):
                healths = [await http.get(f"{one.url}/health/ready") for one in self.replicas.values()]
                if any(one.status_code != httpx2.codes.OK for one in healths):
                    return False
                gateway, desk = self.replicas["gateway"].url, self.replicas["desk_service"].url
                paths = (
                    f"{gateway}/tasks",
                    f"{gateway}/waste/kinds",
                    f"{gateway}/texts",
                    f"{desk}/desk/groups",
                )
                reads = [await http.get(path) for path in paths]
                return all(one.is_success for one in reads)
        return False

    async def _is_written(self) -> bool:
        gateway = self.replicas["gateway"].url
        async with httpx2.AsyncClient(timeout=4) as http:  # what has no answer is 202 after five seconds
            with suppress(httpx2.TransportError):
                writes = [await http.post(gateway + path, json=body) for path, body in WRITES.items()]
                return all(one.is_success for one in writes)
        return False

    async def until_started(self, name: str) -> None:
        async def ready() -> bool:
            async with httpx2.AsyncClient(timeout=5) as http:
                with suppress(httpx2.TransportError):
                    answer = await http.get(f"{self.replicas[name].url}/health/ready")
                    return answer.status_code == httpx2.codes.OK
            return False

        await eventually(ready, f"{name} is ready", 120)

    async def until_ready(self, seconds: float = 120, *, written: bool = True) -> float:
        """Seconds that it took."""
        began = monotonic()
        await eventually(self.is_ready if written else self._is_read, "every process is ready", seconds)
        return monotonic() - began

    async def management(self, method: str, path: str, **more: Any) -> Any:
        """The management API's answer to the operator; `{vhost}` in the path is this system's."""
        async with self.system.management() as page:
            answer = await page.request(method, path.format(vhost=self.system.name), **more)
            answer.raise_for_status()
            return answer.json() if answer.content else None

    def memory(self) -> dict[tuple[str, int], int]:
        """Bytes of each process with its children, by name and pid."""
        running = ((name, replica.process.pid) for name, replica in self.replicas.items())
        return {(name, pid): memory_of(pid) for name, pid in running if pid}


def memory_of(pid: int) -> int:
    """Proportional set size where Linux tells it, else the resident set; a process and its children."""
    return sum(map(_memory_of_one, [pid, *descendants(pid)]))


def _memory_of_one(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    with suppress(ValueError):
        return int(os.popen(f"ps -o rss= -p {pid}").read()) * 1024
    return 0

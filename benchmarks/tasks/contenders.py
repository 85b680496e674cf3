"""FastAPI applications of the peers' environment, each served by the faster of its usual servers."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from benchmarks.bench import Bench
from benchmarks.environments import python_of
from benchmarks.programs import program
from infra.local.health import accepts
from infra.local.processes import Process
from tests.system import eventually

PEER = "monolith"
SERVERS = {
    "uvicorn": ("--http=httptools", "--ws=none", "--no-access-log", "--log-level=warning"),
    "granian": ("--interface=asgi", "--no-ws"),
}
"""By name, how they are told to be fast."""


async def make_table(bench: Bench, contender: str = PEER) -> None:
    """The contender's own table of tasks, with the columns, constraints and indexes of ours, beside it."""
    connection = await asyncpg.connect(bench.system.database_url("task_service"))
    await connection.execute(f"CREATE SCHEMA {contender}")
    await connection.execute(f"CREATE TABLE {contender}.tasks (LIKE public.tasks INCLUDING ALL)")
    await connection.close()


@dataclass(frozen=True)
class Served:
    """An application that answers, and the process that watches its workers."""

    url: str
    process: Process


@asynccontextmanager
async def contender(
    bench: Bench, app: str, *, workers: int, settings: Mapping[str, str], server: str = "uvicorn"
) -> AsyncIterator[Served]:
    """The application while it runs, by `uvicorn` or `granian`."""
    port = bench.servers.ports.choose_any()
    place = ["--host=127.0.0.1", f"--port={port}", "--loop=uvloop", f"--workers={workers}"]
    command = [python_of(PEER), "-m", server, *SERVERS[server], *place, app]
    process = program(server, command, settings, bench.folder)
    process.start()

    async def answers() -> bool:
        assert process.exit_code is None, process.log.last_lines(5)
        return accepts(("127.0.0.1", port))

    try:
        await eventually(answers, f"{app} answers")
        yield Served(f"http://127.0.0.1:{port}", process)
    finally:
        process.end()

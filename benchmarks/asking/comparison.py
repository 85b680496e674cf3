"""A query through the broker, with 1, 16 and 64 in flight, beside plain aio-pika and Nameko's RPC.

One process asks and one answers, on every side.
"""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aio_pika

from benchmarks.bench import Bench
from benchmarks.comparing import Comparison, Found, Goal, Round, in_turn
from benchmarks.environments import python_of, versions_of
from benchmarks.programs import outcome_of, program
from tests.system import eventually

SECONDS, FEW_SECONDS = 2.0, 0.5
GRACE_SECONDS = 60.0
IN_FLIGHT = (1, 16, 64)
NAMEKO = Goal(3.0)
GOALS = {1: Goal(0.9), 16: Goal(1.2), 64: Goal(1.2)}
NOTES = Path(__file__).with_name("sides.md")
CREATE = b'{"title": "Buy milk"}'


@dataclass(frozen=True)
class Side:
    """How its client is started; `environment` is the peers' environment, none for ours."""

    name: str
    client: str
    environment: str = ""
    queue: str = ""
    service: Sequence[str] = ()

    @property
    def python(self) -> str:
        return python_of(self.environment) if self.environment else sys.executable


OURS = Side("Conveyor", "benchmarks.asking.our_client")
PEERS = (
    Side(
        "aio-pika",
        client="benchmarks.asking.raw_client",
        environment="monolith",
        queue="raw.get_task",
        service=("benchmarks.asking.raw_service",),
    ),
    Side(
        "nameko",
        client="benchmarks.asking.nameko_client",
        environment="nameko",
        queue="rpc-tasks",
        service=(
            "nameko",
            "run",
            "--config=benchmarks/nameko.yaml",
            "benchmarks.asking.nameko_service",
        ),
    ),
)


async def compare(bench: Bench) -> Found:
    await bench.system.start("task_service")
    task = await _create_task(bench)
    if bench.small:
        await _measuring(bench, OURS, task, 4, FEW_SECONDS)()
        return Found([], NOTES.read_text())
    async with AsyncExitStack() as stack:
        for peer in PEERS:
            await stack.enter_async_context(_answering(bench, peer, task))
        rows = [row for in_flight in IN_FLIGHT for row in await _rows(bench, task, in_flight)]
    versions = "; ".join(versions_of(peer.environment) for peer in PEERS)
    return Found(rows, f"{NOTES.read_text()}\nThe others: {versions}.\n")


async def _create_task(bench: Bench) -> str:
    async with await aio_pika.connect(bench.system.broker_url("operator")) as connection:
        channel = await connection.channel()
        await channel.default_exchange.publish(aio_pika.Message(CREATE), "tasks.create_task")

    async def created() -> str:
        rows = await bench.system.fetch("task_service", "SELECT id FROM tasks")
        return str(rows[0]["id"]) if rows else ""

    task: str = await eventually(created, "the task is there")
    return task


@asynccontextmanager
async def _answering(bench: Bench, peer: Side, task: str) -> AsyncIterator[None]:
    command = [peer.python, "-m", *peer.service]
    service = program(f"service-of-{peer.name}", command, _settings(bench, task), bench.folder)
    service.start()

    async def answers() -> bool:
        assert service.exit_code is None, service.log.last_lines(5)
        async with bench.system.management() as page:
            queues = (await page.get(f"/api/queues/{bench.system.name}")).json()
        return any(queue["name"] == peer.queue for queue in queues)

    try:
        await eventually(answers, f"{peer.name} has its queue")
        yield
    finally:
        service.end()


def _settings(bench: Bench, task: str) -> dict[str, str]:
    return {
        "BROKER_URL": bench.system.broker_url("gateway"),
        "DATABASE_URL": bench.system.database_url("task_service"),
        "TASK": task,
    }


async def _rows(bench: Bench, task: str, in_flight: int) -> list[Comparison]:
    sides = (OURS, *PEERS)
    bench.say(f"  {in_flight} in flight:")
    rounds = {side.name: _measuring(bench, side, task, in_flight) for side in sides}
    figures = await in_turn(rounds, bench.rounds, bench.say)
    what = f"a query through the broker, {in_flight} in flight"
    goals = zip(PEERS, (GOALS[in_flight], NAMEKO), strict=True)
    return [
        Comparison(what, peer.name, "answers/s", goal, figures[OURS.name], figures[peer.name])
        for peer, goal in goals
    ]


def _measuring(bench: Bench, side: Side, task: str, in_flight: int, seconds: float = SECONDS) -> Round:
    async def answers_a_second() -> float:
        command = [side.python, "-m", side.client, str(seconds), str(in_flight)]
        client = program(f"client-of-{side.name}", command, _settings(bench, task), bench.folder)
        found = await outcome_of(client, seconds + GRACE_SECONDS)
        return float(found["answers"] / found["seconds"])

    return answers_a_second

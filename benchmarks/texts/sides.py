"""Who counts texts here, and how each is started: two workers with two counting processes each.

All publish persistent messages, confirmed by the same broker when they are on its disk, acknowledge a text
when its result is stored, and store results in a server that has them on its disk before it answers.
"""

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aio_pika
from aiormq.exceptions import ChannelNotFoundEntity

from benchmarks.bench import Bench
from benchmarks.environments import python_of
from benchmarks.programs import program
from infra.local.processes import Process
from infra.local.valkey import Valkey
from tests.system import eventually

WORKERS = 2
PLACES = 2
DURABLE = """\
bind 127.0.0.1
port {port}
requirepass {password}
save ""
appendonly yes
appendfsync always
auto-aof-rewrite-percentage 0
"""
"""Redis is where all three peers would have results kept; Valkey is its successor. On the disk, like ours."""


@dataclass
class Side:
    """A contender that runs, and what its rounds found."""

    name: str
    workers: Sequence[Process]
    client: Sequence[str]
    settings: Mapping[str, str]
    store: Process | None
    outcomes: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Peer:
    """How a peer's worker is started, and how many consumers of which queue show that all of them run."""

    name: str
    queue: str
    consumers: int
    arguments: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def module(self) -> str:
        return f"benchmarks.texts.{self.name}_jobs"


PEERS = (
    Peer(
        "celery",
        queue="celery",
        consumers=WORKERS,
        arguments=(
            *("celery", "--app=benchmarks.texts.celery_jobs", "worker", f"--concurrency={PLACES}"),
            *("--hostname={number}@%h", "--loglevel=WARNING", "--without-gossip", "--without-mingle"),
        ),
    ),
    Peer(
        "dramatiq",
        queue="default",
        consumers=WORKERS * PLACES,
        arguments=("dramatiq", "benchmarks.texts.dramatiq_jobs", f"--processes={PLACES}"),
        settings={"dramatiq_queue_prefetch": "128"},
    ),
    Peer(
        "taskiq",
        queue="taskiq",
        consumers=WORKERS * PLACES,
        arguments=(
            *("taskiq", "worker", "benchmarks.texts.taskiq_jobs:broker", f"--workers={PLACES}"),
            "--log-level=WARNING",
        ),
    ),
)


@asynccontextmanager
async def ours_alone(bench: Bench) -> AsyncIterator[Side]:
    system, mongodb = bench.system, bench.servers.mongodb
    replicas = [await system.start("text_worker", places=str(PLACES)) for _ in range(WORKERS)]
    yield Side(
        "Conveyor",
        [replica.process for replica in replicas],
        [sys.executable, "-m", "benchmarks.texts.our_client"],
        {
            "BROKER_URL": system.broker_url("operator"),
            "RESULTS_URL": system.database_url("text_worker"),
        },
        getattr(mongodb, "process", None),
    )


@asynccontextmanager
async def all_sides(bench: Bench) -> AsyncIterator[list[Side]]:
    """All run all the time: one that has nothing to do costs the others next to nothing."""
    pythons = [python_of(peer.name) for peer in PEERS]
    async with AsyncExitStack() as stack:
        sides = [await stack.enter_async_context(ours_alone(bench))]
        results = await stack.enter_async_context(_results(bench))
        for database, (peer, python) in enumerate(zip(PEERS, pythons, strict=True)):
            sides.append(await stack.enter_async_context(_running(bench, peer, python, results, database)))
        yield sides


@asynccontextmanager
async def _results(bench: Bench) -> AsyncIterator[Valkey]:
    port = bench.servers.ports.choose_any()
    valkey = Valkey(bench.folder / "results", port, "valkey", configuration=DURABLE)
    try:
        valkey.start()
        valkey.wait_ready()
        yield valkey
    finally:
        valkey.stop()


@asynccontextmanager
async def _running(
    bench: Bench, peer: Peer, python: str, results: Valkey, database: int
) -> AsyncIterator[Side]:
    settings = {
        "BROKER_URL": bench.system.broker_url("operator"),
        "RESULTS_URL": results.url(database).replace("valkey://", "redis://"),
        **peer.settings,
    }
    workers = []
    try:
        for number in range(WORKERS):
            arguments = [argument.format(number=number) for argument in peer.arguments]
            workers.append(program(peer.name, [python, "-m", *arguments], settings, bench.folder))
            workers[-1].start()
        await _until_all_consume(bench, peer, workers)
        client = [python, "-m", peer.module]
        yield Side(peer.name, workers, client, settings, results.process)
    finally:
        for worker in workers:
            worker.ask_to_end()
        for worker in workers:
            worker.end()


async def _until_all_consume(bench: Bench, peer: Peer, workers: Sequence[Process]) -> None:
    async with await aio_pika.connect(bench.system.broker_url("operator")) as connection:

        async def all_consume() -> bool:
            ended = [worker for worker in workers if worker.exit_code is not None]
            assert not ended, f"{peer.name} has ended: {ended[0].log.last_lines(5)}"
            try:
                async with connection.channel() as channel:
                    queue = await channel.declare_queue(peer.queue, passive=True)
            except ChannelNotFoundEntity:
                return False
            return queue.declaration_result.consumer_count == peer.consumers

        await eventually(all_consume, f"all of {peer.name} consume")

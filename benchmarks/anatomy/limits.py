"""The limits on this machine: messages through the broker by other clients, and rows by the driver alone."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from statistics import median

import aio_pika
import asyncpg

from benchmarks.anatomy.passing import Clocks
from benchmarks.bench import Bench
from benchmarks.comparing import Comparison, Goal, Round, in_turn
from benchmarks.programs import outcome_of, program
from benchmarks.tasks.contenders import make_table
from infra.local.processes import Process

SECONDS = 240.0
MESSAGES, FEW = 40_000, 200
GOAL = Goal(1.0)
AGAINST = ("aiormq", "aio-pika")
SIDES = {"Conveyor": "ours", "aiormq": "aiormq", "aio-pika": "aio_pika", "FastStream": "faststream"}
PUBLISHES = ("Conveyor", *AGAINST)
WHAT = {
    "publishing": "publishing to a quorum queue, 64 in flight, confirmed",
    "consuming": "consuming and acknowledging what waits in a quorum queue",
}
INSERTS = {
    "one row a transaction, one connection": (1_600, 1, 1),
    "one row a transaction, 20 connections": (12_800, 1, 20),
    "64 rows a transaction, one connection": (12_800, 64, 1),
}
"""By name: rows, rows a transaction, connections."""
PASSED = """\
| client | publishing: CPU µs | of RabbitMQ | messages/s | consuming: CPU µs | of RabbitMQ | messages/s |
|---|---:|---:|---:|---:|---:|---:|
"""
INSERTED = """\
| asyncpg alone | CPU µs a row | of PostgreSQL | rows/s |
|---|---:|---:|---:|
"""


@dataclass
class Limits:
    """What was found of each side, round by round."""

    clocks: dict[str, list[Clocks]] = field(default_factory=dict)

    def figures(self, side: str, what: str, figure: str) -> list[float]:
        return [clocks[what][figure] for clocks in self.clocks[side]]

    def rows(self) -> list[Comparison]:
        return [
            Comparison(
                what,
                against,
                "messages/s",
                GOAL,
                self.figures("Conveyor", name, "a_second"),
                self.figures(against, name, "a_second"),
            )
            for name, what in WHAT.items()
            for against in AGAINST
        ]

    def tables(self) -> str:
        passed = [f"| {side} | {self._cells(side, *WHAT)} |" for side in SIDES]
        inserted = [f"| {side} | {self._cells(side, 'inserting')} |" for side in INSERTS]
        return f"{PASSED}{chr(10).join(passed)}\n\n{INSERTED}{chr(10).join(inserted)}\n"

    def _cells(self, side: str, *names: str) -> str:
        return " | ".join(
            "" if name == "publishing" and side not in PUBLISHES else f"{median(figures):,.0f}"
            for name in names
            for figure in ("client_us", "server_us", "a_second")
            for figures in [self.figures(side, name, figure)]
        )


def clients() -> str:
    """All are among what Conveyor has installed, in the versions that it uses or would use."""
    return ", ".join(f"{name} {version(name)}" for name in ("aiormq", "aio-pika", "faststream", "asyncpg"))


async def find_limits(bench: Bench) -> Limits:
    """All sides in turn, each round; in small our side alone, once."""
    limits = Limits()
    if bench.small:
        await _declare(bench, "Conveyor")
        await _passing(bench, limits, "Conveyor", FEW)()
        return limits
    for side in SIDES:
        await _declare(bench, side)
    passing = {side: _passing(bench, limits, side, MESSAGES) for side in SIDES}
    await in_turn(passing, bench.rounds, bench.say)
    await make_table(bench, "raw")
    await in_turn({side: _inserting(bench, limits, side) for side in INSERTS}, bench.rounds, bench.say)
    return limits


async def _declare(bench: Bench, side: str) -> None:
    async with await aio_pika.connect(bench.system.broker_url("operator")) as connection:
        channel = await connection.channel()
        await channel.declare_queue(_queue(side), durable=True, arguments={"x-queue-type": "quorum"})


def _queue(side: str) -> str:
    return f"anatomy.{SIDES[side]}"


def _passing(bench: Bench, limits: Limits, side: str, messages: int) -> Round:
    settings = {"BROKER_URL": bench.system.broker_url("operator"), "QUEUE": _queue(side)}

    async def consumed_a_second() -> float:
        module, server = f"benchmarks.anatomy.with_{SIDES[side]}", bench.servers.rabbitmq.process
        clocks = await _clocks(bench, [module, str(messages)], server, settings)
        limits.clocks.setdefault(side, []).append(clocks)
        return clocks["consuming"]["a_second"]

    return consumed_a_second


def _inserting(bench: Bench, limits: Limits, side: str) -> Round:
    settings = {"DATABASE_URL": bench.system.database_url("task_service")}
    arguments = ["benchmarks.anatomy.with_asyncpg", *map(str, INSERTS[side])]

    async def rows_a_second() -> float:
        connection = await asyncpg.connect(settings["DATABASE_URL"])
        await connection.execute("TRUNCATE raw.tasks")
        await connection.close()
        clocks = await _clocks(bench, arguments, bench.servers.postgresql.process, settings)
        limits.clocks.setdefault(side, []).append(clocks)
        return clocks["inserting"]["a_second"]

    return rows_a_second


async def _clocks(
    bench: Bench, arguments: Sequence[str], server: Process, settings: Mapping[str, str]
) -> Clocks:
    command = [sys.executable, "-m", *arguments]
    settings = {**settings, "SERVER_PID": str(server.pid)}
    return await outcome_of(program("limit", command, settings, bench.folder), SECONDS)

"""`GenerateWaste` of 200 organizations onto 50 contended storages, beside a naive form.

By one process and by two.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import asyncpg

from benchmarks.backlog import Drained, drain, events_kept, fill, keep_events
from benchmarks.bench import Bench
from benchmarks.comparing import Comparison, Found, Goal, Round, in_turn
from benchmarks.environments import python_of, versions_of
from benchmarks.programs import program
from benchmarks.tasks.contenders import PEER
from benchmarks.waste.case import commands, put_into
from infra.local.postgresql import Connection
from infra.local.processes import Process

COMMANDS, FEW = 12_000, 100
SECONDS, NAIVE_SECONDS = 60.0, 15.0
"""The naive form is measured by what it has done by then, so that all fits into half an hour."""
QUEUE = "waste.generate_waste"
FASTER, NOT_SLOWER = Goal(5.0), Goal(1.0)
WHAT_EACH_DID = Path(__file__).with_name("sides.md")
HEAD = """\
| side | commands/s | services | RabbitMQ | PostgreSQL |
|---|---:|---:|---:|---:|
"""
SAID = """
SELECT (SELECT count(*) FROM {schema}.generations) + (SELECT count(*) FROM {schema}.placements)"""
KEPT = """
SELECT (SELECT sum(stored) FROM {schema}.capacities)
    + coalesce((SELECT sum(amount) FROM {schema}.waiting), 0) = (SELECT sum(amount) FROM {schema}.amounts)"""


@dataclass
class Side:
    schema: str
    processes: int
    drained: list[Drained] = field(default_factory=list)

    @property
    def is_ours(self) -> bool:
        return self.schema == "public"

    def start(self, bench: Bench) -> list[Process]:
        if self.is_ours:
            return [bench.system.launch("waste_service").process for _ in range(self.processes)]
        settings = {
            "BROKER_URL": bench.system.broker_url("operator"),
            "DATABASE_URL": bench.system.database_url("waste_service"),
        }
        command = [python_of(PEER), "-m", "benchmarks.waste.naive"]
        workers = [program("naive", command, settings, bench.folder) for _ in range(self.processes)]
        for worker in workers:
            worker.start()
        return workers


async def compare(bench: Bench) -> Found:
    await bench.system.migrate("waste_service")
    await put_into(bench.system.database_url("waste_service"))
    await keep_events(bench, "waste.*")
    if bench.small:
        await _round(bench, Side("public", 2), FEW)
        return Found([], WHAT_EACH_DID.read_text())
    sides = {
        "Conveyor, 1 process": Side("public", 1),
        "naive, 1 process": Side("naive", 1),
        "Conveyor, 2 processes": Side("public", 2),
        "naive, 2 processes": Side("naive", 2),
    }
    rounds = {name: _measuring(bench, side) for name, side in sides.items()}
    figures = await in_turn(rounds, bench.rounds, bench.say)
    one, naive_one, two, naive_two = figures.values()
    what, unit = "GenerateWaste, 200 organizations, 50 storages", "commands/s"
    rows = [
        Comparison(f"{what}, 1 process", "SELECT … FOR UPDATE", unit, FASTER, one, naive_one),
        Comparison(f"{what}, 2 processes", "SELECT … FOR UPDATE", unit, FASTER, two, naive_two),
        Comparison(f"{what}, 2 processes", "itself with 1", unit, NOT_SLOWER, two, one),
    ]
    return Found(rows, _notes(sides))


def _measuring(bench: Bench, side: Side) -> Round:
    async def commands_a_second() -> float:
        await _round(bench, side, COMMANDS)
        return side.drained[-1].a_second

    return commands_a_second


async def _round(bench: Bench, side: Side, number: int) -> None:
    """Each round begins with empty storages and a full queue."""
    await fill(bench, QUEUE, commands(number, seed=len(side.drained)))
    connection = await asyncpg.connect(bench.system.database_url("waste_service"))
    try:
        await _empty(connection, side.schema)
        async with events_kept(bench) as kept:
            done = _counting(connection, side, kept)
            seconds = SECONDS if side.is_ours else NAIVE_SECONDS
            side.drained.append(await drain(bench, lambda: side.start(bench), done, number, seconds))
            if side.is_ours:
                said = await connection.fetchval(f"SELECT ({SAID.format(schema=side.schema)})")
                assert (side.drained[-1].done, await kept()) == (number, said), (
                    "not all are done and said, once"
                )
        assert await connection.fetchval(KEPT.format(schema=side.schema)), "some waste was lost or doubled"
    finally:
        await connection.close()


def _counting(
    connection: Connection, side: Side, kept: Callable[[], Awaitable[int]]
) -> Callable[[], Awaitable[int]]:
    """Generations that are committed; of ours, by their events that are out: one, and one a placement."""

    async def done() -> int:
        statement = f"SELECT count(*), ({SAID}) FROM {{schema}}.generations".format(schema=side.schema)
        committed, said = await connection.fetchrow(statement) or (0, 0)
        return committed * min(said, await kept()) // max(1, said) if side.is_ours else committed

    return done


async def _empty(connection: Connection, schema: str) -> None:
    tables = ("generations", "amounts", "placements", "waiting")
    await connection.execute(f"TRUNCATE {', '.join(f'{schema}.{table}' for table in tables)}, inbox, outbox")
    await connection.execute(f"UPDATE {schema}.capacities SET stored = 0, placements = 0")
    await connection.execute("UPDATE present SET stock = gen_random_uuid()")
    await connection.execute(f"VACUUM ANALYZE {schema}.capacities")


def _notes(sides: dict[str, Side]) -> str:
    table = HEAD + "\n".join(_line(name, side.drained) for name, side in sides.items())
    return (
        f"{WHAT_EACH_DID.read_text()}\nThe naive form: {versions_of(PEER)}.\n\n"
        f"CPU milliseconds a command, from `/proc`:\n\n{table}\n"
    )


def _line(name: str, drained: Sequence[Drained]) -> str:
    parts = ("workers", "RabbitMQ", "PostgreSQL")
    costs = [f"{median(one.cpu_ms[part] for one in drained):.3f}" for part in parts]
    rate = median(one.a_second for one in drained)
    return f"| {' | '.join([name, f'{rate:,.0f}', *costs])} |"

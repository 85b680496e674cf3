"""Tasks that wait in a queue until all are committed, beside job queues that do the same insert.

Ours has said an event of each by then, confirmed by the broker into a queue that keeps it.
"""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median

import asyncpg

from benchmarks.backlog import drain, events_kept, fill, keep_events
from benchmarks.bench import Bench
from benchmarks.comparing import Comparison, Found, Goal, Round, in_turn
from benchmarks.draining.sides import PEERS, Side, ours, peers
from benchmarks.environments import versions_of
from infra.local.postgresql import Connection

TASKS, FEW = 20_000, 200
SECONDS, PEER_SECONDS = 60.0, 15.0
"""Whoever has not done all by then is measured by what is done, so that all fit into half an hour."""
GOAL = Goal(4.0)
WHAT_EACH_DID = Path(__file__).with_name("sides.md")
HEAD = """\
| side | tasks/s | worker | RabbitMQ | PostgreSQL |
|---|---:|---:|---:|---:|
"""


async def compare(bench: Bench) -> Found:
    await bench.system.migrate("task_service")
    await keep_events(bench, "tasks.task_created")
    side = ours(bench)
    if bench.small:
        await _round(bench, side, FEW)
        return Found([], WHAT_EACH_DID.read_text())
    sides = [side, *[peer async for peer in peers(bench)]]
    figures = await in_turn({side.name: _measuring(bench, side) for side in sides}, bench.rounds, bench.say)
    what = f"{TASKS:,} tasks waiting, until all are committed"
    rows = [
        Comparison(what, peer.name, "tasks/s", GOAL, figures["Conveyor"], figures[peer.name])
        for peer in PEERS
    ]
    return Found(rows, _notes(sides))


def _measuring(bench: Bench, side: Side) -> Round:
    async def tasks_a_second() -> float:
        await _round(bench, side, TASKS)
        return side.drained[-1].a_second

    return tasks_a_second


async def _round(bench: Bench, side: Side, count: int) -> None:
    """Each round begins with empty tables and a full queue."""
    await fill(bench, side.queue, side.messages(count))
    connection = await asyncpg.connect(bench.system.database_url("task_service"))
    try:
        await connection.execute(f"TRUNCATE {side.schema}.tasks, public.inbox, public.outbox")
        async with events_kept(bench) as kept:
            done = _counting(connection, side, kept)
            seconds = SECONDS if side.is_ours else PEER_SECONDS
            side.drained.append(await drain(bench, lambda: [side.start()], done, count, seconds))
            if side.is_ours:
                assert side.drained[-1].done == await kept() == count, "not all are done and said, once"
    finally:
        await connection.close()


def _counting(
    connection: Connection, side: Side, kept: Callable[[], Awaitable[int]]
) -> Callable[[], Awaitable[int]]:
    """Tasks that are committed, of ours those whose events are out."""

    async def done() -> int:
        committed: int = await connection.fetchval(f"SELECT count(*) FROM {side.schema}.tasks")
        return min(committed, await kept()) if side.is_ours else committed

    return done


def _notes(sides: Sequence[Side]) -> str:
    versions = "; ".join(versions_of(peer.name) for peer in PEERS)
    table = HEAD + "\n".join(map(_line, sides))
    costs = "CPU milliseconds a task, from `/proc`:"
    return f"{WHAT_EACH_DID.read_text()}\nPeers: {versions}.\n\n{costs}\n\n{table}\n"


def _line(side: Side) -> str:
    costs = [
        f"{median(drained.cpu_ms[part] for drained in side.drained):.3f}"
        for part in ("workers", "RabbitMQ", "PostgreSQL")
    ]
    rate = median(drained.a_second for drained in side.drained)
    return f"| {' | '.join([side.name, f'{rate:,.0f}', *costs])} |"

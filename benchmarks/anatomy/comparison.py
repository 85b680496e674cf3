"""Where the microseconds of one `POST /tasks` go, beside the monolith's, and what the limits are.

Its tables stand in `docs/performance.md`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.anatomy.hardest import hardest
from benchmarks.anatomy.limits import Limits, clients, find_limits
from benchmarks.anatomy.parts import PARTS
from benchmarks.anatomy.sampling import PEER, THREADS, Shares, sampled
from benchmarks.bench import Bench
from benchmarks.comparing import Found, Round, in_turn
from benchmarks.environments import versions_of
from benchmarks.footprint.sides import TASK, Costs, costs_of
from benchmarks.load import load
from benchmarks.tasks.contenders import contender, make_table
from infra.local.processes import Process

CONNECTIONS = (64, 1)
SERVERS = ("RabbitMQ", "PostgreSQL", "Valkey")
SECONDS, FEW_SECONDS, SAMPLED_SECONDS = 4.0, 1.0, 12.0
NOTES = Path(__file__).with_name("sides.md")
DOORS = """\
| CPU µs of one `POST /tasks` | 64 connections | the monolith | 1 connection | the monolith |
|---|---:|---:|---:|---:|
"""
SHARES = """\
| CPU µs of one command | gateway, 64 | task_service, 64 | gateway, 1 | task_service, 1 |
|---|---:|---:|---:|---:|
"""


@dataclass(frozen=True)
class Side:
    """Who answers at `url`, and what each round found by connections."""

    name: str
    url: str
    processes: Mapping[str, Process]
    costs: dict[int, list[Costs]] = field(default_factory=dict)

    def measuring(self, bench: Bench, connections: int, seconds: float = SECONDS) -> Round:
        async def commands_a_second() -> float:
            costs = await costs_of(bench, self.url, self.processes, seconds, connections)
            self.costs.setdefault(connections, []).append(costs)
            return costs.a_second

        return commands_a_second

    def cpu_us(self, connections: int, name: str) -> float:
        """0 for what is no part of this side."""
        return median(costs.cpu_ms.get(name, 0) * 1000 for costs in self.costs[connections])

    def a_second(self, connections: int) -> float:
        return median(costs.a_second for costs in self.costs[connections])


async def compare(bench: Bench) -> Found:
    task_service = await bench.system.start("task_service")
    gateway = await bench.system.start("gateway")
    processes = {"gateway": gateway.process, "task_service": task_service.process}
    ours = Side("Conveyor", gateway.url, processes)
    if bench.small:
        await ours.measuring(bench, 4, FEW_SECONDS)()
        await find_limits(bench)
        return Found([], NOTES.read_text())
    profile = {
        connections: await sampled(bench, ours.url, processes, connections, SAMPLED_SECONDS)
        for connections in CONNECTIONS
    }
    shares = await hardest(bench, task_service.process)
    await make_table(bench)
    settings = {"DATABASE_URL": bench.system.database_url("task_service")}
    async with contender(bench, "benchmarks.tasks.monolith:app", workers=2, settings=settings) as served:
        theirs = Side("the monolith", served.url, {"the monolith": served.process})
        for connections in CONNECTIONS:
            for side in (ours, theirs):
                await load(f"{side.url}/tasks", connections, SECONDS, TASK, bench.folder)
            bench.say(f"  {connections} connections:")
            rounds = {side.name: side.measuring(bench, connections) for side in (ours, theirs)}
            await in_turn(rounds, bench.rounds, bench.say)
    limits = await find_limits(bench)
    tables = _tables(ours, theirs, profile, shares, limits)
    return Found(limits.rows(), _notes(), tables, door_figures(ours, theirs))


def _notes() -> str:
    return f"{NOTES.read_text()}\nClients: {clients()}. Sampled by {versions_of(PEER)}.\n"


def _tables(
    ours: Side, theirs: Side, profile: Mapping[int, Mapping[str, Shares]], shares: str, limits: Limits
) -> str:
    doors = DOORS + "\n".join(_doors(ours, theirs))
    parts = SHARES + "\n".join(_parts(ours, profile))
    return f"{doors}\n\n{parts}\n\n{shares}\n\n{limits.tables()}"


def _doors(ours: Side, theirs: Side) -> list[str]:
    names = (*ours.processes, *theirs.processes, *SERVERS)
    columns = [(side, connections) for connections in CONNECTIONS for side in (ours, theirs)]
    used = {name: [side.cpu_us(connections, name) for side, connections in columns] for name in names}
    used["**all**"] = [sum(of_column) for of_column in zip(*used.values(), strict=True)]
    rate = [f"{side.a_second(connections):,.0f}" for side, connections in columns]
    waited = [f"{connections * 1000 / side.a_second(connections):.2f}" for side, connections in columns]
    return [
        *(_line(name, [f"{one:,.0f}" if one else "" for one in row]) for name, row in used.items()),
        _line("commands a second", rate),
        _line("ms a command, on the clock", waited),
    ]


def door_figures(ours: Side, theirs: Side) -> dict[str, dict[str, int]]:
    """By load and part, and the monolith's in all."""
    figures = {}
    for connections in CONNECTIONS:
        used = {name: ours.cpu_us(connections, name) for name in (*ours.processes, *SERVERS)}
        used["all"] = sum(used.values())
        used["the monolith"] = sum(theirs.cpu_us(connections, name) for name in (*theirs.processes, *SERVERS))
        of_load = f"{connections} connection{'s' if connections > 1 else ''}"
        figures[of_load] = {name: round(us) for name, us in used.items()}
    return figures


def _parts(ours: Side, profile: Mapping[int, Mapping[str, Shares]]) -> list[str]:
    columns = [
        (ours.cpu_us(connections, name), profile[connections][name])
        for connections in CONNECTIONS
        for name in ours.processes
    ]
    return [
        _line(part, [_share(used, shares[part]) for used, shares in columns]) for part in (*PARTS, THREADS)
    ]


def _share(used: float, share: float) -> str:
    return f"{share * used:,.0f} ({share:.0%})" if share else ""


def _line(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"

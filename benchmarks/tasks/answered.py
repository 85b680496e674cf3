"""`POST /tasks`, answer awaited, beside the monolith: throughput at 64 and 256 connections, latency at 1."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.comparing import Comparison, Found, Goal, Round, in_turn
from benchmarks.environments import versions_of
from benchmarks.load import load
from benchmarks.tasks.contenders import PEER, contender, make_table

SECONDS, FEW_SECONDS = 5.0, 1.0
LOAD = {"BODY": '{"title": "Buy milk"}'}
AT = {64: Goal(1.25), 256: Goal(1.4)}
LATENCY = Goal(2.0, at_most=True)
NOTES = Path(__file__).with_name("monolith.md")


async def compare(bench: Bench) -> Found:
    await bench.system.start("task_service")
    ours = (await bench.system.start("gateway")).url
    if bench.small:
        await load(f"{ours}/tasks", 4, FEW_SECONDS, LOAD, bench.folder)
        return Found([], NOTES.read_text())
    await make_table(bench)
    settings = {"DATABASE_URL": bench.system.database_url("task_service")}
    async with contender(bench, "benchmarks.tasks.monolith:app", workers=2, settings=settings) as theirs:
        urls = {"Conveyor": f"{ours}/tasks", "the monolith": f"{theirs.url}/tasks"}
        rows = [await _row(bench, urls, connections) for connections in (*AT, 1)]
    return Found(rows, f"{NOTES.read_text()}\nThe monolith: {versions_of(PEER)}.\n")


async def _row(bench: Bench, urls: Mapping[str, str], connections: int) -> Comparison:
    for url in urls.values():
        await load(url, connections, SECONDS / 2, LOAD, bench.folder)
    rounds = {name: _measuring(bench, url, connections) for name, url in urls.items()}
    bench.say(f"  {connections} connections:")
    ours, theirs = (await in_turn(rounds, bench.rounds, bench.say)).values()
    what = f"POST /tasks, {connections} connection{'s' * (connections > 1)}"
    if connections == 1:
        return Comparison(f"{what}: median latency", "the monolith", "ms", LATENCY, ours, theirs)
    return Comparison(what, "the monolith", "requests/s", AT[connections], ours, theirs)


def _measuring(bench: Bench, url: str, connections: int) -> Round:
    async def figure() -> float:
        found = await load(url, connections, SECONDS, LOAD, bench.folder)
        return found["median_ms"] if connections == 1 else found["requests"] / found["seconds"]

    return figure

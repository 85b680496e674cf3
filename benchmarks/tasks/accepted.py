"""`POST /tasks` answered 202 beside FastAPI that only publishes: what the way to the broker costs."""

from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.comparing import Comparison, Found, Goal, Round, in_turn
from benchmarks.environments import versions_of
from benchmarks.load import load
from benchmarks.tasks.contenders import PEER, contender

CONNECTIONS = 64
SECONDS, FEW_SECONDS = 5.0, 1.0
LOAD = {"BODY": '{"title": "Buy milk"}', "PREFER": "respond-async"}
NOTES = Path(__file__).with_name("bare.md")


async def compare(bench: Bench) -> Found:
    ours = (await bench.system.start("gateway")).url
    if bench.small:
        await load(f"{ours}/tasks", 4, FEW_SECONDS, LOAD, bench.folder)
        return Found([], NOTES.read_text())
    settings = {"BROKER_URL": bench.system.broker_url("operator")}
    async with contender(bench, "benchmarks.tasks.bare:app", workers=1, settings=settings) as theirs:
        rounds = {"Conveyor": _measuring(bench, ours), "aio-pika": _measuring(bench, theirs.url)}
        for warm_up in rounds.values():
            await warm_up()
        figures = await in_turn(rounds, bench.rounds, bench.say)
    what, against = "POST /tasks answered 202, 64 connections", "FastAPI and aio-pika, confirmed"
    row = Comparison(what, against, "requests/s", Goal(1.1), figures["Conveyor"], figures["aio-pika"])
    return Found([row], f"{NOTES.read_text()}\nThe other: {versions_of(PEER)}.\n")


def _measuring(bench: Bench, url: str) -> Round:
    async def requests_a_second() -> float:
        found = await load(f"{url}/tasks", CONNECTIONS, SECONDS, LOAD, bench.folder)
        return found["requests"] / found["seconds"]

    return requests_a_second

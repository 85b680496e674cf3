"""`GET /tasks/{id}` from the gateway's cache, beside a constant, and beside the monolith's."""

from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import httpx2

from benchmarks.bench import Bench
from benchmarks.comparing import Comparison, Found, Goal, Round, in_turn
from benchmarks.environments import versions_of
from benchmarks.load import load
from benchmarks.tasks.contenders import PEER, contender, make_table

CONNECTIONS = 64
SECONDS, FEW_SECONDS = 4.0, 1.0
GOALS = {"a constant": Goal(0.9), "the monolith": Goal(5.0)}
NOTES = Path(__file__).with_name("constant.md")


async def compare(bench: Bench) -> Found:
    await bench.system.start("task_service")
    gateway = (await bench.system.start("gateway")).url
    async with httpx2.AsyncClient() as client:
        created = await client.post(f"{gateway}/tasks", json={"title": "Buy milk"})
    place = created.headers["location"]
    if bench.small:
        await load(f"{gateway}{place}", 4, FEW_SECONDS, {}, bench.folder)
        return Found([], NOTES.read_text())
    await _give_to_the_monolith(bench)
    async with AsyncExitStack() as stack:
        constant = contender(
            bench,
            "benchmarks.tasks.constant:app",
            workers=1,
            settings={"TASK": created.text},
            server="granian",
        )
        database = {"DATABASE_URL": bench.system.database_url("task_service")}
        monolith = contender(bench, "benchmarks.tasks.monolith:app", workers=2, settings=database)
        served = [await stack.enter_async_context(one) for one in (constant, monolith)]
        urls = [gateway, *(one.url for one in served)]
        rows = await _rows(bench, dict(zip(("Conveyor", *GOALS), urls, strict=True)), place)
    return Found(rows, f"{NOTES.read_text()}\nThe others: {versions_of(PEER)}.\n")


async def _give_to_the_monolith(bench: Bench) -> None:
    await make_table(bench)
    connection = await asyncpg.connect(bench.system.database_url("task_service"))
    await connection.execute("INSERT INTO monolith.tasks SELECT * FROM public.tasks")
    await connection.close()


async def _rows(bench: Bench, urls: dict[str, str], place: str) -> list[Comparison]:
    rounds = {name: _measuring(bench, url + place) for name, url in urls.items()}
    for warm_up in rounds.values():
        await warm_up()
    figures = await in_turn(rounds, bench.rounds, bench.say)
    what, unit = f"GET /tasks/{{id}}, {CONNECTIONS} connections", "requests/s"
    return [
        Comparison(what, against, unit, goal, figures["Conveyor"], figures[against])
        for against, goal in GOALS.items()
    ]


def _measuring(bench: Bench, url: str) -> Round:
    async def requests_a_second() -> float:
        found = await load(url, CONNECTIONS, SECONDS, {}, bench.folder)
        return found["requests"] / found["seconds"]

    return requests_a_second

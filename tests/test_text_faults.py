"""Texts among crowds, and with whatever can die killed and frozen: each is counted once, or fails alone."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from infra.local.mongodb import MongoDB
from tests.amqp import Client, client
from tests.system import ROOT, Replica, System, eventually
from tests.test_outages import until_down
from tests.test_texts import pool

WORKER = "text_worker"
LANE, CROWD = 50, 150
"""Texts of one person: all that the first lane takes, and others."""


@pytest.fixture
async def amqp(system: System) -> AsyncIterator[Client]:
    """The gateway's own user, which may say for whom it acts."""
    async with client(system, "gateway") as made:
        yield made


@pytest.fixture(autouse=True)
async def alone(system: System) -> AsyncIterator[None]:
    """No worker of another test's takes part."""
    yield
    for replica in system.replicas:
        if replica.process.name == WORKER:
            replica.process.thaw()
            await asyncio.to_thread(replica.process.end)


async def hand_in(amqp: Client, title: str, actor: str = "ada", text: str = "") -> None:
    body = {"text": text or f"A text of {title}.", "title": title}
    await amqp.publish(
        "texts.submit_text", body, message_id=title, user_id="gateway", headers={"actor": actor}
    )


async def jobs(system: System, **query: Any) -> list[dict[str, Any]]:
    return await system.documents(WORKER, "jobs", **query)


async def ended(system: System, *titles: str) -> dict[str, dict[str, Any]]:
    """The jobs by title, once all have ended."""

    async def all_ended() -> dict[str, dict[str, Any]] | None:
        found = {job["title"]: job for job in await jobs(system, title={"$in": list(titles)})}
        return found if len(found) == len(titles) and all(job["ended_at"] for job in found.values()) else None

    found: dict[str, dict[str, Any]] = await eventually(all_ended, f"{titles[0]} and its like have ended", 90)
    return found


async def said(system: System, event: str) -> Counter[str]:
    """How many messages of an event each job's title has, copies of one message taken as one."""
    found = {}
    for message in await system.get_messages("events.recent"):
        if message["properties"]["type"] == event:
            job = json.loads(message["payload"])["job"]
            found[message["properties"]["message_id"]] = job["title"]
    return Counter(found.values())


async def dead(system: System) -> list[str]:
    """Titles of the jobs whose work lies with the dead letters."""
    letters = await system.get_messages("dead_letters")
    titles = {str(job["_id"]): job["title"] for job in await jobs(system)}
    return [titles[json.loads(letter["payload"])["text"]] for letter in letters]


async def until_counting(replica: Replica) -> list[int]:
    async def counting() -> list[int]:
        return pool(replica)

    pids: list[int] = await eventually(counting, "a process counts")
    return pids


HOLDING = """
import pathlib, sys, time
while "--multiprocessing-fork" in sys.orig_argv and pathlib.Path(__file__).with_name("held").exists():
    time.sleep(0.05)
"""


@pytest.fixture
def held(system: System, tmp_path: Path) -> Iterator[Path]:
    """While this file is there, what would count hangs: before it begins, unless a test has it otherwise."""
    (tmp_path / "sitecustomize.py").write_text(HOLDING)
    (tmp_path / "held").touch()
    system.everybody["PYTHONPATH"] = f"{tmp_path}:{ROOT}"
    yield tmp_path / "held"
    del system.everybody["PYTHONPATH"]


async def with_pools_that_run(system: System, amqp: Client, workers: list[Replica]) -> list[int]:
    """The processes of all the places, which start with the first texts."""

    async def all_run() -> list[int]:
        await hand_in(amqp, f"to begin with {uuid4()}")
        pids = [pid for worker in workers for pid in pool(worker)]
        return pids if len(pids) == 2 * len(workers) else []

    pids: list[int] = await eventually(all_run, "all places count")
    await ended(system, *[job["title"] for job in await jobs(system)])
    return pids


HANGING = """
import pathlib, sys, time
if "--multiprocessing-fork" in sys.orig_argv:
    from text_worker.domain import counting
    real, held = counting.report_on, pathlib.Path(__file__).with_name("held")
    def report_on(text, top):
        while text.startswith("hangs") and held.exists():
            time.sleep(0.05)
        return real(text, top)
    counting.report_on = report_on
"""


async def test_a_crowd_of_one_person_delays_nobody_else(system: System, amqp: Client, held: Path) -> None:
    """All that it has beyond the first lane hangs, and yet the others end."""
    held.with_name("sitecustomize.py").write_text(HANGING)
    workers = [await system.start(WORKER, places="2") for _ in range(2)]
    pids = await with_pools_that_run(system, amqp, workers)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    crowd = [f"crowd {n}" for n in range(CROWD)]
    await asyncio.gather(*(hand_in(amqp, title, actor="crowd") for title in crowd[:LANE]))
    await until_waiting(system, LANE)
    await asyncio.gather(*(hand_in(amqp, title, actor="crowd", text="hangs") for title in crowd[LANE:]))
    await until_waiting(system, CROWD)
    await hand_in(amqp, "single", actor="ada")
    await until_holds(system, "texts.process_text", LANE + 1)
    await until_holds(system, "texts.process_text_bulk", CROWD - LANE)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)

    found = await ended(system, "single", *crowd[:LANE])
    assert {job["lane"] for job in found.values()} == {"first"}
    hanging = await jobs(system, title={"$in": crowd[LANE:]})
    assert {(job["lane"], job["ended_at"]) for job in hanging} == {("bulk", None)}
    held.unlink()  # noqa: ASYNC240
    await ended(system, *crowd)
    in_bulk = await system.documents(WORKER, "inbox", queue="texts.process_text_bulk")
    assert len(in_bulk) >= CROWD - LANE


async def until_waiting(system: System, number: int) -> None:
    async def all_wait() -> bool:
        return len(await jobs(system, person="crowd")) == number

    await eventually(all_wait, f"{number} of the crowd wait")


async def until_holds(system: System, queue: str, messages: int) -> None:
    """Waiting there, or in a worker's hands. The page counts every few seconds."""

    async def holds() -> bool:
        async with system.management() as page:
            shown = (await page.get(f"/api/queues/{system.name}/{queue}")).json()
        return bool(shown.get("messages") == messages)

    await eventually(holds, f"{queue} holds {messages}")


async def test_run_again_goes_by_the_lanes_too(system: System, amqp: Client) -> None:
    await system.start(WORKER, places="2")
    again = (await jobs(system, person="crowd", lane="bulk"))[:60]
    for job in again:
        await amqp.publish("texts.run_text_again", {"text": str(job["_id"])}, answered=True)
    answers = [await amqp.next_answer() for _ in again]

    assert not any(answer.refused for answer in answers)
    lanes = {job["lane"] for job in await jobs(system, person="crowd", run=2)}
    assert "first" in lanes
    await ended(system, *(job["title"] for job in again))


async def test_a_text_whose_counting_dies_each_time_fails_alone(system: System, amqp: Client) -> None:
    worker = await system.start(WORKER, places="2", retry_seconds="[1]")
    await hand_in(amqp, "kills what counts it")

    async def kill() -> None:
        """Beside the question, whose answer may take as long as a new process needs to count it after all."""
        while True:
            with suppress(ProcessLookupError, FileNotFoundError):  # it has just ended
                for pid in pool(worker):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.01)

    async def failed() -> bool:
        return bool(await jobs(system, title="kills what counts it", status="failed"))

    killing = asyncio.create_task(kill())
    await eventually(failed, "it has failed")
    killing.cancel()
    others = [f"beside {n}" for n in range(10)]
    for title in others:
        await hand_in(amqp, title)
    found = await ended(system, "kills what counts it", *others)
    assert "died each time" in found["kills what counts it"]["reason"]
    assert {found[title]["status"] for title in others} == {"done"}
    assert await dead(system) == ["kills what counts it"]
    assert (await said(system, "TextFailed"))["kills what counts it"] == 1
    assert worker.process.exit_code is None


async def test_a_text_whose_worker_dies_each_time_fails_alone(
    system: System, amqp: Client, held: Path
) -> None:
    worker = await system.start(WORKER, places="2")
    await hand_in(amqp, "kills its worker")
    await until_counting(worker)

    async def cleared() -> bool:
        return not await system.documents(WORKER, "outbox")

    await eventually(cleared, "nothing is left to be sent once more, which would be another start")
    for _ in range(4):
        await until_counting(worker)
        assert worker.process.pid
        os.kill(worker.process.pid, signal.SIGKILL)
        await asyncio.to_thread(worker.process.wait, 10)
        worker = system.launch(WORKER, places="2")
    held.unlink()  # noqa: ASYNC240
    others = [f"near {n}" for n in range(10)]
    for title in others:
        await hand_in(amqp, title)
    found = await ended(system, "kills its worker", *others)

    assert found["kills its worker"]["status"] == "failed"
    assert "the process died each time" in found["kills its worker"]["reason"]
    assert {found[title]["status"] for title in others} == {"done"}
    assert (await dead(system)).count("kills its worker") == 1


async def test_a_worker_that_thaws_after_another_did_its_text_changes_nothing(
    system: System, amqp: Client
) -> None:
    frozen = await system.start(WORKER, places="2")
    await hand_in(amqp, "frozen")
    await until_counting(frozen)
    frozen.process.freeze()
    other = await system.start(WORKER, places="2")
    done = await ended(system, "frozen")
    frozen.process.thaw()
    await system.until_ready(frozen)
    await hand_in(amqp, "after the thaw")
    await ended(system, "after the thaw")
    await system.until_ready(other)

    [job] = await jobs(system, title="frozen")
    assert (job["status"], job["attempts"], job["version"]) == ("done", 1, done["frozen"]["version"])
    assert (await said(system, "TextProcessed"))["frozen"] == 1
    assert "frozen" not in await dead(system)


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_mongodb_that_goes_under_load_costs_no_attempt(
    own_mongodb: MongoDB, system: System, gateway: Replica, amqp: Client, how: str
) -> None:
    workers = [await system.start(WORKER, places="2") for _ in range(2)]
    await hand_in(amqp, f"{how} before")
    known = (await ended(system, f"{how} before"))[f"{how} before"]["_id"]
    titles = [f"{how} {n}" for n in range(150)]
    for title in titles[:100]:
        await hand_in(amqp, title, text=f"{title}. " * 500)
    await asyncio.to_thread(getattr(own_mongodb, how))
    for title in titles[100:]:
        await hand_in(amqp, title)
    for worker in workers:
        await until_down(worker)
    async with system.http(gateway) as http:
        asked = [
            await http.get(f"/texts/{known}", headers={"cache-control": "no-cache", "prefer": f"wait={n}"})
            for n in range(8, 11)
        ]
    await asyncio.to_thread(own_mongodb.thaw if how == "freeze" else own_mongodb.start)
    await asyncio.to_thread(own_mongodb.wait_ready)
    found = await ended(system, *titles)

    assert {job["status"] for job in found.values()} == {"done"}
    assert {job["attempts"] for job in found.values()} == {1}
    assert {(answer.status_code, answer.json()["code"]) for answer in asked} == {(503, "unavailable")}
    assert await system.documents(WORKER, "inbox", attempt={"$gt": 1}, queue="texts.submit_text") == []
    times = await said(system, "TextProcessed")
    assert {times[title] for title in titles} == {1}
    assert not {title for title in await dead(system) if title.startswith(f"{how} ")}
    async with system.http(gateway) as http:
        assert (await http.get(f"/texts/{known}")).status_code == httpx2.codes.OK

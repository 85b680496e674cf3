"""Texts whose work lies on the desk: they read as failed, whoever gave it up, and are done after a replay."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from shared.contracts.texts import INLINE_BYTES
from tests.amqp import client
from tests.desk.test_given_up import kill_by_delivery_limit
from tests.letters import ADA, listed, until, whole
from tests.system import Replica, System, eventually
from tests.test_text_faults import jobs, said, until_counting
from tests.test_texts import ended, hand_in, pool

WORKER = "text_worker"
WORK = "texts.process_text"


@pytest.fixture(scope="module")
async def desk(system: System) -> Replica:
    return await system.start("desk_service")


@pytest.fixture
async def at_desk(desk: Replica) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=desk.url, timeout=40, headers=ADA) as made:
        yield made


@pytest.fixture
async def http(system: System, gateway: Replica) -> AsyncIterator[httpx2.AsyncClient]:
    async with system.http(gateway) as made:
        yield made


@pytest.fixture(autouse=True)
async def alone(system: System) -> AsyncIterator[None]:
    yield
    for replica in system.replicas:
        if replica.process.name == WORKER:
            await asyncio.to_thread(replica.process.end)


async def letter_of(at_desk: httpx2.AsyncClient, address: str) -> dict[str, Any]:
    """The one about the counting of a text."""

    async def found() -> dict[str, Any] | None:
        for letter in await listed(at_desk, queue=WORK):
            shown = await whole(at_desk, letter["id"])
            if address.rpartition("/")[2] in str(shown["body"]):
                return shown
        return None

    letter: dict[str, Any] = await eventually(found, f"{address} lies on the desk")
    return letter


async def replayed(at_desk: httpx2.AsyncClient, letter: dict[str, Any]) -> None:
    (await at_desk.post("/desk/replays", json={"letter": letter["id"]})).raise_for_status()
    await until(at_desk, letter["id"], "done")


async def test_a_text_that_the_broker_gave_up_has_failed_and_is_done_after_a_replay(
    system: System, http: httpx2.AsyncClient, at_desk: httpx2.AsyncClient
) -> None:
    worker = await system.start(WORKER, places="2")
    await ended(http, await hand_in(http))
    for pid in await until_counting(worker):
        os.kill(pid, signal.SIGSTOP)
    address = await hand_in(http, "To be", title="given up by the broker")
    await ended(http, address, "running")
    worker.process.kill()
    async with client(system) as taker:
        work = await taker.channel.get_queue(WORK)

        async def given_up() -> bool:
            if message := await work.get(fail=False):
                await message.reject(requeue=True)
            return bool((await at_desk.get("/desk/letters", params={"queue": WORK})).json()["items"])

        await eventually(given_up, "the broker gives it up")
    letter = await letter_of(at_desk, address)

    await system.start(WORKER, places="2")
    failed = await ended(http, address, "failed")
    await replayed(at_desk, letter)
    done = await ended(http, address)

    assert failed["reason"].startswith("delivery_limit")
    assert (done["reason"], done["run"], done["version"]) == (None, 1, failed["version"] + 1)
    assert (await http.get(f"{address}/report")).json()["words"] == 2
    for event in ("TextFailed", "TextProcessed"):
        assert (await said(system, event))["given up by the broker"] == 1


async def test_a_text_that_its_worker_gave_up_fails_once_and_is_done_after_a_replay(
    system: System, http: httpx2.AsyncClient, at_desk: httpx2.AsyncClient
) -> None:
    worker = await system.start(WORKER, places="2", retry_seconds="[]")
    address = await hand_in(http, "To be", title="given up by its worker")

    async def failed() -> bool:
        for pid in pool(worker):
            os.kill(pid, signal.SIGKILL)
        return bool(await jobs(system, title="given up by its worker", status="failed"))

    await eventually(failed, "it has failed")
    letter = await letter_of(at_desk, address)

    async def heard() -> bool:
        return bool(await system.documents(WORKER, "inbox", queue="texts.on.desk.fault", outcome="done"))

    await eventually(heard, "the worker has heard of it")
    await replayed(at_desk, letter)

    assert (await ended(http, address))["reason"] is None
    for event in ("TextFailed", "TextProcessed"):
        assert (await said(system, event))["given up by its worker"] == 1


async def test_what_was_run_again_meanwhile_is_no_business_of_a_replay(
    system: System, http: httpx2.AsyncClient, at_desk: httpx2.AsyncClient
) -> None:
    worker = await system.start(WORKER, places="2", retry_seconds="[]")
    address = await hand_in(http, "To be", title="run again")

    async def failed() -> bool:
        for pid in pool(worker):
            os.kill(pid, signal.SIGKILL)
        return bool(await jobs(system, title="run again", status="failed"))

    await eventually(failed, "it has failed")
    letter = await letter_of(at_desk, address)
    await http.post(f"{address}/again")
    done = await ended(http, address)
    await replayed(at_desk, letter)

    assert (await http.get(address, headers={"cache-control": "no-cache"})).json() == done
    assert (await said(system, "TextProcessed"))["run again"] == 1


async def test_an_edited_large_text_is_the_same_text(
    system: System, http: httpx2.AsyncClient, at_desk: httpx2.AsyncClient
) -> None:
    large = "Words " * INLINE_BYTES
    await http.post("/texts", json={"text": large, "title": "as sent"}, headers={"prefer": "respond-async"})
    await kill_by_delivery_limit(system, "texts.submit_text")
    [letter] = await listed(at_desk, queue="texts.submit_text")
    await system.start(WORKER, places="2")

    edit = await at_desk.post(f"/desk/letters/{letter['id']}/edit", json={"changes": {"title": "as edited"}})
    await until(at_desk, edit.raise_for_status().json()["id"], "done")

    [job] = await jobs(system, title="as edited")
    await ended(http, f"/texts/{job['_id']}")
    assert not await jobs(system, title="as sent")
    recent = await system.get_messages("events.recent")
    faults = [json.loads(one["payload"]) for one in recent if one["properties"]["type"] == "Fault"]
    assert {fault["queue"] for fault in faults} == {WORK, "texts.submit_text"}
    assert {fault["queue"] for fault in faults if fault["body"]} == {WORK}  # what people said stays there

"""Texts: handed in, counted in the background once each, whatever dies."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.system import Replica, System, eventually
from text_worker.domain.counting import count

TEXT = "To be, or not to be: that is the question."


@pytest.fixture(scope="module")
async def worker(system: System) -> Replica:
    return await system.start("text_worker", places="2")


@pytest.fixture
async def pids(system: System, worker: Replica) -> list[int]:
    """The processes that the worker counts in, which it makes with its first texts."""
    await system.publish_by_hand("texts.submit_text", '{"text": "first"}', message_id="first-text")

    async def found() -> list[int]:
        return pool(worker)

    there: list[int] = await eventually(found, "the worker has processes to count in")
    return there


@pytest.fixture
async def http(system: System, gateway: Replica, worker: Replica) -> AsyncIterator[httpx2.AsyncClient]:
    async with system.http(gateway) as http:
        yield http


async def hand_in(http: httpx2.AsyncClient, text: str = TEXT, **more: Any) -> str:
    taken = await http.post("/texts", json={"text": text, **more}, headers={"prefer": "wait=30"})
    assert taken.status_code == httpx2.codes.ACCEPTED, taken.text
    return str(taken.headers["location"])


async def ended(http: httpx2.AsyncClient, address: str, status: str = "done") -> dict[str, Any]:
    async def reached() -> dict[str, Any] | None:
        job: dict[str, Any] = (await http.get(address)).json()
        return job if job.get("status") == status else None

    found: dict[str, Any] = await eventually(reached, f"{address} is {status}")
    return found


@contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_a_text_is_counted_and_its_report_can_be_read(http: httpx2.AsyncClient) -> None:
    address = await hand_in(http, title="Hamlet", top=2)
    job = await ended(http, address)
    report = (await http.get(f"{address}/report")).json()

    assert (job["title"], job["attempts"], job["run"]) == ("Hamlet", 1, 1)
    assert job["created_at"] <= job["ended_at"]
    assert report == count(TEXT, 2).model_dump(mode="json")


async def test_changes_are_told_as_they_come_until_the_end(http: httpx2.AsyncClient) -> None:
    address = await hand_in(http)
    async with http.stream("GET", f"{address}/events") as stream:
        told = [json.loads(line[6:]) async for line in stream.aiter_lines() if line.startswith("data: ")]

    versions = [job["version"] for job in told]
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert versions == sorted(set(versions))
    assert told[-1]["status"] == "done"
    again = await http.get(f"{address}/events", headers={"last-event-id": str(versions[-1])})
    assert (again.status_code, again.content) == (204, b""), "a browser would come again for ever"


async def test_a_stream_of_changes_ends_when_its_text_is_removed(
    http: httpx2.AsyncClient, pids: list[int]
) -> None:
    with frozen(pids):
        address = await hand_in(http)
        async with asyncio.timeout(30), http.stream("GET", f"{address}/events") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "id: 1"
            await http.delete(address)
            told = [line async for line in lines if line]

    assert told[-2:] == ["event: removed", "data: {}"]


async def test_a_stream_of_changes_ends_with_its_gateway_which_does_not_wait_for_it(
    system: System, pids: list[int]
) -> None:
    """Whoever follows a text comes again, and is sent to another gateway."""
    gateway = await system.start("gateway", grace_seconds="30")
    with frozen(pids):
        async with system.http(gateway) as http:
            address = await hand_in(http)
            async with asyncio.timeout(15), http.stream("GET", f"{address}/events") as stream:
                lines = stream.aiter_lines()
                assert await anext(lines) == "id: 1"
                gateway.process.ask_to_end()
                told = [line async for line in lines if line]
        has_ended = await asyncio.to_thread(gateway.process.wait, 15)

    assert "event: removed" not in told
    assert (has_ended, gateway.process.exit_code) == (True, 0)


async def test_the_work_is_a_message_that_can_be_typed_by_hand(
    system: System, http: httpx2.AsyncClient
) -> None:
    assert await system.publish_by_hand("texts.submit_text", '{"text": "by hand"}', message_id="typed-1")

    async def counted() -> bool:
        items = (await http.get("/texts", params={"status": "done"})).json()["items"]
        return any(item["top"] == 20 and item["title"] == "" for item in items)

    await eventually(counted, "the text that was typed is done")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": ""}, "text"),
        ({"text": " \n\t"}, "text"),
        ({"text": "a\x00b"}, "text"),
        ({"text": "x" * 5_000_001}, "text"),
        ({"text": "x", "top": 0}, "top"),
        ({"text": "x", "top": 10**6}, "top"),
        ({"title": "x"}, "text"),
    ],
)
async def test_what_cannot_be_counted_is_refused_with_its_field(
    http: httpx2.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await http.post("/texts", json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert "pattern" not in answer.json()["detail"]


async def test_a_lone_surrogate_is_refused(http: httpx2.AsyncClient) -> None:
    answer = await http.post(
        "/texts", content=b'{"text": "\\ud800"}', headers={"content-type": "application/json"}
    )

    assert answer.status_code == 422
    assert "half of a surrogate pair" in answer.json()["detail"]


async def test_an_unknown_text_is_not_found(http: httpx2.AsyncClient) -> None:
    nowhere = "/texts/00000000-0000-7000-8000-000000000000"

    for answer in (
        await http.get(nowhere),
        await http.get(f"{nowhere}/report"),
        await http.get(f"{nowhere}/events"),
        await http.post(f"{nowhere}/cancel"),
        await http.post(f"{nowhere}/again"),
        await http.delete(nowhere),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_what_is_done_can_be_run_again_but_not_cancelled(http: httpx2.AsyncClient) -> None:
    address = await hand_in(http)
    await ended(http, address)

    assert (await http.post(f"{address}/cancel")).json()["code"] == "already_ended"
    assert (await http.post(f"{address}/again")).json()["run"] == 2
    assert (await ended(http, address))["run"] == 2


async def test_a_removed_text_is_gone_with_its_report(http: httpx2.AsyncClient) -> None:
    address = await hand_in(http)
    await ended(http, address)

    assert (await http.delete(address)).status_code == httpx2.codes.NO_CONTENT
    assert (await http.get(address)).status_code == httpx2.codes.NOT_FOUND
    assert (await http.get(f"{address}/report")).status_code == httpx2.codes.NOT_FOUND


async def test_what_waits_has_no_report_and_can_be_cancelled(
    http: httpx2.AsyncClient, pids: list[int]
) -> None:
    with frozen(pids):
        address = await hand_in(http)
        early = await http.get(f"{address}/report")
        running = await ended(http, address, "running")
        again = await http.post(f"{address}/again")
        cancelled = await http.post(f"{address}/cancel")

    assert (early.status_code, early.json()["code"]) == (409, "not_done")
    assert running["started_at"]
    assert again.json()["code"] == "still_under_way"
    assert cancelled.json()["status"] == "cancelled"
    later = await hand_in(http)
    await ended(http, later)
    assert (await http.get(address)).json()["status"] == "cancelled"


async def test_a_text_that_kills_what_counts_it_fails_and_nobody_else_suffers(
    system: System, http: httpx2.AsyncClient, worker: Replica
) -> None:
    for pid in pool(worker):
        os.kill(pid, signal.SIGKILL)
    addresses = [await hand_in(http, f"{TEXT} {number}") for number in range(10)]

    for address in addresses:
        assert (await ended(http, address))["status"] == "done"


async def test_a_list_goes_page_by_page_the_latest_first(http: httpx2.AsyncClient) -> None:
    addresses = [await hand_in(http, f"page {number}") for number in range(5)]
    seen: list[str] = []
    page = "/texts?limit=2"
    while page and len(seen) < 5:
        answer = await http.get(page)
        seen += [item["id"] for item in answer.json()["items"]]
        page = answer.links["next"]["url"]

    assert [f"/texts/{id_}" for id_ in seen[:5]] == addresses[::-1]


async def test_killed_and_frozen_workers_leave_every_text_done_once(
    system: System, http: httpx2.AsyncClient, worker: Replica
) -> None:
    others = [await system.start("text_worker", places="2") for _ in range(2)]
    addresses = [await hand_in(http, f"{TEXT} {number} " * 50) for number in range(60)]
    others[0].process.kill()
    others[1].process.freeze()
    for address in addresses[:10]:  # those that the frozen one holds come after its heartbeats
        await http.get(address)
    others[1].process.thaw()

    for address in addresses:
        assert (await ended(http, address))["attempts"] == 1
    said: dict[str, set[str]] = {}
    for message in await system.get_messages("events.recent"):
        if message["properties"]["type"] == "TextProcessed":
            job = json.loads(message["payload"])["job"]
            said.setdefault(f"/texts/{job['id']}", set()).add(message["properties"]["message_id"])
    assert [len(said[address]) for address in addresses] == [1] * 60
    assert not await system.get_messages("dead_letters")


def pool(worker: Replica) -> list[int]:
    """The processes that a worker counts in."""
    assert worker.process.pid
    tasks = Path(f"/proc/{worker.process.pid}/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split() if _counts(pid)]


def _counts(pid: str) -> bool:
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()

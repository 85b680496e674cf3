"""Large texts: kept in the blob store, counted like any other, and gone when nobody needs them."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from time import time
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from shared.blobs import Blobs
from shared.contracts.texts import INLINE_BYTES, TEXT_BYTES
from shared.journal_mongo import MongoJournal
from tests.amqp import client
from tests.system import Replica, System, eventually
from tests.test_text_faults import until_counting
from tests.test_texts import ended, hand_in
from text_worker.domain.counting import count
from text_worker.settings import TextSettings
from text_worker.store import sweep

LARGE = "Быть или не быть, вот в чём вопрос. " * 8_000
WORKER = "text_worker"
HOUR = 3600


@pytest.fixture
async def worker(system: System) -> AsyncIterator[Replica]:
    replica = await system.start(WORKER, places="2")
    yield replica
    await asyncio.to_thread(replica.process.end)


@pytest.fixture
async def http(system: System, gateway: Replica) -> AsyncIterator[httpx2.AsyncClient]:
    async with system.http(gateway) as http:
        yield http


def files(system: System) -> set[Path]:
    return set(system.blobs.glob("texts/*"))


async def content_of(system: System, address: str) -> dict[str, Any]:
    [job] = [row for row in await system.documents(WORKER, "texts") if address.endswith(str(row["_id"]))]
    return job


async def file_of(system: System, address: str) -> Path:
    return system.blobs / str((await content_of(system, address))["blob"]["key"])


async def test_what_a_folder_has_taken_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda opened: synced.append(os.fstat(opened).st_ino))

    blob = await Blobs((tmp_path / "blobs").as_uri()).put("texts", "0" * 32, b"text")

    file = tmp_path / "blobs" / blob.key
    assert synced == [one.stat().st_ino for one in (file, file.parent, file.parent.parent)]


@pytest.mark.parametrize(
    ("text", "in_blob"),
    [("a" * INLINE_BYTES, False), ("a" * (INLINE_BYTES + 1), True), (LARGE, True), ("я" * 2_500_000, True)],
    ids=["256 KiB", "a byte more", "Russian", "5 MB"],
)
async def test_a_text_of_any_size_has_the_same_report_and_only_large_ones_are_in_the_blob_store(
    system: System, worker: Replica, http: httpx2.AsyncClient, text: str, in_blob: bool
) -> None:
    address = await hand_in(http, text, top=5)
    await ended(http, address)

    assert (await http.get(f"{address}/report")).json() == count(text, 5).model_dump(mode="json")
    kept = await content_of(system, address)
    assert ("blob" in kept, "text" in kept) == (in_blob, not in_blob)
    if in_blob:
        assert (await file_of(system, address)).read_text() == text


async def test_letters_may_be_escaped_and_the_longest_text_still_fits(
    worker: Replica, http: httpx2.AsyncClient
) -> None:
    body = json.dumps({"text": "я" * (TEXT_BYTES // 2)}).encode()
    taken = await http.post("/texts", content=body, headers={"content-type": "application/json"})

    assert len(body) > 15_000_000
    assert (await ended(http, taken.headers["location"]))["status"] == "done"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x" * 6_000_000, "6000000 bytes of UTF-8, and at most 5000000 are taken"),
        ("я" * 2_500_001, "5000002 bytes of UTF-8, and at most 5000000 are taken"),
        (" \n" * 200_000, "nothing but white space"),
        ("x" * 300_000 + "\x00", "a NUL character"),
    ],
    ids=["6 MB", "two bytes over", "only spaces", "NUL"],
)
async def test_a_large_text_that_cannot_be_counted_is_refused(
    system: System, http: httpx2.AsyncClient, text: str, says: str
) -> None:
    before = files(system)
    answer = await http.post("/texts", json={"text": text})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert says in answer.json()["detail"]
    assert files(system) == before


@pytest.mark.parametrize("size", [17_000_000, 60_000_000])
async def test_a_body_over_the_limit_is_refused_whoever_sends_it(http: httpx2.AsyncClient, size: int) -> None:
    answer = await http.post("/texts", content=b'{"text": "' + b"x" * size)
    elsewhere = await http.post("/tasks", content=b"x" * (1024 * 1024 + 1))

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (413, "body_too_large")


async def test_a_lone_surrogate_in_a_large_text_is_refused(http: httpx2.AsyncClient) -> None:
    body = b'{"text": "' + b"x" * 300_000 + b'\\ud800"}'
    answer = await http.post("/texts", content=body, headers={"content-type": "application/json"})

    assert answer.status_code in {400, 422}


async def test_a_message_holds_a_small_text_or_a_blob(system: System, worker: Replica) -> None:
    blob = {"key": f"texts/{'0' * 32}-{'0' * 64}", "size": 9, "sha256": "0" * 64}
    for wrong in (
        {"title": "neither"},
        {"text": "both", "blob": blob},
        {"text": "x" * (INLINE_BYTES + 1)},
        {"blob": blob | {"key": f"texts/../{'0' * 32}-{'0' * 64}"}},
        {"blob": blob | {"key": f"tasks/{'0' * 32}-{'0' * 64}"}},
        {"blob": blob | {"size": 10**30}},
    ):
        await system.publish_by_hand("texts.submit_text", json.dumps(wrong), message_id=uuid4().hex)

    async def refused() -> bool:
        return len(await system.get_messages("dead_letters")) >= 6

    await eventually(refused, "all six are refused")
    assert not await system.documents(WORKER, "texts", **{"blob.key": blob["key"]})


async def test_nobody_but_the_gateway_names_a_blob_and_nobody_but_the_worker_removes_one(
    system: System, worker: Replica, http: httpx2.AsyncClient
) -> None:
    address = await hand_in(http, LARGE)
    blob = (await content_of(system, address))["blob"]
    message_id = blob["key"].removeprefix("texts/").partition("-")[0]
    async with client(system, "gateway") as gateways, client(system) as operators:
        named = [
            await operators.ask("texts.submit_text", {"blob": blob}, message_id=one)
            for one in (uuid4().hex, message_id)
        ]
        removed = [
            await one.ask("texts.remove_blob", {"blob": blob}, **{"headers": headers, **properties})
            for one, headers, properties in (
                (operators, {"actor": WORKER}, {}),
                (gateways, {"actor": "anonymous"}, {"user_id": "gateway"}),
            )
        ]

    assert [answer.body["code"] for answer in named] == ["not_trusted", "message_id_reused"]
    assert {answer.body["code"] for answer in removed} == {"not_trusted"}
    assert (await file_of(system, address)).exists()
    assert len(await system.documents(WORKER, "texts", **{"blob.key": blob["key"]})) == 1


async def test_one_key_is_one_text_however_often_and_at_once_it_is_sent(
    system: System, worker: Replica, http: httpx2.AsyncClient
) -> None:
    before = files(system)
    headers = {"idempotency-key": '"large-1"', "prefer": "wait=30"}
    taken = await asyncio.gather(
        *(http.post("/texts", json={"text": LARGE}, headers=headers) for _ in range(6))
    )
    another = await http.post("/texts", json={"text": LARGE + "!"}, headers=headers)

    assert {answer.status_code for answer in taken} == {202}
    [address] = {answer.headers["location"] for answer in taken}
    assert {await file_of(system, address)} <= files(system) - before
    assert (another.status_code, another.json()["code"]) == (422, "message_id_reused")
    await ended(http, address)


async def test_more_large_bodies_than_may_be_in_hand_wait_for_their_turn(
    system: System, worker: Replica
) -> None:
    narrow = await system.start("gateway", large_bodies="1")
    async with system.http(narrow) as http:
        bodies = [{"text": f"{number} " * 600_000} for number in range(4)]
        taken = await asyncio.gather(*(http.post("/texts", json=body) for body in bodies))

    assert {answer.status_code for answer in taken} == {202}


async def away(system: System) -> Path:
    """Nothing can be read or written there until `back`."""
    aside = system.blobs.with_suffix(".aside")
    system.blobs.rename(aside)
    system.blobs.touch()
    return aside


def back(system: System, aside: Path) -> None:
    system.blobs.unlink()
    aside.rename(system.blobs)


async def test_while_the_blob_store_is_away_large_texts_are_refused_and_those_taken_wait(
    system: System, worker: Replica, http: httpx2.AsyncClient
) -> None:
    await asyncio.to_thread(worker.process.end)
    taken = await http.post("/texts", json={"text": LARGE}, headers={"prefer": "respond-async"})
    aside = await away(system)
    try:
        refused = await http.post("/texts", json={"text": LARGE})
        other = await system.start(WORKER, places="2")

        async def waits() -> bool:
            return any(line["event"] == "not now" for line in other.lines())

        await eventually(waits, "the large text waits")
        small = await hand_in(http)
        await ended(http, small)
    finally:
        back(system, aside)
    job = await ended(http, await accepted(http, taken))

    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["idempotency-key"]
    assert job["attempts"] == 1
    await asyncio.to_thread(other.process.end)


async def accepted(http: httpx2.AsyncClient, answer: httpx2.Response) -> str:
    """The text's address, once its command is done."""

    async def done() -> str | None:
        found: str | None = (await http.get(answer.headers["location"])).json().get("location")
        return found

    address: str = await eventually(done, "the text was taken")
    return address


@pytest.mark.parametrize("how", ["removed", "changed", "cut"])
async def test_a_text_whose_blob_is_not_what_it_was_fails_and_says_why(
    system: System, worker: Replica, http: httpx2.AsyncClient, how: str
) -> None:
    address = await hand_in(http, LARGE)
    await ended(http, address)
    file = await file_of(system, address)
    content = file.read_bytes()
    file.unlink()
    if how != "removed":
        file.write_bytes(content[:-1] + (b"!" if how == "changed" else b""))
    dead = len(await system.get_messages("dead_letters"))
    await http.post(f"{address}/again")
    job = await ended(http, address, "failed")

    assert "blob store" in job["reason"] and "hand it in again" in job["reason"]
    assert len(await system.get_messages("dead_letters")) == dead
    assert file.exists() == (how != "removed")


async def test_a_removed_text_takes_its_blob_with_it(
    system: System, worker: Replica, http: httpx2.AsyncClient
) -> None:
    address = await hand_in(http, LARGE)
    file = await file_of(system, address)
    assert file.exists()
    await http.delete(address)

    async def gone() -> bool:
        return not file.exists()

    await eventually(gone, "the blob is gone")


async def test_a_worker_that_dies_while_it_counts_a_large_text_leaves_one_report(
    system: System, worker: Replica, http: httpx2.AsyncClient
) -> None:
    first = await hand_in(http, LARGE)
    await ended(http, first)
    for pid in await until_counting(worker):
        os.kill(pid, signal.SIGSTOP)
    address = await hand_in(http, "Кот. " * 500_000)
    await ended(http, address, "running")
    worker.process.kill()
    other = await system.start(WORKER, places="2")
    job = await ended(http, address)

    report = (await http.get(f"{address}/report")).json()
    assert report["words"] == 500_000
    assert len(await system.documents(WORKER, "reports", _id=(await content_of(system, address))["_id"])) == 1
    told = [
        message["properties"]["message_id"]
        for message in await system.get_messages("events.recent")
        if message["properties"]["type"] == "TextProcessed" and job["id"] in message["payload"]
    ]
    assert len(set(told)) == 1
    await asyncio.to_thread(other.process.end)


def aged(file: Path, hours: float) -> Path:
    os.utime(file, times=(time() - hours * HOUR,) * 2)
    return file


async def swept(system: System) -> None:
    """As two workers with the usual settings would, at once."""
    journal = MongoJournal(system.database_url(WORKER), {})
    blobs = Blobs(system.blobs.as_uri())
    await asyncio.gather(*(sweep(journal, blobs, TextSettings()) for _ in range(2)))
    await journal.close()


async def test_the_text_of_a_command_that_waits_is_kept_however_long_the_worker_is_down(
    system: System, worker: Replica, http: httpx2.AsyncClient
) -> None:
    await asyncio.to_thread(worker.process.end)
    before = files(system)
    taken = await http.post("/texts", json={"text": LARGE}, headers={"prefer": "respond-async"})
    [file] = files(system) - before
    aged(file, 95)
    await swept(system)
    assert file.exists()

    other = await system.start(WORKER, places="2", sweep_seconds="0.05")
    assert (await ended(http, await accepted(http, taken)))["status"] == "done"
    aged(file, 1000)
    await swept(system)
    assert file.exists()
    await asyncio.to_thread(other.process.end)


async def test_what_a_gateway_left_that_died_before_it_sent_the_command_is_removed(
    system: System, worker: Replica
) -> None:
    """It is known by nothing but its age: after that the command would be too old to be done."""
    blob = await Blobs(system.blobs.as_uri()).put("texts", uuid4().hex, LARGE.encode())
    file = aged(system.blobs / blob.key, 95)
    await swept(system)
    assert file.exists()

    aged(file, 97)
    await swept(system)
    assert not file.exists()


async def test_what_a_command_left_that_has_ended_is_removed_after_a_day(
    system: System, worker: Replica, http: httpx2.AsyncClient
) -> None:
    headers = {"idempotency-key": '"large-2"', "prefer": "wait=30"}
    kept = await file_of(
        system, (await http.post("/texts", json={"text": LARGE}, headers=headers)).headers["location"]
    )
    before = files(system)
    await http.post("/texts", json={"text": LARGE + "!"}, headers=headers)
    [left] = files(system) - before

    aged(left, 23)
    await swept(system)
    assert left.exists()
    for file in (left, kept):
        aged(file, 25)
    await swept(system)
    assert (left.exists(), kept.exists()) == (False, True)


async def test_what_a_folder_was_putting_when_its_process_died_is_removed_after_a_day(system: System) -> None:
    blob = await Blobs(system.blobs.as_uri()).put("texts", uuid4().hex, b"whole")
    whole = system.blobs / blob.key
    young, old = (whole.with_name(f"{whole.name}#{number}") for number in (1, 2))
    for file in (young, old):
        file.write_bytes(b"wh")
    aged(old, 25)
    await swept(system)

    assert [file.exists() for file in (whole, young, old)] == [True, True, False]


async def test_while_the_broker_is_away_nothing_is_put_into_the_blob_store(system: System) -> None:
    before = files(system)
    cut_off = system.launch("gateway", rabbitmq_url=f"amqp://127.0.0.1:{system.ports.choose_any()}")

    async def answer() -> httpx2.Response | None:
        try:
            async with system.http(cut_off) as http:
                return await http.post("/texts", json={"text": LARGE})
        except httpx2.TransportError:
            return None

    refused = await eventually(answer, "the gateway answers")
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert refused.headers["idempotency-key"]
    assert files(system) == before


async def test_a_worker_sweeps_by_itself(system: System, worker: Replica) -> None:
    blob = await Blobs(system.blobs.as_uri()).put("texts", uuid4().hex, LARGE.encode())
    file = aged(system.blobs / blob.key, 97)
    other = await system.start(WORKER, sweep_seconds="0.05")

    async def gone() -> bool:
        return not file.exists()

    await eventually(gone, "it is swept")
    await asyncio.to_thread(other.process.end)

"""The published case with all that it expects: through REST, through queues, and as `make demo`."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aio_pika.abc import AbstractIncomingMessage

from infra.local.servers import Servers
from tests.amqp import client
from tests.demos import demo
from tests.system import ROOT, Replica, System

CASE = json.loads((ROOT / "infra/cases/atom_eco.json").read_text(encoding="utf-8"))
KINDS = {"bio", "glass", "plastic"}

Placed = tuple[str, str, str, float, int]
Do = Callable[[dict[str, Any]], Awaitable[Any]]


@pytest.fixture
async def system(servers: Servers, folder: Path) -> AsyncIterator[System]:
    """A system of each test's own: the case can be loaded once."""
    system = System(servers, folder)
    await system.create()
    yield system
    await system.stop()


@pytest.fixture
async def gateway(system: System) -> Replica:
    await system.start("waste_service")
    return await system.start("gateway")


async def travel(add_organization: Do, add_storage: Do, add_road: Do, generate: Do) -> list[Placed]:
    """Load the case and let the organizations generate; the placements."""
    assert set(CASE["kinds"]) == KINDS, "all of them exist from the start"
    for organization in CASE["organizations"]:
        await add_organization({"name": organization["name"]})
    for storage in CASE["storages"]:
        await add_storage(storage)
    for road in CASE["roads"]:
        await add_road(road)
    generations = [await generate(organization) for organization in CASE["organizations"]]
    assert [one["unplaced"] for one in generations] == [{}, {}]
    return sorted(
        (one["organization"], each["kind"], each["storage"], each["amount"], each["distance_metres"])
        for one in generations
        for each in one["placements"]
    )


def expected_placements() -> list[Placed]:
    return sorted(
        (one["from"], one["kind"], one["to"], one["amount"], one["distance_m"])
        for one in CASE["expected"]["placements_one_organization_after_the_other"]
    )


def assert_expected_view(organization: str, items: list[dict[str, Any]]) -> None:
    """All storages, nearest first, the unreachable last; room is capacity less what was placed."""
    distances = CASE["expected"]["distances_metres"][organization]
    reachable = [(one["name"], one["distance_metres"]) for one in items if one["distance_metres"] is not None]
    unreachable = [one["name"] for one in items if one["distance_metres"] is None]
    assert dict(reachable) == distances
    assert [metres for _, metres in reachable] == sorted(distances.values())
    assert unreachable == CASE["expected"]["unreachable"].get(organization, [])
    assert [one["name"] for one in items] == [*dict(reachable), *unreachable]
    room = {storage["name"]: dict(storage["capacity"]) for storage in CASE["storages"]}
    for _, kind, storage, amount, _ in expected_placements():
        room[storage][kind] -= amount
    assert {one["name"]: one["room"] for one in items} == room
    assert [(one["name"], one["capacity"]) for one in sorted(items, key=lambda one: str(one["name"]))] == [
        (one["name"], one["capacity"]) for one in CASE["storages"]
    ]


async def test_the_case_through_rest(system: System, gateway: Replica) -> None:
    async with system.http(gateway) as http:

        def post(path: str) -> Do:
            async def send(body: dict[str, Any]) -> Any:
                answer = await http.post(path, json=body)
                assert answer.status_code == httpx2.codes.CREATED, answer.text
                return answer.json()

            return send

        async def generate(organization: dict[str, Any]) -> Any:
            path = f"/waste/organizations/{organization['name']}/waste"
            generation = await post(path)({"amounts": organization["generates"]})
            assert (await http.get(f"/waste/generations/{generation['id']}")).json() == generation
            assert (await http.get(path)).json() == {"items": [generation], "next_cursor": None}
            return generation

        placed = await travel(
            post("/waste/organizations"), post("/waste/storages"), post("/waste/roads"), generate
        )

        assert placed == expected_placements()
        for organization in CASE["organizations"]:
            seen = await http.get(f"/waste/organizations/{organization['name']}/storages")
            assert_expected_view(organization["name"], seen.json()["items"])
        kinds = (await http.get("/waste/kinds")).json()["items"]
        assert {one["code"]: one["title"] for one in kinds} == CASE["kinds"]
        roads = (await http.get("/waste/roads")).json()["items"]
        assert [{name: one[name] for name in CASE["roads"][0]} for one in roads] == CASE["roads"]


async def test_the_case_through_queues(system: System) -> None:
    await system.start("waste_service")
    async with client(system) as amqp:

        def ask(queue: str) -> Do:
            async def send(body: dict[str, Any]) -> Any:
                answer = await amqp.ask(queue, body)
                assert not answer.refused, answer.body
                return answer.body

            return send

        async def generate(organization: dict[str, Any]) -> Any:
            body = {"organization": organization["name"], "amounts": organization["generates"]}
            generation = await ask("waste.generate_waste")(body)
            assert await ask("waste.get_generation")({"generation": generation["id"]}) == generation
            return generation

        async with events(amqp.channel, "waste.waste_stored") as stored:
            placed = await travel(
                ask("waste.register_organization"),
                ask("waste.register_storage"),
                ask("waste.add_road"),
                generate,
            )
            told = [await asyncio.wait_for(stored.get(), 20) for _ in expected_placements()]

        assert placed == expected_placements()
        assert placed == sorted(
            (one["organization"], one["kind"], one["storage"], one["amount"], one["distance_metres"])
            for one in told
        )
        for organization in CASE["organizations"]:
            seen = await ask("waste.find_storages")({"organization": organization["name"]})
            assert_expected_view(organization["name"], seen["items"])


@asynccontextmanager
async def events(channel: Any, routing_key: str) -> AsyncIterator["asyncio.Queue[dict[str, Any]]"]:
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def hear(message: AbstractIncomingMessage) -> None:
        await heard.put(json.loads(message.body))

    queue = await channel.declare_queue(exclusive=True)
    await queue.bind("events", routing_key)
    await queue.consume(hear, no_ack=True)
    yield heard


async def test_the_demo_shows_what_is_expected_and_a_second_run_changes_nothing(
    system: System, gateway: Replica
) -> None:
    async with system.http(gateway) as http:
        begun = [
            await http.post("/waste/organizations", json={"name": CASE["organizations"][0]["name"]}),
            await http.post("/waste/storages", json=CASE["storages"][0]),
            await http.post("/waste/roads", json=CASE["roads"][0]),
        ]
    assert [one.status_code for one in begun] == [201, 201, 201], "an interrupted first run"

    first = await demo("infra.demo_waste", gateway.url)
    before = await rows(system)
    second = await demo("infra.demo_waste", gateway.url)

    assert first[0] == 0, first
    assert first[1].endswith("distances and placements as expected\n")
    assert second == first
    assert await rows(system) == before


async def test_the_demo_finds_the_case_behind_a_thousand_later_generations(
    system: System, gateway: Replica
) -> None:
    first = await demo("infra.demo_waste", gateway.url)
    async with client(system) as amqp:
        body = {"organization": CASE["organizations"][0]["name"], "amounts": {"bio": "0.001"}}
        for _ in range(1001):
            await amqp.publish("waste.generate_waste", body, answered=True)
        for _ in range(1001):
            assert not (await amqp.next_answer()).refused

    code, output, errors = await demo("infra.demo_waste", gateway.url)

    assert (code, errors) == (0, ""), errors
    assert output.endswith("distances and placements as expected\n")
    assert output.partition("Room left")[0] == first[1].partition("Room left")[0]


async def test_the_demo_says_what_is_not_as_expected(system: System, gateway: Replica) -> None:
    async with system.http(gateway) as http:
        await http.post("/waste/storages", json={"name": "МНО 2", "capacity": {"bio": 49}})

    code, output, _ = await demo("infra.demo_waste", gateway.url)

    assert code == 1
    assert "expected, but not so:  ОО 1: 50 bio → МНО 2, 50 m" in output
    assert "so, but not expected:  ОО 1: 49 bio → МНО 2, 50 m" in output


async def test_the_demo_says_in_one_sentence_that_there_is_no_gateway() -> None:
    code, output, errors = await demo("infra.demo_waste", "http://127.0.0.1:9")

    assert (code, output) == (1, "")
    assert errors == "The gateway at http://127.0.0.1:9 cannot be reached; is 'make run' running?\n"


async def rows(system: System) -> list[Any]:
    tables = ("kinds", "places", "roads", "generations", "placements", "waiting", "inbox")
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
    return await system.fetch("waste_service", f"SELECT {counts}")

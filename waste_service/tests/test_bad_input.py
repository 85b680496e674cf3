"""What is wrong is refused clearly, through REST and through queues, and leaves nothing behind."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.contracts.waste.network import AddRoad
from tests.amqp import Client, client
from tests.system import Replica, System

OFFICE = "/waste/organizations/office"
WASTE = f"{OFFICE}/waste"
ROADS = "/waste/roads"
STORAGES = "/waste/storages"


@pytest.fixture(scope="module")
async def amqp(system: System) -> AsyncIterator[Client]:
    """An office with a road to a storage, and a client that asks by queue."""
    await system.start("waste_service")
    async with client(system) as amqp:
        for queue, body in (
            ("waste.register_organization", {"name": "office"}),
            ("waste.register_storage", {"name": "A", "capacity": {"bio": 5}}),
            ("waste.add_road", {"from": "office", "to": "A", "metres": 1}),
        ):
            assert not (await amqp.ask(queue, body)).refused
        yield amqp


def amounts(amount: str) -> str:
    return f'{{"amounts": {{"bio": {amount}}}}}'


BAD_REST = [
    (WASTE, amounts("0"), 422, "amounts.bio"),
    (WASTE, amounts("-1"), 422, "amounts.bio"),
    (WASTE, amounts("1.0001"), 422, "amounts.bio"),
    (WASTE, amounts('"0.0000000000000000000000000000001"'), 422, "amounts.bio"),
    (WASTE, amounts("1000000000.001"), 422, "amounts.bio"),
    (WASTE, amounts("1e400"), 422, "amounts.bio"),
    (WASTE, amounts('"1e999999999999"'), 422, "amounts.bio"),
    (WASTE, amounts("NaN"), 422, "amounts.bio"),
    (WASTE, amounts("-Infinity"), 422, "amounts.bio"),
    (WASTE, amounts('"NaN"'), 422, "amounts.bio"),
    (WASTE, amounts("true"), 422, "amounts.bio"),
    (WASTE, amounts("null"), 422, "amounts.bio"),
    (WASTE, amounts("[5]"), 422, "amounts.bio"),
    (WASTE, amounts('"five"'), 422, "amounts.bio"),
    (WASTE, amounts("1" * 400), 422, "amounts.bio"),
    (WASTE, amounts(f'"{"1" * 5000}"'), 422, "amounts.bio"),
    (WASTE, amounts("1" * 5000), 400, ""),
    (WASTE, amounts('"1000000001"'), 422, "amounts.bio"),
    (WASTE, amounts('"1_000"'), 422, "amounts.bio"),
    (WASTE, amounts('" 5 "'), 422, "amounts.bio"),
    (WASTE, amounts('"+5"'), 422, "amounts.bio"),
    (WASTE, amounts('"٣"'), 422, "amounts.bio"),
    (WASTE, amounts('"5\\n"'), 422, "amounts.bio"),
    (WASTE, '{"amounts": {"bio ": 1}}', 422, "amounts.bio"),
    (WASTE, json.dumps({"amounts": {"bio": 1}, "x" * 200_000: 1}), 422, "x" * 199 + "…"),
    (WASTE, '{"amounts": {}}', 422, "amounts"),
    (WASTE, '{"amounts": {"Bio": 1}}', 422, "amounts.Bio"),
    (WASTE, '{"amounts": {"bio": 1}, "organisation": "A"}', 422, "organisation"),
    (WASTE, json.dumps({"amounts": {f"k{n}": 1 for n in range(101)}}), 422, "amounts"),
    (WASTE, "bio", 400, ""),
    (WASTE, "", 422, ""),
    ("/waste/organizations/nobody/waste", amounts("1"), 404, ""),
    ("/waste/organizations/A/waste", amounts("1"), 404, ""),
    ("/waste/organizations/%00/waste", amounts("1"), 422, ""),
    (f"/waste/organizations/{'x' * 201}/waste", amounts("1"), 422, ""),
    (ROADS, '{"from": "office", "to": "office", "metres": 1}', 422, ""),
    (ROADS, '{"from": "office", "to": "nowhere", "metres": 1}', 404, "to"),
    (ROADS, '{"from": "nowhere", "to": "office", "metres": 1}', 404, "from"),
    (ROADS, '{"from": "office", "to": "A", "metres": 1}', 409, ""),
    (ROADS, '{"from": "A", "to": "office", "metres": 0}', 422, "metres"),
    (ROADS, '{"from": "A", "to": "office", "metres": 1000000001}', 422, "metres"),
    (ROADS, '{"from": "A", "to": "office", "metres": 1.5}', 422, "metres"),
    (ROADS, '{"from": "A", "to": "office", "metres": true}', 422, "metres"),
    (ROADS, '{"from": "A", "to": "office", "metres": 1, "two_way": 1}', 422, "two_way"),
    (ROADS, '{"from": "A", "to": "office"}', 422, "metres"),
    (ROADS, '{"from": "A", "to": "office", "metres": 1, "origin": "A"}', 422, "origin"),
    (STORAGES, '{"name": "office", "capacity": {"bio": 1}}', 409, ""),
    (STORAGES, '{"name": "B", "capacity": {}}', 422, "capacity"),
    (STORAGES, '{"name": "B", "capacity": {"bio": 0}}', 422, "capacity.bio"),
    (STORAGES, '{"name": "B", "capacity": {"paper": 1}}', 422, ""),
    (STORAGES, '{"name": "B\\u0000", "capacity": {"bio": 1}}', 422, "name"),
    (STORAGES, '{"name": "\\ud800", "capacity": {"bio": 1}}', 422, "name"),
    (STORAGES, '{"name": " ", "capacity": {"bio": 1}}', 422, "name"),
    (STORAGES, '{"name": "a/b", "capacity": {"bio": 1}}', 422, "name"),
    (STORAGES, '{"name": "B", "capacity": {"bio": "1_000"}}', 422, "capacity.bio"),
    ("/waste/organizations", '{"name": "office/storages"}', 422, "name"),
    ("/waste/organizations", '{"name": "a\\\\b"}', 422, "name"),
    ("/waste/organizations", '{"name": "."}', 422, "name"),
    ("/waste/organizations", '{"name": " .. "}', 422, "name"),
    (STORAGES, '{"name": "0198a3f0-1111-7222-8333-444455556666", "capacity": {"bio": 1}}', 422, ""),
    ("/waste/organizations", '{"name": "A"}', 409, ""),
    ("/waste/kinds", '{"code": "bio", "title": "био"}', 409, ""),
    ("/waste/kinds", '{"code": "Bio", "title": "био"}', 422, "code"),
    ("/waste/nothing", "{}", 404, ""),
]


@pytest.mark.parametrize("wrong", BAD_REST)
async def test_rest_answers_with_a_problem_that_names_the_field(
    system: System, gateway: Replica, amqp: Client, wrong: tuple[str, str, int, str]
) -> None:
    path, body, status, field = wrong
    before = await everything(system)

    async with system.http(gateway) as http:
        answer = await http.post(path, content=body, headers={"content-type": "application/json"})

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"]
    assert not field or [error["field"] for error in problem["errors"]] == [field]
    assert len(answer.content) < 1_500
    assert await everything(system) == before


def test_a_whole_number_of_metres_may_be_written_with_a_point() -> None:
    written = '{"from": "A", "to": "B", "metres": %s}'

    assert AddRoad.model_validate_json(written % "100.0").metres == 100
    assert AddRoad.model_validate_json(written % "1e2").metres == 100


@pytest.mark.parametrize(
    "path",
    [
        "/waste/organizations/nobody",
        "/waste/organizations/A/storages",
        "/waste/storages/office",
        "/waste/generations/0198a3f0-1111-7222-8333-444455556666",
        "/waste/nothing",
    ],
)
async def test_what_is_not_there_is_not_found(
    system: System, gateway: Replica, amqp: Client, path: str
) -> None:
    async with system.http(gateway) as http:
        answer = await http.get(path)

    assert answer.status_code == 404, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("queue", "body", "code"),
    [
        ("waste.generate_waste", {"organization": "nobody", "amounts": {"bio": 1}}, "not_found"),
        ("waste.generate_waste", {"organization": "office", "amounts": {"paper": 1}}, "unknown_kind"),
        ("waste.generate_waste", {"organization": "office", "amounts": {"bio": -1}}, "invalid"),
        ("waste.generate_waste", {"organization": "office\x00", "amounts": {"bio": 1}}, "invalid"),
        ("waste.generate_waste", b'{"organization": "office", "amounts": {"bio": 1e400}}', "invalid"),
        ("waste.generate_waste", b"not json", "invalid"),
        ("waste.generate_waste", b"\xff\xfe", "invalid"),
        ("waste.add_road", {"from": "A", "to": "A", "metres": 1}, "road_to_itself"),
        ("waste.add_road", {"from": "A", "to": "nowhere", "metres": 1}, "not_found"),
        ("waste.add_road", {"from": "office", "to": "A", "metres": 1}, "road_exists"),
        ("waste.register_organization", {"name": "A"}, "name_taken"),
        ("waste.register_organization", {"name": "0198a3f0" * 4}, "name_looks_like_id"),
        ("waste.register_organization", {"name": "office/storages"}, "invalid"),
        ("waste.register_storage", {"name": "..", "capacity": {"bio": 1}}, "invalid"),
        ("waste.register_storage", {"name": "B", "capacity": {"bio": "+5"}}, "invalid"),
        ("waste.register_kind", {"code": "bio", "title": "био"}, "kind_exists"),
        ("waste.get_storage", {"storage": "office"}, "not_found"),
    ],
)
async def test_a_queue_refuses_to_who_asked(
    system: System, amqp: Client, queue: str, body: dict[str, Any] | bytes, code: str
) -> None:
    before = await everything(system)

    answer = await amqp.ask(queue, body)

    assert answer.refused
    assert answer.body["code"] == code
    assert await everything(system) == before


async def test_a_queue_names_the_field_and_never_says_more_than_a_line_of_it(amqp: Client) -> None:
    body = {"organization": "office", "amounts": {"bio ": 1}, "x" * 200_000: 1}

    answer = await amqp.ask("waste.generate_waste", body)

    assert [error["field"] for error in answer.body["errors"]] == ["amounts.bio", "x" * 199 + "…"]
    assert len(json.dumps(answer.body)) < 1_500


async def test_of_a_key_that_comes_twice_the_last_counts(amqp: Client) -> None:
    twice = b'{"code": "paper", "code": "wood", "title": "?", "title": "wood"}'

    answer = await amqp.ask("waste.register_kind", twice)

    assert answer.body == {"code": "wood", "title": "wood", "version": 1}


async def test_waste_typed_by_hand_is_generated_whatever_the_content_type(
    system: System, amqp: Client
) -> None:
    before = await everything(system)

    typed = '{"organization": " office ", "amounts": {"bio": "0.125"}}'
    assert await system.publish_by_hand("waste.generate_waste", typed, content_type="text/plain")

    while await everything(system) == before:
        await asyncio.sleep(0.05)
    [generated] = await system.fetch("waste_service", "SELECT kind, amount::text FROM amounts")
    assert tuple(generated) == ("bio", "0.125")


async def everything(system: System) -> list[Any]:
    """The counts of all that there is, with its version."""
    tables = ("kinds", "places", "capacities", "roads", "generations", "waiting")
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
    return await system.fetch("waste_service", f"SELECT network, stock, {counts} FROM present")
